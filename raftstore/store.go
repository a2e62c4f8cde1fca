package raftstore

import "context"

// Store is one open member. All methods are safe for concurrent use.
type Store struct{}

var _ KV = (*Store)(nil)

// Open starts a member whose files live in dir: a new one when dir is empty or
// missing, otherwise the one that was there, as it was. Open the same way on
// every member and at every start. It does not wait for a leader; calls do.
func Open(dir string, cfg Config) (*Store, error) { panic("unfinished") }

// Put implements KV.
func (s *Store) Put(ctx context.Context, r PutRequest) (PutResult, error) { panic("unfinished") }

// Range implements KV.
func (s *Store) Range(ctx context.Context, o RangeOptions) (RangeResult, error) { panic("unfinished") }

// DeleteRange implements KV.
func (s *Store) DeleteRange(ctx context.Context, r DeleteRequest) (DeleteResult, error) {
	panic("unfinished")
}

// Txn implements KV.
func (s *Store) Txn(ctx context.Context, t Txn) (TxnResult, error) { panic("unfinished") }

// Watch implements KV.
func (s *Store) Watch(ctx context.Context, o WatchOptions) (Watcher, error) { panic("unfinished") }

// Compact implements KV.
func (s *Store) Compact(ctx context.Context, revision int64) error { panic("unfinished") }

// Status describes the member now.
func (s *Store) Status() Status { panic("unfinished") }

// Describe draws Status as text for people.
func (s *Store) Describe() string { panic("unfinished") }

// TransferLeadership hands leadership to the member with the given id, or to the
// one that is closest behind when id is 0, and waits until this member has
// stopped leading. Writes wait meanwhile.
func (s *Store) TransferLeadership(ctx context.Context, id uint64) error { panic("unfinished") }

// HashKV digests what can be read between the compaction floor and a revision (0
// is the latest applied here): equal on all members with the same floor.
func (s *Store) HashKV(revision int64) (uint64, error) { panic("unfinished") }

// WaitReady waits until the cluster has a leader that this member can reach.
func (s *Store) WaitReady(ctx context.Context) error { panic("unfinished") }

// Err returns the fault that has stopped the member, nil while it works or when
// it was closed.
func (s *Store) Err() error { panic("unfinished") }

// Close hands leadership over if this member leads, ends all calls and watchers
// and stops. No goroutine survives it.
func (s *Store) Close() error { panic("unfinished") }

// Abort stops the member as a crash of the process would: nothing is handed over
// and nothing more is written. What was acknowledged is on disk all the same.
func (s *Store) Abort() error { panic("unfinished") }
