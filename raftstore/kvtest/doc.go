// Package kvtest holds implementations of raftstore.KV and raftstore.Leaser to what
// code written against those interfaces relies on.
//
// Code that outgrows an embedded store moves to another engine by changing a
// constructor; that it then still works is what this package checks. Test is given
// a constructor and runs every rule as a subtest of its own: revisions and versions,
// the options of ranges, transactions, errors, watches, compaction, compare-and-swap
// under contention, leases and the recipes on top.
//
// # Guarantees
//
// The rules use keys of their own and suppose nothing about the revision they start
// at, so one store may serve all of them. They run one after the other, compaction
// last. The package imports nothing but the standard library and the store.
//
// # Reading order
//
// kvtest.go; data.go, txn.go, watch.go, lease.go.
package kvtest
