package raftstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/orchcore/orchcore/raftstore/transport"
)

// Store is one open member. All methods are safe for concurrent use.
type Store struct {
	node *node
	kv   *mvcc.Store
	// alarms are those of the state.
	alarms *alarmSet
	cfg    Config
	close  sync.Once
	// closed is what Close or Abort has returned.
	closed error
	// leasesNamed counts the lease ids that were chosen here.
	leasesNamed atomic.Uint64
	// updates line up the callers of Update.
	updates updateChains
}

var _ KV = (*Store)(nil)

// Open starts a member whose files live in dir: a new one when dir is empty or
// missing, otherwise the one that was there, as it was. Open the same way on
// every member and at every start. It does not wait for a leader; calls do.
func Open(dir string, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	s, err := open(dir, cfg)
	if err != nil && cfg.Listener != nil {
		err = errors.Join(err, cfg.Listener.Close())
	}
	return s, err
}

func open(dir string, cfg Config) (*Store, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r, err := openReplica(dir, cfg)
	if err != nil {
		return nil, fmt.Errorf("raftstore: open %s: %w", dir, err)
	}
	n := &node{replica: r, cfg: cfg, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	network, err := openTransport(&cfg, r.clusterID, n)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("raftstore: open %s: %w", dir, err), r.wal.Abort())
	}
	n.net = network
	r.background, r.complete = n.background, n.complete
	started := time.Now()
	r.now = func() time.Duration { return time.Since(started) }
	r.disk.pacer = n.pacer
	r.attach(network)
	n.start()
	return &Store{node: n, kv: r.core.state.store, alarms: r.core.state.alarms, cfg: cfg}, nil
}

// openTransport listens for peers; a member without an address has none.
func openTransport(cfg *Config, clusterID uint64, h transport.Handler) (transport.Transport, error) {
	if cfg.Transport != nil {
		return cfg.Transport(clusterID, cfg.ID, h)
	}
	listener := cfg.Listener
	if listener == nil {
		address := cfg.Listen
		for _, m := range cfg.Members {
			if m.ID == cfg.ID && address == "" {
				address = m.Address
			}
		}
		if address == "" {
			return transport.Nowhere{}, nil
		}
		var err error
		if listener, err = net.Listen("tcp", address); err != nil {
			return nil, err
		}
	}
	return transport.NewTCP(transport.Config{
		ClusterID: clusterID, MemberID: cfg.ID, Listener: listener, Handler: h,
		TLS: cfg.TLS, QueueSizeMax: cfg.PeerQueueSizeMax,
	})
}

// requests are reused with their buffers and channels: a write allocates nothing
// here.
var requests = sync.Pool{New: func() any { return &request{done: make(chan struct{}, 1)} }}

// bodyKeepMax is the largest body that is kept for the next request, in bytes.
const bodyKeepMax = 64 << 10

func newRequest(kind commandKind) *request {
	r := requests.Get().(*request)
	r.kind = kind
	return r
}

// recycle takes a request back that is done and that nobody else knows any more.
func recycle(r *request) {
	body := r.body[:0]
	if cap(body) > bodyKeepMax {
		body = nil
	}
	*r = request{body: body, done: r.done}
	requests.Put(r)
}

// write proposes a request and waits for its outcome.
func (s *Store) write(ctx context.Context, r *request) (result, error) {
	if err := s.start(ctx, r); err != nil {
		return result{}, notApplied(err)
	}
	return s.await(ctx, r)
}

// start hands a request over. An error means that it was not taken.
func (s *Store) start(ctx context.Context, r *request) (err error) {
	switch {
	case len(r.body) > s.cfg.RequestSizeMax:
		err = fmt.Errorf("%w: %d bytes, at most %d", ErrRequestTooLarge, len(r.body), s.cfg.RequestSizeMax)
	case ctx.Err() != nil:
		err = contextReason(ctx)
	default:
		err = s.node.submit(r)
	}
	if err != nil {
		recycle(r)
	}
	return err
}

// await waits for the outcome of a request that was started.
func (s *Store) await(ctx context.Context, r *request) (result, error) {
	select {
	case <-r.done:
	case <-ctx.Done():
		var err error
		if r.claimed.take() {
			err = notApplied(contextReason(ctx))
			return result{err: err}, err
		}
		select {
		case <-r.done: // it was done at the same moment
		default:
			err = unknown(contextReason(ctx))
			return result{err: err}, err
		}
	}
	res := r.result
	recycle(r)
	if res.err != nil && !errors.Is(res.err, ErrUnknownOutcome) && !errors.Is(res.err, ErrNotApplied) {
		res.err = notApplied(res.err)
	}
	return res, res.err
}

// barrier waits until the local state is as new as every write acknowledged
// anywhere before the call.
func (s *Store) barrier(ctx context.Context) error { return s.barrierBy(ctx, ReadByQuorum) }

func (s *Store) barrierBy(ctx context.Context, by ReadOption) error {
	if ctx.Err() != nil {
		return contextReason(ctx)
	}
	r := newRequest(0)
	r.byLease = by == ReadByLease
	if err := s.node.submit(r); err != nil {
		recycle(r)
		return err
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		r.claimed.take()
		return contextReason(ctx)
	}
	err := r.result.err
	recycle(r)
	return err
}

// readable waits until a read may be answered from the local state.
func (s *Store) readable(ctx context.Context, serializable bool, by ReadOption) error {
	if !serializable {
		return s.barrierBy(ctx, by)
	}
	if ctx.Err() != nil {
		return contextReason(ctx)
	}
	return s.node.ended()
}

func (s *Store) limits() mvcc.Limits {
	return mvcc.Limits{MaxTxnOps: s.cfg.TxnOpsMax, MaxRequestBytes: s.cfg.RequestSizeMax}
}

// Put implements KV.
func (s *Store) Put(ctx context.Context, p PutRequest) (PutResult, error) {
	if err := mvcc.ValidatePut(&p, s.limits()); err != nil {
		return PutResult{}, notApplied(err)
	}
	if err := s.reserve(ctx, putCost(&p)); err != nil {
		return PutResult{}, notApplied(err)
	}
	r := newRequest(commandPut)
	r.body = appendPut(r.body, &p)
	res, err := s.write(ctx, r)
	return res.put, err
}

// DeleteRange implements KV.
func (s *Store) DeleteRange(ctx context.Context, d DeleteRequest) (DeleteResult, error) {
	if err := mvcc.ValidateDelete(&d); err != nil {
		return DeleteResult{}, notApplied(err)
	}
	r := newRequest(commandDelete)
	r.body = appendDelete(r.body, &d)
	res, err := s.write(ctx, r)
	return res.delete, err
}

// Txn implements KV.
func (s *Store) Txn(ctx context.Context, t Txn) (TxnResult, error) {
	return s.txnBy(ctx, t, ReadByQuorum)
}

func (s *Store) txnBy(ctx context.Context, t Txn, by ReadOption) (TxnResult, error) {
	if err := mvcc.Validate(&t, s.limits()); err != nil {
		return TxnResult{}, notApplied(err)
	}
	if t.ReadOnly() {
		if err := s.readable(ctx, serializable(&t), by); err != nil {
			return TxnResult{}, notApplied(err)
		}
		res, err := s.kv.ApplyReadOnly(&t)
		if err != nil {
			err = notApplied(err)
		}
		return res, err
	}
	if err := s.reserve(ctx, txnCost(&t)); err != nil {
		return TxnResult{}, notApplied(err)
	}
	r := newRequest(commandTxn)
	r.body = appendTxn(r.body, &t)
	res, err := s.write(ctx, r)
	return res.txn, err
}

// serializable reports whether a read-only transaction asks for local state in all
// of its ranges, and does not compare anything that would make a promise.
func serializable(t *Txn) bool {
	for _, ops := range [][]Op{t.Then, t.Else} {
		for i := range ops {
			if op := &ops[i]; op.Range != nil && !op.Range.Serializable || op.Txn != nil && !serializable(op.Txn) {
				return false
			}
		}
	}
	return len(t.Then)+len(t.Else) > 0
}

// Range implements KV.
func (s *Store) Range(ctx context.Context, o RangeOptions) (RangeResult, error) {
	return s.rangeBy(ctx, o, ReadByQuorum)
}

func (s *Store) rangeBy(ctx context.Context, o RangeOptions, by ReadOption) (RangeResult, error) {
	if err := mvcc.ValidateRange(&o); err != nil {
		return RangeResult{}, err
	}
	if err := s.readable(ctx, o.Serializable, by); err != nil {
		return RangeResult{}, err
	}
	return s.kv.Range(&o)
}

// Watch implements KV. Events come from this member's own state: in order and
// without holes, but a member that is behind delivers them later than others.
func (s *Store) Watch(ctx context.Context, o WatchOptions) (Watcher, error) {
	if err := ctx.Err(); err != nil {
		return nil, contextReason(ctx)
	}
	w, err := s.kv.Watch(o)
	if err != nil {
		return nil, s.closedInstead(err)
	}
	return &watcher{w, s}, nil
}

type watcher struct {
	*mvcc.Watcher
	store *Store
}

// Next implements Watcher.
func (w *watcher) Next(ctx context.Context) (WatchBatch, error) {
	batch, err := w.Watcher.Next(ctx)
	return batch, w.store.closedInstead(err)
}

// closedInstead says ErrClosed, or the failure of the member, for the end of the
// state below.
func (s *Store) closedInstead(err error) error {
	if !errors.Is(err, mvcc.ErrClosed) {
		return err
	}
	if failure := s.Err(); failure != nil {
		return failure
	}
	return ErrClosed
}

// Compact implements KV.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	r := newRequest(commandCompact)
	r.body = appendVarint(r.body, revision)
	_, err := s.write(ctx, r)
	return err
}

// HashKV digests what can be read between the compaction floor and a revision (0
// is the latest applied here): equal on all members with the same floor.
func (s *Store) HashKV(revision int64) (uint64, error) {
	return s.kv.Snapshot().HashKV(revision)
}

// WaitReady waits until the cluster has a leader that a quorum follows and this
// member has applied everything acknowledged before the call.
func (s *Store) WaitReady(ctx context.Context) error { return s.barrier(ctx) }
