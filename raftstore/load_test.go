package raftstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// loadHistory is what the clients of a cluster under load were told.
type loadHistory struct {
	mu           sync.Mutex
	acknowledged map[string]int64 // value → revision
	unknown      map[string]bool
	rejected     map[string]bool
}

// load writes unique values from several clients to all members until the function
// it returns is called, which waits for them, and records every outcome.
func (c *cluster) load(clients int, member func(uint64) *Store) (h *loadHistory, end func()) {
	stop := make(chan struct{})
	h = &loadHistory{acknowledged: map[string]int64{}, unknown: map[string]bool{}, rejected: map[string]bool{}}
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				s := member(uint64((client+i)%len(c.members)) + 1)
				if s == nil {
					time.Sleep(time.Millisecond)
					continue
				}
				value := fmt.Sprintf("%d-%d", client, i)
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				r, err := s.Put(ctx, PutRequest{Key: fmt.Appendf(nil, "k%d", i%7), Value: []byte(value)})
				cancel()
				h.record(value, r.Revision, err)
			}
		})
	}
	end = sync.OnceFunc(func() {
		close(stop)
		group.Wait()
	})
	c.t.Cleanup(end)
	return h, end
}

// wait returns when n more writes have been acknowledged.
func (h *loadHistory) wait(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.acknowledged)
	}
	before := count()
	require.Eventually(t, func() bool { return count() >= before+n }, 30*time.Second, time.Millisecond, "no progress")
}

func (h *loadHistory) record(value string, revision int64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.acknowledged[value] = revision
	case errors.Is(err, ErrUnknownOutcome):
		h.unknown[value] = true
	default:
		h.rejected[value] = true
	}
}

// check holds the outcomes against the history that a member tells.
func (h *loadHistory) check(t *testing.T, s *Store) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	w, err := s.Watch(testContext(t), WatchOptions{Key: []byte("k"), End: PrefixEnd([]byte("k")), StartRevision: 1})
	require.NoError(t, err)
	defer w.Close()
	found := map[string]int64{}
	for last := s.Status().Revision; ; {
		batch, err := w.Next(testContext(t))
		require.NoError(t, err)
		for _, e := range batch.Events {
			value := string(e.KV.Value)
			require.NotContains(t, found, value, "written twice")
			require.NotContains(t, h.rejected, value, "written although it was refused")
			found[value] = e.KV.ModRevision
		}
		if batch.Revision >= last {
			break
		}
	}
	for value, revision := range h.acknowledged {
		require.Equal(t, revision, found[value], "acknowledged value %s", value)
	}
	for value := range found {
		_, ok := h.acknowledged[value]
		require.True(t, ok || h.unknown[value], "value %s from nowhere", value)
	}
}

func TestLeaderChangesUnderLoadLoseNothing(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.CatchUpEntries = 300, 50 })
	var mu sync.Mutex
	member := func(id uint64) *Store {
		mu.Lock()
		defer mu.Unlock()
		return c.stores[id]
	}
	h, end := c.load(6, member)
	for round := range 4 {
		h.wait(t, 40)
		lead := c.leader().Status().MemberID
		if round%2 == 0 {
			err := member(lead).TransferLeadership(testContext(t), 0)
			if !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrNoLeader) {
				require.NoError(t, err)
			}
			continue
		}
		s := member(lead)
		mu.Lock()
		delete(c.stores, lead)
		mu.Unlock()
		require.NoError(t, s.Abort())
		h.wait(t, 40) // the other two go on
		cfg := c.config(lead)
		s, err := Open(fmt.Sprintf("%s/%d", c.dir, lead), cfg)
		require.NoError(t, err)
		mu.Lock()
		c.stores[lead] = s
		mu.Unlock()
	}
	end()
	c.settled()
	for _, s := range c.stores {
		h.check(t, s)
	}
	t.Logf("%d acknowledged, %d unknown, %d rejected", len(h.acknowledged), len(h.unknown), len(h.rejected))
}
