// Package raftstore is etcd's data model, replicated by Raft, as a library: a
// versioned, ordered, watchable map that survives the loss of a minority of its
// members.
package raftstore
