package raftstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
	"github.com/stretchr/testify/require"
)

func TestLeaseLife(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	for _, m := range c.members { // the leader and those who have to ask it
		s := c.stores[m.ID]
		id := int64(m.ID) * 100
		granted, err := s.Grant(ctx, id, 30)
		require.NoError(t, err)
		require.Equal(t, Lease{ID: id, TTL: 30}, granted)
		_, err = s.Grant(ctx, id, 30)
		require.ErrorIs(t, err, mvcc.ErrLeaseExists)
		require.ErrorIs(t, err, ErrNotApplied)

		for _, key := range []string{"b", "a"} {
			_, err = s.Put(ctx, PutRequest{Key: []byte(key), Lease: id})
			require.NoError(t, err)
		}
		ttl, err := s.KeepAlive(ctx, id)
		require.NoError(t, err)
		require.Equal(t, int64(30), ttl)
		life, err := s.TimeToLive(ctx, id, true)
		require.NoError(t, err)
		require.InDelta(t, 29, life.Remaining, 1)
		require.Equal(t, [][]byte{[]byte("a"), []byte("b")}, life.Keys)
		require.Equal(t, granted, life.Lease)

		before := s.Status().Revision
		revision, err := s.Revoke(ctx, id)
		require.NoError(t, err)
		require.Equal(t, before+1, revision, "both keys go in one revision")
		_, err = s.Revoke(ctx, id)
		require.ErrorIs(t, err, mvcc.ErrLeaseNotFound)
		_, err = s.KeepAlive(ctx, id)
		require.ErrorIs(t, err, mvcc.ErrLeaseNotFound)
		_, err = s.TimeToLive(ctx, id, false)
		require.ErrorIs(t, err, mvcc.ErrLeaseNotFound)
	}
	c.settled()
}

func TestGrantChoosesIDsAndTimes(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	seen := map[int64]bool{}
	for i := range 30 {
		l, err := c.stores[uint64(i%3)+1].Grant(ctx, 0, int64(i)-10)
		require.NoError(t, err)
		require.Positive(t, l.ID)
		require.False(t, seen[l.ID])
		seen[l.ID] = true
		require.Equal(t, max(1, int64(i)-10), l.TTL, "an election takes 0.22 s here")
	}
	_, err := c.stores[1].Grant(ctx, 1, mvcc.MaxLeaseTTL+1)
	require.ErrorIs(t, err, mvcc.ErrLeaseTTLTooLarge)
	require.ErrorIs(t, err, ErrNotApplied)
	_, err = c.stores[1].Grant(ctx, 5, mvcc.MaxLeaseTTL)
	require.NoError(t, err)
	life, err := c.stores[2].TimeToLive(ctx, 5, false)
	require.NoError(t, err)
	require.InDelta(t, mvcc.MaxLeaseTTL, life.Remaining, 2)
	ids, err := c.stores[3].Leases(ctx)
	require.NoError(t, err)
	require.IsIncreasing(t, ids)
	require.Contains(t, ids, int64(5))
}

func TestLeaseExpires(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	s := c.stores[2]
	begun := time.Now()
	short, err := s.Grant(ctx, 1, 1)
	require.NoError(t, err)
	kept, err := s.Grant(ctx, 2, 1)
	require.NoError(t, err)
	for _, l := range []Lease{short, kept} {
		for i := range 3 {
			_, err := s.Put(ctx, PutRequest{Key: fmt.Appendf(nil, "%d/%d", l.ID, i), Lease: l.ID})
			require.NoError(t, err)
		}
	}
	w, err := c.stores[3].Watch(ctx, WatchOptions{Key: []byte("1/"), End: []byte("2"), StartRevision: 5})
	require.NoError(t, err)
	defer w.Close()
	gone := make(chan WatchBatch, 1)
	go func() {
		batch, _ := w.Next(ctx)
		gone <- batch
	}()
	var batch WatchBatch
	for waiting := true; waiting; {
		_, err := s.KeepAlive(ctx, kept.ID)
		require.NoError(t, err)
		select {
		case batch = <-gone:
			waiting = false
		case <-time.After(200 * time.Millisecond):
		}
	}
	require.GreaterOrEqual(t, time.Since(begun), time.Second, "no lease ends early")
	require.Len(t, batch.Events, 3, "all keys go in one revision")
	ids, err := s.Leases(ctx)
	require.NoError(t, err)
	require.Equal(t, []int64{kept.ID}, ids)
	require.Equal(t, "", get(t, s, "1/0"))
	pair, ok, err := Get(ctx, s, []byte("2/0"))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, kept.ID, pair.Lease)
}

func TestLeasesOutliveTheirLeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	leader := c.leader()
	l, err := leader.Grant(ctx, 0, 2)
	require.NoError(t, err)
	_, err = leader.Put(ctx, PutRequest{Key: []byte("k"), Lease: l.ID})
	require.NoError(t, err)
	for range 3 {
		old := c.leader()
		begun := time.Now()
		_, err := old.KeepAlive(ctx, l.ID)
		require.NoError(t, err)
		c.stop(old.Status().MemberID, (*Store).Abort)
		var other *Store
		for _, s := range c.stores {
			other = s
		}
		ttl, err := other.KeepAlive(ctx, l.ID)
		require.NoError(t, err, "the lease had more than %v left", 2*time.Second-time.Since(begun))
		require.Equal(t, int64(2), ttl)
		c.open(old.Status().MemberID, nil)
	}
	c.settled()
	require.Eventually(t, func() bool { return c.stores[1].kv.Stats().Keys == 0 }, 20*time.Second, 10*time.Millisecond, "it expires in the end")
}

func TestLeaseCallsEndWithTheirContext(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader := c.leader()
	l, err := leader.Grant(testContext(t), 0, 60)
	require.NoError(t, err)
	for id := range uint64(3) {
		if s := c.stores[id+1]; s != leader {
			c.stop(id+1, (*Store).Abort)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_, err = leader.KeepAlive(ctx, l.ID)
	require.ErrorIs(t, err, context.DeadlineExceeded, "without a quorum nobody knows")
	_, err = leader.TimeToLive(ctx, l.ID, true)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	answer := make(chan error, 1)
	go func() {
		_, err := leader.KeepAlive(context.Background(), l.ID)
		answer <- err
	}()
	time.Sleep(50 * time.Millisecond)
	require.NoError(t, leader.Abort())
	require.ErrorIs(t, <-answer, ErrClosed)
	_, err = leader.KeepAlive(context.Background(), l.ID)
	require.ErrorIs(t, err, ErrClosed)
}

// The count is held against a plain one that looks at every lease.
func TestCountdown(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var c countdown
		c.reset()
		ends := map[int64]uint64{}
		for now := range uint64(300) {
			id := int64(r.IntN(10))
			_, counted := ends[id]
			switch r.IntN(4) {
			case 0:
				if !counted && !c.expiring[id] {
					ends[id] = now + uint64(r.IntN(30))
					c.begin(id, ends[id])
				}
			case 1:
				if counted {
					ends[id] = max(ends[id], now+uint64(r.IntN(30)))
					c.renew(id, ends[id])
				}
			case 2:
				delete(ends, id)
				c.forget(id)
			}
			due := 0
			for _, end := range ends {
				if end <= now {
					due++
				}
			}
			limit := 1 + r.IntN(5)
			if due > 0 {
				require.True(t, c.anyDue(now))
			}
			got := c.expire(now, limit)
			require.Len(t, got, min(due, limit))
			for _, id := range got {
				require.LessOrEqual(t, ends[id], now, "lease %d ends early", id)
				require.True(t, c.expiring[id])
				delete(ends, id)
			}
		}
	}
}

// An expiry counts only in the term and for the grant that it names.
func TestExpiryIsFenced(t *testing.T) {
	m := newMachine([]Member{{ID: 1}})
	run := func(kind commandKind, body []byte) error {
		var out result
		m.execute(kind, body, &out)
		return out.err
	}
	grant := func() uint64 {
		require.NoError(t, run(commandLeaseGrant, appendVarint(appendVarint(nil, 7), 10)))
		l, _ := m.store.Lease(7)
		return l.Serial
	}
	expiry := func(term, serial uint64) []byte {
		return binary.AppendUvarint(appendVarint(binary.AppendUvarint(nil, term), 7), serial)
	}
	checkpoint := func(term, serial uint64) []byte {
		b := appendNumbers(nil, term, 1)
		return binary.AppendUvarint(appendVarint(appendVarint(b, 7), 4), serial)
	}
	m.entryTerm = 5
	first := grant()
	require.ErrorIs(t, run(commandLeaseExpire, expiry(4, first)), errLeaseTerm)
	require.ErrorIs(t, run(commandLeaseCheckpoint, checkpoint(4, first)), errLeaseTerm)
	require.NoError(t, run(commandLeaseRevoke, appendVarint(nil, 7)))
	second := grant()
	require.ErrorIs(t, run(commandLeaseExpire, expiry(5, first)), mvcc.ErrLeaseNotFound, "it was granted anew")
	require.NoError(t, run(commandLeaseCheckpoint, checkpoint(5, first)))
	l, ok := m.store.Lease(7)
	require.True(t, ok)
	require.Zero(t, l.Remaining)
	require.NoError(t, run(commandLeaseCheckpoint, checkpoint(5, second)))
	l, _ = m.store.Lease(7)
	require.Equal(t, int64(4), l.Remaining)
	require.NoError(t, run(commandLeaseExpire, expiry(5, second)))
	_, ok = m.store.Lease(7)
	require.False(t, ok)
	for _, kind := range []commandKind{commandLeaseGrant, commandLeaseRevoke, commandLeaseExpire, commandLeaseCheckpoint} {
		require.ErrorIs(t, run(kind, nil), errMalformed)
		require.ErrorIs(t, run(kind, append(expiry(5, 1), 1)), errMalformed)
	}
}

// Frames about leases may hold anything.
func FuzzLeaseFrames(f *testing.F) {
	f.Add([]byte{frameLeaseAsk, 1, 1, 1, 2})
	f.Add([]byte{frameLeaseAnswer, 1, 1, 1, 2, 2})
	f.Add([]byte{frameLeaseAnswer, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 || b[0] != frameLeaseAsk && b[0] != frameLeaseAnswer {
			return
		}
		r := testReplica(t, wal.NewMemFS(), nil)
		r.writeSome(t, 1)
		r.receive(transport.Frame{From: 2, Payload: b})
		require.NoError(t, r.turn())
	})
}
