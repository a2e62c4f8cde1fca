// Kvcluster runs a replicated key-value store as three processes, and kills one:
//
//	go run ./examples/kvcluster                      # the show: start, write, kill -9, recover, check
//	kvcluster member -id 1 -members ID=HOST:PORT,… -client HOST:PORT -dir DIR
//	kvcluster put|get|delete|swap|watch|status …     # against -servers HOST:PORT,…
//	kvcluster wal DIR                                # print and verify a member's directory
//
// # Problem
//
// A library that keeps data on several machines must be seen to survive the loss of
// one. Here every member is a process that can be killed, paused, cut off or given a
// full disk; the tests of this package do all of that under load and check what the
// clients were told.
//
// # Protocol
//
// Members answer clients over HTTP; keys and values are UTF-8 text. Bodies of
// answers are JSON.
//
//	GET    /kv?key=K[&serializable=true]    value, modRevision, revision
//	PUT    /kv?key=K          body: value   revision
//	PUT    /kv?key=K&if=V     body: value   swapped, revision: only where the value is V
//	DELETE /kv?key=K                        revision
//	POST   /session                         session
//	    …&session=S&sequence=N              with PUT and DELETE: done once, however often
//	                                        it is asked for, with the same answer
//	POST   /lease?ttl=SECONDS               lease, ttl
//	PUT    /lease?lease=L                   ttl: alive for so long again; none: it is gone
//	    …&lease=L                           with PUT: the key goes with the lease
//	GET    /watch?from=REVISION             a line for each event, for ever
//	GET    /status                          the member's view of the cluster
//
// Any member takes any request. Status 200 is "done". 503 is "definitely not done":
// ask another member. 504 is "nobody knows": a write may have been applied. 400 is a
// mistake of the caller's. A connection that breaks off is like 504.
//
// # Guarantees
//
// Those of package raftstore. A member whose disk fails ends with exit status 1 and
// can be started again when the disk is well.
//
// # Reading order
//
// main.go, member.go, binding.go, client.go, process.go, show.go, logs.go; the tests: history_test.go,
// holding_test.go, cluster_test.go, kill_test.go, netns_linux_test.go, clock_linux_test.go.
package main
