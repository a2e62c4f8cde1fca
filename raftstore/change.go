package raftstore

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	"go.etcd.io/raft/v3"
)

// AddLearner adds a member that receives the log but has no vote yet: it costs the
// others nothing while it catches up. Open it with Config.Join. Its id must be new:
// one that was a member before is never one again, since it may have forgotten what
// it promised.
//
// Like all changes of the members this must be asked of the leader, which alone
// knows who is well (ErrNotLeader otherwise), and waits until it is in effect.
func (s *Store) AddLearner(ctx context.Context, m Member) error {
	if m.ID == 0 || raft.IsLocalMsgTarget(m.ID) {
		return notApplied(fmt.Errorf("%w: member id is %d, expected an id above 0 that Raft does not reserve", ErrMembership, m.ID))
	}
	if _, _, err := net.SplitHostPort(m.Address); err != nil {
		return notApplied(fmt.Errorf("%w: address is %s, expected host:port", ErrMembership, strconv.Quote(m.Address)))
	}
	return s.changeMembers(ctx, memberChange{memberAddLearner, m.ID, m.Address})
}

// Promote gives a learner a vote once it has caught up (ErrLearnerNotReady before).
func (s *Store) Promote(ctx context.Context, id uint64) error {
	return s.changeMembers(ctx, memberChange{kind: memberPromote, id: id})
}

// RemoveMember takes a member out for good. The member learns of it and stops with
// ErrRemoved. A leader that removes itself steps down.
func (s *Store) RemoveMember(ctx context.Context, id uint64) error {
	return s.changeMembers(ctx, memberChange{kind: memberRemove, id: id})
}

// ReplaceMember promotes a learner and removes a member in one change, through a
// joint configuration in which majorities of the old and the new members decide: at
// no moment does the cluster have fewer voters than before.
func (s *Store) ReplaceMember(ctx context.Context, old, learner uint64) error {
	return s.changeMembers(ctx, memberChange{kind: memberPromote, id: learner}, memberChange{kind: memberRemove, id: old})
}

func (s *Store) changeMembers(ctx context.Context, changes ...memberChange) error {
	answer := make(chan error, 1)
	if !s.node.call(func() { answer <- s.node.replica.checkChange(changes) }) {
		return notApplied(s.node.ended())
	}
	select {
	case err := <-answer:
		if err != nil {
			return notApplied(err)
		}
	case <-ctx.Done():
		return notApplied(contextReason(ctx))
	case <-s.node.stopped:
		return notApplied(s.node.ended())
	}
	r := newRequest(commandMembers)
	r.body = appendChanges(r.body, changes)
	_, err := s.write(ctx, r)
	return err
}

// checkChange refuses what the cluster would not survive. It looks at who was heard
// of lately, which is knowledge of the leader and no part of the state.
func (r *replica) checkChange(changes []memberChange) error {
	if r.role() != Leader {
		return ErrNotLeader
	}
	if err := r.core.state.checkChanges(changes); err != nil {
		return err
	}
	if !slices.ContainsFunc(changes, func(c memberChange) bool { return c.kind != memberAddLearner }) {
		return nil // learners change no quorum
	}
	voters, active := 0, 0
	for _, m := range r.progress() {
		i := slices.IndexFunc(changes, func(c memberChange) bool { return c.id == m.ID })
		switch {
		case i >= 0 && changes[i].kind == memberPromote:
			if last := r.core.log.last(); !m.Active || m.Match < last-last/10 {
				return fmt.Errorf("%w: member %x has %d of %d entries", ErrLearnerNotReady, m.ID, m.Match, last)
			}
		case i >= 0 || m.Learner:
			continue
		}
		voters++
		if m.Active {
			active++
		}
	}
	if quorum := Quorum(voters); active < quorum {
		return fmt.Errorf("%w: %d of the %d voters it would leave are active, expected at least %d", ErrMembership, active, voters, quorum)
	}
	return nil
}

// Quorum is the number of voters that must agree among n.
//
//	voters     1  2  3  4  5  6  7
//	quorum     1  2  2  3  3  4  4
//	tolerates  0  0  1  1  2  2  3
func Quorum(n int) int { return n/2 + 1 }

// Tolerates is the number of voters that may fail among n while the rest goes on.
// An even n tolerates no more than the odd one below it.
func Tolerates(n int) int { return n - Quorum(n) }
