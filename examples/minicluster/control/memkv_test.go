package control_test

import (
	"context"
	"sync"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// memKV is a store of one member without a log: the data model alone.
type memKV struct {
	mu    sync.Mutex // one writer at a time
	store *mvcc.Store
}

func newMemKV() *memKV { return &memKV{store: mvcc.New()} }

func (m *memKV) Put(_ context.Context, r raftstore.PutRequest) (raftstore.PutResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store.Put(&r)
}

func (m *memKV) Range(_ context.Context, o raftstore.RangeOptions) (raftstore.RangeResult, error) {
	return m.store.Range(&o)
}

func (m *memKV) DeleteRange(_ context.Context, r raftstore.DeleteRequest) (raftstore.DeleteResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store.Delete(&r)
}

func (m *memKV) Txn(_ context.Context, t raftstore.Txn) (raftstore.TxnResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store.Apply(&t)
}

func (m *memKV) Watch(_ context.Context, o raftstore.WatchOptions) (raftstore.Watcher, error) {
	return m.store.Watch(o)
}

func (m *memKV) Compact(_ context.Context, revision int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.store.Compact(revision)
}
