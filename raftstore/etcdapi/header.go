package etcdapi

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// header is that of an answer at a revision.
func (s *Server) header(revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{
		ClusterId: s.clusterID, MemberId: s.memberID,
		Revision: revision, RaftTerm: s.store.Leadership().Term,
	}
}

// headerNow is that of an answer that belongs to no revision of its own.
func (s *Server) headerNow() *pb.ResponseHeader { return s.header(s.store.Revision()) }
