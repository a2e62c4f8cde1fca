// Package qos decides about resources on one node: which class of service a pod
// is in and what it requests as a whole.
//
// # Problem
//
// A node promises resources to pods and has less than they may use. What a pod
// is promised, and who suffers when promises meet reality, follows from the
// requests and limits in its spec by rules that Kubernetes spreads over the API
// server, the scheduler and the kubelet. Here they are pure functions.
//
// # Terms
//
//   - Request, limit: what a container is promised; what it may not exceed.
//   - Class: BestEffort, Burstable, Guaranteed, derived from requests and limits.
//   - Sidecar: an init container that keeps running (restartPolicy Always).
//   - Pod level: requests and limits of the pod as a whole, which replace those of
//     its containers (KEP-2837).
//
// # Algorithm
//
// A class takes one pass over the containers, O(entries): when every container's
// requests are on the same side of its limits the class is known; only where
// containers differ in opposite directions the sums are needed (Classifier is
// that definition). Requests and Limits take the larger of the running pod and
// of each step of its initialisation (KEP-753).
//
// # Data layout
//
//	Pod ─ Spec ─┬ Resources *Requirements          (pod level)
//	            ├ InitContainers []Container ─┐
//	            └ Containers     []Container ─┴ Requirements ─┬ Requests Amounts
//	                                                          └ Limits   Amounts
//	Amounts: a short slice of {name, Quantity}, the JSON object {"cpu": "1", …}
//
// # Guarantees
//
// Functions are pure: they change no argument, hold no state and may run
// concurrently. ClassOf and Classifier allocate nothing. Results do not depend on
// the order of a JSON object's keys.
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
// # Sources
//
// Kubernetes v1.36.3: pkg/apis/core/v1/helper/qos, pkg/apis/core/v1/defaults.go;
// component-helpers resource. KEP-753 (sidecars), KEP-2837 (pod-level resources).
//
// # Reading order
//
// wire.go, class.go, defaults.go, request.go, decode.go; then qos/resource.
package qos
