package raftstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/stretchr/testify/require"
)

func TestSingleMemberNeedsNoConfiguration(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Config{SegmentSizeBytes: 64 << 10, TickInterval: 5 * time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, int64(2), put(t, s, "a", "1").Revision)
	require.Equal(t, "1", get(t, s, "a"))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing twice is nothing")

	s, err = Open(dir, Config{SegmentSizeBytes: 64 << 10, TickInterval: 5 * time.Millisecond})
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, "1", get(t, s, "a"))
	require.Equal(t, int64(3), put(t, s, "b", "2").Revision)
}

func TestSingleMemberWaitsForNoElectionTimeout(t *testing.T) {
	dir := t.TempDir()
	for want := range int64(3) {
		s, err := Open(dir, Config{TickInterval: time.Minute})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		got, err := s.Put(ctx, PutRequest{Key: []byte("k")})
		cancel()
		require.NoError(t, err)
		require.Equal(t, want+2, got.Revision)
		require.NoError(t, s.Abort())
	}
}

func TestEveryMemberAnswersEverything(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	for i, m := range c.members {
		s := c.stores[m.ID]
		key := fmt.Sprintf("key/%d", i)
		r := put(t, s, key, "value")
		for _, other := range c.stores {
			pair, ok, err := Get(ctx, other, []byte(key))
			require.NoError(t, err)
			require.True(t, ok, "a read that begins after a write has ended sees it, on every member")
			require.Equal(t, r.Revision, pair.ModRevision)
		}
	}
	s := c.stores[2]
	all, err := s.Range(ctx, RangeOptions{Key: []byte("key/"), End: PrefixEnd([]byte("key/"))})
	require.NoError(t, err)
	require.Equal(t, int64(3), all.Count)

	revision, swapped, err := CompareAndSwap(ctx, s, []byte("key/0"), []byte("new"), all.KVs[0].ModRevision)
	require.NoError(t, err)
	require.True(t, swapped)
	_, swapped, err = CompareAndSwap(ctx, c.stores[3], []byte("key/0"), []byte("other"), all.KVs[0].ModRevision)
	require.NoError(t, err)
	require.False(t, swapped)
	pair, _, err := Get(ctx, c.stores[1], []byte("key/0"))
	require.NoError(t, err)
	require.Equal(t, KeyValue{Key: []byte("key/0"), Value: []byte("new"), CreateRevision: all.KVs[0].CreateRevision, ModRevision: revision, Version: 2}, pair)

	deleted, err := s.DeleteRange(ctx, DeleteRequest{Key: []byte("key/1"), End: PrefixEnd([]byte("key/")), PrevKV: true})
	require.NoError(t, err)
	require.Equal(t, int64(2), deleted.Deleted)
	require.Len(t, deleted.PrevKVs, 2)
	c.settled()
}

func TestWatchSeesEveryRevisionOnce(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	first := put(t, c.stores[1], "w/a", "0").Revision
	require.Eventually(t, func() bool { return c.stores[3].Status().Revision >= first }, 10*time.Second, time.Millisecond)
	w, err := c.stores[3].Watch(ctx, WatchOptions{Key: []byte("w/"), End: PrefixEnd([]byte("w/")), StartRevision: first})
	require.NoError(t, err)
	defer w.Close()
	const writes = 100
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() {
		for i := range writes {
			put(t, c.stores[uint64(i%3)+1], "w/a", fmt.Sprint(i+1))
		}
	})
	want := 0
	for want <= writes {
		batch, err := w.Next(ctx)
		require.NoError(t, err)
		for _, e := range batch.Events {
			require.Equal(t, first+int64(want), e.KV.ModRevision)
			require.Equal(t, fmt.Sprint(want), string(e.KV.Value))
			want++
		}
	}
}

func TestCompactionIsReplicated(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := testContext(t)
	old := put(t, c.stores[1], "k", "1").Revision
	now := put(t, c.stores[2], "k", "2").Revision
	require.NoError(t, c.stores[3].Compact(ctx, now))
	for _, s := range c.stores {
		_, err := s.Range(ctx, RangeOptions{Key: []byte("k"), Revision: old})
		require.ErrorIs(t, err, mvcc.ErrCompacted)
		require.Equal(t, "2", get(t, s, "k"))
	}
	err := c.stores[1].Compact(ctx, now)
	require.ErrorIs(t, err, mvcc.ErrCompacted)
	require.ErrorIs(t, err, ErrNotApplied)
	c.settled()
}

func TestAllMembersRestartWithoutLoss(t *testing.T) {
	for name, end := range map[string]func(*Store) error{"close": (*Store).Close, "abort": (*Store).Abort} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 3, nil)
			for i := range 200 {
				put(t, c.stores[uint64(i%3)+1], fmt.Sprintf("k%03d", i), fmt.Sprint(i))
			}
			lead := c.leader()
			// Its disk may be behind those of the two that have decided, and its state with it.
			require.NoError(t, lead.WaitReady(testContext(t)))
			revision := lead.Status().Revision
			require.Equal(t, int64(201), revision)
			for _, m := range c.members {
				c.stop(m.ID, end)
			}
			for _, m := range c.members {
				c.open(m.ID, nil)
			}
			for i := range 200 {
				require.Equal(t, fmt.Sprint(i), get(t, c.stores[uint64(i%3)+1], fmt.Sprintf("k%03d", i)))
			}
			require.Equal(t, revision, c.leader().Status().Revision)
			c.settled()
		})
	}
}

func TestSnapshotsShortenTheLogAndRestoreAFollower(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) {
		cfg.SnapshotEntries, cfg.CatchUpEntries = 100, 10
		cfg.SegmentSizeBytes = 16 << 10
	})
	value := string(make([]byte, 500))
	lead := c.leader().Status().MemberID
	away := lead%3 + 1
	put(t, c.stores[away], "before", "1")
	watcher, err := c.stores[lead].Watch(testContext(t), WatchOptions{Key: []byte{0}, End: []byte{0}, StartRevision: 2})
	require.NoError(t, err)
	defer watcher.Close()
	c.stop(away, (*Store).Abort)
	for i := range 700 {
		put(t, c.stores[lead], fmt.Sprintf("k%03d", i%50), value+fmt.Sprint(i))
	}
	require.Eventually(t, func() bool {
		s := c.stores[lead].Status()
		return s.SnapshotIndex > 500 && s.FirstIndex > 400
	}, 10*time.Second, 5*time.Millisecond)
	s := c.open(away, nil)
	require.Equal(t, value+"699", get(t, s, "k049"))
	require.Equal(t, "1", get(t, s, "before"))
	c.settled()
	require.NotZero(t, s.Status().SnapshotIndex)

	// Restart everybody from snapshots.
	for _, m := range c.members {
		c.stop(m.ID, (*Store).Abort)
	}
	for _, m := range c.members {
		c.open(m.ID, nil)
	}
	require.Equal(t, value+"699", get(t, c.stores[away], "k049"))
	put(t, c.stores[away], "after", "2")
	c.settled()
	for _, m := range c.members {
		segments := make(chan int, 1)
		n := c.stores[m.ID].node
		require.True(t, n.call(func() { segments <- n.replica.wal.Segments() }))
		require.Less(t, <-segments, 30, "member %d keeps old segments", m.ID)
	}
}

func TestRequestsAreCheckedBeforeTheyAreProposed(t *testing.T) {
	s, err := Open(t.TempDir(), Config{SegmentSizeBytes: 64 << 10, TickInterval: 5 * time.Millisecond, RequestSizeMax: 2000, TxnOpsMax: 2})
	require.NoError(t, err)
	defer s.Close()
	ctx := testContext(t)
	before := put(t, s, "k", "v").Revision
	many := Txn{Then: []Op{{Delete: &DeleteRequest{Key: []byte("a")}}, {Delete: &DeleteRequest{Key: []byte("b")}}, {Delete: &DeleteRequest{Key: []byte("c")}}}}
	twice := Txn{Then: []Op{{Put: &PutRequest{Key: []byte("a")}}, {Put: &PutRequest{Key: []byte("a")}}}}
	for name, test := range map[string]struct {
		call func() error
		want error
	}{
		"empty key":     {func() error { _, err := s.Put(ctx, PutRequest{}); return err }, mvcc.ErrEmptyKey},
		"large":         {func() error { _, err := s.Put(ctx, PutRequest{Key: make([]byte, 3000)}); return err }, ErrRequestTooLarge},
		"no lease":      {func() error { _, err := s.Put(ctx, PutRequest{Key: []byte("a"), Lease: 9}); return err }, mvcc.ErrLeaseNotFound},
		"no key":        {func() error { _, err := s.Put(ctx, PutRequest{Key: []byte("a"), IgnoreValue: true}); return err }, mvcc.ErrKeyNotFound},
		"delete":        {func() error { _, err := s.DeleteRange(ctx, DeleteRequest{}); return err }, mvcc.ErrEmptyKey},
		"too many":      {func() error { _, err := s.Txn(ctx, many); return err }, mvcc.ErrTooManyOps},
		"duplicate":     {func() error { _, err := s.Txn(ctx, twice); return err }, mvcc.ErrDuplicateKey},
		"nothing in op": {func() error { _, err := s.Txn(ctx, Txn{Then: []Op{{}}}); return err }, mvcc.ErrInvalidOp},
		"future":        {func() error { return s.Compact(ctx, 1000) }, mvcc.ErrFutureRevision},
	} {
		err := test.call()
		require.ErrorIs(t, err, test.want, name)
		require.ErrorIs(t, err, ErrNotApplied, name)
		require.NotErrorIs(t, err, ErrUnknownOutcome, name)
	}
	require.Equal(t, before, s.Status().Revision)
}

func TestOutcomesWithoutQuorum(t *testing.T) {
	c := newCluster(t, 3, nil)
	lead := c.leader().Status().MemberID
	put(t, c.stores[lead], "k", "v")
	for _, m := range c.members {
		if m.ID != lead {
			c.stop(m.ID, (*Store).Abort)
		}
	}
	s := c.stores[lead]
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	// The leader still believes in itself: the write is in its log.
	_, err := s.Put(ctx, PutRequest{Key: []byte("k"), Value: []byte("open")})
	require.ErrorIs(t, err, ErrUnknownOutcome)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Eventually(t, func() bool { return s.Status().Leader == 0 }, 10*time.Second, time.Millisecond, "a leader without a quorum steps down")

	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = s.Put(ctx, PutRequest{Key: []byte("k"), Value: []byte("never")})
	require.ErrorIs(t, err, ErrNotApplied, "what was never proposed can be taken back")
	_, err = s.Range(ctx, RangeOptions{Key: []byte("k")})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	r, err := s.Range(testContext(t), RangeOptions{Key: []byte("k"), Serializable: true})
	require.NoError(t, err)
	require.Equal(t, "v", string(r.KVs[0].Value))

	// Requests whose clients are gone do not fill the queues.
	require.Eventually(t, func() bool {
		status := s.Status()
		return status.PendingReads == 0 && status.PendingWrites == 1 // the one in the log
	}, 10*time.Second, time.Millisecond)

	waiting := make(chan error)
	go func() {
		_, err := s.Put(context.Background(), PutRequest{Key: []byte("k"), Value: []byte("late")})
		waiting <- err
	}()
	require.Eventually(t, func() bool { return s.Status().PendingWrites > 1 }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
	err = <-waiting
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, err, ErrNotApplied)
	_, err = s.Put(context.Background(), PutRequest{Key: []byte("k")})
	require.ErrorIs(t, err, ErrClosed)
	_, err = s.Range(context.Background(), RangeOptions{Key: []byte("k"), Serializable: true})
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, Stopped, s.Status().Role)
}

func TestLeadershipIsTransferred(t *testing.T) {
	c := newCluster(t, 3, nil)
	put(t, c.stores[1], "k", "v")
	old := c.leader()
	target := old.Status().MemberID%3 + 1
	require.NoError(t, old.TransferLeadership(testContext(t), target))
	require.Eventually(t, func() bool { return c.stores[target].Status().Role == Leader }, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, old.TransferLeadership(testContext(t), 0), ErrNotLeader)
	require.ErrorIs(t, c.stores[target].TransferLeadership(testContext(t), 77), ErrUnknownMember)
	require.NoError(t, c.stores[target].TransferLeadership(testContext(t), target), "it leads")
	put(t, old, "k", "w")
	require.Equal(t, "w", get(t, c.stores[target], "k"))
}

func TestOpenRefusesBadConfigs(t *testing.T) {
	three := []Member{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}
	for field, cfg := range map[string]Config{
		"ID":                 {Members: three},
		"Members[1].ID":      {ID: 1, Members: []Member{{1, "a:1"}, {1, "b:1"}}},
		"Members[0].ID":      {ID: 1, Members: []Member{{0, "a:1"}}},
		"Members[1].Address": {ID: 1, Members: []Member{{1, "a:1"}, {2, "b"}}},
		"TickInterval":       {TickInterval: 1},
		"ElectionTicks":      {HeartbeatTicks: 5, ElectionTicks: 5},
		"SegmentSizeBytes":   {SegmentSizeBytes: 1},
		"RequestSizeMax":     {RequestSizeMax: -1},
	} {
		_, err := Open(t.TempDir(), cfg)
		require.ErrorIs(t, err, ErrConfig, field)
		require.ErrorContains(t, err, field)
	}
	_, err := Open(t.TempDir(), Config{ID: 4, Members: three})
	require.ErrorContains(t, err, "ID is 4")
}

func TestOpenRefusesAnotherIdentity(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{SegmentSizeBytes: 64 << 10, TickInterval: 5 * time.Millisecond, ClusterToken: "shop"}
	s, err := Open(dir, cfg)
	require.NoError(t, err)
	_, err = Open(dir, cfg)
	require.Error(t, err, "the directory is in use")
	require.NoError(t, s.Close())
	for _, change := range []func(*Config){
		func(c *Config) { c.ClusterToken = "bank" },
		func(c *Config) { c.ID, c.Members = 2, []Member{{2, ""}} },
	} {
		other := cfg
		change(&other)
		_, err := Open(dir, other)
		require.ErrorIs(t, err, ErrWrongCluster)
	}
}

func TestStatusAndDescription(t *testing.T) {
	c := newCluster(t, 3, nil)
	put(t, c.stores[1], "k", "v")
	lead := c.leader()
	require.Eventually(t, func() bool {
		for _, m := range lead.Status().Members {
			if !m.Active || m.Match < lead.Status().Applied {
				return false
			}
		}
		return true
	}, 10*time.Second, time.Millisecond)
	text := lead.Describe()
	for _, m := range c.members {
		require.Contains(t, text, m.Address)
	}
	require.Contains(t, text, "leader  term")
	var errs []error
	for _, m := range c.members {
		_, err := c.stores[m.ID].HashKV(0)
		errs = append(errs, err)
	}
	require.NoError(t, errors.Join(errs...))
}
