package raftstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/auth"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3alarm"
	"go.etcd.io/etcd/server/v3/etcdserver/apply"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
	"go.etcd.io/etcd/server/v3/etcdserver/txn"
	"go.etcd.io/etcd/server/v3/lease"
	"go.etcd.io/etcd/server/v3/storage/schema"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/raftstore"
	ours "github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/orchcore/orchcore/raftstore/wal"
)

// The suite of this file holds a whole Store of ours, of one member on a disk in memory,
// against the code with which etcd's server applies entries: with its alarms, and its
// lessor as the leader's.

// serverStep is a step, or one about alarms and the life of leases.
type serverStep struct {
	step
	Raise  *raftstore.Alarm `json:"raise,omitempty"`
	Disarm *raftstore.Alarm `json:"disarm,omitempty"`
	Alarms bool             `json:"alarms,omitempty"`
	Leases bool             `json:"leases,omitempty"`
	Renew  *int64           `json:"renew,omitempty"`
	Life   *int64           `json:"life,omitempty"`
}

func serverSuite() compare.Suite {
	return &compare.Cases[[]serverStep]{
		Parts:    []string{"server-write", "server-lease", "server-alarm"},
		Generate: func(r *rand.Rand) []serverStep { return newGenerator(r).serverScript(80) },
		Compare:  compareServers,
		Shrink: func(c []serverStep) iter.Seq[[]serverStep] {
			return func(yield func([]serverStep) bool) {
				for n := len(c) / 2; n > 0; n /= 2 {
					for from := 0; from+n <= len(c); from += n {
						if !yield(slices.Delete(slices.Clone(c), from, from+n)) {
							return
						}
					}
				}
			}
		},
		Documented: []compare.Difference[[]serverStep]{{
			Differs: "a put that needs its key after a delete of it in the same transaction",
			Applies: func(_ []serverStep, d compare.Disagreement) bool {
				return d.Ours == ours.ErrKeyNotFound.Error() && strings.HasPrefix(d.Upstream, "panic: runtime error: index out of range [0]")
			},
		}, {
			Differs: "a key deleted and put again in one revision survives a compaction at that revision",
			Applies: func(_ []serverStep, d compare.Disagreement) bool {
				return strings.HasPrefix(d.Upstream, "panic: range failed to find revision pair")
			},
		}, {
			Differs: "a transaction whose nested transactions only read is read-only",
			Applies: func(c []serverStep, d compare.Disagreement) bool {
				return d.Part == "server-write" && d.Upstream == raftstore.ErrCorruptAlarm.Error() &&
					!strings.Contains(d.Ours, "put: revision") && !strings.Contains(d.Ours, "delete: revision") &&
					slices.ContainsFunc(c, func(s serverStep) bool {
						return s.Txn != nil && s.Txn.ReadOnly() && !txn.IsTxnReadonly(pbTxn(s.Txn))
					})
			},
		}},
	}
}

func (g *generator) serverScript(steps int) (script []serverStep) {
	for range steps {
		var s serverStep
		id := g.leaseID()
		a := &raftstore.Alarm{Member: 1, Type: raftstore.AlarmType(1 + g.r.IntN(2))}
		if g.one(3) {
			a.Type = raftstore.AlarmNoSpace
		}
		switch g.r.IntN(20) {
		case 0:
			s.Raise = a
		case 1, 2:
			s.Disarm = a
		case 3:
			s.Alarms = true
		case 4:
			s.Leases = true
		case 5:
			s.Renew = &id
		case 6:
			s.Life = &id
		case 7, 8:
			s.Grant = &ours.Lease{ID: id, TTL: g.ttl()}
		case 9:
			s.Revoke = &id
		default:
			if s.step = g.step(); s.Watch != nil || s.Restart || s.Grant != nil || comparesBadly(s.Txn) {
				continue
			}
		}
		script = append(script, s)
	}
	return script
}

// comparesBadly reports a comparison that only ours refuses; the suite of the data model
// has them.
func comparesBadly(t *ours.Txn) bool {
	return t != nil && slices.ContainsFunc(t.If, func(c ours.Compare) bool {
		return c.Target > ours.CompareLease || c.Operator > ours.NotEqual
	})
}

// servers are the two sides.
type servers struct {
	pair
	store   *raftstore.Store
	applier apply.UberApplier
}

func compareServers(c []serverStep, rec *compare.Record) {
	e, err := newEtcd()
	if err != nil {
		panic(fmt.Sprintf("compare: no etcd: %v", err))
	}
	applier, err := e.newApplier()
	if err != nil {
		panic(fmt.Sprintf("compare: no applier: %v", err))
	}
	store, err := raftstore.Open("server", raftstore.Config{
		FS: wal.NewMemFS(), SegmentSizeBytes: wal.SegmentSizeMin, TxnOpsMax: maxTxnOps,
		TickInterval: time.Millisecond, ElectionTicks: 2,
	})
	if err != nil {
		panic(fmt.Sprintf("compare: no store: %v", err))
	}
	defer func() { _ = store.Abort() }()
	p := &servers{pair: pair{rec: rec, etcd: e}, store: store, applier: applier}
	defer func() { e.close(p.panicked) }()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	for i := range c {
		if p.run(ctx, &c[i]); p.differed {
			return
		}
	}
	p.everything(ctx)
}

// soleLeader is what etcd's code asks about Raft.
type soleLeader struct{}

func (soleLeader) MemberID() types.ID     { return 1 }
func (soleLeader) Leader() types.ID       { return 1 }
func (soleLeader) CommittedIndex() uint64 { return 1 }
func (soleLeader) AppliedIndex() uint64   { return 1 }
func (soleLeader) Term() uint64           { return 1 }
func (soleLeader) ForceSnapshot()         {}

// newApplier makes what applies entries in etcd's server, with the lessor as that of a
// leader.
func (e *etcd) newApplier() (apply.UberApplier, error) {
	backend := schema.NewAlarmBackend(e.lg, e.be)
	backend.CreateAlarmBucket()
	alarms, err := v3alarm.NewAlarmStore(e.lg, backend)
	if err != nil {
		return nil, err
	}
	tokens, err := auth.NewTokenProvider(e.lg, "", nil, 0)
	if err != nil {
		return nil, err
	}
	e.lessor.Promote(0)
	return apply.NewUberApplier(apply.ApplierOptions{
		Logger: zap.NewNop(), KV: e.kv, AlarmStore: alarms, Lessor: e.lessor, Backend: e.be,
		AuthStore: auth.NewAuthStore(e.lg, schema.NewAuthBackend(e.lg, e.be), tokens, 4),
		Cluster:   membership.NewCluster(e.lg), RaftStatus: soleLeader{}, SnapshotServer: soleLeader{},
		WarningApplyDuration: time.Hour,
	}), nil
}

func (p *servers) apply(r *pb.InternalRaftRequest) (any, error) {
	result := p.applier.Apply(&apply.InternalRaftRequestWrapper{InternalRaftRequest: r}, membership.ApplyBoth)
	if result.Physc != nil {
		<-result.Physc
	}
	return result.Resp, result.Err
}

func (p *servers) run(ctx context.Context, s *serverStep) {
	switch {
	case s.Put != nil, s.Delete != nil, s.Txn != nil, s.Compact != nil, s.Range != nil:
		p.write(ctx, &s.step)
	case s.Raise != nil:
		p.alarm(ctx, pb.AlarmRequest_ACTIVATE, *s.Raise, p.store.RaiseAlarm)
	case s.Disarm != nil:
		p.alarm(ctx, pb.AlarmRequest_DEACTIVATE, *s.Disarm, p.store.DisarmAlarm)
	case s.Alarms:
		p.alarms(ctx)
	default:
		p.lease(ctx, s)
	}
}

func (p *servers) write(ctx context.Context, s *step) {
	p.answer("server-write", func() string { return p.upstreamWrite(s) }, func() string {
		switch {
		case s.Put != nil:
			r, err := p.store.Put(ctx, *s.Put)
			return text(showPut, serverError, &r, err)
		case s.Delete != nil:
			r, err := p.store.DeleteRange(ctx, *s.Delete)
			return text(showDelete, serverError, &r, err)
		case s.Txn != nil:
			r, err := p.store.Txn(ctx, *s.Txn)
			return text(showTxn, serverError, &r, err)
		case s.Range != nil:
			r, err := p.store.Range(ctx, *s.Range)
			return text(showRange, serverError, &r, err)
		}
		err := p.store.Compact(ctx, *s.Compact)
		return text(showRevision, serverError, p.store.Revision(), err)
	})
}

func showRevision(r int64) string { return fmt.Sprint("revision ", r) }

// upstreamWrite checks a request as etcd's gRPC layer does and applies it.
func (p *servers) upstreamWrite(s *step) string {
	switch {
	case s.Put != nil:
		r := pbPut(s.Put)
		if err := checkPutRequest(r); err != nil {
			return upstreamServerError(err)
		}
		resp, err := p.apply(&pb.InternalRaftRequest{Put: r})
		if err != nil {
			return upstreamServerError(err)
		}
		return showPut(ourPut(resp.(*pb.PutResponse)))
	case s.Delete != nil:
		r := pbDelete(s.Delete)
		if err := checkDeleteRequest(r); err != nil {
			return upstreamServerError(err)
		}
		resp, err := p.apply(&pb.InternalRaftRequest{DeleteRange: r})
		if err != nil {
			return upstreamServerError(err)
		}
		return showDelete(ourDelete(resp.(*pb.DeleteRangeResponse)))
	case s.Range != nil:
		r, err := p.etcd.rangeKeys(s.Range)
		return text(showRange, upstreamServerError, r, err)
	case s.Compact != nil:
		_, err := p.apply(&pb.InternalRaftRequest{Compaction: &pb.CompactionRequest{Revision: *s.Compact}})
		return text(showRevision, upstreamServerError, p.etcd.kv.Rev(), err)
	}
	if txn.IsTxnReadonly(pbTxn(s.Txn)) { // does not become an entry
		r, err := p.etcd.txn(s.Txn)
		return text(showTxn, upstreamServerError, r, err)
	}
	if err := checkTxn(s.Txn); err != nil {
		return upstreamServerError(err)
	}
	resp, err := p.apply(&pb.InternalRaftRequest{Txn: pbTxn(s.Txn)})
	if err != nil {
		return upstreamServerError(err)
	}
	return showTxn(ourTxn(resp.(*pb.TxnResponse)))
}

func checkTxn(t *ours.Txn) error {
	r := pbTxn(t)
	if err := checkTxnRequest(r, maxTxnOps); err != nil {
		return err
	}
	for _, ops := range [][]*pb.RequestOp{r.Success, r.Failure} {
		if _, _, err := checkIntervals(ops); err != nil {
			return err
		}
	}
	return nil
}

func (p *servers) alarm(ctx context.Context, action pb.AlarmRequest_AlarmAction, a raftstore.Alarm, own func(context.Context, raftstore.Alarm) error) {
	p.answer("server-alarm", func() string {
		_, err := p.apply(&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: action, MemberID: a.Member, Alarm: pb.AlarmType(a.Type)}})
		return text(showRevision, upstreamServerError, p.etcd.kv.Rev(), err)
	}, func() string {
		return text(showRevision, serverError, p.store.Revision(), own(ctx, a))
	})
}

func (p *servers) alarms(ctx context.Context) {
	p.answer("server-alarm", func() string {
		resp, err := p.apply(&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_GET}})
		if err != nil {
			return upstreamServerError(err)
		}
		var lines []string
		for _, a := range resp.(*pb.AlarmResponse).Alarms {
			lines = append(lines, fmt.Sprint(a.MemberID, " ", a.Alarm))
		}
		slices.Sort(lines)
		return fmt.Sprint(lines)
	}, func() string {
		alarms, err := p.store.Alarms(ctx)
		if err != nil {
			return serverError(err)
		}
		var lines []string
		for _, a := range alarms {
			lines = append(lines, fmt.Sprint(a.Member, " ", a.Type))
		}
		slices.Sort(lines)
		return fmt.Sprint(lines)
	})
}

// lease runs a step about leases. etcd's server chooses ids and raises times to live
// before it proposes; neither is part of the scripts.
func (p *servers) lease(ctx context.Context, s *serverStep) {
	switch {
	case s.Grant != nil:
		p.answer("server-lease", func() string {
			resp, err := p.apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: s.Grant.ID, TTL: s.Grant.TTL}})
			if err != nil {
				return upstreamServerError(err)
			}
			r := resp.(*pb.LeaseGrantResponse)
			return fmt.Sprint("granted ", r.ID, " for ", r.TTL)
		}, func() string {
			l, err := p.store.Grant(ctx, s.Grant.ID, s.Grant.TTL)
			if err != nil {
				return serverError(err)
			}
			return fmt.Sprint("granted ", l.ID, " for ", l.TTL)
		})
	case s.Revoke != nil:
		p.answer("server-lease", func() string {
			_, err := p.apply(&pb.InternalRaftRequest{LeaseRevoke: &pb.LeaseRevokeRequest{ID: *s.Revoke}})
			return text(showRevision, upstreamServerError, p.etcd.kv.Rev(), err)
		}, func() string {
			_, err := p.store.Revoke(ctx, *s.Revoke)
			return text(showRevision, serverError, p.store.Revision(), err)
		})
	case s.Renew != nil:
		p.answer("server-lease", func() string {
			ttl, err := p.etcd.lessor.Renew(lease.LeaseID(*s.Renew))
			return text(showTTL, upstreamServerError, ttl, err)
		}, func() string {
			ttl, err := p.store.KeepAlive(ctx, *s.Renew)
			return text(showTTL, serverError, ttl, err)
		})
	case s.Life != nil:
		p.life(ctx, *s.Life)
	case s.Leases:
		p.leases(ctx)
	}
}

func showTTL(ttl int64) string { return fmt.Sprint("ttl ", ttl) }

func (p *servers) life(ctx context.Context, id int64) {
	show := func(ttl, remaining int64, keys []string) string {
		// Both count seconds down, but not the same ones.
		late := "in time"
		if remaining < ttl-60 || remaining > ttl {
			late = fmt.Sprint("left: ", remaining)
		}
		return fmt.Sprintf("ttl %d, %s, keys %q", ttl, late, keys)
	}
	p.answer("server-lease", func() string {
		l := p.etcd.lessor.Lookup(lease.LeaseID(id))
		if l == nil {
			return upstreamServerError(lease.ErrLeaseNotFound)
		}
		keys := l.Keys()
		slices.Sort(keys)
		return show(l.TTL(), int64(l.Remaining().Seconds()), keys)
	}, func() string {
		l, err := p.store.TimeToLive(ctx, id, true)
		if err != nil {
			return serverError(err)
		}
		keys := make([]string, 0, len(l.Keys))
		for _, key := range l.Keys {
			keys = append(keys, string(key))
		}
		return show(l.TTL, l.Remaining, keys)
	})
}

func (p *servers) leases(ctx context.Context) {
	p.answer("server-lease", func() string {
		ids := []int64{}
		for _, l := range p.etcd.lessor.Leases() {
			ids = append(ids, int64(l.ID))
		}
		slices.Sort(ids)
		return fmt.Sprint(ids)
	}, func() string {
		ids, err := p.store.Leases(ctx)
		if err != nil {
			return serverError(err)
		}
		return fmt.Sprint(ids)
	})
}

// everything compares what both hold in the end.
func (p *servers) everything(ctx context.Context) {
	all := ours.RangeOptions{Key: []byte{0}, End: []byte{0}}
	p.write(ctx, &step{Range: &all})
	p.alarms(ctx)
	p.leases(ctx)
	for id := int64(-1); id <= leasesMax; id++ {
		p.life(ctx, id)
	}
}

// serverError and upstreamServerError name errors, those of alarms too, by our
// sentinels.
func serverError(err error) string {
	for _, sentinel := range []error{raftstore.ErrNoSpace, raftstore.ErrCorruptAlarm} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	return ourError(err)
}

func upstreamServerError(err error) string {
	switch {
	case errors.Is(err, etcderrors.ErrNoSpace):
		return raftstore.ErrNoSpace.Error()
	case errors.Is(err, etcderrors.ErrCorrupt):
		return raftstore.ErrCorruptAlarm.Error()
	}
	return upstreamError(err)
}
