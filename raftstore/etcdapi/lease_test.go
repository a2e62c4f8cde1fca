package etcdapi

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func TestLease(t *testing.T) {
	c := newCluster(t, 3, nil)
	client, ctx := c.client(), c.ctx()
	l, err := client.Grant(ctx, 60)
	require.NoError(t, err)
	require.Equal(t, int64(60), l.TTL)
	for _, k := range []string{"a", "b"} {
		_, err = client.Put(ctx, k, "", clientv3.WithLease(l.ID))
		require.NoError(t, err)
	}
	life, err := client.TimeToLive(ctx, l.ID, clientv3.WithAttachedKeys())
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("a"), []byte("b")}, life.Keys)
	list, err := client.Leases(ctx)
	require.NoError(t, err)
	require.Len(t, list.Leases, 1)
	before, err := client.Get(ctx, "a")
	require.NoError(t, err)
	_, err = client.Revoke(ctx, l.ID)
	require.NoError(t, err)
	after, err := client.Get(ctx, "a")
	require.NoError(t, err)
	require.Empty(t, after.Kvs)
	require.Equal(t, before.Header.Revision+1, after.Header.Revision, "all keys go in one revision")
	_, err = client.Revoke(ctx, l.ID)
	require.ErrorIs(t, err, rpctypes.ErrLeaseNotFound)
	life, err = client.TimeToLive(ctx, l.ID)
	require.NoError(t, err)
	require.Equal(t, int64(-1), life.TTL)
	_, err = client.KeepAliveOnce(ctx, l.ID)
	require.ErrorIs(t, err, rpctypes.ErrLeaseNotFound)
}

// A lease that is kept alive survives its time and the leader; one that is not, ends.
func TestLeaseKeepAlive(t *testing.T) {
	c := newCluster(t, 3, nil)
	client, ctx := c.client(), c.ctx()
	kept, err := client.Grant(ctx, 2)
	require.NoError(t, err)
	left, err := client.Grant(ctx, 2)
	require.NoError(t, err)
	_, err = client.Put(ctx, "kept", "", clientv3.WithLease(kept.ID))
	require.NoError(t, err)
	_, err = client.Put(ctx, "left", "", clientv3.WithLease(left.ID))
	require.NoError(t, err)
	answers, err := client.KeepAlive(ctx, kept.ID)
	require.NoError(t, err)
	go func() {
		for range answers {
		}
	}()
	c.kill(c.leader())
	begun := time.Now()
	require.Eventually(t, func() bool {
		call, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		r, err := client.Get(call, "left")
		return err == nil && len(r.Kvs) == 0
	}, 30*time.Second, 50*time.Millisecond)
	for time.Since(begun) < 5*time.Second { // twice the time to live, and a half
		time.Sleep(100 * time.Millisecond)
	}
	r, err := client.Get(ctx, "kept")
	require.NoError(t, err)
	require.Len(t, r.Kvs, 1)
}

// The recipes of etcd's client.
func TestRecipes(t *testing.T) {
	c := newCluster(t, 3, nil)
	ctx := c.ctx()
	session := func() *concurrency.Session {
		s, err := concurrency.NewSession(c.client(), concurrency.WithTTL(10))
		require.NoError(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	one, two := session(), session()
	m1, m2 := concurrency.NewMutex(one, "/lock"), concurrency.NewMutex(two, "/lock")
	require.NoError(t, m1.Lock(ctx))
	require.ErrorIs(t, m2.TryLock(ctx), concurrency.ErrLocked)
	locked := make(chan error, 1)
	go func() { locked <- m2.Lock(ctx) }()
	select {
	case err := <-locked:
		t.Fatal("two hold the lock", err)
	case <-time.After(100 * time.Millisecond):
	}
	require.NoError(t, m1.Unlock(ctx))
	require.NoError(t, <-locked)

	e1, e2 := concurrency.NewElection(one, "/elect"), concurrency.NewElection(two, "/elect")
	require.NoError(t, e1.Campaign(ctx, "one"))
	r, err := e2.Leader(ctx)
	require.NoError(t, err)
	require.Equal(t, "one", string(r.Kvs[0].Value))
	elected := make(chan error, 1)
	go func() { elected <- e2.Campaign(ctx, "two") }()
	require.NoError(t, one.Close()) // its lease and so its candidacy end
	require.NoError(t, <-elected)

	stm, err := concurrency.NewSTM(c.client(), func(s concurrency.STM) error {
		s.Put("sum", s.Get("sum")+"x")
		return nil
	})
	require.NoError(t, err)
	require.True(t, stm.Succeeded)
}
