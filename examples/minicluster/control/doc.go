// Package control has the controllers of the small control plane, each a pure
// decision over a view of the store, and the loop that drives them.
//
// The frame: view.go (the cluster at one revision), informer.go and feed.go (how
// views move forward), write.go (actions and how they are committed), endpoints.go
// (a client that survives members), loop.go (wait, decide, commit, see it, again).
//
// The controllers, one file each: deployment.go, replicaset.go, daemonset.go,
// statefulset.go, endpointslice.go, nodelifecycle.go, tainteviction.go, disruption.go, scheduler.go
// (with schedcache.go) and, as an operator uses it, drain.go.
package control
