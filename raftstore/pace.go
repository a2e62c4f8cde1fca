package raftstore

import (
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// pace bounds what a leader sends to members that are far behind, so that bringing
// them up leaves the clients most of the processors, disks and links. It counts parts
// of snapshots, and entries that are not in memory any more. Raft sends those in answer
// to acknowledgements: it hears of one when there is budget for as many bytes as it
// acknowledges. (A message of Raft's own that is not sent would count as lost.)
//
// Nothing is bounded while nothing is written. That is also so when clients wait for
// a member that is needed for the majority: then nothing is committed until it is up.
type pace struct {
	// ratePerSecond is in bytes. On top of it comes twice what the log grows by: a member
	// would otherwise never catch up with clients who write faster.
	ratePerSecond int64
	// budget is how many bytes may go out, filled when it was last filled.
	budget int64
	filled time.Duration
	grown  int64
	// written tells that something was applied within the last tick, up to applied.
	written bool
	applied uint64
	// held are the acknowledgements that wait, acked the last ones that Raft has heard of,
	// by member.
	held  []*pb.Message
	acked map[uint64]uint64
}

const (
	// paceBurstBytes is the most that goes out at once after a pause.
	paceBurstBytes = 512 << 10
	// paceHeldMax bounds the acknowledgements that wait: more than all members together
	// have entries in flight for.
	paceHeldMax = membersMax * inflightMessages
)

// tick is told up to where the leader has applied.
func (p *pace) tick(applied uint64) {
	p.written = applied > p.applied
	p.applied = applied
}

// refill is called in each turn.
func (p *pace) refill(now time.Duration) {
	p.budget += int64(float64(p.ratePerSecond)*(now-p.filled).Seconds()) + 2*p.grown
	p.budget = min(p.budget, paceBurstBytes)
	p.filled, p.grown = now, 0
}

// allows reports whether more may go out now.
func (p *pace) allows() bool { return p.budget > 0 || !p.written }

// spend takes note of what has gone out.
func (p *pace) spend(sizeBytes int64) {
	if p.written {
		p.budget -= sizeBytes
	}
}

// holdBack keeps an acknowledgement that Raft would answer with more than may go out now.
func (r *replica) holdBack(m *pb.Message) bool {
	if m.GetType() != pb.MsgAppResp || m.GetReject() || r.core.role != raft.StateLeader {
		return false
	}
	p := &r.pace
	if index := m.GetIndex(); index >= r.core.log.held || index <= r.core.log.offset {
		p.acked[m.GetFrom()] = index
		return false
	}
	if len(p.held) == 0 && p.allows() || len(p.held) >= paceHeldMax {
		r.acknowledge(m)
	} else {
		p.held = append(p.held, m)
	}
	return true
}

// acknowledge gives Raft an acknowledgement at the expense of the budget.
func (r *replica) acknowledge(m *pb.Message) {
	p, from, index := &r.pace, m.GetFrom(), m.GetIndex()
	last, known := p.acked[from]
	if known {
		p.spend(r.core.log.size(last, index))
	}
	p.acked[from] = max(last, index)
	r.core.step(m)
}

// bringUp sends members that are behind what the budget allows.
func (r *replica) bringUp() {
	p := &r.pace
	p.refill(r.core.now)
	if r.core.role != raft.StateLeader {
		clear(p.acked)
		p.held = nil
		return
	}
	for len(p.held) > 0 && p.allows() {
		m := p.held[0]
		p.held[0] = nil
		p.held = p.held[1:]
		r.acknowledge(m)
	}
	if len(r.sending) == 0 || !p.allows() {
		return
	}
	for _, to := range slices.Sorted(maps.Keys(r.sending)) {
		if o := r.sending[to]; o.begun {
			r.pump(o)
		}
	}
}
