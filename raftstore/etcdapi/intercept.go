package etcdapi

import (
	"context"
	"sync"
	"time"
	"unicode/utf8"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// unary checks what every call must satisfy, in etcd's order.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	lead := s.store.Leadership()
	if lead.Learner && !learnerMay(req) {
		return nil, rpctypes.ErrGRPCNotSupportedForLearner
	}
	requireLeader, err := checkMetadata(ctx)
	if err != nil {
		return nil, err
	}
	if requireLeader && lead.Leader == 0 {
		return nil, rpctypes.ErrGRPCNoLeader
	}
	return handler(ctx, req)
}

// learnerMay says what a member without a vote answers (etcd 3.4 and later).
func learnerMay(req any) bool {
	switch r := req.(type) {
	case *pb.StatusRequest:
		return true
	case *pb.RangeRequest:
		return r.GetSerializable()
	}
	return false
}

// checkMetadata reads what clients say about themselves.
func checkMetadata(ctx context.Context) (requireLeader bool, err error) {
	md, ok := metadata.FromIncomingContext(ctx)
	if !ok {
		return false, nil
	}
	if v := md[rpctypes.MetadataClientAPIVersionKey]; len(v) > 0 && !utf8.ValidString(v[0]) {
		return false, rpctypes.ErrGRPCInvalidClientAPIVersion
	}
	v := md[rpctypes.MetadataRequireLeaderKey]
	return len(v) > 0 && v[0] == rpctypes.MetadataHasLeader, nil
}

const (
	snapshotMethod = "/etcdserverpb.Maintenance/Snapshot"
	// A stream is not ended as soon as there is no leader: to open it again costs
	// more than to wait for the end of an election.
	electionsWithoutLeader = 3
)

// stream is unary for streams. One that requires a leader has a context that ends
// when there has been none for a while.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	lead := s.store.Leadership()
	if lead.Learner && info.FullMethod != snapshotMethod {
		return rpctypes.ErrGRPCNotSupportedForLearner
	}
	requireLeader, err := checkMetadata(ss.Context())
	if err != nil {
		return err
	}
	if !requireLeader {
		return handler(srv, ss)
	}
	if lead.Leader == 0 {
		return rpctypes.ErrGRPCNoLeader
	}
	ctx, cancel := context.WithCancelCause(ss.Context())
	ls := &leaderStream{ServerStream: ss, ctx: ctx, cancel: cancel}
	s.streams.add(ls)
	defer s.streams.remove(ls)
	return handler(srv, ls)
}

// leaderStream is a stream that requires a leader.
type leaderStream struct {
	grpc.ServerStream
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// Context implements grpc.ServerStream.
func (s *leaderStream) Context() context.Context { return s.ctx }

type leaderStreams struct {
	mu   sync.Mutex
	open map[*leaderStream]struct{}
}

func (l *leaderStreams) add(s *leaderStream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[s] = struct{}{}
}

func (l *leaderStreams) remove(s *leaderStream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, s)
	s.cancel(nil)
}

func (l *leaderStreams) cancelAll(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.open {
		s.cancel(cause)
	}
}

// watchLeader ends streams that require a leader when there is none.
func (s *Server) watchLeader() {
	ticker := time.NewTicker(s.cfg.ElectionTimeout)
	defer ticker.Stop()
	without := 0
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		if s.store.Leadership().Leader != 0 {
			without = 0
			continue
		}
		if without++; without >= electionsWithoutLeader {
			s.streams.cancelAll(rpctypes.ErrGRPCNoLeader)
		}
	}
}
