package raftstore

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// progress lists all members with what this one knows about them, by id.
func (r *replica) progress() []MemberStatus {
	state := r.core.state
	members := make([]MemberStatus, 0, len(state.members))
	for _, id := range state.memberIDs() {
		m := MemberStatus{
			Member:  Member{ID: id, Address: state.members[id]},
			Learner: slices.Contains(state.conf.GetLearners(), id),
		}
		if p := state.profiles[id]; p != nil {
			m.Info = p.info
		}
		members = append(members, m)
	}
	if r.core.role != raft.StateLeader {
		return members
	}
	r.core.raw.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		i := slices.IndexFunc(members, func(m MemberStatus) bool { return m.ID == id })
		if i < 0 {
			return
		}
		members[i].Match = p.Match
		members[i].Active = id == r.id || r.heardLately(id)
		members[i].Snapshotting = p.State == tracker.StateSnapshot
	})
	return members
}

// heardLately reports whether anything came from a member within an election
// timeout. (Raft's own note of it is wiped at every check of the quorum.)
func (r *replica) heardLately(id uint64) bool {
	at, ok := r.heard[id]
	return ok && r.core.ticks-at <= r.core.electionTicks
}

// status describes the replica.
func (r *replica) status() Status {
	c := r.core
	basic := c.raw.BasicStatus()
	return Status{
		ClusterID: r.clusterID, MemberID: r.id,
		Role: r.role(), Term: basic.GetTerm(), Leader: c.leader,
		Commit: basic.GetCommit(), Applied: c.state.applied,
		FirstIndex: c.log.offset + 1, LastIndex: c.log.last(), SnapshotIndex: c.log.snapshot.GetIndex(),
		Revision: c.state.store.Revision(), CompactedRevision: c.state.store.CompactedRevision(),
		SizeBytes: c.state.store.SizeBytes(), QuotaBytes: r.cfg.QuotaBytes, Alarms: c.state.alarms.list(),
		StateHash:     c.state.store.Hash(),
		PendingWrites: c.writes.count, PendingReads: c.reads.count,
		SyncTime: r.syncTook, SyncTimes: r.syncs.list(),
		Network: r.net.Stats(),
		Members: r.progress(),
		Err:     r.err,
	}
}

// lastStatus is status for a replica that may have stopped in the middle of
// anything.
func (r *replica) lastStatus() (s Status) {
	defer func() {
		if recover() != nil {
			s = Status{ClusterID: r.clusterID, MemberID: r.id}
		}
	}()
	return r.status()
}
