package raftstore

import (
	"context"
	"fmt"
	"net"
	"slices"

	"go.etcd.io/raft/v3"
)

// AddLearner adds a member that receives the log but has no vote yet: it costs the
// others nothing while it catches up. Open it with Config.Join. Its id must be new:
// one that was a member before is never one again, since it may have forgotten what
// it promised.
//
// Like all changes of the members this may be asked of any member, which waits until
// the change is in effect there. The leader must find that the cluster survives it.
func (s *Store) AddLearner(ctx context.Context, m Member) error {
	return s.changeMember(ctx, memberAddLearner, m)
}

// AddVoter adds a member that has a vote at once, before it has started and caught up:
// until then the quorum is larger by it and the active voters are not. With one member
// that means that writes wait until the second has started. AddLearner and Promote
// avoid it.
func (s *Store) AddVoter(ctx context.Context, m Member) error {
	return s.changeMember(ctx, memberAddVoter, m)
}

// MoveMember changes the address at which the others reach a member. From then on the
// address in their Config.Members counts no more.
func (s *Store) MoveMember(ctx context.Context, m Member) error {
	return s.changeMember(ctx, memberMove, m)
}

func (s *Store) changeMember(ctx context.Context, kind memberChangeKind, m Member) error {
	if m.ID == 0 || raft.IsLocalMsgTarget(m.ID) {
		return notApplied(fmt.Errorf("%w: member id is %d, expected an id above 0 that Raft does not reserve", ErrMembership, m.ID))
	}
	if _, _, err := net.SplitHostPort(m.Address); err != nil || len(m.Address) > addressSizeMax {
		return notApplied(fmt.Errorf("%w: address is %.64q, expected host:port of at most %d bytes", ErrMembership, m.Address, addressSizeMax))
	}
	return s.changeMembers(ctx, memberChange{kind, m.ID, m.Address})
}

// addressSizeMax is more than a name of a host may have.
const addressSizeMax = 512

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
	call := &changeCall{changes: changes, answer: make(chan error, 1)}
	if !s.node.call(func() { s.node.replica.changes.ask(call) }) {
		return notApplied(s.node.ended())
	}
	select {
	case err := <-call.answer:
		if err != nil {
			return notApplied(err)
		}
	case <-ctx.Done():
		s.node.call(func() { s.node.replica.changes.drop(call) })
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
	changesQuorum := func(c memberChange) bool { return c.kind != memberAddLearner && c.kind != memberMove }
	if !slices.ContainsFunc(changes, changesQuorum) {
		return nil
	}
	voters, active := 0, 0
	for _, m := range r.progress() {
		i := slices.IndexFunc(changes, func(c memberChange) bool { return c.id == m.ID })
		switch {
		case i >= 0 && changes[i].kind == memberPromote:
			if last := r.core.log.last(); !m.Active || m.Match < last-last/10 {
				return fmt.Errorf("%w: member %x has %d of %d entries", ErrLearnerNotReady, m.ID, m.Match, last)
			}
		case i >= 0 && changes[i].kind == memberRemove || m.Learner:
			continue
		}
		voters++
		if m.Active {
			active++
		}
	}
	for _, c := range changes {
		if c.kind == memberAddVoter {
			voters++ // and not active
		}
	}
	// A member that is alone could never grow otherwise.
	if grows := voters == 2 && active == 1 && changes[0].kind == memberAddVoter; grows {
		return nil
	}
	if quorum := Quorum(voters); active < quorum {
		return fmt.Errorf("%w: %w: %d of the %d voters it would leave, expected at least %d", ErrMembership, ErrUnhealthy, active, voters, quorum)
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
