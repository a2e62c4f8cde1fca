package raftstore

import (
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore/transport"
)

// The scenarios of this file are about the leader's lease, whose dangers are too
// narrow in time for random faults to meet them often.

// leaseWorld is a calm cluster of three whose leader's clock is slow and the others'
// fast.
func leaseWorld(t *testing.T, seed uint64) (w *world, leader *simNode, followers []*simNode) {
	w = newWorld(t, seed)
	for len(w.nodes) != 3 {
		w = newWorld(t, w.seed+100_000)
	}
	w.net.Faults = transport.Faults{DelayMin: time.Millisecond, DelayMax: 2 * time.Millisecond}
	for _, n := range w.nodes {
		n.cfg.LeaseReads, n.slow, n.period = true, false, 9*time.Millisecond
		n.start()
	}
	if !w.until(10*time.Second, func() bool { return w.leaderNode() != nil && !w.leaderNode().replica.core.newInOffice() }) {
		w.fatal("no leader")
	}
	leader = w.leaderNode()
	leader.period = 11 * time.Millisecond
	for _, n := range w.nodes {
		if n != leader {
			followers = append(followers, n)
		}
	}
	return w, leader, followers
}

// readAt reads at a member and reports whether it was answered at once.
func (w *world) readAt(n *simNode, byLease bool) (answered func() bool) {
	r := &request{byLease: byLease, done: make(chan struct{}, 1)}
	done := false
	w.operator.init(w)
	w.operator.waiting[r] = func(error) { done = true }
	n.replica.core.read(r)
	n.turn()
	return func() bool { return done || w.operator.waiting[r] == nil }
}

// confirmLease has the leader confirmed and returns when the question was asked, by
// its clock.
func (w *world) confirmLease(leader *simNode) time.Duration {
	asked := leader.replica.now()
	answered := w.readAt(leader, false)
	if !w.until(w.now+time.Second, answered) {
		w.fatal("the leader is not confirmed")
	}
	return asked
}

func (n *simNode) holdsLease() bool {
	n.replica.core.now = n.replica.now()
	return n.replica.core.holdsLease()
}

func (w *world) cutOff(n *simNode) {
	for _, other := range w.nodes {
		w.net.Block(n.id, other.id, true)
		w.net.Block(other.id, n.id, true)
	}
}

// mustNotOverlap lets time pass until somebody else leads.
func (w *world) mustNotOverlap(old *simNode) {
	overlap := false
	if !w.until(w.now+10*time.Second, func() bool {
		for _, n := range w.nodes {
			if n != old && n.replica != nil && n.replica.role() == Leader {
				overlap = old.holdsLease()
				return true
			}
		}
		return false
	}) {
		w.fatal("nobody leads after member %d", old.id)
	}
	if overlap {
		w.fatal("member %d holds a lease while another one leads", old.id)
	}
}

func TestSimLeaseAnswersAlone(t *testing.T) {
	w, leader, followers := leaseWorld(t, 1)
	asked := w.confirmLease(leader)
	core := leader.replica.core
	if end := asked + leader.cfg.leaseSpan(); core.lease.until > end || core.lease.until < end-leader.cfg.TickInterval {
		w.fatal("the lease ends at %v, expected %v", core.lease.until, end)
	}
	sent := leader.replica.net.Stats().SentFrames
	if !w.readAt(leader, true)() {
		w.fatal("a read by lease is not answered at once")
	}
	if w.readAt(followers[0], true)() {
		w.fatal("a follower answers by lease")
	}
	if w.readAt(leader, false)() || leader.replica.net.Stats().SentFrames == sent {
		w.fatal("a read by quorum is answered without one")
	}
	w.cutOff(leader)
	if !w.until(w.now+time.Second, func() bool { return !leader.holdsLease() }) {
		w.fatal("the lease does not end")
	}
	if w.readAt(leader, true)() {
		w.fatal("a read is answered after the end of the lease")
	}
}

func TestSimLeaseEndsBeforeElections(t *testing.T) {
	for seed := range uint64(20) {
		w, leader, _ := leaseWorld(t, seed)
		w.confirmLease(leader)
		w.cutOff(leader)
		w.mustNotOverlap(leader)
	}
}

// What was asked before a slow network answered is counted from the question.
func TestSimLeaseIsCountedFromTheQuestion(t *testing.T) {
	w, leader, _ := leaseWorld(t, 1)
	w.net.Faults = transport.Faults{DelayMin: 20 * time.Millisecond, DelayMax: 21 * time.Millisecond}
	asked := w.confirmLease(leader)
	if end := asked + leader.cfg.leaseSpan(); leader.replica.core.lease.until > end {
		w.fatal("the lease ends at %v, expected %v at most", leader.replica.core.lease.until, end)
	}
}

// Somebody who was offered leadership does not wait for anybody's timeout.
func TestSimLeaseDoesNotOutliveAnOffer(t *testing.T) {
	w, leader, followers := leaseWorld(t, 1)
	w.confirmLease(leader)
	if err := leader.replica.transferTo(followers[0].id); err != nil {
		w.fatal("%v", err)
	}
	leader.turn()
	if leader.holdsLease() {
		w.fatal("the lease outlives the offer")
	}
	w.mustNotOverlap(leader)
}

// A member that has confirmed the leader and starts anew remembers nothing of it.
func TestSimLeaseOutlivesARestart(t *testing.T) {
	for seed := range uint64(20) {
		w, leader, followers := leaseWorld(t, seed)
		// The one who wants to lead has not heard from the leader for long.
		w.net.Block(leader.id, followers[0].id, true)
		w.until(w.now+time.Second, func() bool { return false })
		if leader.replica.role() != Leader {
			w.fatal("member %d was deposed by one that heard nothing", leader.id)
		}
		w.confirmLease(leader)
		w.cutOff(leader)
		followers[1].crash(false)
		followers[1].start()
		w.mustNotOverlap(leader)
	}
}
