package raftstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	_ "unsafe" // for linkname

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/pkg/v3/adt"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/etcd/server/v3/etcdserver/txn"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	ours "github.com/orchcore/orchcore/raftstore/mvcc"
)

// What etcd's gRPC layer checks before a request reaches the store.

//go:linkname checkTxnRequest go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.checkTxnRequest
func checkTxnRequest(r *pb.TxnRequest, maxTxnOps int) error

//go:linkname checkIntervals go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.checkIntervals
func checkIntervals(reqs []*pb.RequestOp) (map[string]struct{}, adt.IntervalTree, error)

//go:linkname checkRangeRequest go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.checkRangeRequest
func checkRangeRequest(r *pb.RangeRequest) error

//go:linkname checkPutRequest go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.checkPutRequest
func checkPutRequest(r *pb.PutRequest) error

//go:linkname checkDeleteRequest go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.checkDeleteRequest
func checkDeleteRequest(r *pb.DeleteRangeRequest) error

const maxTxnOps = 12 // small, so that scripts run into it

// etcd is the data model of an etcd member: its store, its lessor, and the code
// that applies committed requests to them.
type etcd struct {
	dir    string
	lg     *zap.Logger
	be     backend.Backend
	lessor lease.Lessor
	kv     mvcc.WatchableKV
	stream mvcc.WatchStream
}

// newEtcd opens a store in a temporary directory without fsync: nothing is to
// survive.
func newEtcd() (*etcd, error) {
	dir, err := os.MkdirTemp("", "parity-etcd")
	if err != nil {
		return nil, err
	}
	// A fatal log line must be an answer, not the end of the process.
	lg := zap.NewNop().WithOptions(zap.WithFatalHook(zapcore.WriteThenPanic))
	cfg := backend.DefaultBackendConfig(lg)
	cfg.Path = filepath.Join(dir, "db")
	cfg.UnsafeNoFsync = true
	cfg.BatchInterval = time.Hour
	cfg.MmapSize = 1 << 20
	e := &etcd{dir: dir, lg: lg, be: backend.New(cfg)}
	tx := e.be.BatchTx()
	tx.LockOutsideApply()
	schema.UnsafeCreateLeaseBucket(tx)
	tx.Unlock()
	e.lessor = lease.NewLessor(lg, e.be, nil, lease.LessorConfig{MinLeaseTTL: 1})
	e.kv = mvcc.New(lg, e.be, e.lessor, mvcc.StoreConfig{})
	e.stream = e.kv.NewWatchStream()
	return e, nil
}

// close ends what newEtcd began. After a panic the store's locks are held:
// then only the files go.
func (e *etcd) close(panicked bool) {
	if !panicked {
		e.stream.Close()
		_ = e.kv.Close()
		e.lessor.Stop()
		_ = e.be.Close()
	}
	_ = os.RemoveAll(e.dir)
}

func (e *etcd) put(r *ours.PutRequest) (*ours.PutResult, error) {
	p := pbPut(r)
	if err := checkPutRequest(p); err != nil {
		return nil, err
	}
	resp, _, err := txn.Put(context.Background(), e.lg, e.lessor, e.kv, p)
	if err != nil {
		return nil, err
	}
	return ourPut(resp), nil
}

func (e *etcd) delete(r *ours.DeleteRequest) (*ours.DeleteResult, error) {
	p := pbDelete(r)
	if err := checkDeleteRequest(p); err != nil {
		return nil, err
	}
	resp, _, err := txn.DeleteRange(context.Background(), e.lg, e.kv, p)
	if err != nil {
		return nil, err
	}
	return ourDelete(resp), nil
}

func (e *etcd) rangeKeys(o *ours.RangeOptions) (*ours.RangeResult, error) {
	p := pbRange(o)
	if err := checkRangeRequest(p); err != nil {
		return nil, err
	}
	resp, _, err := txn.Range(context.Background(), e.lg, e.kv, p, true)
	if err != nil {
		return nil, err
	}
	return ourRange(resp), nil
}

func (e *etcd) txn(t *ours.Txn) (*ours.TxnResult, error) {
	p := pbTxn(t)
	if err := checkTxnRequest(p, maxTxnOps); err != nil {
		return nil, err
	}
	if _, _, err := checkIntervals(p.Success); err != nil {
		return nil, err
	}
	if _, _, err := checkIntervals(p.Failure); err != nil {
		return nil, err
	}
	resp, _, err := txn.Txn(context.Background(), e.lg, p, false, e.kv, e.lessor, false)
	if err != nil {
		return nil, err
	}
	return ourTxn(resp), nil
}

// compact waits for the physical part, so that what it does wrong is seen.
func (e *etcd) compact(revision int64) error {
	done, err := e.kv.Compact(traceutil.TODO(), revision)
	if err == nil {
		<-done
	}
	return err
}

func (e *etcd) grant(id, ttl int64) error {
	_, err := e.lessor.Grant(lease.LeaseID(id), ttl)
	return err
}

func (e *etcd) revoke(id int64) error { return e.lessor.Revoke(lease.LeaseID(id)) }

// leaseKeys are in no order.
func (e *etcd) leaseKeys(id int64) []string {
	if l := e.lessor.Lookup(lease.LeaseID(id)); l != nil {
		return l.Keys()
	}
	return nil
}

// upstreamError names an error by the sentinel that ours has for it.
func upstreamError(err error) string {
	for _, pair := range []struct{ upstream, ours error }{
		{mvcc.ErrCompacted, ours.ErrCompacted},
		{mvcc.ErrFutureRev, ours.ErrFutureRevision},
		{mvcc.ErrEmptyWatcherRange, ours.ErrEmptyWatchRange},
		{lease.ErrLeaseNotFound, ours.ErrLeaseNotFound},
		{lease.ErrLeaseExists, ours.ErrLeaseExists},
		{lease.ErrLeaseTTLTooLarge, ours.ErrLeaseTTLTooLarge},
		{etcderrors.ErrKeyNotFound, ours.ErrKeyNotFound},
		{rpctypes.ErrGRPCEmptyKey, ours.ErrEmptyKey},
		{rpctypes.ErrGRPCValueProvided, ours.ErrValueProvided},
		{rpctypes.ErrGRPCLeaseProvided, ours.ErrLeaseProvided},
		{rpctypes.ErrGRPCTooManyOps, ours.ErrTooManyOps},
		{rpctypes.ErrGRPCDuplicateKey, ours.ErrDuplicateKey},
		{rpctypes.ErrGRPCInvalidSortOption, ours.ErrInvalidSortOption},
		{rpctypes.ErrGRPCKeyNotFound, ours.ErrInvalidOp},
	} {
		if errors.Is(err, pair.upstream) {
			return pair.ours.Error()
		}
	}
	return fmt.Sprintf("unknown error %q", err)
}
