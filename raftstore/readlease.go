package raftstore

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// A leader whose leadership a quorum has confirmed knows more than that it led: those
// who confirmed have begun a new election timeout since the question was asked, and
// vote for nobody until it has passed (CheckQuorum makes them wait). As long as that
// surely lasts, nobody else can lead, and the leader may answer linearizable reads
// alone (Raft §6.4.1 of the thesis). The lease is counted from the question, never
// from the answer:
//
//	question ──► confirmed ── reads without asking ──► end      others may vote
//	├───────────── span: ¾ · (ElectionTicks − 2) ──────┤              │
//	├───────────────────── ElectionTicks, by their clocks ────────────┤
//
// Two ticks less, since the others count whole ticks and one may be waiting already;
// a quarter less, for clocks of different rates. A pause of the leader does no harm:
// the lease is looked at after the read was called, and holds at that moment.
//
// What could end leadership sooner is kept from it: a member votes for nobody in the
// first election timeout after its start, having forgotten whom it had heard, and a
// leader that has offered leadership to another one, whose campaign does not wait,
// uses no lease for the rest of its term. raft/v3's own ReadOnlyLeaseBased does none
// of the three; it is not used.
type leaderLease struct {
	// span is how long a confirmation serves; 0 when leases are not used.
	span  time.Duration
	until time.Duration
	// term is that in which the lease was won, offered the last in which leadership
	// was offered to somebody.
	term, offered uint64
}

// leaseSpan is the time that a confirmation serves.
func leaseSpan(tick time.Duration, electionTicks int) time.Duration {
	return max(0, time.Duration(electionTicks-2)*tick*3/4)
}

// extendLease takes a confirmed question of this member's own.
func (c *core) extendLease(q *question) {
	l := &c.lease
	if l.span > 0 && c.role == raft.StateLeader && q.term == c.hardTerm {
		l.term, l.until = q.term, q.asked+l.span
	}
}

// holdsLease reports whether nobody else can have led before now.
func (c *core) holdsLease() bool {
	l := &c.lease
	return l.span > 0 && c.role == raft.StateLeader && l.term == c.hardTerm && l.offered != l.term && c.now < l.until
}

// readByLease answers the reads that ask for no more than a lease.
func (c *core) readByLease() {
	q := &c.reads
	if len(q.waiting) == 0 || !c.holdsLease() {
		return
	}
	answered := &question{index: c.raw.BasicStatus().GetCommit()}
	kept := q.waiting[:0]
	for _, r := range q.waiting {
		if r.byLease {
			answered.requests = append(answered.requests, r)
		} else {
			kept = append(kept, r)
		}
	}
	clear(q.waiting[len(kept):])
	q.waiting = kept
	if len(answered.requests) > 0 {
		q.confirmed = append(q.confirmed, answered)
		c.finishReads()
	}
}

// transfer offers leadership to another voter.
func (c *core) transfer(to uint64) {
	c.lease.offered = c.hardTerm
	c.raw.TransferLeader(to)
}

// mustNotVote reports whether a message asks for a vote that this member may have
// promised, before its start, not to give yet.
func (c *core) mustNotVote(m *pb.Message) bool {
	t := m.GetType()
	return c.lease.span > 0 && c.ticks <= c.electionTicks && (t == pb.MsgVote || t == pb.MsgPreVote)
}

// ReadOption is how a member makes sure that a linearizable read is not old.
type ReadOption uint8

const (
	// ReadByQuorum asks the leader, which asks a quorum: correct whatever clocks do.
	// This is how a Store reads.
	ReadByQuorum ReadOption = iota
	// ReadByLease lets the leader answer alone while a quorum that has confirmed it
	// cannot elect anybody else. It saves the round trip, and is correct as long as no
	// clock of a voter runs faster than the leader's by a third. Members that do not
	// lead, and leaders without a lease, read by quorum. Needs Config.LeaseReads.
	ReadByLease
)

// Reading returns the store as a KV that makes its linearizable reads in another
// way. An error says that the member's Config does not allow it.
func (s *Store) Reading(o ReadOption) (KV, error) {
	switch {
	case o == ReadByQuorum:
		return s, nil
	case o != ReadByLease:
		return nil, configError("ReadOption", uint8(o), "ReadByQuorum or ReadByLease")
	case !s.cfg.LeaseReads:
		return nil, configError("LeaseReads", false, "true on every member, for ReadByLease")
	}
	return leaseReader{s}, nil
}

// leaseReader is a Store that reads by lease.
type leaseReader struct{ *Store }

// Range implements KV.
func (l leaseReader) Range(ctx context.Context, o RangeOptions) (RangeResult, error) {
	return l.rangeBy(ctx, o, ReadByLease)
}

// Txn implements KV.
func (l leaseReader) Txn(ctx context.Context, t Txn) (TxnResult, error) {
	return l.txnBy(ctx, t, ReadByLease)
}

// leaseSpan is 0 when leases are not used.
func (c *Config) leaseSpan() time.Duration {
	if !c.LeaseReads {
		return 0
	}
	return leaseSpan(c.TickInterval, c.ElectionTicks)
}

// validateLeaseReads checks Config.LeaseReads against the timeouts.
func (c *Config) validateLeaseReads() error {
	if c.LeaseReads && c.leaseSpan() <= 0 {
		return fmt.Errorf("%w, for LeaseReads", configError("ElectionTicks", c.ElectionTicks, "at least 3"))
	}
	return nil
}
