package etcdapi

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

type leaseServer struct {
	pb.UnimplementedLeaseServer
	*Server
}

// LeaseGrant implements pb.LeaseServer.
func (s leaseServer) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	l, err := s.store.Grant(call, r.GetID(), r.GetTTL())
	if err != nil {
		return nil, wireError(call, err)
	}
	return &pb.LeaseGrantResponse{Header: s.headerNow(), ID: l.ID, TTL: l.TTL}, nil
}

// LeaseRevoke implements pb.LeaseServer.
func (s leaseServer) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	revision, err := s.store.Revoke(call, r.GetID())
	if err != nil {
		return nil, wireError(call, err)
	}
	return &pb.LeaseRevokeResponse{Header: s.header(revision)}, nil
}

// LeaseTimeToLive implements pb.LeaseServer.
func (s leaseServer) LeaseTimeToLive(ctx context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	life, err := s.store.TimeToLive(call, r.GetID(), r.GetKeys())
	if errors.Is(err, mvcc.ErrLeaseNotFound) {
		return &pb.LeaseTimeToLiveResponse{Header: s.headerNow(), ID: r.GetID(), TTL: -1}, nil
	}
	if err != nil {
		return nil, wireError(call, err)
	}
	return &pb.LeaseTimeToLiveResponse{
		Header: s.headerNow(), ID: life.ID, TTL: life.Remaining, GrantedTTL: life.TTL, Keys: life.Keys,
	}, nil
}

// LeaseLeases implements pb.LeaseServer.
func (s leaseServer) LeaseLeases(ctx context.Context, _ *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	ids, err := s.store.Leases(call)
	if err != nil {
		return nil, wireError(call, err)
	}
	res := &pb.LeaseLeasesResponse{Header: s.headerNow()}
	for _, id := range ids {
		res.Leases = append(res.Leases, &pb.LeaseStatus{ID: id})
	}
	return res, nil
}

// LeaseKeepAlive implements pb.LeaseServer. A lease that does not exist has a time
// to live of 0.
func (s leaseServer) LeaseKeepAlive(stream grpc.BidiStreamingServer[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]) error {
	ended := make(chan error, 1)
	// Recv ends with the stream, which ends when this method returns.
	s.work.Go(func() { ended <- s.keepAlive(stream) })
	select {
	case err := <-ended:
		return err
	case <-stream.Context().Done():
		return causeError(context.Cause(stream.Context()))
	}
}

func (s leaseServer) keepAlive(stream grpc.BidiStreamingServer[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// The revision is one at which the lease was there for sure: it may be revoked
		// between its renewal and the answer.
		header := s.headerNow()
		ttl, err := s.renew(stream.Context(), r.GetID())
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.LeaseKeepAliveResponse{Header: header, ID: r.GetID(), TTL: ttl}); err != nil {
			return err
		}
	}
}

func (s leaseServer) renew(ctx context.Context, id int64) (ttl int64, err error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	ttl, err = s.store.KeepAlive(call, id)
	if errors.Is(err, mvcc.ErrLeaseNotFound) {
		return 0, nil
	}
	return ttl, wireError(call, err)
}
