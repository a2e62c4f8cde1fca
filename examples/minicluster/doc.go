// Command minicluster runs a small control plane in one process and breaks it.
//
//	go run ./examples/minicluster                     the built-in shop
//	go run ./examples/minicluster -f DIR -f FILE      manifests, or kubectl get -o json
//	go run ./examples/minicluster -data DIR           keep the store, go on next time
//
// # Problem
//
// Bring manifests to life with the packages of this module and nothing else, lose
// a member of the store, the leading scheduler and a node on the way, and show at
// the end that everything that must hold does.
//
// # Terms
//
// A member is one replica of the store. A view is the cluster at one revision. A
// controller compares a view with what should be and returns actions: writes that
// are conditional on what was seen. The cluster is at rest when nothing moves any
// more and every pod runs or has been told why it cannot.
//
// # Algorithm
//
// The input is read, checked and planned as a whole before the store is touched.
// Then objects are written; each loop waits for changes, decides about its whole
// view, commits, and waits until its own writes show before it decides again. One
// round costs O(objects of the controller's kinds).
//
// # Data layout
//
//	manifests ─ load ─ admit ─ apply ──┐ compare-and-swap on mod revisions
//	                                   ▼
//	   raftstore member 1 ◄─► member 2 ◄─► member 3     /registry/<plural>/<ns>/<name> = JSON
//	                                   │ one watch over all kinds
//	                                   ▼
//	                               Informer ──► Feed per loop (newest change of each object)
//	   ┌──────────────┬───────────────┬┴─────────────┬──────────────┬───────────────┐
//	deployment    replicaset     daemonset      endpointslice   nodelifecycle   scheduler ×2
//	              disruption     statefulset                    tainteviction   (lease + fence)
//	                                                            kubelets, heartbeats, proxies
//
// # Guarantees
//
// Concurrency: one goroutine per loop; loops share nothing but the store and the
// immutable objects of the informer. Exactly once: a replica set's pods and the
// count of pods it has made are one transaction; a binding depends on the pod being
// unchanged and on the fence that the leading scheduler has written. A write whose
// outcome is unknown is never repeated blindly. kill -9 at any time: the next start
// with the same -data goes on from the stored state. Determinism: names depend on
// the seed and the objects alone, and pods that are made together are placed in the
// order of their priority and name; what arrives when still depends on the machine.
//
// # Differences from upstream
//
// Differs: there is no API server; admission happens in whoever creates an object.
// Differs: nothing is deleted with its owner, and orphans are not adopted.
// Differs: -f replaces an object whose manifest has changed instead of merging three
// ways, and prunes nothing. Fields that the cluster itself sets are kept.
// Differs: nodes, volumes, images, probes and load balancers are simulated or absent;
// notes in the output say where an input asks for more. Kinds that are not in
// api.Kinds, Job among them, are listed and skipped.
// Differs: minReadySeconds, progress deadlines and partitions are not honoured.
// Differs: preemption never ends a pod that no controller would make again.
//
// # Exit status
//
// 0 all invariants hold, 1 one is broken or the run failed, 2 the input or the flags
// are wrong and nothing was stored, 130 interrupted, 143 terminated.
//
// # Sources
//
// Kubernetes v1.36 controllers, kubelet and kubectl; KEP-589 (node leases); Raft §8
// and Jepsen's etcd 3.4.3 report for why a lease needs a fence; RFC 7396.
//
// # Reading order
//
// run.go (what happens when) · members.go · plane.go, candidate.go, lease.go ·
// faults.go, probe.go · summary.go, timeline.go; then the packages api, load, admit,
// apply, control, node, rest and check.
package main
