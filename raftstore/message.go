package raftstore

import (
	"encoding/binary"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// A Raft message travels as
//
//	type, flags: byte · to, from, term, logTerm, index, commit, rejectHint: uvarint
//	context: length, bytes · number of entries · entries · snapshot
//	entry     term, index: uvarint · type: byte · data: length, bytes
//	snapshot  index, term: uvarint · configuration    (only if the flag is set)
//
// which needs no reflection and lets entries stay views of the frame they came in.
// The image of a snapshot travels by itself; see transfer.go.
const (
	flagReject   = 1 << 0
	flagSnapshot = 1 << 1
)

// sentBetweenMembers lists what may come from the network.
var sentBetweenMembers = [...]bool{
	pb.MsgProp: true, pb.MsgApp: true, pb.MsgAppResp: true,
	pb.MsgVote: true, pb.MsgVoteResp: true, pb.MsgPreVote: true, pb.MsgPreVoteResp: true,
	pb.MsgHeartbeat: true, pb.MsgHeartbeatResp: true, pb.MsgSnap: true,
	pb.MsgTransferLeader: true, pb.MsgTimeoutNow: true,
	pb.MsgReadIndex: true, pb.MsgReadIndexResp: true,
}

func appendMessage(b []byte, m *pb.Message) []byte {
	flags := byte(0)
	if m.GetReject() {
		flags |= flagReject
	}
	if m.Snapshot != nil && m.Snapshot.GetMetadata().GetIndex() > 0 {
		flags |= flagSnapshot
	}
	b = append(b, byte(m.GetType()), flags)
	for _, v := range [...]uint64{m.GetTo(), m.GetFrom(), m.GetTerm(), m.GetLogTerm(), m.GetIndex(), m.GetCommit(), m.GetRejectHint()} {
		b = binary.AppendUvarint(b, v)
	}
	b = appendBytes(b, m.Context)
	b = binary.AppendUvarint(b, uint64(len(m.Entries)))
	for _, e := range m.Entries {
		b = binary.AppendUvarint(b, e.GetTerm())
		b = binary.AppendUvarint(b, e.GetIndex())
		b = append(b, byte(e.GetType()))
		b = appendBytes(b, e.Data)
	}
	if flags&flagSnapshot != 0 {
		meta := m.Snapshot.GetMetadata()
		b = binary.AppendUvarint(b, meta.GetIndex())
		b = binary.AppendUvarint(b, meta.GetTerm())
		b = appendConfState(b, meta.GetConfState())
	}
	return b
}

func appendConfState(b []byte, cs *pb.ConfState) []byte {
	for _, ids := range [...][]uint64{cs.GetVoters(), cs.GetLearners(), cs.GetVotersOutgoing(), cs.GetLearnersNext()} {
		b = appendUvarints(b, ids)
	}
	return appendFlag(b, cs.GetAutoLeave())
}

func (r *reader) confState() *pb.ConfState {
	cs := &pb.ConfState{}
	cs.Voters, cs.Learners = r.uvarints(), r.uvarints()
	cs.VotersOutgoing, cs.LearnersNext = r.uvarints(), r.uvarints()
	cs.AutoLeave = new(r.flag())
	return cs
}

// messageSlot holds a message with the scalars that its pointers refer to: one
// allocation instead of nine.
type messageSlot struct {
	m                                                     pb.Message
	mtype                                                 pb.MessageType
	reject                                                bool
	to, from, term, logTerm, index, commit, rejectHintVal uint64
}

// decodeMessage reads a message that was sent by a member. Contexts and data of
// entries are views of b. What Raft takes for granted is checked here, since it
// panics where that is wrong.
func decodeMessage(b []byte, from uint64) (*pb.Message, error) {
	r := reader{b: b}
	s := &messageSlot{mtype: pb.MessageType(r.byte())}
	flags := r.byte()
	s.reject = flags&flagReject != 0
	for _, v := range [...]*uint64{&s.to, &s.from, &s.term, &s.logTerm, &s.index, &s.commit, &s.rejectHintVal} {
		*v = r.uvarint()
	}
	m := &s.m
	m.Type, m.Reject = &s.mtype, &s.reject
	m.To, m.From, m.Term, m.LogTerm = &s.to, &s.from, &s.term, &s.logTerm
	m.Index, m.Commit, m.RejectHint = &s.index, &s.commit, &s.rejectHintVal
	m.Context = r.bytes()
	m.Entries = r.entries()
	if flags&flagSnapshot != 0 {
		m.Snapshot = &pb.Snapshot{Metadata: &pb.SnapshotMetadata{Index: new(r.uvarint()), Term: new(r.uvarint()), ConfState: r.confState()}}
	}
	if r.bad || len(r.b) > 0 || flags > flagReject|flagSnapshot {
		return nil, fmt.Errorf("%w: message of %d bytes, type %d, flags %x", errMalformed, len(b), s.mtype, flags)
	}
	return m, checkMessage(m, from)
}

type entrySlot struct {
	e           pb.Entry
	term, index uint64
	etype       pb.EntryType
}

func (r *reader) entries() []*pb.Entry {
	n := r.count(4)
	if n == 0 {
		return nil
	}
	slots := make([]entrySlot, n)
	entries := make([]*pb.Entry, n)
	for i := range slots {
		s := &slots[i]
		s.term, s.index, s.etype = r.uvarint(), r.uvarint(), pb.EntryType(r.byte())
		s.e.Term, s.e.Index, s.e.Type = &s.term, &s.index, &s.etype
		s.e.Data = r.bytes()
		entries[i] = &s.e
	}
	return entries
}

func checkMessage(m *pb.Message, from uint64) error {
	t := m.GetType()
	if int(t) >= len(sentBetweenMembers) || t < 0 || !sentBetweenMembers[t] {
		return fmt.Errorf("%w: message type %v is not sent between members", errMalformed, t)
	}
	// The sender of a forwarded MsgTransferLeader stands in the transferee's name.
	if m.GetFrom() != from && t != pb.MsgTransferLeader {
		return fmt.Errorf("%w: %v is from member %x, expected %x", errMalformed, t, m.GetFrom(), from)
	}
	switch t {
	case pb.MsgApp:
		return checkAppend(m)
	case pb.MsgProp:
		return checkProposal(m)
	case pb.MsgSnap:
		if m.Snapshot.GetMetadata().GetIndex() == 0 || len(m.Snapshot.GetMetadata().GetConfState().GetVoters()) == 0 {
			return fmt.Errorf("%w: MsgSnap without index or voters", errMalformed)
		}
	case pb.MsgReadIndex:
		if len(m.Entries) != 1 {
			return fmt.Errorf("%w: MsgReadIndex with %d entries, expected 1", errMalformed, len(m.Entries))
		}
	case pb.MsgHeartbeatResp:
		if len(m.Context) != 0 && len(m.Context) != 8 {
			return fmt.Errorf("%w: context of %d bytes, expected 0 or 8", errMalformed, len(m.Context))
		}
	}
	return nil
}

func checkAppend(m *pb.Message) error {
	term := m.GetLogTerm()
	for i, e := range m.Entries {
		if e.GetIndex() != m.GetIndex()+1+uint64(i) || e.GetTerm() < term || e.GetTerm() > m.GetTerm() {
			return fmt.Errorf("%w: entry %d/%d at place %d after %d/%d", errMalformed, e.GetTerm(), e.GetIndex(), i, m.GetLogTerm(), m.GetIndex())
		}
		term = e.GetTerm()
	}
	return nil
}

func checkProposal(m *pb.Message) error {
	if len(m.Entries) == 0 {
		return fmt.Errorf("%w: proposal without entries", errMalformed)
	}
	for _, e := range m.Entries {
		switch e.GetType() {
		case pb.EntryNormal:
			if _, err := decodeHeader(e.Data); err != nil {
				return err
			}
		case pb.EntryConfChangeV2:
			var cc pb.ConfChangeV2
			if err := proto.Unmarshal(e.Data, &cc); err != nil {
				return fmt.Errorf("%w: membership change: %w", errMalformed, err)
			}
		default:
			return fmt.Errorf("%w: proposal of entry type %v", errMalformed, e.GetType())
		}
	}
	return nil
}
