package etcdkv

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// KV is the key-value store of a cluster of etcd.
type KV struct {
	client *clientv3.Client
	kv     pb.KVClient
	lease  pb.LeaseClient
}

var _ raftstore.LeasedKV = (*KV)(nil)

// New returns the store behind a client. The client stays the caller's and must be
// open as long as the store is used.
func New(client *clientv3.Client) *KV {
	// These retry what can be repeated safely, as the client's own methods do.
	return &KV{client: client, kv: clientv3.RetryKVClient(client), lease: clientv3.RetryLeaseClient(client)}
}

// Put implements raftstore.KV.
func (k *KV) Put(ctx context.Context, r raftstore.PutRequest) (raftstore.PutResult, error) {
	if err := started(ctx); err != nil {
		return raftstore.PutResult{}, err
	}
	m, err := k.kv.Put(ctx, pbPut(&r))
	if err != nil {
		return raftstore.PutResult{}, writeError(ctx, err)
	}
	return *putResult(m), nil
}

// Range implements raftstore.KV.
func (k *KV) Range(ctx context.Context, o raftstore.RangeOptions) (raftstore.RangeResult, error) {
	m, err := k.kv.Range(ctx, pbRange(&o))
	if err != nil {
		return raftstore.RangeResult{}, readError(ctx, err)
	}
	return *rangeResult(m), nil
}

// DeleteRange implements raftstore.KV.
func (k *KV) DeleteRange(ctx context.Context, r raftstore.DeleteRequest) (raftstore.DeleteResult, error) {
	if err := started(ctx); err != nil {
		return raftstore.DeleteResult{}, err
	}
	m, err := k.kv.DeleteRange(ctx, pbDelete(&r))
	if err != nil {
		return raftstore.DeleteResult{}, writeError(ctx, err)
	}
	return *deleteResult(m), nil
}

// Txn implements raftstore.KV.
func (k *KV) Txn(ctx context.Context, t raftstore.Txn) (raftstore.TxnResult, error) {
	if err := started(ctx); err != nil {
		return raftstore.TxnResult{}, err
	}
	// The form is checked here: an operation of no kind has no message.
	if err := mvcc.Validate(&t, mvcc.Limits{MaxTxnOps: checkedByEtcd, MaxRequestBytes: checkedByEtcd}); err != nil {
		return raftstore.TxnResult{}, notApplied(err)
	}
	m, err := k.kv.Txn(ctx, pbTxn(&t))
	if err != nil {
		if t.ReadOnly() {
			return raftstore.TxnResult{}, notApplied(readError(ctx, err))
		}
		return raftstore.TxnResult{}, writeError(ctx, err)
	}
	return *txnResult(m), nil
}

// checkedByEtcd stands for limits that the cluster sets.
const checkedByEtcd = 1 << 30

// Compact implements raftstore.KV.
func (k *KV) Compact(ctx context.Context, revision int64) error {
	if err := started(ctx); err != nil {
		return err
	}
	_, err := k.kv.Compact(ctx, &pb.CompactionRequest{Revision: revision})
	return writeError(ctx, err)
}
