package raftstore

import (
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// When an entry is committed, Raft tells every follower at once by an append without
// entries, which the follower answers. But the clients that have just been answered
// often come back with their next writes, whose entries carry the same commit index.
// So a notice waits for the end of the turn in which the next inputs are worked on, or
// until the owner finds none; the next append to the same follower takes its place.
// That saves two messages of four for each entry of a client that writes one by one.
//
// Raft takes the loss of any message, and a later append of the same leader says all
// that an earlier one without entries did: where the log must match, and what is
// committed. Notices never wait for a clock, nor for a disk.

// holdNotice keeps an append without entries back. One that has entries goes instead of
// the notice that was held for its follower.
func (r *replica) holdNotice(m *pb.Message) bool {
	to := m.GetTo()
	i := slices.IndexFunc(r.notices, func(n *pb.Message) bool { return n.GetTo() == to })
	switch {
	case len(m.Entries) > 0:
		if i >= 0 {
			r.notices = slices.Delete(r.notices, i, i+1)
		}
		return false
	case i >= 0:
		r.notices[i] = m
	default:
		r.notices = append(r.notices, m)
	}
	return true
}

// holdsNotices reports whether sendNotices has something to do.
func (r *replica) holdsNotices() bool { return len(r.notices) > 0 }

// sendNotices sends what was held. Whoever calls turn calls it when there is nothing
// to do before the next turn.
func (r *replica) sendNotices() {
	for i, m := range r.notices {
		r.notices[i] = nil
		r.send(m)
	}
	r.notices = r.notices[:0]
}
