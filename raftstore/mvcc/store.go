package mvcc

import (
	"context"
	"io"
	"iter"
)

// Store is the versioned key space. One goroutine at a time may change it
// (Apply, Put, Delete, Compact, LeaseGrant, LeaseRevoke, Restore, Close); any
// number may read and watch meanwhile.
type Store struct{}

// New returns an empty store at revision 1.
func New() *Store { return &Store{} }

// Revision returns the revision of the last write; 1 when there was none.
func (s *Store) Revision() int64 { return 1 }

// CompactedRevision returns the compaction floor: reads at it and above work.
// It is 0 until the first Compact.
func (s *Store) CompactedRevision() int64 { return 0 }

// Apply runs a transaction. On an error nothing has changed. The outcome
// depends on the store's contents and t alone, so that members that apply the
// same sequence stay equal; limits are not its business (see Validate).
func (s *Store) Apply(t *Txn) (TxnResult, error) { panic("mvcc: unfinished") }

// Put is Apply of a single put.
func (s *Store) Put(r *PutRequest) (PutResult, error) { panic("mvcc: unfinished") }

// Delete is Apply of a single delete.
func (s *Store) Delete(r *DeleteRequest) (DeleteResult, error) { panic("mvcc: unfinished") }

// Range reads at the latest or an older revision.
func (s *Store) Range(o *RangeOptions) (RangeResult, error) { panic("mvcc: unfinished") }

// ApplyReadOnly runs a transaction that is ReadOnly without being the writer.
func (s *Store) ApplyReadOnly(t *Txn) (TxnResult, error) { panic("mvcc: unfinished") }

// Compact makes every revision below revision unreadable.
func (s *Store) Compact(revision int64) error { panic("mvcc: unfinished") }

// LeaseGrant adds a lease. The proposer chooses the identifier and the TTL.
func (s *Store) LeaseGrant(id, ttl int64) error { panic("mvcc: unfinished") }

// LeaseRevoke removes a lease and deletes its keys, in key order, in one revision.
func (s *Store) LeaseRevoke(id int64) (DeleteResult, error) { panic("mvcc: unfinished") }

// Leases returns the lease table in the order of the identifiers.
func (s *Store) Leases() []Lease { panic("mvcc: unfinished") }

// LeaseKeys returns the keys attached to a lease, in order.
func (s *Store) LeaseKeys(id int64) ([][]byte, error) { panic("mvcc: unfinished") }

// Hash is a digest of every change applied so far, in order: equal on members
// that applied the same, at one step per change. It is part of the image.
func (s *Store) Hash() uint64 { panic("mvcc: unfinished") }

// Snapshot returns the present state as an immutable value, in constant time.
func (s *Store) Snapshot() *Snapshot { panic("mvcc: unfinished") }

// Restore replaces the contents by those of from, which must not be used any
// more. Open watchers go on where they were: never back; one whose next
// revision the new contents have compacted ends with ErrCompacted.
func (s *Store) Restore(from *Store) { panic("mvcc: unfinished") }

// Close ends all watchers with ErrClosed. Reads go on working.
func (s *Store) Close() {}

// WatchOptions selects what a watcher sees.
type WatchOptions struct {
	// Key and End are a range as in RangeOptions.
	Key []byte
	End []byte
	// StartRevision is the first revision to deliver; 0 is the one after the
	// store's present. It may lie in the future.
	StartRevision int64
	// PrevKV fills Event.PrevKV.
	PrevKV bool
	// NoPut and NoDelete leave events of that type out.
	NoPut    bool
	NoDelete bool
	// BatchEvents is the number of events after which a batch is closed at the
	// next end of a revision; 0 is 1000.
	BatchEvents int
}

// WatchBatch is what a watcher delivers at a time: all matching events of one
// or more whole revisions, in order.
type WatchBatch struct {
	// Events may be shared with other watchers and must not be modified.
	Events []Event
	// Revision says that every matching event up to it has been delivered.
	Revision int64
}

// Watcher is a cursor into the store's history. It holds no events: a slow
// one costs no memory. Its methods may be called from one goroutine at a
// time, Close from any.
type Watcher struct{}

// Watch opens a watcher. A StartRevision below the floor is an ErrCompacted.
func (s *Store) Watch(o WatchOptions) (*Watcher, error) { panic("mvcc: unfinished") }

// Next returns the next batch that has events, waiting for it if need be.
func (w *Watcher) Next(ctx context.Context) (WatchBatch, error) { panic("mvcc: unfinished") }

// Poll is Next without waiting: false means that there is nothing to deliver;
// the batch's Revision then is the progress made.
func (w *Watcher) Poll() (WatchBatch, bool, error) { panic("mvcc: unfinished") }

// Ready returns a channel that receives when Poll may have something to say.
func (w *Watcher) Ready() <-chan struct{} { panic("mvcc: unfinished") }

// Progress returns the revision up to which all matching events have been
// delivered: a bookmark to resume from.
func (w *Watcher) Progress() int64 { panic("mvcc: unfinished") }

// Close ends the watcher: Next returns ErrWatcherClosed.
func (w *Watcher) Close() {}

// Snapshot is the store at one moment: immutable, and safe for concurrent
// use. While it is held the memory of what changed since is not reclaimed.
type Snapshot struct{}

// Revision returns the store's revision at the moment of the snapshot.
func (sn *Snapshot) Revision() int64 { panic("mvcc: unfinished") }

// CompactedRevision returns the compaction floor of the snapshot.
func (sn *Snapshot) CompactedRevision() int64 { panic("mvcc: unfinished") }

// Hash returns Store.Hash at the moment of the snapshot.
func (sn *Snapshot) Hash() uint64 { panic("mvcc: unfinished") }

// Range reads from the snapshot.
func (sn *Snapshot) Range(o *RangeOptions) (RangeResult, error) { panic("mvcc: unfinished") }

// Scan streams the keys of [key, end) at a revision in key order, without
// building a list; 0 is the snapshot's revision.
func (sn *Snapshot) Scan(key, end []byte, revision int64) (iter.Seq[KeyValue], error) {
	panic("mvcc: unfinished")
}

// HashKV is a digest of what can be read between the floor and revision (0 is
// the latest): equal on members with the same floor, however they got there.
func (sn *Snapshot) HashKV(revision int64) (uint64, error) { panic("mvcc: unfinished") }

// WriteTo writes the snapshot as an image that Load reads.
func (sn *Snapshot) WriteTo(w io.Writer) (int64, error) { panic("mvcc: unfinished") }

// Load reads an image and returns the store that wrote it.
func Load(r io.Reader) (*Store, error) { panic("mvcc: unfinished") }

// Limits bound what Validate accepts.
type Limits struct {
	// MaxTxnOps bounds the conditions and the operations of each branch of a
	// transaction; nested ones get what their parent leaves. 0 is 128.
	MaxTxnOps int
	// MaxRequestBytes bounds the sum of keys and values; 0 is 1.5 MiB.
	MaxRequestBytes int
}

// Validate checks a transaction before it is proposed. What passes can fail in
// Apply only on the store's contents: a lease, key or revision that is missing.
func Validate(t *Txn, l Limits) error { panic("mvcc: unfinished") }

// ValidateRange checks a range.
func ValidateRange(o *RangeOptions) error { panic("mvcc: unfinished") }

// ValidatePut checks a put.
func ValidatePut(r *PutRequest, l Limits) error { panic("mvcc: unfinished") }

// ValidateDelete checks a delete.
func ValidateDelete(r *DeleteRequest) error { panic("mvcc: unfinished") }

// PrefixEnd returns the End that makes [prefix, End) all keys with the prefix.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return []byte{0}
}
