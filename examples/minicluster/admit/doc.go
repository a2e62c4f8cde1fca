// Package admit does what an API server does to an object before it stores it:
// refuse what is wrong by naming field, value and what was expected, fill in
// defaults, resolve priorities, and give out addresses and ports.
//
// Reading order: object.go (one entry per kind), check.go (what kinds share),
// podspec.go, network.go (services and nodes), default.go, allocate.go.
package admit
