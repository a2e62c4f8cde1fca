package raftstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// Leases bind keys to the life of a client: it is granted a lease, attaches keys
// to it with PutRequest.Lease, and keeps it alive. When it stops doing so the lease
// expires and its keys are deleted, all in one revision.

// Lease is a lease as granted.
type Lease struct {
	ID int64
	// TTL is the granted time to live in seconds. It may be more than was asked for.
	TTL int64
}

// LeaseLife says how long a lease has yet.
type LeaseLife struct {
	Lease
	// Remaining is the time to live in whole seconds, as far as the leader knows now.
	// It is a minimum.
	Remaining int64
	// Keys are the keys attached to the lease, in order, if they were asked for.
	Keys [][]byte
}

// Leaser grants leases and keeps them. *Store implements it beside KV; nothing in it
// is particular to this store.
//
// Every error of Grant and Revoke matches either ErrNotApplied or ErrUnknownOutcome,
// as those of other writes. What names a lease that does not exist, or not any more,
// matches mvcc.ErrLeaseNotFound.
type Leaser interface {
	// Grant makes a lease. With the id 0 the store chooses one; otherwise it must be
	// free (mvcc.ErrLeaseExists). ttl is in seconds; less than the cluster can keep
	// is raised to what it can, more than mvcc.MaxLeaseTTL is refused
	// (mvcc.ErrLeaseTTLTooLarge).
	Grant(ctx context.Context, id, ttl int64) (Lease, error)
	// Revoke ends a lease and deletes its keys in one revision, which it returns.
	Revoke(ctx context.Context, id int64) (revision int64, err error)
	// KeepAlive gives a lease its whole time to live again, counted from some moment
	// during the call, and returns it. Call it every third of that.
	KeepAlive(ctx context.Context, id int64) (ttl int64, err error)
	// TimeToLive says how long a lease has yet and, if asked to, what is attached.
	TimeToLive(ctx context.Context, id int64, keys bool) (LeaseLife, error)
	// Leases lists the ids of all leases in order.
	Leases(ctx context.Context) ([]int64, error)
}

var _ Leaser = (*Store)(nil)

// leaseTTLMin is the shortest time to live that is granted, in seconds: what is
// shorter could not be kept alive through an election.
func (s *Store) leaseTTLMin() int64 {
	shortest := time.Duration(3*s.cfg.ElectionTicks/2) * s.cfg.TickInterval
	return int64((shortest + time.Second - 1) / time.Second)
}

// newLeaseID returns an id that no member has chosen before.
func (s *Store) newLeaseID() int64 {
	b := binary.LittleEndian.AppendUint64(nil, s.node.replica.clusterID)
	b = binary.LittleEndian.AppendUint64(b, s.node.replica.id)
	b = binary.LittleEndian.AppendUint64(b, s.node.replica.core.boot)
	b = binary.LittleEndian.AppendUint64(b, s.leasesNamed.Add(1))
	sum := sha256.Sum256(b)
	return max(1, int64(binary.LittleEndian.Uint64(sum[:])>>1))
}

// Grant implements Leaser.
func (s *Store) Grant(ctx context.Context, id, ttl int64) (Lease, error) {
	if err := s.reserve(ctx, leaseOverheadBytes); err != nil {
		return Lease{}, notApplied(err)
	}
	ttl = max(ttl, s.leaseTTLMin())
	for choose := id == 0; ; {
		if choose {
			id = s.newLeaseID()
		}
		r := newRequest(commandLeaseGrant)
		r.body = appendVarint(appendVarint(r.body, id), ttl)
		_, err := s.write(ctx, r)
		if choose && errors.Is(err, mvcc.ErrLeaseExists) {
			continue
		}
		if err != nil {
			return Lease{}, err
		}
		return Lease{ID: id, TTL: ttl}, nil
	}
}

// Revoke implements Leaser.
func (s *Store) Revoke(ctx context.Context, id int64) (revision int64, err error) {
	r := newRequest(commandLeaseRevoke)
	r.body = appendVarint(r.body, id)
	res, err := s.write(ctx, r)
	return res.delete.Revision, err
}

// KeepAlive implements Leaser. Any member can be asked; the leader answers when it
// has confirmed that it leads.
func (s *Store) KeepAlive(ctx context.Context, id int64) (ttl int64, err error) {
	ttl, _, err = s.askLease(ctx, leaseKeepAlive, id)
	return ttl, err
}

// TimeToLive implements Leaser. The keys are those of a moment after that of which
// Remaining tells.
func (s *Store) TimeToLive(ctx context.Context, id int64, keys bool) (LeaseLife, error) {
	life := LeaseLife{Lease: Lease{ID: id}}
	var err error
	if life.TTL, life.Remaining, err = s.askLease(ctx, leaseTimeToLive, id); err != nil || !keys {
		return life, err
	}
	if err := s.barrier(ctx); err != nil {
		return LeaseLife{}, err
	}
	life.Keys, err = s.kv.LeaseKeys(id)
	return life, err
}

// Leases implements Leaser.
func (s *Store) Leases(ctx context.Context) ([]int64, error) {
	if err := s.barrier(ctx); err != nil {
		return nil, err
	}
	leases := s.kv.Leases()
	ids := make([]int64, len(leases))
	for i, l := range leases {
		ids[i] = l.ID
	}
	return ids, nil
}

// askLease has the leader answer a call.
func (s *Store) askLease(ctx context.Context, kind leaseCallKind, id int64) (ttl, remaining int64, err error) {
	if ctx.Err() != nil {
		return 0, 0, contextReason(ctx)
	}
	r := newRequest(0)
	r.lease = &leaseCall{kind: kind, id: id}
	if err := s.node.submit(r); err != nil {
		recycle(r)
		return 0, 0, err
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		r.claimed.take()
		return 0, 0, contextReason(ctx)
	}
	ttl, remaining, err = r.result.ttl, r.result.remaining, r.result.err
	// The request is not used again: the desk may hold on to the call.
	return ttl, remaining, err
}
