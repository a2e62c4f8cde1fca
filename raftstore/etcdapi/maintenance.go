package etcdapi

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/orchcore/orchcore/raftstore"
)

type maintenanceServer struct {
	pb.UnimplementedMaintenanceServer
	*Server
}

// storageVersion is what Status reports about the files: their format is our own.
const storageVersion = ""

// Status implements pb.MaintenanceServer.
func (s maintenanceServer) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	st := s.store.Status()
	header := s.header(st.Revision)
	header.RaftTerm = st.Term
	size := max(1, st.SizeBytes) // etcdctl divides by it
	res := &pb.StatusResponse{
		Header: header, Version: s.cfg.Version, Leader: st.Leader,
		RaftIndex: st.Commit, RaftTerm: st.Term, RaftAppliedIndex: st.Applied,
		IsLearner: s.store.Leadership().Learner, StorageVersion: storageVersion,
		DbSize: size, DbSizeInUse: size, DbSizeQuota: st.QuotaBytes,
		DowngradeInfo: &pb.DowngradeInfo{},
	}
	if st.Leader == 0 {
		res.Errors = append(res.Errors, rpctypes.ErrorDesc(rpctypes.ErrGRPCNoLeader))
	}
	for _, a := range st.Alarms {
		res.Errors = append(res.Errors, alarmMember(a).String())
	}
	return res, nil
}

// Hash implements pb.MaintenanceServer: a digest of all that was ever applied, equal
// on members that have applied the same.
func (s maintenanceServer) Hash(context.Context, *pb.HashRequest) (*pb.HashResponse, error) {
	st := s.store.Status()
	return &pb.HashResponse{Header: s.header(st.Revision), Hash: fold(st.StateHash)}, nil
}

// fold makes a digest as short as the wire wants it.
func fold(h uint64) uint32 { return uint32(h ^ h>>32) }

// HashKV implements pb.MaintenanceServer: a digest of what can be read up to a
// revision. Its value is not that of etcd; members of this store can be compared.
func (s maintenanceServer) HashKV(ctx context.Context, r *pb.HashKVRequest) (*pb.HashKVResponse, error) {
	for {
		floor := s.store.Status().CompactedRevision
		revision := r.GetRevision()
		if revision <= 0 {
			revision = s.store.Revision()
		}
		hash, err := s.store.HashKV(revision)
		if err != nil {
			return nil, wireError(ctx, err)
		}
		if s.store.Status().CompactedRevision == floor { // the hash belongs to the floor
			return &pb.HashKVResponse{
				Header: s.headerNow(), Hash: fold(hash), CompactRevision: floor, HashRevision: revision,
			}, nil
		}
	}
}

// Defragment implements pb.MaintenanceServer. There is nothing to do: memory is
// given back as revisions are compacted, and files are written anew by snapshots.
func (s maintenanceServer) Defragment(context.Context, *pb.DefragmentRequest) (*pb.DefragmentResponse, error) {
	return &pb.DefragmentResponse{Header: s.headerNow()}, nil
}

// MoveLeader implements pb.MaintenanceServer.
func (s maintenanceServer) MoveLeader(ctx context.Context, r *pb.MoveLeaderRequest) (*pb.MoveLeaderResponse, error) {
	st := s.store.Status()
	if st.Role != raftstore.Leader {
		return nil, rpctypes.ErrGRPCNotLeader
	}
	voter := false
	for _, m := range st.Members {
		voter = voter || m.ID == r.GetTargetID() && !m.Learner
	}
	if !voter {
		return nil, rpctypes.ErrGRPCBadLeaderTransferee
	}
	call, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.store.TransferLeadership(call, r.GetTargetID()); err != nil {
		return nil, wireError(call, err)
	}
	return &pb.MoveLeaderResponse{}, nil
}

// Downgrade implements pb.MaintenanceServer: there is no older version to go to.
func (s maintenanceServer) Downgrade(_ context.Context, r *pb.DowngradeRequest) (*pb.DowngradeResponse, error) {
	if r.GetAction() == pb.DowngradeRequest_CANCEL {
		return nil, rpctypes.ErrGRPCNoInflightDowngrade
	}
	return nil, rpctypes.ErrGRPCInvalidDowngradeTargetVersion
}
