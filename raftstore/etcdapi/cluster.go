package etcdapi

import (
	"context"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orchcore/orchcore/raftstore"
)

type clusterServer struct {
	pb.UnimplementedClusterServer
	*Server
}

// learnersMax is etcd's default limit.
const learnersMax = 1

// MemberList implements pb.ClusterServer.
func (s clusterServer) MemberList(ctx context.Context, r *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	if r.GetLinearizable() {
		if err := s.ready(ctx); err != nil {
			return nil, err
		}
	}
	return &pb.MemberListResponse{Header: s.memberHeader(), Members: s.members()}, nil
}

// memberHeader has no revision: members are no part of the data.
func (s *Server) memberHeader() *pb.ResponseHeader { return s.header(0) }

// members lists the members of the store with what the config knows about them.
func (s *Server) members() []*pb.Member {
	var list []*pb.Member
	for _, m := range s.store.Status().Members {
		list = append(list, s.member(m.Member, m.Learner))
	}
	return list
}

func (s *Server) member(m raftstore.Member, learner bool) *pb.Member {
	p := &pb.Member{ID: m.ID, Name: s.cfg.Names[m.ID], ClientURLs: s.cfg.ClientURLs[m.ID], IsLearner: learner}
	if m.Address != "" {
		scheme := "http"
		if s.cfg.PeerTLS {
			scheme = "https"
		}
		p.PeerURLs = []string{scheme + "://" + m.Address}
	}
	return p
}

// MemberAdd implements pb.ClusterServer. The new member must be a learner, and is
// to be started under the id in the answer.
func (s clusterServer) MemberAdd(ctx context.Context, r *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	address, ok := peerAddress(r.GetPeerURLs())
	if !ok {
		return nil, rpctypes.ErrGRPCMemberBadURLs
	}
	if !r.GetIsLearner() {
		return nil, status.Error(codes.FailedPrecondition, "etcdapi: a new member has no vote: add it as learner and promote it")
	}
	present := s.store.Status().Members
	if slices.ContainsFunc(present, func(m raftstore.MemberStatus) bool { return m.Address == address }) {
		return nil, rpctypes.ErrGRPCPeerURLExist
	}
	learners := 0
	for _, m := range present {
		if m.Learner {
			learners++
		}
	}
	if learners >= learnersMax {
		return nil, rpctypes.ErrGRPCTooManyLearners
	}
	m := raftstore.Member{ID: newMemberID(), Address: address}
	call, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.store.AddLearner(call, m); err != nil {
		return nil, membershipError(call, err)
	}
	return &pb.MemberAddResponse{Header: s.memberHeader(), Member: s.member(m, true), Members: s.members()}, nil
}

// newMemberID draws an id that no member has had, which the store checks. The top
// bit stays clear, since Raft reserves ids at the upper end.
func newMemberID() uint64 { return rand.Uint64()>>1 | 1 }

// peerAddress returns the address in the one URL that a member of this store has.
func peerAddress(urls []string) (string, bool) {
	if len(urls) != 1 {
		return "", false
	}
	u, err := url.Parse(urls[0])
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" || u.User != nil {
		return "", false
	}
	host, port, err := net.SplitHostPort(u.Host)
	return u.Host, err == nil && host != "" && port != ""
}

// MemberRemove implements pb.ClusterServer.
func (s clusterServer) MemberRemove(ctx context.Context, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	call, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.store.RemoveMember(call, r.GetID()); err != nil {
		return nil, membershipError(call, err)
	}
	return &pb.MemberRemoveResponse{Header: s.memberHeader(), Members: s.members()}, nil
}

// MemberPromote implements pb.ClusterServer.
func (s clusterServer) MemberPromote(ctx context.Context, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	list := s.store.Status().Members
	i := slices.IndexFunc(list, func(m raftstore.MemberStatus) bool { return m.ID == r.GetID() })
	switch {
	case i < 0:
		return nil, rpctypes.ErrGRPCMemberNotFound
	case !list[i].Learner:
		return nil, rpctypes.ErrGRPCMemberNotLearner
	}
	call, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.store.Promote(call, r.GetID()); err != nil {
		return nil, membershipError(call, err)
	}
	return &pb.MemberPromoteResponse{Header: s.memberHeader(), Members: s.members()}, nil
}

// MemberUpdate implements pb.ClusterServer by refusing: a member's address changes
// in the config of the members, which read it when they start.
func (s clusterServer) MemberUpdate(context.Context, *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	return nil, status.Error(codes.Unimplemented, "etcdapi: a member's address changes in the configuration of the members")
}
