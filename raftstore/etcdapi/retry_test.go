package etcdapi

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// etcd's client repeats a read that a member could not answer at another one, so
// reads do not fail while one of three members is away; and a put only if it was not
// sent, so that one that has failed may be there or not, and none is there twice.
func TestClientsRetry(t *testing.T) {
	c := newCluster(t, 3, nil)
	client, ctx := c.client(), c.ctx()
	_, err := client.Put(ctx, "read", "v")
	require.NoError(t, err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	reads, puts, failed := 0, 0, 0
	wg.Go(func() {
		for ; ; reads++ {
			select {
			case <-stop:
				return
			default:
			}
			r, err := client.Get(ctx, "read")
			if err != nil || len(r.Kvs) != 1 {
				t.Errorf("read %d: %v, %v", reads, r, err)
				return
			}
		}
	})
	done := map[string]bool{}
	wg.Go(func() {
		for ; ; puts++ {
			select {
			case <-stop:
				return
			default:
			}
			key := fmt.Sprintf("put/%06d", puts)
			call, cancel := context.WithTimeout(ctx, 3*time.Second)
			_, err := client.Put(call, key, "v")
			cancel()
			if done[key] = err == nil; err != nil {
				failed++
			}
		}
	})
	for range 4 {
		leader := c.leader()
		c.kill(leader)
		time.Sleep(300 * time.Millisecond)
		c.restart(leader)
		time.Sleep(300 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	r, err := client.Get(ctx, "put/", clientv3.WithPrefix())
	require.NoError(t, err)
	there := map[string]bool{}
	for _, kv := range r.Kvs {
		require.Equal(t, int64(1), kv.Version, "%s was put once", kv.Key)
		there[string(kv.Key)] = true
	}
	for key, ok := range done {
		require.True(t, there[key] || !ok, "%s was acknowledged", key)
	}
	require.NotZero(t, reads)
	require.Greater(t, puts, failed)
	t.Logf("the leader was killed 4 times: %d reads, none failed; %d puts, %d failed", reads, puts, failed)
}

// A client that knows all members finds those that lead after another, and its lease
// and its watch go on.
func TestClientsSurviveTheirMember(t *testing.T) {
	c := newCluster(t, 3, nil)
	client, ctx := c.client(), c.ctx()
	lease, err := client.Grant(ctx, 3)
	require.NoError(t, err)
	answers, err := client.KeepAlive(ctx, lease.ID)
	require.NoError(t, err)
	kept := make(chan int64, 1)
	go func() {
		for a := range answers {
			select {
			case kept <- a.TTL:
			default:
			}
		}
		close(kept)
	}()
	_, err = client.Put(ctx, "leased", "v", clientv3.WithLease(lease.ID))
	require.NoError(t, err)
	watch := client.Watch(ctx, "leased", clientv3.WithRev(1), clientv3.WithPrevKV())
	require.Len(t, next(t, watch).Events, 1)
	for id := uint64(1); id <= 3; id++ { // whichever it is connected to
		c.kill(id)
		require.Eventually(t, func() bool {
			call, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := client.Put(call, "other", "v")
			return err == nil
		}, 20*time.Second, tick)
		c.restart(id)
	}
	for range 2 { // an answer may have been waiting
		select {
		case ttl, ok := <-kept:
			require.True(t, ok, "the client has given its lease up")
			require.Equal(t, int64(3), ttl)
		case <-time.After(20 * time.Second):
			t.Fatal("the lease is not kept alive")
		}
	}
	_, err = client.Revoke(ctx, lease.ID)
	require.NoError(t, err)
	r := next(t, watch)
	require.NoError(t, r.Err())
	require.Len(t, r.Events, 1)
	require.Equal(t, clientv3.EventTypeDelete, r.Events[0].Type)
	require.Equal(t, "v", string(r.Events[0].PrevKv.Value))
	_, err = client.KeepAliveOnce(ctx, lease.ID)
	require.ErrorIs(t, err, rpctypes.ErrLeaseNotFound)
}
