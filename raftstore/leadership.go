package raftstore

import (
	"slices"

	"go.etcd.io/raft/v3"
)

// Leadership is who leads, as one member knows it.
type Leadership struct {
	Term uint64
	// Leader is the id of the leader, 0 when none is known.
	Leader uint64
	// Learner tells that the member itself has no vote.
	Learner bool
}

// Leadership returns what Status says about it, at the price of one load: for
// those who need it with every answer.
func (s *Store) Leadership() Leadership {
	if l := s.node.leadership.Load(); l != nil {
		return *l
	}
	return Leadership{}
}

// Revision returns the revision of the last write that is applied here, as Status
// does, without asking the owner of the state.
func (s *Store) Revision() int64 { return s.kv.Revision() }

// ClusterID and MemberID never change while a member is open.
func (s *Store) ClusterID() uint64 { return s.node.replica.clusterID }

// MemberID is this member's id.
func (s *Store) MemberID() uint64 { return s.node.replica.id }

// publish makes known who leads, if that has changed.
func (n *node) publish() {
	c := n.replica.core
	now := Leadership{
		Term:    c.hardTerm,
		Leader:  c.leader,
		Learner: slices.Contains(c.state.conf.GetLearners(), c.id),
	}
	if last := n.leadership.Load(); last == nil || *last != now {
		kept := now // or each now would be allocated
		n.leadership.Store(&kept)
		if last == nil || last.Term != now.Term || last.Leader != now.Leader {
			n.cfg.Observer.LeaderChanged(now.Term, now.Leader)
		}
	}
}

// followTerm keeps the term at hand: raft.RawNode allocates to tell it.
func (c *core) followTerm(rd *raft.Ready) {
	if rd.HardState != nil && rd.HardState.Term != nil {
		c.hardTerm = rd.HardState.GetTerm()
	}
}
