// Package mvcc is etcd's data model as a pure in-memory store: a flat key space
// in which every write makes a new revision and old revisions stay readable
// until they are compacted.
//
// # Problem
//
// A control plane wants three things of its store: to read the world as it was
// at one moment, to change it only if it still is as it was, and to be told of
// every change after a moment without missing one. Versions by revision give
// all three: a read, a condition and a watch name revisions. The store must do
// so at memory speed, without stopping writers for long reads or backups, and
// every member of a cluster that applies the same requests must end up with the
// same contents, revisions and answers.
//
// # Terms
//
//   - revision: a counter of the store. A transaction that changes something
//     makes the next one; all its changes share it. An empty store is at 1.
//   - create revision, mod revision, version, lease: of a key; see [KeyValue].
//   - tombstone: the record that a key was deleted. It ends the key's life; the
//     next put begins a new one.
//   - floor: the compaction floor. Revisions below it cannot be read.
//   - watcher: a cursor that delivers the changes of a range in order.
//   - lease: an identifier that keys are attached to; revoking it deletes them.
//     Counting down its time to live is the business of the layer above.
//
// # Algorithm
//
// The history is the list of all changes since the floor, in order. The index
// is a B-tree from key to the key's newest change, from where each change leads
// to the one before; it also holds, for each key, the version that the key had
// before the history begins (its base). With n keys and a history of h changes:
//
//	put, delete of one key    O(log n)
//	get at the latest         O(log n)
//	get at an old revision    O(log n + newer changes of the key)
//	range of k keys           O(log n + k); counting them at the latest: O(log n)
//	transaction               the sum of its operations; atomic, one revision
//	snapshot                  O(1); writes then copy the index nodes they touch
//	watch, from a revision    O(log h) to start, then a step per change read
//	notify                    O(log w + matches) per change, w distinct ranges
//	compact                   O(1) at once, then O(log n) per change below the
//	                          floor, a few with every write
//
// # Data layout
//
//	index (B-tree, copy on write)      history (blocks of records)
//	 item  key · head ───────────────►  record  entry · prev ──► older
//	        │                                   │
//	        ▼         arena (1 MiB chunks)      ▼
//	        └──────►  | entry | entry | entry | entry | …
//	                  entry: key · revisions · version · lease · value
//
// What a version is stands in its entry, beside the pair, in a few bytes: a key takes
// 16 bytes in the index and 8 for finding it, a change 16 in the history. The first
// version of a key that is the newest is found without the history.
//
// Items and records hold numbers, no pointers: the garbage collector sees a
// few objects per thousand keys. Watchers read the same history; none has a
// queue of its own, and those of one range share the last batch that one of
// them has read.
//
// # Guarantees
//
//   - Concurrency: one goroutine at a time writes, any number read and watch. A
//     read sees whole transactions only. Reads of more than 1000 keys, and all
//     reads of several keys at old revisions, run on a snapshot, so that a write
//     waits for short reads only. There are no goroutines here.
//   - Determinism: no clock, no randomness, no map order. The same requests give
//     the same answers, errors, contents and [Store.Hash].
//   - All or nothing: a request that fails has changed nothing.
//   - Watches: events come in the order of the revisions, each once, none left
//     out, those of one revision together; a watch can be resumed from the
//     revision after the last one delivered; the progress reported is true; the
//     previous pairs are those of history. A watcher that the floor overtakes
//     ends with ErrCompacted, and never goes back, even over Restore.
//   - Memory: what watchers and snapshots hold back is bounded by the history
//     and the garbage made while a snapshot is held. Keys, values and events
//     that are returned are views of immutable memory: do not modify them, and
//     copy what is kept for long, since a view keeps its chunk.
//   - Allocation: a Lookup and a Put allocate nothing, but for the growth of the
//     store. Ranges allocate their result.
//   - Hostile input: every request is checked and refused with a [RequestError];
//     an image is bounded by its bytes and refused with [ErrCorruptImage].
//
// # Differences from upstream
//
// The model is etcd v3.7.3, corner by corner, among them: nested conditions see
// the state before the whole transaction; Count ignores the revision bounds; a
// limit without an order cuts before it sorts; keys-only answers have no lease;
// an end of "\x00" escapes the check for duplicate keys.
//
// Differs: a put that needs its key after a delete of it in the same transaction
// is refused with ErrKeyNotFound. etcd's server panics.
//
// Differs: a key deleted and put again in one revision survives a compaction at that revision,
// as it should; etcd removes the value and stops when it is read.
//
// Differs: a watch from the floor on delivers every change of the floor's revision;
// etcd keeps only the last of each key.
//
// Differs: a comparison with an unknown target or operator is refused with
// ErrInvalidCompare. etcd lets an unknown operator hold always.
//
// Differs: a lease without an identifier, or with a time to live that is not positive, is refused
// here; in etcd the server chooses the one and raises the other before it
// proposes the grant, which is the duty of the layer above.
//
// Differs: a transaction whose nested transactions only read is read-only. etcd
// takes it for a write, which goes through its log and may meet an alarm.
//
// Differs: an open watcher that lags is ended by a compaction only when it would
// miss events; etcd ends it when its next revision is below the floor.
//
// Differs: CompactedRevision is 0 where etcd internally has -1. HashKV is not
// etcd's number.
//
// # Sources
//
// etcd v3.7.3 server: storage/mvcc, etcdserver/txn, etcdserver/api/v3rpc, lease.
// The watch guarantees: etcd.io/docs/v3.6/learning/api_guarantees. Issues #17780,
// #18089, #18667, #19179 (compaction), #15271 and #20221 (watches), #16839
// (memory). Interval tree as treap: Seidel and Aragon 1996.
//
// # Reading order
//
// types.go and errors.go; view.go (reading), version.go, history.go, node.go, tree.go, arena.go (what
// is read); store.go and apply.go (writing), validate.go and overlap.go (what is
// let in); range.go; watch.go and watchindex.go; compact.go; lease.go;
// snapshot.go, image.go and load.go; hash.go; stats.go. model_test.go is the definition
// that all of it is held against.
package mvcc
