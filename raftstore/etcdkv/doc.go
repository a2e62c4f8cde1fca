// Package etcdkv is raftstore.KV and raftstore.Leaser over a cluster of etcd.
//
// Code written against those interfaces starts on an embedded store. When it outgrows
// that, it moves to etcd by changing a constructor:
//
//	store, err := raftstore.Open(dir, cfg)      // before
//	store := etcdkv.New(client)                 // after
//
// The command minicluster-on-etcd runs the control plane of examples/minicluster
// so, with the same controllers, scheduler and nodes:
//
//	go run ./cmd/minicluster-on-etcd                                 # three members of etcd in this process
//	go run ./cmd/minicluster-on-etcd -endpoints http://10.0.0.1:2379
//
// # Algorithm
//
// Both sides have the same data model, so that a call is: copy the request into
// etcd's message, ask, copy the answer. A Watcher is a watch of clientv3, which
// opens it again at another member when one is lost.
//
// # Guarantees
//
// Those of etcd, in the words of raftstore: every error of a write matches
// raftstore.ErrNotApplied or raftstore.ErrUnknownOutcome. What etcd refused was not
// applied; a timeout, a lost connection or a lost leader leaves the outcome unknown.
// All methods are safe for concurrent use. Close of a watcher leaves no goroutine; the
// client stays the caller's. The rules of raftstore/kvtest are tested on etcd.
//
// # Differences from upstream
//
//   - Differs: a watch from below the floor is refused by its first Next, not when it
//     is opened.
//   - Differs: the batches of a watch are what etcd sends; WatchOptions.BatchEvents
//     changes nothing.
//   - Differs: raftstore's sessions do not exist in etcd; a write of unknown outcome can
//     only be read back.
//
// # Reading order
//
// kv.go, convert.go, errors.go, watch.go, lease.go.
package etcdkv
