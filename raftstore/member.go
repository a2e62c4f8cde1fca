package raftstore

import (
	"encoding/binary"
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// A membership change is an entry of Raft's own type, so that Raft knows when it
// counts. Its context is an entry header as in command.go with one command:
//
//	commandMembers:  number of changes · { kind: byte · id: uvarint · address }
//
// The address counts for those who are added and for memberMove alone.
//
// Raft refuses a change while another one is not applied, by putting an empty
// entry in its place; the origin then proposes again, as it does with anything
// whose fate it does not learn.
const commandMembers commandKind = 32

type memberChangeKind uint8

const (
	memberAddLearner memberChangeKind = 1 + iota
	memberPromote
	memberRemove
	memberAddVoter
	memberMove
)

// adds reports whether a change makes a new member.
func (k memberChangeKind) adds() bool { return k == memberAddLearner || k == memberAddVoter }

type memberChange struct {
	kind    memberChangeKind
	id      uint64
	address string
}

func appendChanges(b []byte, changes []memberChange) []byte {
	b = binary.AppendUvarint(b, uint64(len(changes)))
	for _, c := range changes {
		b = append(b, byte(c.kind))
		b = binary.AppendUvarint(b, c.id)
		b = appendBytes(b, []byte(c.address))
	}
	return b
}

func (r *reader) changes() []memberChange {
	changes := make([]memberChange, r.count(3))
	for i := range changes {
		changes[i] = memberChange{memberChangeKind(r.byte()), r.uvarint(), string(r.bytes())}
	}
	return changes
}

// confChange is what Raft is told about changes. Several go through a joint
// configuration, in which majorities of both the old and the new one decide.
func confChange(changes []memberChange, context []byte) *pb.ConfChangeV2 {
	cc := &pb.ConfChangeV2{Context: context}
	for _, c := range changes {
		kind := map[memberChangeKind]pb.ConfChangeType{
			memberAddLearner: pb.ConfChangeAddLearnerNode,
			memberPromote:    pb.ConfChangeAddNode,
			memberRemove:     pb.ConfChangeRemoveNode,
			memberAddVoter:   pb.ConfChangeAddNode,
			memberMove:       pb.ConfChangeUpdateNode, // which changes nothing for Raft
		}[c.kind]
		cc.Changes = append(cc.Changes, &pb.ConfChangeSingle{Type: kind.Enum(), NodeId: new(c.id)})
	}
	return cc
}

// checkChanges says whether changes can be made to the members of the state: on
// the proposer to answer early, and on every member when the entry is applied.
func (m *machine) checkChanges(changes []memberChange) error {
	voters := len(m.conf.GetVoters())
	if len(changes) == 0 || len(m.conf.GetVotersOutgoing()) > 0 {
		return errChangePending
	}
	touched := map[uint64]bool{}
	for _, c := range changes {
		if touched[c.id] {
			return fmt.Errorf("%w: member %x is changed twice", ErrMembership, c.id)
		}
		if err := m.checkMember(c); err != nil {
			return err
		}
		touched[c.id] = true
		switch {
		case c.kind == memberPromote || c.kind == memberAddVoter:
			voters++
		case c.kind == memberRemove && !slices.Contains(m.conf.GetLearners(), c.id):
			voters--
		}
	}
	if voters < 1 {
		return fmt.Errorf("%w: the last voter cannot be removed", ErrMembership)
	}
	return nil
}

// checkMember is checkChanges for one of them.
func (m *machine) checkMember(c memberChange) error {
	_, isMember := m.members[c.id]
	switch {
	case c.kind < memberAddLearner || c.kind > memberMove:
		return fmt.Errorf("%w: change of kind %d", errMalformed, c.kind)
	case c.kind.adds() && m.removed[c.id]:
		return fmt.Errorf("%w: member id %x was removed and is never used again", ErrMembership, c.id)
	case c.kind.adds() && isMember:
		return fmt.Errorf("%w: member %x exists", ErrMembership, c.id)
	case c.kind.adds() && len(m.members) >= membersMax:
		return fmt.Errorf("%w: there are %d members already", ErrMembership, len(m.members))
	case !c.kind.adds() && !isMember:
		return fmt.Errorf("%w: %x", ErrUnknownMember, c.id)
	case c.kind == memberPromote && !slices.Contains(m.conf.GetLearners(), c.id):
		return fmt.Errorf("%w: member %x is a voter already", ErrMembership, c.id)
	}
	if c.kind.adds() || c.kind == memberMove {
		for _, id := range m.memberIDs() {
			if id != c.id && m.members[id] == c.address {
				return fmt.Errorf("%w: %w: member %x is at %s", ErrMembership, ErrAddressTaken, id, c.address)
			}
		}
	}
	return nil
}

// applyMembership applies an entry that changes the members, or that ends a joint
// configuration, which Raft proposes by itself.
func (c *core) applyMembership(e *pb.Entry) {
	cc := &pb.ConfChangeV2{}
	if err := proto.Unmarshal(e.Data, cc); err != nil {
		return // refused when it was proposed; the same on every member
	}
	if len(cc.Context) == 0 {
		if cc.LeaveJoint() && len(c.state.conf.GetVotersOutgoing()) > 0 {
			c.setConf(c.raw.ApplyConfChange(cc))
		}
		return
	}
	h, err := decodeHeader(cc.Context)
	if err != nil || !c.state.admit(&h) {
		return
	}
	if err = c.changeMembers(&h, cc); err == nil {
		c.log.membersIndex = e.GetIndex()
	}
	if h.origin != c.id || h.boot != c.boot {
		return
	}
	if own := c.writes.batches[h.sequence]; own != nil {
		own.requests[0].result.err = err
		c.fx.done = append(c.fx.done, own.requests...)
		c.writes.finish(own)
	}
}

func (c *core) changeMembers(h *entryHeader, cc *pb.ConfChangeV2) error {
	r := reader{b: h.commands}
	kind, body, err := nextCommand(&r)
	if err != nil || kind != commandMembers {
		return fmt.Errorf("%w: membership change without changes", errMalformed)
	}
	r = reader{b: body}
	changes := r.changes()
	if err := r.end(kind); err != nil {
		return err
	}
	if want := confChange(changes, cc.Context); !proto.Equal(want, cc) {
		return fmt.Errorf("%w: membership change differs from its context", errMalformed)
	}
	// An entry that is rejected must not reach Raft; every member rejects it alike.
	if err := c.state.checkChanges(changes); err != nil {
		return err
	}
	for _, change := range changes {
		switch {
		case change.kind.adds():
			c.state.members[change.id] = change.address
		case change.kind == memberMove:
			c.state.members[change.id] = change.address
			c.state.profile(change.id).moved = true
		}
	}
	c.setConf(c.raw.ApplyConfChange(cc))
	return nil
}

// setConf takes a new configuration over. A member that is being replaced counts
// until the joint configuration has ended: without its vote it might never end.
func (c *core) setConf(conf *pb.ConfState) {
	s := c.state
	s.conf = conf
	for _, id := range s.memberIDs() {
		if slices.ContainsFunc([][]uint64{conf.Voters, conf.Learners, conf.VotersOutgoing, conf.LearnersNext},
			func(ids []uint64) bool { return slices.Contains(ids, id) }) {
			continue
		}
		delete(s.members, id)
		delete(s.profiles, id)
		delete(s.origins, id)
		s.dropAlarms(id)
		s.removed[id] = true
	}
	c.fx.membership = true
}

// voteAsRemoved has this member, which was removed, vote as if its log ended at what
// it knows to be committed.
//
// Others may not know of the removal yet and need this vote, by their configuration.
// But a leader that has removed itself can have entries behind the removal that
// nobody else has: with them it would refuse every candidate, and not being a member
// it cannot lead either. Leaving them out is safe. Entries behind the removal count
// by the votes of others alone, and whoever wins with this vote still has the votes
// of half of the others, one of which holds every entry that a majority of them
// does; entries before it are in the log of any candidate that is up to date with
// the commit index.
func (c *core) voteAsRemoved(m *pb.Message) {
	commit := c.raw.BasicStatus().GetCommit()
	term, err := c.log.Term(commit)
	if err != nil || m.GetLogTerm() < term || m.GetLogTerm() == term && m.GetIndex() < commit {
		return
	}
	last := c.log.last()
	lastTerm, err := c.log.Term(last)
	if err != nil {
		return
	}
	m.LogTerm = new(max(m.GetLogTerm(), lastTerm))
	m.Index = new(max(m.GetIndex(), last))
}
