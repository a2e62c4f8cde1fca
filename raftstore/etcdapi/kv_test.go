package etcdapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestKV(t *testing.T) {
	c := newCluster(t, 3, nil)
	kv, ctx := c.client(), c.ctx()
	put, err := kv.Put(ctx, "a", "1")
	require.NoError(t, err)
	require.Equal(t, int64(2), put.Header.Revision)
	require.Equal(t, c.nodes[1].store.ClusterID(), put.Header.ClusterId)
	require.NotZero(t, put.Header.MemberId)
	require.NotZero(t, put.Header.RaftTerm)
	put, err = kv.Put(ctx, "a", "2", clientv3.WithPrevKV())
	require.NoError(t, err)
	require.Equal(t, "1", string(put.PrevKv.Value))

	for i := range 9 {
		_, err = kv.Put(ctx, fmt.Sprint("p/", i), fmt.Sprint(9-i))
		require.NoError(t, err)
	}
	got, err := kv.Get(ctx, "p/", clientv3.WithPrefix(), clientv3.WithLimit(3))
	require.NoError(t, err)
	require.Len(t, got.Kvs, 3)
	require.Equal(t, int64(9), got.Count)
	require.True(t, got.More)
	got, err = kv.Get(ctx, "p/", clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend))
	require.NoError(t, err)
	require.Equal(t, "p/8", string(got.Kvs[0].Key))
	got, err = kv.Get(ctx, "a", clientv3.WithRev(2))
	require.NoError(t, err)
	require.Equal(t, "1", string(got.Kvs[0].Value))
	got, err = kv.Get(ctx, "a", clientv3.WithSerializable())
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)

	del, err := kv.Delete(ctx, "p/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	require.NoError(t, err)
	require.Equal(t, int64(9), del.Deleted)
	require.Len(t, del.PrevKvs, 9)

	txn, err := kv.Txn(ctx).
		If(clientv3.Compare(clientv3.Version("a"), "=", 2), clientv3.Compare(clientv3.Value("a"), "=", "2")).
		Then(clientv3.OpPut("a", "3"), clientv3.OpTxn(
			[]clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision("b"), "=", 0)},
			[]clientv3.Op{clientv3.OpPut("b", "x"), clientv3.OpGet("a")}, nil)).
		Else(clientv3.OpGet("a")).Commit()
	require.NoError(t, err)
	require.True(t, txn.Succeeded)
	nested := txn.Responses[1].GetResponseTxn()
	require.Equal(t, "3", string(nested.Responses[1].GetResponseRange().Kvs[0].Value))

	_, err = kv.Compact(ctx, txn.Header.Revision)
	require.NoError(t, err)
	_, err = kv.Get(ctx, "a", clientv3.WithRev(2))
	require.ErrorIs(t, err, rpctypes.ErrCompacted)
	_, err = kv.Get(ctx, "a", clientv3.WithRev(1000))
	require.ErrorIs(t, err, rpctypes.ErrFutureRev)
}

func TestRangeStream(t *testing.T) {
	c := newCluster(t, 1, func(cfg *Config) { cfg.RequestSizeMax = 4 << 10 })
	kv, ctx := c.client(), c.ctx()
	for i := range 300 {
		_, err := kv.Put(ctx, fmt.Sprintf("p/%03d", i), strings.Repeat("v", 100))
		require.NoError(t, err)
	}
	read := func(opts ...clientv3.OpOption) (kvs, pieces int, last clientv3.RangeStreamResponse) {
		ch, err := kv.GetStream(ctx, "p/", append(opts, clientv3.WithPrefix())...)
		require.NoError(t, err)
		for r := range ch {
			if r.RangeResponse == nil {
				require.NoError(t, r.Err())
				continue
			}
			kvs += len(r.Kvs)
			pieces++
			last = r
		}
		return kvs, pieces, last
	}
	kvs, pieces, last := read()
	require.Equal(t, 300, kvs)
	require.Greater(t, pieces, 5)
	require.Equal(t, int64(300), last.Count)
	require.Equal(t, int64(301), last.Header.Revision)
	kvs, _, last = read(clientv3.WithLimit(37))
	require.Equal(t, 37, kvs)
	require.True(t, last.More)
	require.Equal(t, int64(300), last.Count)
	kvs, _, last = read(clientv3.WithRev(11))
	require.Equal(t, 10, kvs)
	require.Equal(t, int64(301), last.Header.Revision)
	kvs, _, last = read(clientv3.WithCountOnly())
	require.Zero(t, kvs)
	require.Equal(t, int64(300), last.Count)
}

// Errors must be those that clients compare with.
func TestErrors(t *testing.T) {
	c := newCluster(t, 1, nil)
	kv, ctx := c.client(), c.ctx()
	many := make([]clientv3.Op, 129)
	for i := range many {
		many[i] = clientv3.OpPut(fmt.Sprint(i), "")
	}
	for name, want := range map[string]struct {
		call func() error
		err  error
	}{
		"empty key":    {func() error { _, err := kv.Put(ctx, "", "v"); return err }, rpctypes.ErrEmptyKey},
		"too large":    {func() error { _, err := kv.Put(ctx, "k", strings.Repeat("v", 3<<19)); return err }, rpctypes.ErrRequestTooLarge},
		"too many ops": {func() error { _, err := kv.Txn(ctx).Then(many...).Commit(); return err }, rpctypes.ErrTooManyOps},
		"duplicate": {func() error {
			_, err := kv.Txn(ctx).Then(clientv3.OpPut("a", ""), clientv3.OpPut("a", "")).Commit()
			return err
		}, rpctypes.ErrDuplicateKey},
		"no such lease": {func() error { _, err := kv.Put(ctx, "k", "v", clientv3.WithLease(7)); return err }, rpctypes.ErrLeaseNotFound},
		"ignored value": {func() error { _, err := kv.Put(ctx, "none", "", clientv3.WithIgnoreValue()); return err }, rpctypes.ErrKeyNotFound},
		"future":        {func() error { _, err := kv.Compact(ctx, 99); return err }, rpctypes.ErrFutureRev},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, want.err, want.call()) })
	}
	_, err := kv.Put(ctx, "k", strings.Repeat("v", 3<<20)) // does not even arrive
	require.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
}
