// Package scheduler decides on which node a pod runs, as the default profile
// of kube-scheduler 1.36 does, and says why.
//
// # Problem
//
// Given nodes, the pods on them and one pending pod: which nodes admit the pod
// (filter), which of those is best (score), and if none does, what is missing
// on each.
//
// # Terms
//
// A plugin is one rule; most rules both filter and score. A cycle is one
// attempt to place one pod. A pod is assumed between being placed and being
// confirmed. A profile is a set of plugins for the pods of one schedulerName.
//
// # Algorithm
//
// PreFilter looks at the pod, Filter at each node until a plugin rejects it,
// Score rates the nodes that are left, Normalize brings each plugin's scores
// to 0..100, and the weighted sums are compared. The cost is O(nodes x
// plugins) per pod.
//
// # Data layout
//
//	Cache ── nodes ──► NodeInfo ── Pods ──► PodInfo (compiled once)
//	  │                 Allocatable, Requested, ports, images
//	  └─ order: zone a: a1 a2 a3 · zone b: b1   scanned as a1 b1 a2 a3
//
// # Guarantees
//
// All methods may be called from several goroutines; one decision is made at a
// time. Decisions depend on the history of calls alone: no clock is read, and
// TieRandom draws from Config.Seed. A call that returns an error has changed
// nothing.
//
// # Differences from upstream
//
// Differs: all feasible nodes are scored unless PercentageOfNodesToScore is
// set; upstream samples from 100 nodes on (Adaptive).
//
// Differs: field values that an API server refuses are refused with an
// *InputError; CacheConfig.Unvalidated turns that off.
//
// Differs: pods are identified by namespace and name, not by UID alone.
//
// # Sources
//
// kube-scheduler v1.36.3; KEP-624 (framework), KEP-753 (sidecars), KEP-1287
// (resize), KEP-2837 (pod-level resources), KEP-3521 (gates).
//
// # Reading order
//
// wire_pod.go, wire_node.go · pod.go, node.go, cache.go · plugin.go ·
// plugin_taint.go and the other plugin files · cycle.go, sample.go, score.go ·
// scheduler.go · reason.go, fiterror.go.
package scheduler
