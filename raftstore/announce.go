package raftstore

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// memberProfile is what the state knows about a member besides its address.
type memberProfile struct {
	// moved tells that MoveMember has changed the address: then the one in the state
	// counts, and before that the one in the config of each member.
	moved bool
	// info is what the member has announced last.
	info string
}

// profile returns the profile of a member, to be changed.
func (m *machine) profile(id uint64) *memberProfile {
	p := m.profiles[id]
	if p == nil {
		p = &memberProfile{}
		m.profiles[id] = p
	}
	return p
}

// A member announces itself by
//
//	commandAnnounce: member: uvarint · info
const commandAnnounce commandKind = 34

// AnnounceSizeMax bounds what a member can announce, in bytes.
const AnnounceSizeMax = 4 << 10

// Announce tells all members something about this one, such as where its clients find
// it: Status shows it as MemberStatus.Info until the next announcement. What it means
// is the callers' affair.
func (s *Store) Announce(ctx context.Context, info string) error {
	if len(info) > AnnounceSizeMax {
		return notApplied(&mvcc.RequestError{
			Field: "info", Detail: fmt.Sprintf("%d bytes, expected at most %d", len(info), AnnounceSizeMax), Err: ErrRequestTooLarge,
		})
	}
	r := newRequest(commandAnnounce)
	r.body = appendBytes(binary.AppendUvarint(r.body, s.MemberID()), []byte(info))
	_, err := s.write(ctx, r)
	return err
}

// executeAnnounce runs a commandAnnounce.
func (m *machine) executeAnnounce(r *reader, out *result) {
	id, info := r.uvarint(), r.bytes()
	if out.err = r.end(commandAnnounce); out.err != nil {
		return
	}
	switch _, isMember := m.members[id]; {
	case len(info) > AnnounceSizeMax:
		out.err = fmt.Errorf("%w: announcement of %d bytes", errMalformed, len(info))
	case !isMember:
		out.err = fmt.Errorf("%w: %x", ErrUnknownMember, id)
	default:
		m.profile(id).info = string(info)
	}
}
