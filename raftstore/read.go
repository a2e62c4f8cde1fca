package raftstore

import (
	"bytes"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
)

// A linearizable read asks the leader for its commit index, which it gives when a
// quorum has confirmed that it still leads, and waits until that much is applied
// here (Raft §6.4 of the thesis). A question serves all reads that arrived before it was
// asked; those that come later need the next.
type readQueue struct {
	waiting   []*request  // not asked for yet
	open      []*question // by the time they were asked
	confirmed []*question // answered, not applied yet
	attempts  uint64
	count     int
}

type question struct {
	requests []*request
	context  []byte
	askedAt  uint64 // tick
	asked    time.Duration
	term     uint64 // when it was asked
	index    uint64
}

// read takes a request without a kind. It is done when the local state is at
// least as new as everything acknowledged before now.
func (c *core) read(r *request) {
	c.reads.waiting = append(c.reads.waiting, r)
	c.reads.count++
}

// questionsMax is how many questions may be open: the second one is on its way while
// those whom the first has served come back. (etcd has one; see doc.go.)
const questionsMax = 2

// askIndex opens a question if there are reads: at once if none is open, else when half
// as many wait as the oldest one serves.
func (c *core) askIndex() {
	c.readByLease()
	q := &c.reads
	if len(q.waiting) == 0 || c.leader == raft.None || len(q.open) == questionsMax {
		return
	}
	if len(q.open) > 0 && 2*len(q.waiting) < len(q.open[0].requests) || c.newInOffice() {
		return
	}
	next := &question{requests: q.waiting}
	q.open = append(q.open, next)
	q.waiting = nil
	c.ask(next)
}

// newInOffice reports whether this member leads and has not committed an entry of
// its term yet: then it does not know what its predecessors have acknowledged
// (Raft §6.4 of the thesis). raft/v3 3.7.0 checks this itself, but not when there
// is only one voter.
func (c *core) newInOffice() bool {
	if c.role != raft.StateLeader {
		return false
	}
	status := c.raw.BasicStatus()
	term, err := c.log.Term(status.GetCommit())
	return err != nil || term != status.GetTerm()
}

// ask sends a question under a name that was never used before: an answer to an
// earlier attempt may be older than a read that joined meanwhile, or come from a
// leader of the past (etcd #20418).
func (c *core) ask(q *question) {
	c.reads.attempts++
	q.context = c.readContext(c.reads.attempts)
	q.askedAt, q.asked, q.term = c.ticks, c.now, c.hardTerm
	c.raw.ReadIndex(q.context)
}

// confirm takes an answer.
func (c *core) confirm(rs raft.ReadState) {
	i := slices.IndexFunc(c.reads.open, func(q *question) bool { return bytes.Equal(q.context, rs.RequestCtx) })
	if i < 0 {
		return
	}
	q := c.reads.open[i]
	q.index = rs.Index
	c.extendLease(q)
	c.reads.open = slices.Delete(c.reads.open, i, i+1)
	c.reads.confirmed = append(c.reads.confirmed, q)
	c.finishReads()
}

// finishReads completes the reads whose index is applied.
func (c *core) finishReads() {
	q := &c.reads
	kept := q.confirmed[:0]
	for _, question := range q.confirmed {
		if question.index > c.state.applied {
			kept = append(kept, question)
			continue
		}
		c.fx.done = append(c.fx.done, question.requests...)
		q.count -= len(question.requests)
	}
	clear(q.confirmed[len(kept):])
	q.confirmed = kept
}

// restartReads has everything asked again after a change of leader, which may have lost
// the questions. Raft drops them silently when it knows no leader.
func (c *core) restartReads() {
	q := &c.reads
	for _, open := range slices.Backward(q.open) {
		q.waiting = append(open.requests, q.waiting...)
	}
	q.open = nil
}

// retryReads asks again what was not answered within an election timeout.
func (c *core) retryReads() {
	for _, q := range c.reads.open {
		if c.ticks-q.askedAt >= c.electionTicks && c.leader != raft.None {
			c.ask(q)
		}
	}
}

// fail empties the queue and returns the requests with an error.
func (q *readQueue) fail(err error) []*request {
	all := q.waiting
	for _, open := range q.open {
		all = append(all, open.requests...)
	}
	for _, question := range q.confirmed {
		all = append(all, question.requests...)
	}
	for _, r := range all {
		r.result.err = err
	}
	*q = readQueue{}
	return all
}
