// Package bench holds the scenarios that no package can measure alone. It has
// no code of its own besides tests and benchmarks.
//
// # Scenarios
//
// A rollout takes the JSON of a cluster from the store to the rules: objects
// are put into raftstore/mvcc and read back at one revision, pods are decoded
// and classed by qos, placed by scheduler, matched to services by selector, and
// the endpoints become rules by proxyrules. It is run for its result, which is
// checked by plain arithmetic that shares nothing with what it checks, and for
// its cost:
//
//	go test ./bench -bench Rollout
//
// The openb scenario places the pods of a GPU cluster's trace on its nodes in
// order of arrival and adds up what each node gave away. It reads the trace from
// ../shared/data/openb beside the repository and is skipped where there is none.
//
// # Layout
//
//	internal/workload   seeded Kubernetes JSON for all of these
//	decide, trace       commands that answer questions about decisions and packets
//	report, results     the tables and charts of README.md, and what was measured for them
//	peers               a module of its own that compares with Kubernetes and etcd
//
// # Guarantees
//
// Scenarios are deterministic: their input follows from a seed and no package in
// them reads a clock. A benchmark asserts its answer before it is timed.
package bench
