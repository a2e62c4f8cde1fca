package raftstore

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/orchcore/orchcore/raftstore/transport"
)

// A member may be spoken to by one that it cannot answer: it was away when the other one
// was added, or moved to another address, and the entry that says so is what it is being
// sent. Without an answer the leader would never send more of the log, and a candidate
// would lack a vote that it may need. So whoever hears nothing of another member tells
// it from time to time where it can be reached:
//
//	frame:  0xf4 · applied index: uvarint · moved: byte · address
const frameIntroduce = 0xf4

// introduction is what another member says of itself.
type introduction struct {
	// applied is up to where it knows the members. What was applied here since then
	// knows better.
	applied uint64
	// moved is as in memberProfile.
	moved   bool
	address string
}

// introduce has the members that are silent know this one.
func (r *replica) introduce() {
	state := r.core.state
	if r.core.ticks%r.core.electionTicks != 0 || state.removed[r.id] {
		return
	}
	own := r.addressOf(r.id)
	for _, id := range state.memberIDs() {
		if id == r.id || r.heardLately(id) {
			continue
		}
		r.encoded = binary.AppendUvarint(append(r.encoded[:0], frameIntroduce), state.applied)
		r.encoded = append(r.encoded, bits(r.hasMoved(r.id)))
		r.encoded = appendBytes(r.encoded, []byte(own))
		r.net.Send(id, transport.LaneControl, 0, r.encoded)
	}
}

// introduced takes a frame of another member.
func (r *replica) introduced(f transport.Frame) error {
	rd := reader{b: f.Payload[1:]}
	in := introduction{applied: rd.uvarint()}
	moved := rd.byte()
	in.moved, in.address = moved == 1, string(rd.bytes())
	var err error
	if in.address != "" { // else the network is one of its user's, and needs none
		_, _, err = net.SplitHostPort(in.address)
	}
	if rd.bad || len(rd.b) > 0 || moved > 1 || err != nil || len(in.address) > addressSizeMax {
		return fmt.Errorf("%w: introduction of %d bytes", errMalformed, len(f.Payload))
	}
	if _, known := r.strangers[f.From]; in.applied <= r.core.state.applied || !known && len(r.strangers) >= membersMax {
		return nil
	}
	if r.strangers[f.From] != in {
		r.strangers[f.From] = in
		r.net.SetPeer(f.From, r.addressOf(f.From))
	}
	return nil
}

// forgetStrangers drops what others have said of themselves when the state has caught up
// with it.
func (r *replica) forgetStrangers() {
	maps.DeleteFunc(r.strangers, func(id uint64, in introduction) bool {
		return in.applied <= r.core.state.applied || r.core.state.removed[id]
	})
}

func (r *replica) hasMoved(id uint64) bool {
	p := r.core.state.profiles[id]
	return p != nil && p.moved
}

// addressOf returns where a member is reached. An address in the config is newer than
// the one in the state, since it is what the operator says today, unless that one was
// changed in the running cluster. What others say counts when they know of changes that
// are not applied here.
func (r *replica) addressOf(id uint64) string {
	stranger, ok := r.strangers[id]
	if ok && stranger.moved {
		return stranger.address
	}
	if r.hasMoved(id) {
		return r.core.state.members[id]
	}
	if i := slices.IndexFunc(r.cfg.Members, func(m Member) bool { return m.ID == id }); i >= 0 && r.cfg.Members[i].Address != "" {
		return r.cfg.Members[i].Address
	}
	if address := r.core.state.members[id]; address != "" {
		return address
	}
	if i := slices.IndexFunc(r.heirs, func(m Member) bool { return m.ID == id }); i >= 0 {
		return r.heirs[i].Address
	}
	return stranger.address
}
