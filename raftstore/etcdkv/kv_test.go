package etcdkv

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/kvtest"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

func newClient(t testing.TB, hosts []string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: hosts, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// What holds for a store holds for etcd.
func TestOnEtcd(t *testing.T) {
	kvtest.Test(t, func(t *testing.T) raftstore.KV { return New(newClient(t, startEtcds(t, 3))) })
}

func TestOutcomes(t *testing.T) {
	client := newClient(t, startEtcds(t, 1))
	kv := New(client)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := kv.Put(ctx, raftstore.PutRequest{Key: []byte("a")})
	require.ErrorIs(t, err, raftstore.ErrNotApplied)
	require.ErrorIs(t, err, context.Canceled)
	_, err = kv.Watch(ctx, raftstore.WatchOptions{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = kv.Txn(context.Background(), raftstore.Txn{Then: []raftstore.Op{{}}})
	require.ErrorIs(t, err, mvcc.ErrInvalidOp)
	require.ErrorIs(t, err, raftstore.ErrNotApplied)
	_, err = kv.Watch(context.Background(), raftstore.WatchOptions{Key: []byte("b"), End: []byte("a")})
	require.ErrorIs(t, err, mvcc.ErrEmptyWatchRange)
	_, err = kv.Watch(context.Background(), raftstore.WatchOptions{StartRevision: -1})
	require.ErrorIs(t, err, mvcc.ErrCompacted)

	w, err := kv.Watch(context.Background(), raftstore.WatchOptions{Key: []byte("a")})
	require.NoError(t, err)
	require.NoError(t, client.Close())
	_, err = w.Next(context.Background())
	require.Error(t, err)
	call, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err = kv.Put(call, raftstore.PutRequest{Key: []byte("a")})
	require.ErrorIs(t, err, raftstore.ErrUnknownOutcome)
}
