package raftstore

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// dataModel is a KV without a cluster: what the recipes need of one.
type dataModel struct {
	KV // nil: the other methods are not used
	mu sync.Mutex
	s  *mvcc.Store
}

func (m *dataModel) Range(_ context.Context, o RangeOptions) (RangeResult, error) {
	return m.s.Range(&o)
}

func (m *dataModel) Txn(_ context.Context, t Txn) (TxnResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s.Apply(&t)
}

func putTxn(key, value string) Txn {
	return Txn{Then: []Op{{Put: &PutRequest{Key: []byte(key), Value: []byte(value)}}}}
}

// A leader that slept through its deadline cannot write beside its successor,
// even when its own clock has stood still meanwhile.
func TestFencedTxn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := &dataModel{s: mvcc.New()}
		key := []byte("leases/scheduler")
		start := time.Now()
		paused := newCandidate(t, LeaseKey(kv, key), ElectionConfig{
			Identity: "paused",
			Now:      func() time.Time { return start }, // it believes that no time has passed
			Sleep:    func(ctx context.Context, d time.Duration) error { <-ctx.Done(); return ctx.Err() },
		})
		ctx, stop := context.WithCancel(t.Context())
		leads := make(chan struct{})
		go func() { _ = paused.Run(ctx, func(ctx context.Context) { close(leads); <-ctx.Done() }) }()
		<-leads
		r, err := FencedTxn(t.Context(), kv, paused, key, putTxn("a", "1"))
		require.NoError(t, err)
		require.True(t, r.Succeeded)
		require.EqualValues(t, 3, r.Revision)

		next := newCandidate(t, LeaseKey(kv, key), ElectionConfig{Identity: "next"})
		require.NoError(t, next.Run(t.Context(), func(context.Context) {
			require.True(t, paused.Leading(), "so it thinks")
			r, err := FencedTxn(t.Context(), kv, next, key, putTxn("a", "2"))
			require.NoError(t, err)
			require.True(t, r.Succeeded)

			waiting, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err = FencedTxn(waiting, kv, paused, key, putTxn("a", "stale"))
			require.ErrorIs(t, err, ErrNotApplied)
		}))
		stop()
		synctest.Wait()
		_, err = FencedTxn(t.Context(), kv, paused, key, putTxn("a", "stale"))
		require.ErrorIs(t, err, ErrLeadershipLost)
		require.ErrorIs(t, err, ErrNotApplied)
		pair, ok, err := Get(t.Context(), kv, []byte("a"))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "2", string(pair.Value))
	})
}

// Renewals do not disturb: every fenced write of the leader goes through.
func TestFencedTxnBetweenRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := &dataModel{s: mvcc.New()}
		key := []byte("leases/scheduler")
		e := newCandidate(t, slowSwap{LeaseKey(kv, key)}, ElectionConfig{Identity: "me"})
		require.NoError(t, e.Run(t.Context(), func(ctx context.Context) {
			for i := range 500 {
				r, err := FencedTxn(ctx, kv, e, key, putTxn("n", fmt.Sprint(i)))
				require.NoError(t, err)
				require.True(t, r.Succeeded)
				time.Sleep(37 * time.Millisecond)
			}
		}))
		pair, _, err := Get(t.Context(), kv, []byte("n"))
		require.NoError(t, err)
		require.EqualValues(t, 500, pair.Version)
	})
}

// slowSwap answers renewals late: the record is there before its writer knows.
type slowSwap struct{ LeaseStore }

func (s slowSwap) SwapLease(ctx context.Context, value []byte, revision int64) (int64, bool, error) {
	newRevision, swapped, err := s.LeaseStore.SwapLease(ctx, value, revision)
	_ = sleepContext(ctx, 300*time.Millisecond)
	return newRevision, swapped, err
}
