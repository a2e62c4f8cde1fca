package etcdkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// Grant implements raftstore.Leaser.
func (k *KV) Grant(ctx context.Context, id, ttl int64) (raftstore.Lease, error) {
	if err := started(ctx); err != nil {
		return raftstore.Lease{}, err
	}
	m, err := k.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
	if err != nil {
		return raftstore.Lease{}, writeError(ctx, err)
	}
	return raftstore.Lease{ID: m.ID, TTL: m.TTL}, nil
}

// Revoke implements raftstore.Leaser.
func (k *KV) Revoke(ctx context.Context, id int64) (revision int64, err error) {
	if err := started(ctx); err != nil {
		return 0, err
	}
	m, err := k.lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: id})
	if err != nil {
		return 0, writeError(ctx, err)
	}
	return m.GetHeader().GetRevision(), nil
}

// KeepAlive implements raftstore.Leaser.
func (k *KV) KeepAlive(ctx context.Context, id int64) (ttl int64, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends the stream
	defer cancel()
	stream, err := k.lease.LeaseKeepAlive(ctx)
	if err != nil {
		return 0, readError(ctx, err)
	}
	// A stream that has ended says why when it is read.
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil && !errors.Is(err, io.EOF) {
		return 0, readError(ctx, err)
	}
	m, err := stream.Recv()
	switch {
	case err != nil:
		return 0, readError(ctx, err)
	case m.TTL <= 0:
		return 0, noLease(id)
	}
	return m.TTL, nil
}

func noLease(id int64) error {
	return &mvcc.RequestError{Field: "lease.id", Detail: fmt.Sprintf("lease %d", id), Err: mvcc.ErrLeaseNotFound}
}

// TimeToLive implements raftstore.Leaser.
func (k *KV) TimeToLive(ctx context.Context, id int64, keys bool) (raftstore.LeaseLife, error) {
	m, err := k.lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id, Keys: keys})
	switch {
	case err != nil:
		return raftstore.LeaseLife{}, readError(ctx, err)
	case m.GrantedTTL == 0: // etcd has no other sign of a lease that is not there
		return raftstore.LeaseLife{}, noLease(id)
	}
	slices.SortFunc(m.Keys, bytes.Compare)
	return raftstore.LeaseLife{Lease: raftstore.Lease{ID: m.ID, TTL: m.GrantedTTL}, Remaining: max(0, m.TTL), Keys: m.Keys}, nil
}

// Leases implements raftstore.Leaser.
func (k *KV) Leases(ctx context.Context) ([]int64, error) {
	m, err := k.lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
	if err != nil {
		return nil, readError(ctx, err)
	}
	var ids []int64
	for _, l := range m.Leases {
		ids = append(ids, l.ID)
	}
	slices.Sort(ids)
	return ids, nil
}
