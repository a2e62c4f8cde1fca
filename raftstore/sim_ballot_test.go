package raftstore

import (
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/orchcore/orchcore/raftstore/transport"
)

// A vote is durable before the candidate can know of it: a power failure at that
// moment must not let the member vote again in the same term.
func TestSimVotesAreDurable(t *testing.T) {
	w := newWorld(t, 1)
	for len(w.nodes) != 3 {
		w = newWorld(t, w.seed+1)
	}
	w.net.Faults = transport.Faults{DelayMin: time.Millisecond, DelayMax: 2 * time.Millisecond}
	for _, n := range w.nodes {
		n.slow, n.cfg.LeaseReads = false, false
		n.start()
	}
	if !w.until(10*time.Second, func() bool { return w.leaderNode() != nil && !w.leaderNode().replica.core.newInOffice() }) {
		w.fatal("no leader")
	}
	var voter *simNode
	for _, n := range w.nodes {
		if n != w.leaderNode() {
			voter = n
		}
	}
	core := voter.replica.core
	term, candidate := core.term()+5, w.leaderNode().id
	sent := voter.replica.net.Stats().SentFrames
	core.step(&pb.Message{
		Type: pb.MsgVote.Enum(), From: new(candidate), To: new(voter.id), Term: new(term),
		LogTerm: new(term), Index: new(core.log.last() + 10), Context: []byte("CampaignTransfer"), // asked for at once
	})
	voter.turn()
	if voter.replica.net.Stats().SentFrames == sent {
		w.fatal("the vote is not answered")
	}
	voter.crash(true)
	voter.start()
	if hard := voter.replica.core.log.hard; hard.GetTerm() != term || hard.GetVote() != candidate {
		w.fatal("member %d has voted for %d in term %d, and remembers %d in term %d", voter.id, candidate, term, hard.GetVote(), hard.GetTerm())
	}
}
