package raftstore

import (
	"errors"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// request is one write or read of a client from its arrival to its result. It
// belongs to the client until it is given to the core, then to the core, and when
// done to the client again.
type request struct {
	kind commandKind // 0 for a read
	body []byte
	// result is set when the request is done.
	result result
	// claimed is taken by the first of two: the core when it proposes the request, or
	// the client when it gives up. What the client has claimed is never proposed.
	claimed claim
	done    chan struct{}
	// byLease lets a leader answer a read on the strength of its lease.
	byLease bool
	// internal requests have no client and count for no limit.
	internal bool
	// lease is the call about a lease that a read is made for; see lease_desk.go.
	lease *leaseCall
}

// batch is one proposed entry of this member whose fate is open.
type batch struct {
	sequence uint64
	// floor is that of the queue when the batch was packed, sizeBytes the room that its
	// entry needs.
	floor     uint64
	sizeBytes int
	requests  []*request
	finished  bool
	// term is that of this member's own leadership under which the entry was put into
	// its log, 0 when it was sent to another member or may have been refused.
	term uint64
	// retryAt is the tick at which the entry is proposed again, tries how often it was.
	retryAt uint64
	tries   int
}

// writeQueue orders the writes of this member: first queue, then batches.
type writeQueue struct {
	queue   []*request
	batches map[uint64]*batch
	order   []*batch // by sequence; finished ones in between
	next    uint64   // the next sequence
	count   int      // of what clients wait for, proposed or not
}

// packSizeMax is the size up to which commands share an entry. Larger entries
// would save little and let one client's write wait for many others'.
const packSizeMax = 256 << 10

var (
	errResultInSnapshot = errors.New("the write was applied, but this member got it as part of a snapshot and never saw its result")
)

// write takes a request whose kind and body are set.
func (c *core) write(r *request) {
	c.writes.queue = append(c.writes.queue, r)
	if !r.internal {
		c.writes.count++
	}
}

// propose turns the queue into entries, as long as Raft takes them.
func (c *core) propose() {
	w := &c.writes
	for len(w.queue) > 0 && c.leader != raft.None && w.next-w.floor() < sequenceWindow && !c.collecting() {
		b, taken := c.pack()
		if b == nil {
			w.queue = dropFront(w.queue, taken)
			continue
		}
		if !c.send(b) {
			// Not proposed, so not decided: the clients may still give up.
			for _, r := range b.requests {
				r.claimed.release()
			}
			return
		}
		w.queue = dropFront(w.queue, taken)
		w.batches[b.sequence] = b
		w.order = append(w.order, b)
		w.next++
	}
}

// openMax is how many entries of a leader may be open before its writes wait for
// company: enough that disk, network and followers all have one.
const openMax = 4

// collecting reports whether the queue waits until an entry of this leader is done, to
// share the next one. Without this, many clients whose writes arrive one by one can go
// on for ever with an entry and a sync for each. A full pack never waits, and neither
// do the proposals of a follower, which may be lost on their way.
func (c *core) collecting() bool {
	w := &c.writes
	if c.role != raft.StateLeader || len(w.batches) < openMax {
		return false
	}
	size := 0
	for _, r := range w.queue {
		if size += len(r.body); size > packSizeMax {
			return false
		}
	}
	return true
}

// dropFront removes the first n requests and lets go of them.
func dropFront(queue []*request, n int) []*request {
	rest := copy(queue, queue[n:])
	clear(queue[rest:])
	return queue[:rest]
}

// pack makes an entry of the requests at the front of the queue. It returns how
// many requests it has looked at; nil when their clients have given up.
func (c *core) pack() (b *batch, taken int) {
	w := &c.writes
	size := 0
	b = &batch{sequence: w.next}
	for _, r := range w.queue {
		if len(b.requests) > 0 && (size+len(r.body) > packSizeMax || r.kind == commandMembers || b.membership()) {
			break
		}
		taken++
		if !r.claimed.take() {
			w.forget(r)
			c.fx.done = append(c.fx.done, r) // nobody waits, but it is off the books
			continue
		}
		size += len(r.body) + 8
		b.requests = append(b.requests, r)
	}
	if len(b.requests) == 0 {
		return nil, taken
	}
	b.floor, b.sizeBytes = w.floor(), size+40
	return b, taken
}

// appendBatch encodes a batch: the same at each proposal.
func (c *core) appendBatch(dst []byte, b *batch) []byte {
	h := entryHeader{origin: c.id, boot: c.boot, sequence: b.sequence, floor: b.floor, count: len(b.requests)}
	dst = h.append(dst)
	for _, r := range b.requests {
		dst = appendCommand(dst, r.kind, r.body)
	}
	return dst
}

// scratchKeepMax is the largest buffer that is kept for the next proposal, in bytes.
const scratchKeepMax = 2 * packSizeMax

// proposal encodes a batch for Raft. A leader's Raft copies what it appends, so that one
// buffer does for all proposals; anybody else's holds what it forwards.
func (c *core) proposal(b *batch) []byte {
	if c.raw.BasicStatus().RaftState != raft.StateLeader || b.sizeBytes > scratchKeepMax {
		return c.appendBatch(make([]byte, 0, b.sizeBytes), b)
	}
	c.scratch = c.appendBatch(c.scratch[:0], b)
	return c.scratch
}

// membership reports whether the batch is a change of the members, which has an
// entry for itself.
func (b *batch) membership() bool { return b.requests[0].kind == commandMembers }

// send proposes an entry to Raft, which appends or forwards it. False means that
// it did neither.
func (c *core) send(b *batch) bool {
	e := &pb.Entry{Data: c.proposal(b)}
	if b.membership() {
		r := reader{b: b.requests[0].body}
		cc := confChange(r.changes(), e.Data)
		data, err := proto.Marshal(cc)
		if err != nil {
			return false
		}
		e = &pb.Entry{Type: pb.EntryConfChangeV2.Enum(), Data: data}
	}
	if err := c.raw.Step(&pb.Message{Type: pb.MsgProp.Enum(), From: new(c.id), Entries: []*pb.Entry{e}}); err != nil {
		return false
	}
	b.term = 0
	if c.role == raft.StateLeader && !b.membership() {
		b.term = c.term()
	}
	b.retryAt = c.ticks + 2*c.electionTicks<<min(b.tries, 4)
	b.tries++
	return true
}

// repropose sends everything whose fate is open to a new leader, in order. What
// was lost with the old one is found again, and what was not is recognised.
func (c *core) repropose() {
	for _, b := range c.writes.order {
		if !b.finished {
			c.send(b)
		}
	}
}

// retryWrites proposes again what seems to have been lost on its way.
func (c *core) retryWrites() {
	if c.leader == raft.None {
		return
	}
	for _, b := range c.writes.order {
		if b.finished || b.retryAt > c.ticks {
			continue
		}
		if c.role == raft.StateLeader && b.term == c.term() {
			continue // it is in our own log
		}
		c.send(b)
	}
}

// floor is the lowest sequence whose outcome is open.
func (w *writeQueue) floor() uint64 {
	if len(w.order) == 0 {
		return w.next
	}
	return w.order[0].sequence
}

// finish takes a batch whose requests are done off the books.
func (w *writeQueue) finish(b *batch) {
	b.finished = true
	delete(w.batches, b.sequence)
	for _, r := range b.requests {
		w.forget(r)
	}
	for len(w.order) > 0 && w.order[0].finished {
		w.order[0] = nil
		w.order = w.order[1:]
	}
}

func (w *writeQueue) forget(r *request) {
	if !r.internal {
		w.count--
	}
}
