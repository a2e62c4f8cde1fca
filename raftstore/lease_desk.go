package raftstore

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/orchcore/orchcore/raftstore/transport"
	"go.etcd.io/raft/v3"
)

// Leases are part of the state: they are granted and revoked by commands, and so do
// they expire. What is not part of the state is time. The leader alone counts it,
// and answers calls about it: those of its own clients, and those that other members
// pass on. It does nothing with a count, neither answer nor let a lease expire,
// before it has confirmed, after the fact, that it still led (core.read), and an
// expiry says in which term it was proposed: in another it does nothing.
//
//	client ─► KeepAlive ─► member ─► leader: confirm ─► renew ─► answer
//	                              leader: out of time ─► confirm ─► expiry in the log
//
// Why a lease cannot expire early: the count begins at a moment not before the call
// that it answers, ticks that a paused process misses are not made up for, and a
// leader counts only in its own term. Its successor starts from the whole time to
// live, or what the last checkpoint has left of it, plus an election timeout: from a
// moment after every confirmed answer of its predecessor. An expiry that a deposed
// leader has proposed carries the old term (etcd #15247, #12528).
//
// Frames between members, on the control lane beside those of Raft:
//
//	ask:     0xf0 · boot: uvarint · { number: uvarint · kind: byte · id: varint }…
//	answer:  0xf1 · boot: uvarint · { number: uvarint · status: byte · ttl, remaining: varint }…
const (
	frameLeaseAsk    = 0xf0
	frameLeaseAnswer = 0xf1
)

type leaseCallKind uint8

const (
	leaseKeepAlive leaseCallKind = 1 + iota
	leaseTimeToLive
	leaseExpiry // the leader's own: confirm, then let leases expire
)

const (
	leaseFound   = 1
	leaseMissing = 2
)

// Limits of the leader's work on leases.
const (
	// leaseExpiriesPerTick bounds the expiries that are proposed at a time. With ticks
	// of 100 ms it is etcd's rate of 1,000 a second.
	leaseExpiriesPerTick = 100
	// leaseAsksMax bounds the calls of other members that are open here; more are
	// dropped and asked again.
	leaseAsksMax = 1 << 14
	// leaseFrameCalls bounds the calls of one frame.
	leaseFrameCalls = 4096
	// leaseCheckpointEvery is the time that is counted down between two checkpoints of
	// one lease, etcd's. A lease that is kept alive has none.
	leaseCheckpointEvery = 5 * time.Minute
)

// leaseCall is one call about a lease, of a client here or of another member.
type leaseCall struct {
	kind leaseCallKind
	id   int64
	// number names the call at its member; from is that member, 0 here, boot its start.
	number, from, boot uint64
	request            *request // of a client here
	// term is that in which leadership is being confirmed for the call.
	term uint64
	// retryAt is the tick at which it is tried again.
	retryAt uint64
	held    bool
	done    bool
}

// leaseDesk is a replica's part in leases.
type leaseDesk struct {
	r *replica
	// term is the one in which this member counts, 0 while it does not lead.
	term  uint64
	count countdown
	// held are calls that wait for a change of their lease which is on its way.
	held map[int64][]*leaseCall
	// confirming tells that an expiry is waiting for confirmation.
	confirming bool
	asked      int // open calls of other members

	// own are the calls of clients here, by number, answered ones in between.
	own    []*leaseCall
	next   uint64
	leader uint64 // who led at the last tick

	// sweepFrom is the next lease to look at for a checkpoint, sweeping the last
	// proposal that came of it while it is open.
	sweepFrom int64
	sweeping  *request
	// out are frames that grow during a turn.
	out []leaseFrame
	// moved tells that the core has new work.
	moved bool
}

type leaseFrame struct {
	to    uint64
	kind  byte
	boot  uint64
	calls int
	b     []byte
}

func (d *leaseDesk) init(r *replica) {
	d.r = r
	d.next = 1
	r.core.state.leaseChanged = d.changed
}

func (d *leaseDesk) leases() *mvcc.Store { return d.r.core.state.store }

// ticksOf is the time of a lease in ticks. One tick is lost since the first may come
// at once, and one since a tick that was late does not delay the next.
func (d *leaseDesk) ticksOf(ttlSeconds int64) uint64 {
	interval := uint64(d.r.cfg.TickInterval)
	return (uint64(ttlSeconds)*uint64(time.Second)+interval-1)/interval + 2
}

// secondsOf is the inverse, rounded down.
func (d *leaseDesk) secondsOf(ticks uint64) int64 {
	return int64(ticks * uint64(d.r.cfg.TickInterval) / uint64(time.Second))
}

// submit takes the call of a client.
func (d *leaseDesk) submit(r *request) {
	call := r.lease
	call.request, call.number = r, d.next
	d.next++
	d.own = append(d.own, call)
	d.route(call)
}

// route sends a call to whoever leads, or leaves it until somebody does.
func (d *leaseDesk) route(call *leaseCall) {
	c := d.r.core
	call.retryAt = c.ticks + c.electionTicks
	switch c.leader {
	case raft.None:
		call.retryAt = c.ticks + 1
	case c.id:
		d.confirm(call)
	default:
		d.frame(c.leader, frameLeaseAsk, c.boot, func(b []byte) []byte {
			b = binary.AppendUvarint(b, call.number)
			b = append(b, byte(call.kind))
			return binary.AppendVarint(b, call.id)
		})
	}
}

// confirm asks whether this member still leads, on behalf of a call.
func (d *leaseDesk) confirm(call *leaseCall) {
	call.term = d.r.core.term()
	d.r.core.read(&request{lease: call, internal: true, done: make(chan struct{}, 1)})
	d.moved = true
}

// confirmed goes on with a call when it is known that this member led in call.term at
// some moment after the call, and has applied everything before it.
func (d *leaseDesk) confirmed(call *leaseCall) {
	d.follow()
	if d.term == 0 || d.term != call.term {
		return // own calls are routed anew by tick, others by their members
	}
	if call.kind == leaseExpiry {
		d.confirming = false
		d.expire()
		return
	}
	if call.from != 0 {
		d.asked--
	}
	d.handle(call)
}

// handle answers a call, or holds it when the answer is on its way.
func (d *leaseDesk) handle(call *leaseCall) {
	if call.done || call.held {
		return
	}
	l, ok := d.leases().Lease(call.id)
	if !ok {
		d.answer(call, leaseMissing, LeaseLife{})
		return
	}
	now := d.r.core.ticks
	if call.kind == leaseKeepAlive {
		switch {
		case d.count.expiring[l.ID]:
			d.hold(call)
			return
		case l.Remaining > 0:
			// A successor must not start from a checkpoint that was made before.
			if len(d.held[l.ID]) == 0 {
				d.checkpoint([]mvcc.Lease{{ID: l.ID, Serial: l.Serial}})
			}
			d.hold(call)
			return
		}
		d.count.renew(l.ID, now+d.ticksOf(l.TTL))
	}
	life := LeaseLife{Lease: Lease{ID: l.ID, TTL: l.TTL}}
	if end := d.count.ends[l.ID]; end > now+2 {
		life.Remaining = d.secondsOf(end - now - 2)
	}
	d.answer(call, leaseFound, life)
}

func (d *leaseDesk) hold(call *leaseCall) {
	if call.from != 0 {
		d.asked++
	}
	call.held = true
	d.held[call.id] = append(d.held[call.id], call)
}

// changed hears from the state that a command about a lease was applied: with
// success, or in the case of expiries and checkpoints without.
func (d *leaseDesk) changed(id int64, kind commandKind) {
	if d.term == 0 {
		return
	}
	now := d.r.core.ticks
	l, ok := d.leases().Lease(id)
	_, counted := d.count.ends[id]
	switch {
	case !ok:
		d.count.forget(id)
	case !counted:
		d.count.begin(id, now+d.ticksOf(l.TTL))
	case kind == commandLeaseExpire && d.count.expiring[id]:
		d.count.forget(id) // it was refused, and is tried again later
		d.count.begin(id, now+d.r.core.electionTicks)
	}
	calls := d.held[id]
	delete(d.held, id)
	for _, call := range calls {
		if call.held = false; call.from != 0 {
			d.asked--
		}
		d.handle(call)
	}
}

// answer ends a call.
func (d *leaseDesk) answer(call *leaseCall, status byte, life LeaseLife) {
	if call.from == 0 {
		d.finish(call, status, life)
		return
	}
	d.frame(call.from, frameLeaseAnswer, call.boot, func(b []byte) []byte {
		b = binary.AppendUvarint(b, call.number)
		b = append(b, status)
		b = binary.AppendVarint(b, life.TTL)
		return binary.AppendVarint(b, life.Remaining)
	})
}

// finish gives a client its answer.
func (d *leaseDesk) finish(call *leaseCall, status byte, life LeaseLife) {
	if call.done {
		return
	}
	call.done = true
	call.request.result.ttl, call.request.result.remaining = life.TTL, life.Remaining
	if status == leaseMissing {
		call.request.result.err = missingLease(call.id)
	}
	d.r.core.fx.done = append(d.r.core.fx.done, call.request)
	d.moved = true
}

func missingLease(id int64) error {
	return &mvcc.RequestError{Field: "lease.id", Detail: fmt.Sprintf("lease %d", id), Err: mvcc.ErrLeaseNotFound}
}

// follow begins and ends the count with this member's leadership.
func (d *leaseDesk) follow() {
	c := d.r.core
	term := uint64(0)
	if c.role == raft.StateLeader {
		term = c.term()
	}
	if term == d.term {
		return
	}
	d.term = term
	d.count.reset()
	for _, call := range d.own {
		call.held, call.retryAt = false, 0
	}
	d.held = map[int64][]*leaseCall{}
	d.confirming, d.asked = false, 0
	d.sweepFrom, d.sweeping = math.MinInt64, nil
	if term == 0 {
		return
	}
	for _, l := range d.leases().Leases() {
		left := l.TTL
		if l.Remaining > 0 {
			left = l.Remaining
		}
		d.count.begin(l.ID, c.ticks+d.ticksOf(left)+c.electionTicks)
	}
}

// tick moves the count on and tries again what was not answered.
func (d *leaseDesk) tick() {
	d.follow()
	c := d.r.core
	d.own = slices.DeleteFunc(d.own, func(call *leaseCall) bool { return call.done })
	for _, call := range d.own {
		if call.request.claimed.lost() { // the client has given up
			call.done = true
			c.fx.done = append(c.fx.done, call.request)
		} else if call.retryAt <= c.ticks || d.leader != c.leader {
			d.route(call)
		}
	}
	d.leader = c.leader
	if d.term == 0 {
		return
	}
	if d.count.anyDue(c.ticks) && !d.confirming {
		d.confirming = true
		d.confirm(&leaseCall{kind: leaseExpiry})
	}
	d.sweep()
}

// expire proposes the end of leases that have run out, each in a revision of its own.
func (d *leaseDesk) expire() {
	for _, id := range d.count.expire(d.r.core.ticks, leaseExpiriesPerTick) {
		l, ok := d.leases().Lease(id)
		if !ok {
			continue
		}
		b := binary.AppendUvarint(nil, d.term)
		b = binary.AppendVarint(b, id)
		d.propose(commandLeaseExpire, binary.AppendUvarint(b, l.Serial))
	}
}

// sweep looks at a part of all leases, and makes checkpoints of those that nobody has
// renewed for long. It comes to each at least once in the time between two checkpoints.
func (d *leaseDesk) sweep() {
	if d.sweeping != nil {
		return
	}
	c := d.r.core
	every := leaseCheckpointEvery / d.r.cfg.TickInterval
	part := len(d.count.ends)/int(max(every, 1)) + 1
	leases := d.leases().LeasesFrom(d.sweepFrom, part)
	var due []mvcc.Lease
	for _, l := range leases {
		known := l.TTL
		if l.Remaining > 0 {
			known = l.Remaining
		}
		end := d.count.ends[l.ID]
		if end <= c.ticks || d.count.expiring[l.ID] {
			continue
		}
		left := d.secondsOf(end-c.ticks) + 1
		if known-left >= int64(leaseCheckpointEvery/time.Second) {
			due = append(due, mvcc.Lease{ID: l.ID, Remaining: left, Serial: l.Serial})
		}
	}
	d.sweepFrom = math.MinInt64
	if n := len(leases); n == part && leases[n-1].ID < math.MaxInt64 {
		d.sweepFrom = leases[n-1].ID + 1
	}
	if len(due) > 0 {
		d.sweeping = d.checkpoint(due)
	}
}

// checkpoint proposes checkpoints.
func (d *leaseDesk) checkpoint(leases []mvcc.Lease) *request {
	b := binary.AppendUvarint(nil, d.term)
	b = binary.AppendUvarint(b, uint64(len(leases)))
	for _, l := range leases {
		b = binary.AppendVarint(b, l.ID)
		b = binary.AppendVarint(b, l.Remaining)
		b = binary.AppendUvarint(b, l.Serial)
	}
	return d.propose(commandLeaseCheckpoint, b)
}

func (d *leaseDesk) propose(kind commandKind, body []byte) *request {
	r := &request{kind: kind, body: body, internal: true, done: make(chan struct{}, 1)}
	d.r.core.write(r)
	d.moved = true
	return r
}

// settle takes the desk's own requests out of what is done. What it appends there is
// for clients.
func (d *leaseDesk) settle() {
	fx := &d.r.core.fx
	for i := 0; i < len(fx.done); i++ {
		r := fx.done[i]
		if r.internal && r.lease != nil {
			d.confirmed(r.lease)
		}
		if r == d.sweeping {
			d.sweeping = nil
		}
	}
}

// frame adds a call to the frame for a member that is sent at the end of the turn.
func (d *leaseDesk) frame(to uint64, kind byte, boot uint64, add func([]byte) []byte) {
	i := slices.IndexFunc(d.out, func(f leaseFrame) bool {
		return f.to == to && f.kind == kind && f.boot == boot && f.calls < leaseFrameCalls
	})
	if i < 0 {
		i = len(d.out)
		d.out = append(d.out, leaseFrame{to: to, kind: kind, boot: boot, b: binary.AppendUvarint([]byte{kind}, boot)})
	}
	d.out[i].b = add(d.out[i].b)
	d.out[i].calls++
}

// send hands the frames of this turn to the network, which may lose them.
func (d *leaseDesk) send() {
	for i, f := range d.out {
		d.r.net.Send(f.to, transport.LaneControl, 0, f.b)
		d.out[i] = leaseFrame{}
	}
	d.out = d.out[:0]
}

// receive takes a frame of another member.
func (d *leaseDesk) receive(f transport.Frame) error {
	r := reader{b: f.Payload}
	kind, boot := r.byte(), r.uvarint()
	d.follow()
	for len(r.b) > 0 && !r.bad {
		if kind == frameLeaseAsk {
			d.receiveAsk(&r, f.From, boot)
		} else {
			d.receiveAnswer(&r, boot)
		}
	}
	if r.bad {
		return fmt.Errorf("%w: lease frame of %d bytes", errMalformed, len(f.Payload))
	}
	return nil
}

func (d *leaseDesk) receiveAsk(r *reader, from, boot uint64) {
	call := &leaseCall{from: from, boot: boot, number: r.uvarint()}
	call.kind, call.id = leaseCallKind(r.byte()), r.varint()
	if call.kind != leaseKeepAlive && call.kind != leaseTimeToLive {
		r.bad = true
	}
	if r.bad || d.term == 0 || d.asked >= leaseAsksMax {
		return // it will be asked again, of whoever leads then
	}
	d.asked++
	d.confirm(call)
}

func (d *leaseDesk) receiveAnswer(r *reader, boot uint64) {
	number, status := r.uvarint(), r.byte()
	life := LeaseLife{Lease: Lease{TTL: r.varint()}, Remaining: r.varint()}
	if status != leaseFound && status != leaseMissing {
		r.bad = true
	}
	if r.bad || boot != d.r.core.boot {
		return
	}
	i, ok := slices.BinarySearchFunc(d.own, number, func(c *leaseCall, n uint64) int {
		if c.number < n {
			return -1
		}
		return int(min(c.number-n, 1))
	})
	if !ok {
		return
	}
	life.ID = d.own[i].id
	d.finish(d.own[i], status, life)
}

// fail ends all calls of clients when the member stops.
func (d *leaseDesk) fail(reason error) (requests []*request) {
	for _, call := range d.own {
		if !call.done {
			call.done = true
			call.request.result.err = reason
			requests = append(requests, call.request)
		}
	}
	return requests
}
