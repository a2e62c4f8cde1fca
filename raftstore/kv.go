package raftstore

import (
	"context"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// The data model is that of package mvcc; these are its types under the names
// that users of the store need.
type (
	KeyValue      = mvcc.KeyValue
	Event         = mvcc.Event
	EventType     = mvcc.EventType
	PutRequest    = mvcc.PutRequest
	PutResult     = mvcc.PutResult
	RangeOptions  = mvcc.RangeOptions
	RangeResult   = mvcc.RangeResult
	DeleteRequest = mvcc.DeleteRequest
	DeleteResult  = mvcc.DeleteResult
	Compare       = mvcc.Compare
	Op            = mvcc.Op
	OpResult      = mvcc.OpResult
	Txn           = mvcc.Txn
	TxnResult     = mvcc.TxnResult
	WatchOptions  = mvcc.WatchOptions
	WatchBatch    = mvcc.WatchBatch
)

// What happened to a key.
const (
	EventPut    = mvcc.EventPut
	EventDelete = mvcc.EventDelete
)

// What a Compare looks at, and how.
const (
	CompareVersion        = mvcc.CompareVersion
	CompareCreateRevision = mvcc.CompareCreateRevision
	CompareModRevision    = mvcc.CompareModRevision
	CompareValue          = mvcc.CompareValue
	CompareLease          = mvcc.CompareLease

	Equal    = mvcc.Equal
	Greater  = mvcc.Greater
	Less     = mvcc.Less
	NotEqual = mvcc.NotEqual
)

// KV is the versioned, ordered, watchable map that a cluster offers. *Store
// implements it; nothing in it is particular to this store, so code written
// against it can run on another implementation of etcd's data model.
//
// Keys and values given to a call may be reused when it has returned; those of a
// result must not be modified. Every error of a write matches either ErrNotApplied
// or ErrUnknownOutcome.
type KV interface {
	// Put sets one key.
	Put(ctx context.Context, r PutRequest) (PutResult, error)
	// Range reads keys at one revision. It is linearizable, and needs a quorum,
	// unless Serializable asks for this member's own state, which may be old.
	Range(ctx context.Context, o RangeOptions) (RangeResult, error)
	// DeleteRange deletes keys in one revision.
	DeleteRange(ctx context.Context, r DeleteRequest) (DeleteResult, error)
	// Txn runs one of two branches in one revision. A read-only transaction costs
	// no log entry.
	Txn(ctx context.Context, t Txn) (TxnResult, error)
	// Watch opens a watcher on the history of a range of keys. The context bounds
	// the call, not the watcher's life.
	Watch(ctx context.Context, o WatchOptions) (Watcher, error)
	// Compact makes the history before a revision unreadable.
	Compact(ctx context.Context, revision int64) error
}

// Watcher delivers the events of a range in the order of their revisions: none
// twice, none left out, and those of one revision never apart.
type Watcher interface {
	// Next waits for the next batch of events. An error ends the watcher, that of
	// the context excepted.
	Next(ctx context.Context) (WatchBatch, error)
	// Close releases the watcher; a Next that waits returns an error.
	Close()
}

// PrefixEnd returns the end of the range of all keys with a prefix.
func PrefixEnd(prefix []byte) []byte { return mvcc.PrefixEnd(prefix) }

// Get reads one key, linearizably. ok tells whether it exists.
func Get(ctx context.Context, kv KV, key []byte) (pair KeyValue, ok bool, err error) {
	if s, ok := kv.(*Store); ok && len(key) > 0 {
		if err := s.readable(ctx, false, ReadByQuorum); err != nil {
			return KeyValue{}, false, err
		}
		return s.kv.Lookup(key, 0) // without a list for one pair
	}
	r, err := kv.Range(ctx, RangeOptions{Key: key})
	if err != nil || len(r.KVs) == 0 {
		return KeyValue{}, false, err
	}
	return r.KVs[0], true, nil
}

// CompareAndSwap puts a value if the key's last change is still modRevision; 0
// means that the key must not exist. It returns whether it did, and the revision
// of the store after the attempt: when swapped, the key's new mod revision.
func CompareAndSwap(ctx context.Context, kv KV, key, value []byte, modRevision int64) (revision int64, swapped bool, err error) {
	r, err := kv.Txn(ctx, Txn{
		If:   []Compare{{Target: CompareModRevision, Operator: Equal, Key: key, Number: modRevision}},
		Then: []Op{{Put: &PutRequest{Key: key, Value: value}}},
	})
	return r.Revision, r.Succeeded, err
}

// CompareAndDelete deletes a key if its last change is still modRevision.
func CompareAndDelete(ctx context.Context, kv KV, key []byte, modRevision int64) (revision int64, deleted bool, err error) {
	r, err := kv.Txn(ctx, Txn{
		If:   []Compare{{Target: CompareModRevision, Operator: Equal, Key: key, Number: modRevision}},
		Then: []Op{{Delete: &DeleteRequest{Key: key}}},
	})
	return r.Revision, r.Succeeded, err
}
