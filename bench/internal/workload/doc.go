// Package workload makes Kubernetes v1 JSON for tests, benchmarks and the
// comparison with upstream: nodes, pods, namespaces, services, endpoint slices
// and selectors. Everything follows from a seed, so that two programs, or two
// runs, are given the same bytes.
//
// # Terms
//
// A mixed workload draws every field that Features allows, in common and in odd
// combinations, on a cluster small enough to read: it is for comparing
// decisions. A named workload has one shape on a cluster of a given size: it is
// for measuring. An Object is a JSON object before encoding.
//
// # Method
//
// Generators draw from one math/rand/v2 generator in a fixed order. A feature
// that is off draws nothing, so that widening the features of a run changes its
// cases. encoding/json writes the keys of an object sorted, which makes equal
// objects equal bytes. Making a pod costs a few microseconds and allocates
// freely; nothing here is meant to run inside a timed section.
//
// # Guarantees
//
// Mixed clusters are what an API server could have admitted: names are unique,
// references resolve, quantities parse, enumerations hold defined values, and
// every placed pod names an existing node (which it may overcommit). No map
// order, clock or global state reaches the output.
//
// # Reading order
//
// object.go, cluster.go, node.go, pod.go, affinity.go, volume.go; history.go and
// spoil.go, which change clusters; named.go and openb.go, which measure; then
// service.go and selector.go, which stand alone.
package workload
