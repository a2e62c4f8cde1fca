// Package etcdapi serves a raftstore under etcd's own API: the gRPC services KV,
// Watch, Lease, Cluster, Maintenance and Auth of etcd v3, so that etcd's clients,
// etcdctl and kube-apiserver work on it as they are.
//
//	go run ./cmd/etcdapi                  # one member at 127.0.0.1:2379
//	go run ./cmd/etcdapi -local 3         # three members in one process
//
// # Terms
//
// A Server stands before one open member of a store. A watch is what a client has
// created on a stream; one stream carries any number of them. A header names the
// cluster, the member, the term and a revision, and is part of every answer.
//
// # Algorithm
//
// Messages and the store's requests have the same fields, so a call is: copy the
// request, ask the store, copy the answer; O(size of the answer), with two
// allocations for all of its pairs. A stream of watches is two goroutines, whatever
// the number of watches (watch.go draws it): events stay in the store's history
// until the client has room for them, so that a slow client costs no memory, and each
// watch with events has its turn.
//
// # Layout
//
//	client ─► gRPC ─► unary, stream (leader required? learner?) ─► kvServer ──────────► Store
//	                                                             watchServer ─► outbox ─┘  ▲
//	HTTP probe ─► Handler ─────────────────────────────────────────────────────────────────┘
//
// # Guarantees
//
// Those of the store: an answer to a write means that it is durable on a majority,
// reads are linearizable unless they ask not to be, watches deliver every revision
// once and in order. All methods are safe for concurrent use; no goroutine outlives
// Close. Requests, responses on their way, connections, calls and watches are
// bounded (Config), and what is too much is refused with etcd's own errors. A request
// ends after Config.RequestTimeout with etcd's timeout.
//
// # Differences from upstream
//
//   - Differs: authentication cannot be turned on. Clients that bring a name and a
//     password are told, as by etcd, that it is off, and go on without; what would
//     create users and roles, or turn it on, is refused as not capable.
//   - Differs: HTTP has an address of its own (Handler); the clients' address serves
//     gRPC only, and there is no JSON gateway and no /metrics.
//   - Differs: a snapshot is a backup of the store, which OpenSnapshot reads for
//     raftstore.Restore, and etcdutl does not.
//   - Differs: HashKV and Hash are not etcd's numbers. Members of one store can be
//     compared.
//   - Differs: Defragment has nothing to do, and a compaction with Physical does not
//     wait for memory to be given back.
//   - Differs: a member has one peer URL, of the scheme that the cluster uses; others
//     are refused as invalid, also by MemberUpdate, where etcd takes anything and fails
//     over it later. Its scheme is not stored.
//   - Differs: a learner may be added while voters are away: it changes no quorum.
//     A learner that is silent is not promoted, however far it came.
//   - Differs: a new member is told its id, and the id of the cluster, by whoever starts
//     it; etcd's finds both by its peer URL.
//   - Differs: there is no version to downgrade to.
//   - Differs: a watch that a compaction has ended gives its id back; etcd keeps it
//     until the client cancels it. An id of -1, which stands for no watch, is refused.
//   - Differs: a request for progress is answered when the watches of the stream have
//     caught up; etcd forgets it if they have not.
//   - Differs: large batches of events are sent in several responses, cut between
//     revisions, also to clients that have not asked for fragments.
//   - Differs: RangeStream refuses every target but the key, also without an order:
//     etcd sorts each piece by it and goes on behind the last key of the piece, which
//     leaves keys out.
//   - Differs: a comparison with an unknown target or operator is refused as an invalid
//     argument.
//   - Differs: a write is not answered with a timeout because the leader has changed:
//     the store goes on with it until the request times out.
//
// # Kubernetes
//
// kube-apiserver 1.36 runs on it: transactions of its fixed forms, ranges by prefix
// at a revision, watches with progress requests, leases, compaction through its key,
// Status. kube_test.go starts kube-apiserver, kube-controller-manager and
// kube-scheduler on three members, if it is told where their binaries are:
//
//	go test -run Kube -v -timeout 15m . -kube-binaries DIR
//
// # Sources
//
// etcd 3.7.3: api/v3 (rpc.proto, rpctypes) and server/v3/etcdserver/api/v3rpc, whose
// behaviour this follows; etcd issues #20221 and #15220.
//
// # Reading order
//
// server.go, config.go; kv.go, convert.go, errors.go; watch.go, watchsend.go;
// stream.go, lease.go, cluster.go, announce.go, maintenance.go, alarm.go, snapshot.go, auth.go;
// intercept.go, meter.go, codec.go, health.go. differential_test.go shows that it is etcd.
package etcdapi
