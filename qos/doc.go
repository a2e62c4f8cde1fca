// Package qos decides about the resources of one node: which class of service a
// pod is in, what the kernel is told about it, who has to leave when something
// runs out, and who may be made to leave on purpose.
//
// # Problem
//
// A node promises resources to pods and has less than they may use. What a pod
// is promised, and who suffers when promises meet reality, follows from the
// requests and limits in its spec by rules that Kubernetes spreads over the API
// server, the kubelet and several controllers, most of them unexported and some
// surprising: the kubelet's eviction does not look at QoS classes at all. Here
// they are pure functions that can also say why.
//
// # Terms
//
//   - Request, limit: what a container is promised; what it may not exceed.
//   - Class: BestEffort, Burstable, Guaranteed, derived from requests and limits.
//   - Sidecar: an init container that keeps running (restartPolicy Always).
//   - Pod level: requests and limits of the pod as a whole, which replace those of
//     its containers (KEP-2837).
//   - Signal: something that can run out, such as memory.available; a threshold
//     is crossed while less of it is available than its value.
//   - Hard and soft threshold: evicts at once; evicts after a grace period.
//   - Working set: memory in use, less the file cache that nobody has touched
//     lately.
//   - Critical pod: static, mirror, or of priority 2,000,000,000 and more.
//   - Budget: a PodDisruptionBudget.
//
// # Algorithm
//
// Class: one pass over the containers, O(entries). When every container's
// requests are on the same side of its limits the class is known; only where
// containers differ in opposite directions the sums are needed (Classifier is
// that definition). Requests and Limits take the larger of the running pod and
// of each step of its initialisation (KEP-753).
//
// Eviction: an Evictor makes passes. A threshold counts as crossed while less is
// available than its value or, once it was acted on, than its value and minimum
// reclaim. Crossed thresholds set conditions at once and for the transition
// period after; those that were crossed for their grace period, with a fresh
// measurement, are acted on: the first in order is chosen, what the node can
// delete without hurting a pod is deleted, and if that does not do, one pod goes.
// Pods are compiled into Candidates, whose place is a Key: no statistics first,
// then those that exceed their request, then lower priority, then larger use
// less request (for processes: priority, then their number). Rank sorts keys in
// O(n log n); First finds the victim in O(n). RankPods and FirstPod answer the
// same from pods and statistics in one go, and compile only what one signal is
// about.
//
// Critical-pod preemption chooses, class by class from Guaranteed down, greedily
// by the distance between requests and shortage: O(victims · pods · shortages).
// TaintEvictor is a heap of departures, Zones a token bucket per zone.
//
// # Data layout
//
//	Pod ─ Spec ─┬ Resources *Requirements          (pod level)
//	            ├ InitContainers []Container ─┐
//	            └ Containers     []Container ─┴ Requirements ─┬ Requests Amounts
//	                                                          └ Limits   Amounts
//	Amounts: a short slice of {name, Quantity}, the JSON object {"cpu": "1", …}
//
//	Pod ──Compile──► Candidate{requests, priority, critical} ──KeyFor(signal)──► Key
//	PodStats ─Observe─┘       {working set, disk by part, processes}
//
//	rankKey: ┌─33────────┬─32──────────┬─31…0────────────────┐┌─────────────┐┌───────┐
//	         │ has stats │ within req. │ priority, unsigned  ││ excess, int ││ index │
//	         └───────────┴─────────────┴─────────────────────┘└─────────────┘└───────┘
//
// # Guarantees
//
// Functions are pure: they change no argument and may run concurrently. Evictor,
// TaintEvictor and Zones hold state, have no clock and start no goroutine; one
// goroutine at a time may use each. The same inputs give the same outputs: orders
// are total, and neither map order nor the order of a JSON object's keys shows.
// ClassOf, Classifier, RequestOf, Observe, KeyFor and First allocate nothing.
// Sums saturate instead of wrapping. LinuxNode and CgroupMemory read files of the
// system that they run on; nothing else does I/O.
//
// # Differences from upstream
//
// Upstream is Kubernetes v1.36.3 with its default feature gates.
//
// Differs: JSON field names are matched as encoding/json does, without regard to
// case, where the API server's decoder ignores fields in another case.
//
// Differs: status.qosClass must be a known class, where upstream carries any text
// along.
//
// Differs: quantities end at 2^191 nanos; beyond that is an error.
//
// Differs: exponents of quantities keep all their bits, where upstream cuts them
// to 32 (1e4294967296 is 1 there, out of range here).
//
// Differs: quantities always print in canonical form, where upstream prints back
// some texts as they were parsed (1., +1, 1E3, 1.500).
//
// Differs: quantities above E keep their factor when printed, where upstream
// loses it (1000E prints as 1), as it does above Ei.
//
// Differs: the values of quantities saturate at the bounds of int64 and round
// away from zero, where upstream wraps silently and rounds some negative amounts
// towards +infinity. qos/resource has the details of the last four.
//
// Differs: a Burstable oom_score_adj is at most 999 whatever the requests, and no
// capacity is an error, where upstream exceeds 1000 for negative requests, wraps
// beyond 9.2e15 bytes, and divides by zero.
//
// Differs: cgroup parameters saturate, where upstream's products wrap.
//
// Differs: a percentage that is not a number is an error in eviction settings,
// where upstream lets NaN% pass.
//
// Differs: minimum reclaims saturate (Inf%, 10^30%), where upstream's conversion
// is undefined.
//
// Differs: where several thresholds are crossed, the order of the signals decides
// (memory first, then the file systems, then processes; hard before soft), where
// upstream takes memory first and then whichever its map iteration gives.
//
// Differs: pods that the kubelet's rules leave equal go by age (the younger
// first), namespace and name, where its unstable sort takes any.
//
// Differs: a zone without nodes is forgotten at once, where upstream may keep its
// state for as long as its map iteration happens to end early.
//
// Differs: thresholds of containerfs count from the first pass, where upstream
// derives them in the first pass and applies them from the second.
//
// Differs: tolerationSeconds saturate at 292 years, where upstream's product
// wraps.
//
// Differs: percentages of budgets saturate at 2^31, where upstream's conversion
// wraps.
//
// # Sources
//
// Kubernetes v1.36.3: pkg/apis/core/v1/helper/qos, pkg/apis/core/v1/defaults.go,
// pkg/kubelet/{qos,cm,eviction,preemption,nodestatus}, pkg/controller/
// {tainteviction,nodelifecycle,disruption}, pkg/registry/core/pod/storage;
// component-helpers resource; opencontainers/cgroups v0.0.6 (WeightQuadratic).
// KEP-753 (sidecars), KEP-2570 (Memory QoS), KEP-2837 (pod-level resources).
// What drain skips and asks consent for is general knowledge of kubectl.
//
// # Not here
//
// Swap, exclusive cpus and in-place resize (requests are those of the spec). The
// tolerations Lt and Gt match nothing, as with upstream's default gates.
//
// # Reading order
//
// The package has more names than most: half of them mirror the JSON of pods,
// statistics and budgets, and the rest falls into topics that share those types.
//
// Classes: wire.go, class.go, defaults.go, request.go, decode.go; then
// qos/resource. Parameters: critical.go, oom.go, cgroup.go, allocatable.go.
// Eviction: signal.go, threshold.go, stats.go, candidate.go, rank.go,
// rank_pods.go, evictor.go (its type comment draws a pass), eviction.go,
// explain.go; testdata/evictor.txt shows it at work. Control plane: preempt.go,
// nodetaint.go, taintevict.go, zone.go, budget.go, drain.go. Measuring:
// observe_linux.go.
package qos
