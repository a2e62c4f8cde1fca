// Package raftstore is etcd's data model, replicated by Raft, as a library: a
// versioned, ordered, watchable map that survives the loss of a minority of its
// members and needs no server beside the program that opens it.
//
// # Terms
//
// A cluster has members: voters, which decide by majority, and learners, which
// follow. One voter leads for a term. Writes are commands; several share an entry
// of the log. An entry is committed when a majority has it on disk, and applied to
// the state of each member in the order of the log. The state is a store of package
// mvcc: each command that changes something makes one revision. A snapshot is the
// state at one index of the log; what it covers may go from the log.
//
// # Life of a write
//
//	client ─► request ─► queue ─► entry ──► leader's log ──► followers' logs
//	  ▲                (any member)  forwarded │ write+fdatasync   │ write+fdatasync
//	  │                                        └──── commit ◄──────┘ acknowledgement
//	  └── result ◄── applied on the member that was asked ◄── commit index
//
// The member that was asked packs what its clients have waiting into one entry and
// proposes it: Raft appends it to the leader's log or forwards it there. The entry
// carries the member's id, its number of starts and a sequence (command.go), and
// the state admits each of these once. So a member may propose again whatever it
// has not seen applied, after a change of leader or a lost message, and the client
// need not know. The cost is one round trip and one fdatasync on a majority in
// parallel; n clients share both. A leader that has four entries open collects what
// arrives until one of them is done or the next is full.
//
// The order within a turn of the owner is: entries to the followers, answers to clients
// whose entries are committed, then the owner's own write and fdatasync. Having answered,
// the owner lets the clients run before it goes on, so that what they bring next shares
// an entry; the commit index travels with that entry, or alone if nothing comes
// (notice.go).
//
// # Life of a read
//
// A linearizable read asks the leader for its commit index, which the leader gives
// when a majority has confirmed its leadership by one round of heartbeats, waits
// until the member it was asked of has applied that much, and reads there. All
// reads that wait when the question is asked share it, and a second question may be on
// its way before the first is answered. A serializable read looks at the member's own
// state, which may be old. On request (Config.LeaseReads and Store.Reading), a leader
// that was confirmed lately answers alone; readlease.go says on which clocks that relies.
//
// # Outcomes
//
// A write is applied, or not applied (ErrNotApplied), or nobody here can know
// (ErrUnknownOutcome): the caller gave up waiting, or the member stopped, while the
// entry was on its way. A Session makes such a write safe to repeat: the state keeps
// its result, and a repetition gets that instead of being applied again.
//
// # Life of a lease
//
// A lease is granted and revoked by commands, and its keys go in one revision. Time is
// no part of the state: the leader counts it, in ticks, and makes an end of it by a
// command that names its term. A new leader starts every count over, with an election
// timeout on top; of leases that nobody renews for minutes it knows from checkpoints
// what was left. So a lease may live longer than was granted, never shorter: see
// lease_desk.go.
//
// # Members
//
// The founding members come from Config. Later ones are added as learners and promoted
// when they have caught up, or as voters at once; they are replaced through a joint
// configuration, moved to other addresses, or removed. Any member can be asked. The
// leader refuses what would leave the cluster without an active quorum. An id is
// never used again: a member that has lost its disk has forgotten its promises, and
// must come back as another one. Should it start as itself, it ends with ErrForgotten
// when a heartbeat names what it has acknowledged, or the log holds what it has
// written; one that did neither is not found.
//
// A removed member stays, to vote, until a quorum of the rest knows durably that it is
// gone (member.go says why), and ends with ErrRemoved. One that was away while
// everybody in its state and in its Config was removed as well finds nobody to tell it:
// it serves nothing, and is the operator's to stop.
//
//	voters     1  2  3  4  5  6  7
//	tolerates  0  0  1  1  2  2  3
//
// A member that was away gets the log, as long as it is there, or else a snapshot and
// the log behind it. While clients write, the leader bounds what it sends to such
// members (pace.go), and each member writes and reads its snapshots in small parts
// with pauses. It may not know yet who sends it: whoever hears nothing of another member
// tells it where to answer (introduce.go). A sole voter leads at once when it is opened.
//
// Backup writes the state as it is; Restore founds a cluster of another identity
// from it, with later revisions if asked to, and ForceNewCluster one from the files of
// a member whose cluster has lost its quorum for good.
//
// # Failure model
//
// Members may stop at any instant and lose everything that was not synced, also in
// parts; messages may be lost, delayed, duplicated and reordered; clocks may run at
// different rates and processes pause. Disks may fail: a write or sync that fails
// stops the member for good, and files that no crash explains keep it from
// starting. Members do not lie: TLS keeps strangers out, and frames that are not
// well formed are dropped, but a member with a valid certificate is believed.
//
// # Layout
//
//	Store ── node (one goroutine owns what is below) ── replica ── core ── raft.RawNode
//	  │                                                  │  │        └──── machine ── mvcc.Store
//	  │                                                  │  └── wal.WAL, snapshot files
//	  └── reads and watches go to mvcc.Store directly    └───── transport.Transport
//
//	dir/wal/0000000000000001.wal …           the log; see package wal
//	dir/snap/<index>-<term>.snap             two generations; see image.go
//
// The core takes inputs (ticks, messages, writes, reads, completions of the disk)
// and returns effects; it has no goroutine, clock or I/O. The replica carries the
// effects out on a log, a directory and a network it was given. Simulations run
// both, unchanged, over simulated ones.
//
// # Guarantees
//
// Durability: what was acknowledged is on the disks of a majority, synced. Reads are
// linearizable unless asked to be serializable. Watches deliver every revision once
// and in order. All methods of Store are safe for concurrent use; no goroutine
// outlives Close or Abort. Applying is deterministic, and Status.StateHash is equal
// on all members at equal Applied. Every queue is bounded (Config); what does not
// fit is refused before it is proposed. Requests, their buffers and their channels
// are reused; a put costs the allocations of its entry, shared by all in it, and
// those of the transport.
//
// # Proof
//
// Simulations run whole clusters with the production core, log, snapshots, transfers and
// codecs over a simulated clock, network and disk. Everything follows from a seed:
//
//	go test ./raftstore -run Sim -sim.seed=S -sim.seeds=N [-sim.story]
//
// Members crash with and without their machine, pause, are cut off one way and both, get
// their ticks late, are replaced, and meet disks that fail, tear writes, reorder them,
// forget names and flip bits. Checked are: histories of clients, by revisions and by
// porcupine, which knows nothing of them; that a session's write is done once; one leader
// in a term, one entry at an index, one state at an index; what every watch was sent;
// that no lease ends early and each ends; that all is well again when the faults are over.
//
// A test that cannot fail proves nothing, so the faults that systems have shipped are put
// back in, one after the other, and must be found: mutants_disk_test.go, mutants_raft_test.go
// and mutants_state_test.go list the rules with their sources and mutants, testdata/mutants.txt
// what found each and by which seed.
//
//	go test ./raftstore -run Mutants -sim.mutants -v -timeout 2h
//
// The tests of examples/kvcluster do the same to real processes: kill -9, pauses, network
// namespaces, full disks, and clocks that are set.
//
// # Differences from upstream
//
//   - Differs: etcd answers a write with a timeout after a change of leader; here the
//     member proposes it again, exactly once, until the client's context ends.
//   - Differs: several client commands share one entry; each has its own revision.
//   - Differs: two questions of reads may be open at a time, under names of their own;
//     etcd has one.
//   - Differs: a sole voter that was just elected answers linearizable reads only
//     after committing an entry of its term; raft/v3 3.7.0 answers at once.
//   - Differs: the applied index is not stored beside the data: the state is in
//     memory and is replayed from the last snapshot.
//   - Differs: reads by lease count the lease from the question that a quorum has
//     confirmed; raft/v3's count it from the last check of the quorum, which may be an
//     election timeout older than what the others wait for. Members that use leases
//     vote for nobody in the first election timeout after a start.
//   - Differs: ForceNewCluster keeps the whole log of the survivor and leaves its files
//     alone; etcd's keeps what is known to be committed, and works in place.
//   - Differs: after a failed sync and a restart of the process the last batch of the
//     log is written again, since the page cache may hold it without the disk.
//   - Differs: a removed member votes as if its log ended at its commit index, and
//     leaves when a quorum of the others says so; etcd's stops at once.
//   - Differs: all messages of a client's writes carry what makes them apply once;
//     etcd has no sessions.
//   - Differs: there are no authentication and no defragmentation.
//   - Differs: an expiry names the term it was proposed in and the grant it is for,
//     and does nothing in another term or to a later lease of the same id. etcd's
//     revokes the id. Of a lease that somebody renews no checkpoint is made.
//   - Differs: KeepAlive, TimeToLive and Leases are linearizable; etcd's leader answers
//     the first two without confirming that it leads, and any member the third. The
//     list is in the order of the ids, etcd's in that of expiry.
//   - Differs: the quota counts what the state takes, which falls by itself after
//     deletes and compactions; etcd's counts the file, which falls by defragmentation.
//
// # Sources
//
// Ongaro, Consensus: Bridging Theory and Practice (the Raft thesis); etcd 3.7 and
// go.etcd.io/raft/v3 3.7.0; etcd issues #20418, #6368, #14098, hashicorp/raft #503
// and #666, named where they matter; Rebello et al., Can Applications Recover from
// fsync Failures? (2020); the thesis's §6.4.1 for leases of leaders, and etcd-io/raft's
// ReadOnlyLeaseBased for what they must not be.
//
// # Reading order
//
// kv.go, store.go, watch.go; core.go, propose.go, read.go, readlease.go, member.go;
// command.go, machine.go, session.go; replica.go, notice.go, persist.go, snapshot.go,
// transfer.go, pace.go, introduce.go, image.go; open.go, node.go, leadership.go,
// lifecycle.go, change.go, change_desk.go, announce.go, backup.go, rescue.go; raftlog.go,
// message.go; observe.go, dump.go. Then sim_test.go, which shows what can happen, and
// mutants_test.go, which shows that it is seen. Leases: lease.go, lease_countdown.go,
// lease_desk.go, lease_command.go; limits of the state: alarm.go, quota.go,
// autocompact.go; recipes on top: cas.go, mutex.go, election.go, election_fence.go, and
// package objectcache.
package raftstore
