package raftstore

import (
	"time"

	"github.com/orchcore/orchcore/raftstore/transport"
)

// Role is what a member does in its cluster.
type Role uint8

// The roles of Raft, and Stopped for a member that was closed or has failed.
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader
	Stopped
)

// String returns the role's name in lower case.
func (r Role) String() string {
	switch r {
	case Follower:
		return "follower"
	case PreCandidate:
		return "pre-candidate"
	case Candidate:
		return "candidate"
	case Leader:
		return "leader"
	}
	return "stopped"
}

// Status is what a member knows about itself and, when it leads, about the others.
type Status struct {
	ClusterID uint64
	MemberID  uint64
	Role      Role
	Term      uint64
	// Leader is the id of the leader, 0 when none is known.
	Leader uint64
	// Commit is the highest log index known to be committed, Applied that of the
	// last entry in the state.
	Commit  uint64
	Applied uint64
	// FirstIndex and LastIndex bound the log in memory; SnapshotIndex is the index
	// of the newest snapshot on disk.
	FirstIndex    uint64
	LastIndex     uint64
	SnapshotIndex uint64
	// Revision and CompactedRevision are those of the state at Applied.
	Revision          int64
	CompactedRevision int64
	// SizeBytes is about what the state takes in memory, QuotaBytes where it has to
	// stop (negative: nowhere), Alarms what has been raised.
	SizeBytes  int64
	QuotaBytes int64
	Alarms     []Alarm
	// StateHash digests the state at Applied: members with equal Applied have
	// equal hashes, or one of them is broken.
	StateHash uint64
	// PendingWrites and PendingReads are the calls that wait at this member.
	PendingWrites int
	PendingReads  int
	// SyncTime is the smoothed time that the disk takes to make a write durable.
	SyncTime time.Duration
	// SyncTimes are what the last syncs have taken, the last one first.
	SyncTimes []time.Duration
	// Network counts what the member has sent, received and refused since its start.
	Network transport.Stats
	// Members are all members of the cluster, by id.
	Members []MemberStatus
	// Err is the fault that has stopped the member, nil while it works.
	Err error
}

// MemberStatus is one member in a Status.
type MemberStatus struct {
	Member
	// Learner marks a member that receives the log but does not vote.
	Learner bool
	// Info is what the member has announced; see Store.Announce.
	Info string
	// Match is the highest index known to be in the member's log, and Active
	// whether it was heard of lately: both known to the leader alone.
	Match  uint64
	Active bool
	// Snapshotting tells that the leader is bringing the member up by snapshot.
	Snapshotting bool
}
