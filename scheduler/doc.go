// Package scheduler decides on which node a pod runs, exactly as the default
// profile of kube-scheduler v1.36.3 does, and says why.
//
// # Problem
//
// Given nodes, the pods on them and one pending pod: which nodes admit the pod,
// which of those is best, and if none does, what is missing on each and whether
// removing less important pods would help. Given many pending pods and a cluster
// that changes: which pod to try next, and when again (Queue), and how to get
// each to its node, or back (Loop).
//
// # Terms
//
// A plugin is one rule, such as taints or resources; most rules both filter
// nodes and score them. A profile is the set of plugins for the pods of one
// schedulerName. A cycle is one attempt to place one pod. A pod is assumed
// between being placed and being confirmed as bound, and nominated while room
// is being made for it. A domain is all nodes that agree on the value of a
// topology label.
//
// # Algorithm
//
//	PreFilter  once: count what the filters need; narrow the nodes; reject outright
//	Filter     each node, from a rotating start, until a plugin rejects it
//	           twice where more important pods are nominated, with and without them
//	PostFilter only if no node is left: which pods to remove, from which node
//	PreScore   once over the feasible nodes (not at all if there is only one)
//	Score      each feasible node, raw
//	Normalize  each plugin's scores to 0..100; times weight; sum; take the best
//
//	Reserve    the pod is assumed; plugins book what they keep themselves
//	Permit     plugins allow, reject, or let the pod wait up to a deadline
//	PreBind    what has to be done first
//	Bind       a plugin or the caller's Binder; then the Cache confirms
//	           from Reserve on a failure undoes all, the last first
//
// Cost of a decision: O(nodes x plugins), plus O(pods) where the pod has spread
// constraints or pod affinity, plus on failure O(nodes x less important pods on
// each x plugins) for preemption. This is the plain form: it evaluates each rule
// on each node as the rule is written. Config.Plain asks for it.
//
// # Engine
//
// The engine gives the same answers from what it has kept. Pods that differ in
// nothing that plugins read are a class. Per class and node it keeps what the
// node decides by itself, and per topology domain what is counted there. It
// follows the log of changes that the Cache writes:
//
//	a placement   the node is evaluated anew; domains whose count makes them
//	              admissible or inadmissible have their nodes put in or out
//	scores        own part of the node + what its group gets; groups are nodes
//	              that look alike to spread and affinity
//	the best      by block of 64 nodes and group; tie-breaks and random draws
//	              are those of the plain form
//	failures      the error of a class is kept until anything changes
//
// Cost of a decision for a known class: O(changed nodes x (plugins + pods on the
// node) + nodes/64 + groups), plus O(nodes of a domain) when that flips, plus
// O(domains) for spread constraints and required affinity. A class that is new,
// or whose labels, namespaces or services have moved, or any change of which
// nodes there are: O(nodes x plugins), once. A truncated scan costs O(nodes that
// are scored).
//
// The plain form decides instead: with plugins of the user's own that take part
// before a node is found, CacheConfig.Unvalidated, pods with volumes that
// restrict where they run, pods that name nodes, pods whose promised node does
// not admit them, and pods with spread or required affinity in the class while
// pods that are no less important are nominated to feasible nodes. A failing
// cycle of a class that counts pods on other nodes is plain, the first time.
//
// Tests and builds for the race detector hold every decision of the engine
// against the plain form.
//
// # Around the decision
//
//	Admitted                      what the API server fills in before it
//	Queue                         which pod to try next; which change in the
//	                              cluster may help which rejected pod
//	Loop                          queue, decision, binding, preemption, gangs,
//	                              told of changes from a watch
//	Reserve, Binding              from the decision to the bound pod
//	DaemonWanted, DaemonPod       nodes and pods of a DaemonSet
//	AdmitOn                       spec.nodeName set by hand: the kubelet's rules
//	Cordon, Uncordon              nodes that take no new pods
//	Cache.DrainPlan               emptying a node; the rules are qos.Drain's
//	StayOn                        NoExecute and tolerationSeconds for one pod;
//	                              for many over time: qos.TaintEvictor
//	pod eviction timeout          today tolerations of 300 s: Admitted adds them
//	                              (qos.DefaultTolerations)
//	which nodes get NoExecute     and how fast: qos.Zones, qos.EvictionTaint,
//	                              qos.NodeTaints
//	CheckSkew                     the kubelet's version against the control plane's;
//	                              others: CheckComponentSkew
//
// # What if
//
// A Snapshot is the cluster at one moment; a Fork is a Snapshot that can be
// changed. It takes the changes that a Cache takes and decides as a Scheduler
// does, since it is a Cache that reads through to the Snapshot.
//
//	Cache.Snapshot      O(changes since the last) + a pointer per node and per
//	                    16 pods; the first one O(nodes + pods)
//	Snapshot.Fork       O(1): one piece of memory; the first change copies the
//	                    list of nodes, the first change of a node the node
//	Fork.Mark           O(1)
//	Fork.Revert         O(changes since the mark)
//	Fork.Commit         O(changes); refused when the Cache has changed the same
//	                    objects since, or anything (CommitRule)
//	Fork.Preempt, Drain what follows a decision is done on the fork, too
//	Fork.Capacity       how many more of a kind fit, where, and what stops the next
//	Fork.Shrink         nodes that can be emptied: greedy, the emptiest first
//	Fork.Pack           new nodes for pods: first-fit decreasing, with lower bounds
//
// Namespaces, services, budgets and storage objects are those of the Snapshot: a
// Fork has no methods to change them, other than by placing pods.
//
// Preemption is searched by table where no filter looks beyond the node: a row
// per node holds its victims and their rank, and is made again when the node
// has changed, by arithmetic where only resources and the number of pods bind.
// A failing cycle then costs O(changed nodes + nodes/64), and 4 bytes per node
// for its FitError.
//
// # Data layout
//
//	Cache ── nodes ──► NodeInfo ── Pods ──► PodInfo: compiled once, immutable
//	  │                 │  Labels, Allocatable, Requested, NonZero…
//	  │                 │  ports, claims, images
//	  ├─ order          zone a: a1 a2 a3 · zone b: b1     scanned as a1 b1 a2 a3
//	  ├─ pods           namespace/name → PodInfo, node, assumed or bound
//	  ├─ nominated      pending pods and the nodes that make room for them
//	  └─ namespaces, services and owners, budgets, claims, volumes, classes …
//
//	Cycle ── what one decision computes: spread and affinity counts by domain,
//	         volumes, values of plugins of the user's own
//	scoreTable ── a row per plugin, a column per feasible node
//
//	changeLog ──► engine ── columns: labels as domain numbers, by node
//	                 └───── classes ── by node: local cause, own part, raw scores
//	                                   counters: contribution by node, sum by domain
//	                                   groups, best nodes by block
//
// A class takes about 40 bytes per node, and 8 more per node for each constraint
// or key it counts by; all of them together at most some 100 to 200 MB, the one
// that was not used for longest making room. PodInfos that one Cache compiles
// share what pods of a kind have in common (PodShape).
//
// # Guarantees
//
// Concurrency: the methods of Cache and Scheduler may be called from several
// goroutines. A decision holds the Cache for as long as it takes, so decisions
// are made one at a time and see one state.
//
// A Queue is for one goroutine at a time. The methods of Loop may be called from
// several; Run starts goroutines, none of which is left when it returns.
//
// Determinism: a decision depends on the history of calls alone. No clock is
// read, map order does not show, and TieRandom draws from Config.Seed.
//
// Errors: wrong and contradictory objects give an *InputError that names
// object, field, value and what was expected, and leave the Cache as it was.
// "No node fits" is a *FitError. What this package cannot decide about is an
// *UnsupportedError, never ignored.
//
// Allocation: SchedulePodInto and AssumePod allocate nothing for a pod of a
// known class that fits, but for the growth of the Cache's tables now and then;
// SchedulePod allocates the list of scores. The plain form allocates nothing per
// node; it grows maps that the Scheduler keeps and uses again.
//
// # Differences from upstream
//
// Differs: all nodes are looked at unless Config.PercentageOfNodesToScore says
// otherwise; upstream samples from 100 nodes on (Adaptive). Scans run in
// sequence, which is upstream at parallelism 1; its default of 16 makes
// truncated scans racy.
//
// Differs: field values that an API server refuses are refused; so are amounts
// above 2^53, whose sums would overflow. CacheConfig.Unvalidated turns that off:
// values are then treated as upstream's scheduler treats them, sums that
// overflow wrapping as they do there.
//
// Differs: pods are identified by namespace and name, as in the API; upstream's
// cache goes by UID.
//
// Differs: pods that have ended are dropped by the Cache; upstream's informer
// filters them.
//
// Differs: preemption tries every node that it may help unless PreemptionArgs
// say otherwise, and of equally good ones takes the first in scan order.
// Upstream tries a random tenth, at least 100, and takes any.
//
// Differs: of equally small volumes the first by name is bound; upstream takes
// any.
//
// Differs: dynamic resource allocation is out of scope. Pods with
// resourceClaims are refused. Device classes that stand in for extended
// resources are not known.
//
// Differs: in-tree volumes that CSI drivers have taken over are refused where
// they would have to be translated: on nodes whose drivers have limits or whose
// plugins are marked as migrated.
//
// Quirks of v1.36.3 that decide placements are kept: "not found" after a final
// PreFilter verdict, ports held as a set, image counts that go stale, the scan
// order that outlives a change of zone, terminating pods in AddPod and
// RemovePod, the order of pods without a start time. One can be turned off:
// InterPodAffinityArgs.FixNamespaceSelector (kubernetes #141526).
//
// Differs: a Binding that fails restores the pod's nomination, if it had one;
// upstream clears it, and so does Loop. There is no PreBindPreFlight.
//
// Differs: of two pods that entered the queue in the same nanosecond the one that
// was queued first is popped first; upstream takes any. PreEnqueuers are asked in
// the order of the profile; upstream's order is random.
//
// Differs: gangs (scheduling.k8s.io/v1alpha2) are always on; in kube-scheduler
// 1.36 they are behind alpha gates. Groups that ask for a topology, for claims or
// to be preempted as a whole are refused. Members of a group that back off are
// not popped early. A member that a Permitter lets wait does not fail its group,
// and victims are removed only if the whole gang fits then.
//
// Differs: no event tells of timeAdded of taints, of generated resource claims
// and of inline AzureFile volumes. Of more than 65,536 events in flight the
// oldest are lost; pods in flight for so long are tried again after their
// backoff.
//
// Differs: Loop confirms a pod in the Cache once the Binder has bound it; upstream
// waits for the watch. It writes nothing to the API but through Binder and
// Evictor: conditions and status.nominatedNodeName are for Observe to write. Pods
// that are refused with an UnsupportedError are tried again as after any error.
//
// Not here yet: extenders, preemption by whole groups, a hint for the next pod of
// a class (Queue.PopClass hands such pods out together).
//
// # Sources
//
// kube-scheduler v1.36.3; KEP-624 (framework), KEP-895 and KEP-3022, KEP-3094,
// KEP-3243 (topology spread), KEP-753 (sidecars), KEP-1287 (resize), KEP-1472
// (storage capacity), KEP-2837 (pod-level resources), KEP-3521 (gates),
// KEP-4247 (queueing hints), KEP-4671 (gangs), KEP-4832 (preemption), KEP-5142
// (pop from backoff), KEP-5328 (declared features). The trace in the tests
// is openb, from "Beware of Fragmentation" (USENIX ATC 2023).
//
// # Reading order
//
// testdata/*.txt, the rules as worked examples · wire_pod.go, wire_node.go ·
// request.go, pod.go, node.go, cache.go · plugin.go, profile.go · plugin_*.go,
// volume*.go, one topic each · cycle.go, sample.go, score.go, scheduler.go ·
// preempt.go, preempt_order.go, nominate.go · reason.go, rejections.go,
// fiterror.go, explain.go, advise.go · bind.go · changes.go, classkey.go,
// engine.go, engine_class.go, engine_count.go, engine_group.go, engine_best.go,
// engine_decide.go, engine_score.go, engine_quick.go, engine_column.go,
// engine_fork.go, engine_memo.go, engine_fail.go, engine_preempt.go · table.go, podtable.go, snapshot.go, overlay.go, fork.go,
// fork_mark.go, capacity.go, shrink.go, pack.go ·
// testdata/queue/*.txt, the queue as worked examples · queue.go, queue_move.go,
// queue_backoff.go, queue_flight.go · event.go, hint*.go · gang.go · loop.go,
// loop_events.go, loop_fail.go, loop_preempt.go, loop_gang.go · admit.go, daemon.go, lifecycle.go,
// skew.go.
//
// The package has more than 70 exported names because most of them are wire
// types: the Kubernetes objects that decisions read, as far as they read them.
// It is one flat package of more than 7,000 lines because all plugins share the
// live NodeInfo, PodInfo and Cycle; split, these would need getters in the
// innermost loops.
package scheduler
