package raftstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/stretchr/testify/require"
)

func increment(current []byte, exists bool) ([]byte, error) {
	n := 0
	if exists {
		var err error
		if n, err = strconv.Atoi(string(current)); err != nil {
			return nil, err
		}
	}
	return strconv.AppendInt(nil, int64(n+1), 10), nil
}

// plainKV hides everything but KV.
type plainKV struct{ KV }

// Every update counts once, whoever else updates or writes the key.
func TestUpdatesAllCount(t *testing.T) {
	const clients, each = 24, 25
	for name, tt := range map[string]struct {
		member func(client int) uint64
		plain  bool
	}{
		"one member":             {member: func(int) uint64 { return 2 }},
		"three members":          {member: func(client int) uint64 { return uint64(client%3) + 1 }},
		"one member, plain loop": {member: func(int) uint64 { return 1 }, plain: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3, nil)
			ctx := testContext(t)
			lease, err := c.stores[1].Grant(ctx, 0, 600)
			require.NoError(t, err)
			_, err = c.stores[1].Put(ctx, PutRequest{Key: []byte("n"), Value: []byte("0"), Lease: lease.ID})
			require.NoError(t, err)
			var mu sync.Mutex
			revisions := map[int64]bool{}
			var wg sync.WaitGroup
			for i := range clients {
				var kv KV = c.stores[tt.member(i)]
				if tt.plain {
					kv = plainKV{kv}
				}
				wg.Go(func() {
					for range each {
						revision, err := Update(ctx, kv, []byte("n"), increment)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						if revisions[revision] {
							t.Errorf("revision %d twice", revision)
						}
						revisions[revision] = true
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			pair, _, err := Get(ctx, c.stores[3], []byte("n"))
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(clients*each), string(pair.Value))
			require.Equal(t, int64(clients*each+1), pair.Version, "no update was applied twice")
			require.Equal(t, lease.ID, pair.Lease, "the key keeps its lease")
			require.Empty(t, c.stores[1].updates.byKey)
		})
	}
}

// Foreign writes between the links of a chain are never overwritten unseen.
func TestUpdatesSeeForeignWrites(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	key := []byte("log")
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			for i := range 20 {
				_, err := c.stores[1].Update(ctx, key, func(current []byte, _ bool) ([]byte, error) {
					return fmt.Appendf(bytes.Clone(current), "%d.%d ", client, i), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	foreign := 0
	for range 40 { // a put by somebody who does not look, and marks that
		var seen KeyValue
		for {
			pair, _, err := Get(ctx, c.stores[2], key)
			require.NoError(t, err)
			seen = pair
			_, swapped, err := CompareAndSwap(ctx, c.stores[2], key, append(bytes.Clone(seen.Value), "x "...), seen.ModRevision)
			require.NoError(t, err)
			if swapped {
				foreign++
				break
			}
			if foreign > 0 && len(seen.Value) == 0 {
				t.Fatal("the key is gone")
			}
		}
	}
	wg.Wait()
	pair, _, err := Get(ctx, c.stores[3], key)
	require.NoError(t, err)
	require.Equal(t, 8*20+40, bytes.Count(pair.Value, []byte(" ")), "%s", pair.Value)
	require.Equal(t, 40, bytes.Count(pair.Value, []byte("x ")))
	for client := range 8 { // in the order of the calls
		at := -1
		for i := range 20 {
			mark := fmt.Appendf(nil, "%d.%d ", client, i)
			next := bytes.Index(pair.Value, mark)
			require.Greater(t, next, at)
			at = next
		}
	}
}

// Callers at three members, of one key: all count, and none is left out for long. Those
// that give up while they wait for a round hold nobody up.
func TestUpdatesAtThreeMembers(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	const clients, each = 8, 15
	var wg sync.WaitGroup
	for id := uint64(1); id <= 3; id++ {
		for range clients {
			wg.Go(func() {
				for range each {
					_, err := c.stores[id].Update(ctx, []byte("k"), increment)
					if err != nil {
						t.Error(err)
						return
					}
					hasty, cancel := context.WithTimeout(ctx, time.Millisecond)
					_, err = c.stores[id].Update(hasty, []byte("k"), func(current []byte, _ bool) ([]byte, error) {
						return current, nil // whether it is applied or not
					})
					cancel()
					if err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	require.Equal(t, strconv.Itoa(3*clients*each), get(t, c.stores[1], "k"))
	for _, s := range c.stores {
		require.Empty(t, s.updates.byKey)
	}
}

func TestUpdateErrors(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	s := c.stores[1]
	key := []byte("k")
	errNo := errors.New("no")
	refuse := func([]byte, bool) ([]byte, error) { return nil, errNo }
	for _, kv := range []KV{s, plainKV{s}} {
		_, err := Update(ctx, kv, key, refuse)
		require.ErrorIs(t, err, errNo)
		require.ErrorIs(t, err, ErrNotApplied)
		_, err = Update(ctx, kv, nil, increment)
		require.ErrorIs(t, err, mvcc.ErrEmptyKey)
		_, err = Update(ctx, kv, key, func([]byte, bool) ([]byte, error) { return make([]byte, 2<<20), nil })
		require.ErrorIs(t, err, ErrRequestTooLarge)
		require.ErrorIs(t, err, ErrNotApplied)
		require.Panics(t, func() { _, _ = Update(ctx, kv, key, func([]byte, bool) ([]byte, error) { panic("f") }) })
		over, cancel := context.WithCancel(ctx)
		cancel()
		_, err = Update(over, kv, key, increment)
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Empty(t, s.updates.byKey, "also after a panic")

	// An error counts for a value that was committed, not for one that may come to be.
	put(t, s, "k", "0")
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range 16 {
		wg.Go(func() {
			_, err := s.Update(ctx, key, func(current []byte, exists bool) ([]byte, error) {
				if string(current) == "10" {
					return nil, errNo
				}
				return increment(current, exists)
			})
			if err != nil {
				mu.Lock()
				refused++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Equal(t, 6, refused)
	require.Equal(t, "10", get(t, s, "k"))
}

// Values too large to compare take turns.
func TestUpdateOfLargeValues(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				_, err := c.stores[1].Update(ctx, []byte("big"), func(current []byte, exists bool) ([]byte, error) {
					next := make([]byte, 1<<20)
					if exists {
						binary.LittleEndian.PutUint64(next, binary.LittleEndian.Uint64(current)+1)
					}
					return next, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	pair, _, err := Get(ctx, c.stores[1], []byte("big"))
	require.NoError(t, err)
	require.Equal(t, uint64(19), binary.LittleEndian.Uint64(pair.Value))
}
