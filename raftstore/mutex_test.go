package raftstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/stretchr/testify/require"
)

func newMutex(t *testing.T, kv LeasedKV, change func(*MutexConfig)) *Mutex {
	t.Helper()
	config := MutexConfig{Prefix: []byte("lock"), TTL: 2}
	if change != nil {
		change(&config)
	}
	m, err := NewMutex(kv, config)
	require.NoError(t, err)
	return m
}

func TestMutexExcludes(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	var inside atomic.Int32
	var mu sync.Mutex
	var tokens []int64
	var wg sync.WaitGroup
	for i := range 9 {
		m := newMutex(t, c.stores[uint64(i%3)+1], func(c *MutexConfig) { c.TTL = 60 })
		wg.Go(func() {
			for range 3 {
				h, err := m.Lock(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				mu.Lock()
				tokens = append(tokens, h.Token())
				mu.Unlock()
				_, err = h.Put(ctx, PutRequest{Key: []byte("owner"), Value: fmt.Append(nil, i)})
				inside.Add(-1)
				if err != nil {
					t.Error(err)
				}
				if err := h.Unlock(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, tokens, 27)
	require.IsIncreasing(t, tokens, "tokens grow from owner to owner")
	leases, err := c.stores[1].Leases(ctx)
	require.NoError(t, err)
	require.Empty(t, leases)
	r, err := c.stores[1].Range(ctx, RangeOptions{Key: []byte("lock"), End: PrefixEnd([]byte("lock")), CountOnly: true})
	require.NoError(t, err)
	require.Zero(t, r.Count)
}

// An owner that is paused for longer than its lease lives does no harm: the store
// refuses what it then does.
func TestMutexFencesPausedOwners(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	wake := make(chan struct{})
	paused := newMutex(t, c.stores[1], func(c *MutexConfig) {
		c.TTL = 1
		c.Sleep = func(ctx context.Context, _ time.Duration) error {
			select {
			case <-wake:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	old, err := paused.Lock(ctx)
	require.NoError(t, err)
	_, err = old.Put(ctx, PutRequest{Key: []byte("x"), Value: []byte("old")})
	require.NoError(t, err)

	begun := time.Now()
	successor, err := newMutex(t, c.stores[2], nil).Lock(ctx)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begun), 500*time.Millisecond, "the lease was waited for")
	require.Greater(t, successor.Token(), old.Token())
	select {
	case <-old.Lost():
		t.Fatal("a paused process notices nothing")
	default:
	}
	_, err = old.Put(ctx, PutRequest{Key: []byte("x"), Value: []byte("late")})
	require.ErrorIs(t, err, ErrLockLost)
	require.ErrorIs(t, err, ErrNotApplied)
	_, err = old.DeleteRange(ctx, DeleteRequest{Key: []byte("x")})
	require.ErrorIs(t, err, ErrLockLost)
	require.Equal(t, "old", get(t, c.stores[3], "x"))
	r, err := successor.Txn(ctx, Txn{
		If:   []Compare{{Target: CompareValue, Operator: Equal, Key: []byte("x"), Value: []byte("old")}},
		Then: []Op{{Put: &PutRequest{Key: []byte("x"), Value: []byte("new")}}},
	})
	require.NoError(t, err)
	require.True(t, r.Succeeded)
	require.Positive(t, r.Revision)
	d, err := successor.DeleteRange(ctx, DeleteRequest{Key: []byte("x")})
	require.NoError(t, err)
	require.Equal(t, int64(1), d.Deleted)

	close(wake)
	<-old.Lost()
	require.NoError(t, old.Unlock(ctx), "there is nothing to give back")
	require.NoError(t, successor.Unlock(ctx))
}

// A place in the queue goes with the wait for it.
func TestMutexLockGivesUp(t *testing.T) {
	c := newCluster(t, 1, nil)
	ctx := testContext(t)
	s := c.stores[1]
	m := newMutex(t, s, nil)
	first, err := m.Lock(ctx)
	require.NoError(t, err)
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = m.Lock(short)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	leases, err := s.Leases(ctx)
	require.NoError(t, err)
	require.Len(t, leases, 1, "who gave up has left the queue")

	// Somebody deletes the key of one who waits: it must not take the lock.
	waiting := make(chan error, 1)
	go func() {
		_, err := m.Lock(ctx)
		waiting <- err
	}()
	var second KeyValue
	require.Eventually(t, func() bool {
		r, err := s.Range(ctx, RangeOptions{Key: []byte("lock/"), End: PrefixEnd([]byte("lock/")), MinCreateRevision: first.Token() + 1})
		if err != nil || len(r.KVs) == 0 {
			return false
		}
		second = r.KVs[0]
		return true
	}, 10*time.Second, time.Millisecond)
	_, err = s.DeleteRange(ctx, DeleteRequest{Key: second.Key})
	require.NoError(t, err)
	require.NoError(t, first.Unlock(ctx))
	require.ErrorIs(t, <-waiting, ErrLockLost)

	_, err = NewMutex(s, MutexConfig{})
	require.ErrorIs(t, err, ErrMutexConfig)
	_, err = NewMutex(s, MutexConfig{Prefix: []byte("a"), TTL: -1})
	require.ErrorIs(t, err, ErrMutexConfig)
	_, err = NewMutex(s, MutexConfig{Prefix: []byte("a"), TTL: mvcc.MaxLeaseTTL + 1})
	require.ErrorIs(t, err, ErrMutexConfig)
}

// A leader that goes takes no lock with it.
func TestMutexOutlivesLeaders(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	leader := c.leader()
	var other *Store
	for _, s := range c.stores {
		if s != leader {
			other = s
		}
	}
	h, err := newMutex(t, other, nil).Lock(ctx)
	require.NoError(t, err)
	c.stop(leader.Status().MemberID, (*Store).Abort)
	time.Sleep(2500 * time.Millisecond) // more than the lease lives without renewal
	_, err = h.Put(ctx, PutRequest{Key: []byte("a")})
	require.NoError(t, err)
	require.NoError(t, h.Unlock(ctx))
}
