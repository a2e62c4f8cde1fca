// Package peers is the root of a module of its own that holds orchcore against
// the programs it follows. The module imports Kubernetes v1.36.3 and etcd
// v3.7.3, runs their code and ours in one process on the same bytes, and says
// where the answers differ and how the costs compare.
//
// # Commands
//
//	go run ./parity -area AREA -cases N -seed S [-o json] [-minimise]
//	go run ./ratios -area AREA [-rows REGEX] [-count N] [-o json]
//
// parity prints a row per part of an area: how many cases were compared, how
// many differed, and how many hit a difference that the package's doc.go lists
// under "Differs:". An undocumented difference is printed with the smallest
// case found and both answers, and the exit status is 1. ratios prints a row per
// workload with the medians of both sides, measured in turn, and their ratio;
// above 1, ours is faster or needs less. Without -area both go through all
// areas. Both exit with status 2 on arguments that they do not understand,
// naming the known areas.
//
// # The module file
//
// k8s.io/kubernetes requires its 34 staging modules at v0.0.0 and expects its
// importer to say where they are: hence the replace block, one line per module,
// all at v0.36.3. The etcd modules at v3.7.3 stand beside it; what Kubernetes
// itself needs of etcd (v3.6) is in packages that no area imports. Package
// internal/pins keeps the requirements of all areas in place; after a change of
// imports run "go mod tidy" here. The root module never sees any of this.
//
// # Adding an area
//
// An area is a package internal/areas/NAME with two functions:
//
//	func Parity() compare.Area  // what is compared, in suites of generated cases
//	func Ratios() measure.Area  // what is measured, row by row
//
// and one line each in the tables of parity/main.go and ratios/main.go. Being
// packages, areas build and test apart:
//
//	go test ./internal/areas/NAME -args -cases 100000 -seed 7
//
// A suite is a compare.Cases[C] for a case type C that JSON can hold (that is
// how an example is printed and how "small" is measured). Generate draws one
// case from the given generator; Compare runs both sides and records a text of
// each answer per part; Shrink yields simpler cases. Hand-made corners run
// first, whatever the seed. A known, wanted difference is an entry of
// Documented, whose words must stand in a "Differs:" paragraph of the package's
// doc.go (compare.Test checks that) and whose Applies is as narrow as it can be.
//
// A row is a measure.Row; Open returns both sides and the check that their
// answers are equal, without which a row does not run. measure.Loop makes a side
// from a loop body, measure.Timed from a longer piece of work with its own count
// of operations. internal/areas/selector shows both in small.
//
// # Reading order
//
// internal/compare (compare.go, run.go, command.go), internal/measure, then an
// area; internal/upstream drives the real kube-scheduler without an API server.
package peers
