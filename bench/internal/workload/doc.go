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
// for measuring. A history is a mixed cluster and what then happens to it. An odd
// value is one that decodes but that no API server admits; only Spoil makes
// those. An Object is a JSON object before encoding.
//
// # Method
//
// Generators draw from one math/rand/v2 generator in a fixed order. A feature
// that is off draws nothing, so that widening the features of a run changes its
// cases. encoding/json writes the keys of an object sorted, which makes equal
// objects equal bytes. The cost is linear in the number of objects, and mostly
// allocation; nothing here is meant to run inside a timed section.
//
// # Guarantees
//
// Mixed clusters hold what an API server admits: names are unique, quantities
// parse, enumerations have defined values, and every placed pod names an existing
// node, which it may overcommit. References to owners and claims may dangle, as
// they may in a real cluster. No map order, clock or global state reaches the
// output.
//
// # Reading order
//
// object.go, cluster.go, node.go, pod.go, affinity.go, volume.go; history.go and
// spoil.go, which change clusters; named.go and openb.go, which measure; then
// service.go and selector.go, which stand alone.
package workload
