package raftstore

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3"
)

// Members that have applied the same entries have the same state, unless memory
// has flipped a bit or a program has a fault. So that this is found within seconds
// and not by a user, the leader now and then puts the digest of its state at some
// index into the log, and each member compares it with what it had there itself.
//
//	commandCheck: member, index: uvarint · hash: 8 bytes, little endian
const commandCheck commandKind = 33

// checkTicks is the time between two checks; nothing is checked that has not changed.
const checkTicks = 50

// digestsKept is the number of indexes whose digest a member remembers.
const digestsKept = 1024

// ErrDiverged is matched when a member has stopped because its state differs from
// the leader's. One of the two is wrong: compare with a third before removing one.
var ErrDiverged = fmt.Errorf("%w: state differs from the leader's", ErrFailed)

type digest struct{ index, hash uint64 }

// remember notes the digest after an entry.
func (m *machine) remember(index uint64) {
	m.digests[index%digestsKept] = digest{index, m.store.Hash()}
}

// compare takes the digest of another member. What it finds is no part of the state.
func (m *machine) compare(r *reader, out *result) {
	member, index := r.uvarint(), r.uvarint()
	if r.bad || len(r.b) != 8 {
		out.err = fmt.Errorf("%w: digest", errMalformed)
		return
	}
	hash := binary.LittleEndian.Uint64(r.b)
	own := m.digests[index%digestsKept]
	if own.index == index && own.hash != hash && m.diverged == nil {
		m.diverged = fmt.Errorf("%w: digest at index %d is %016x, that of member %x is %016x", ErrDiverged, index, own.hash, member, hash)
	}
}

// publishDigest proposes a check, on the leader, if the state has changed since the
// last one.
func (r *replica) publishDigest() {
	state := r.core.state
	own := state.digests[state.applied%digestsKept]
	if r.core.ticks%checkTicks != 0 || r.core.role != raft.StateLeader || own.index != state.applied || own.hash == r.published {
		return
	}
	r.published = own.hash
	b := binary.AppendUvarint(nil, r.id)
	b = binary.AppendUvarint(b, own.index)
	b = binary.LittleEndian.AppendUint64(b, own.hash)
	r.core.write(&request{kind: commandCheck, body: b, internal: true, done: make(chan struct{}, 1)})
}
