package etcdapi

import (
	"context"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

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

// members lists the members of the store.
func (s *Server) members() []*pb.Member {
	var list []*pb.Member
	for _, m := range s.store.Status().Members {
		list = append(list, s.member(&m))
	}
	return list
}

func (s *Server) member(m *raftstore.MemberStatus) *pb.Member {
	a := announced(m.Info)
	return &pb.Member{
		ID: m.ID, Name: a.Name, ClientURLs: a.ClientURLs, IsLearner: m.Learner,
		PeerURLs: []string{s.peerScheme() + "://" + m.Address},
	}
}

func (s *Server) peerScheme() string {
	if s.cfg.PeerTLS {
		return "https"
	}
	return "http"
}

// peerAddress returns the address in the one URL that a member of this store has.
func (s *Server) peerAddress(urls []string) (string, error) {
	if len(urls) != 1 {
		return "", rpctypes.ErrGRPCMemberBadURLs
	}
	u, err := url.Parse(strings.TrimSpace(urls[0]))
	if err != nil || u.Scheme != s.peerScheme() || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", rpctypes.ErrGRPCMemberBadURLs
	}
	if host, port, err := net.SplitHostPort(u.Host); err != nil || host == "" || port == "" {
		return "", rpctypes.ErrGRPCMemberBadURLs
	}
	return u.Host, nil
}

// enoughStarted checks that of the voters that a change would leave a quorum has been
// started: one that never was may have been added by mistake, and then so many others
// must not be missing. Voters that are removed are not counted, added is the number of
// those to come, and started how many of these run already.
func (s *Server) enoughStarted(removed uint64, added, started int) error {
	voters := added
	for _, m := range s.store.Status().Members {
		if m.Learner || m.ID == removed {
			continue
		}
		voters++
		if announced(m.Info).Name != "" {
			started++
		}
	}
	if alone := voters == 2 && started == 1 && added == 1; alone || started >= raftstore.Quorum(voters) {
		return nil
	}
	return rpctypes.ErrMemberNotEnoughStarted // without a status of its own, as etcd sends it
}

// MemberAdd implements pb.ClusterServer. The new member is to be started under the id
// in the answer.
func (s clusterServer) MemberAdd(ctx context.Context, r *pb.MemberAddRequest) (*pb.MemberAddResponse, error) {
	address, err := s.peerAddress(r.GetPeerURLs())
	if err != nil {
		return nil, err
	}
	m := raftstore.Member{ID: newMemberID(), Address: address}
	call, cancel := s.bounded(ctx)
	defer cancel()
	if r.GetIsLearner() {
		if err := s.roomForLearner(address); err != nil {
			return nil, err
		}
		err = s.store.AddLearner(call, m)
	} else {
		if err := s.enoughStarted(0, 1, 0); err != nil {
			return nil, err
		}
		err = s.store.AddVoter(call, m)
	}
	if err != nil {
		return nil, wireError(call, err)
	}
	return &pb.MemberAddResponse{
		Header: s.memberHeader(), Members: s.members(),
		Member: s.member(&raftstore.MemberStatus{Member: m, Learner: r.GetIsLearner()}),
	}, nil
}

// roomForLearner checks etcd's limit, after what etcd checks before it.
func (s *Server) roomForLearner(address string) error {
	learners := 0
	for _, m := range s.store.Status().Members {
		if m.Address == address {
			return rpctypes.ErrGRPCPeerURLExist
		}
		if m.Learner {
			learners++
		}
	}
	if learners >= learnersMax {
		return rpctypes.ErrGRPCTooManyLearners
	}
	return nil
}

// newMemberID draws an id that no member has had, which the store checks. The top
// bit stays clear, since Raft reserves ids at the upper end.
func newMemberID() uint64 { return rand.Uint64()>>1 | 1 }

// MemberRemove implements pb.ClusterServer.
func (s clusterServer) MemberRemove(ctx context.Context, r *pb.MemberRemoveRequest) (*pb.MemberRemoveResponse, error) {
	if m := s.known(r.GetID()); m == nil || !m.Learner {
		if err := s.enoughStarted(r.GetID(), 0, 0); err != nil {
			return nil, err
		}
	}
	call, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.store.RemoveMember(call, r.GetID()); err != nil {
		return nil, wireError(call, err)
	}
	return &pb.MemberRemoveResponse{Header: s.memberHeader(), Members: s.members()}, nil
}

// known returns a member, nil if there is none of that id.
func (s *Server) known(id uint64) *raftstore.MemberStatus {
	list := s.store.Status().Members
	if i := slices.IndexFunc(list, func(m raftstore.MemberStatus) bool { return m.ID == id }); i >= 0 {
		return &list[i]
	}
	return nil
}

// MemberPromote implements pb.ClusterServer.
func (s clusterServer) MemberPromote(ctx context.Context, r *pb.MemberPromoteRequest) (*pb.MemberPromoteResponse, error) {
	switch m := s.known(r.GetID()); {
	case m == nil:
		return nil, rpctypes.ErrGRPCMemberNotFound
	case !m.Learner && announced(m.Info).Name == "":
		return nil, rpctypes.ErrGRPCLearnerNotReady // etcd looks at that first
	case !m.Learner:
		return nil, rpctypes.ErrGRPCMemberNotLearner
	}
	if err := s.enoughStarted(0, 1, 1); err != nil {
		return nil, err
	}
	call, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.store.Promote(call, r.GetID()); err != nil {
		return nil, wireError(call, err)
	}
	return &pb.MemberPromoteResponse{Header: s.memberHeader(), Members: s.members()}, nil
}

// MemberUpdate implements pb.ClusterServer: it changes the address of a member.
func (s clusterServer) MemberUpdate(ctx context.Context, r *pb.MemberUpdateRequest) (*pb.MemberUpdateResponse, error) {
	address, err := s.peerAddress(r.GetPeerURLs())
	if err != nil {
		return nil, err
	}
	call, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.store.MoveMember(call, raftstore.Member{ID: r.GetID(), Address: address}); err != nil {
		return nil, wireError(call, err)
	}
	return &pb.MemberUpdateResponse{Header: s.memberHeader(), Members: s.members()}, nil
}
