package transport

import (
	"bytes"
	"container/heap"
	"math/rand/v2"
	"time"
)

// Faults say what a Network does to frames. The zero value delivers every frame
// once, in order and at once.
type Faults struct {
	// DelayMin and DelayMax bound the time a frame travels; frames overtake each
	// other within it.
	DelayMin, DelayMax time.Duration
	// Loss and Duplicate are probabilities from 0 to 1.
	Loss, Duplicate float64
}

// Network is a network in memory with its own clock. Nothing moves by itself:
// Advance delivers what is due, in an order that depends on the seed alone. It is
// for simulations and belongs to one goroutine.
type Network struct {
	Faults Faults

	rng       *rand.Rand
	now       time.Duration
	sequence  uint64
	queue     deliveries
	endpoints map[uint64]*Endpoint
	blocked   map[[2]uint64]bool
}

// NewNetwork returns a network at time zero.
func NewNetwork(rng *rand.Rand) *Network {
	return &Network{rng: rng, endpoints: map[uint64]*Endpoint{}, blocked: map[[2]uint64]bool{}}
}

// Endpoint is one member's Transport on a Network.
type Endpoint struct {
	net     *Network
	id      uint64
	handler Handler
	peers   map[uint64]bool
	removed map[uint64]bool
	notice  []byte
	stats   Stats
	closed  bool
}

var _ Transport = (*Endpoint)(nil)

// Attach adds a member, in place of one that had the same id before: frames on
// their way to that one are lost.
func (n *Network) Attach(id uint64, h Handler) *Endpoint {
	e := &Endpoint{net: n, id: id, handler: h, peers: map[uint64]bool{}, removed: map[uint64]bool{}}
	n.endpoints[id] = e
	return e
}

// Block stops or restores delivery from one member to another, in that direction.
func (n *Network) Block(from, to uint64, blocked bool) {
	if blocked {
		n.blocked[[2]uint64{from, to}] = true
	} else {
		delete(n.blocked, [2]uint64{from, to})
	}
}

// Heal removes all blocks.
func (n *Network) Heal() { clear(n.blocked) }

// Now is the network's time.
func (n *Network) Now() time.Duration { return n.now }

// Next returns when the next frame is due.
func (n *Network) Next() (at time.Duration, ok bool) {
	if len(n.queue) == 0 {
		return 0, false
	}
	return n.queue[0].at, true
}

// Advance moves the clock and delivers every frame that is due until then, those
// included that the receivers send meanwhile.
func (n *Network) Advance(to time.Duration) {
	for len(n.queue) > 0 && n.queue[0].at <= to {
		d := heap.Pop(&n.queue).(delivery)
		n.now = max(n.now, d.at)
		if n.endpoints[d.to.id] != d.to || d.to.closed || n.blocked[[2]uint64{d.frame.From, d.to.id}] {
			continue
		}
		d.to.stats.ReceivedFrames++
		d.to.stats.ReceivedBytes += uint64(len(d.frame.Payload))
		d.to.handler.Receive(d.frame)
	}
	n.now = max(n.now, to)
}

// Send implements Transport.
func (e *Endpoint) Send(to uint64, lane Lane, group uint32, payload []byte) bool {
	n := e.net
	target := n.endpoints[to]
	if !e.closed && target != nil && !target.closed && target.removed[e.id] {
		e.handler.Removed(to, target.notice)
	}
	if e.closed || !e.peers[to] || target == nil || target.closed || target.removed[e.id] {
		e.stats.DroppedFrames++
		return false
	}
	e.stats.SentFrames++
	e.stats.SentBytes += uint64(len(payload))
	copies := 1
	if n.Faults.Duplicate > 0 && n.rng.Float64() < n.Faults.Duplicate {
		copies = 2
	}
	for range copies {
		if n.Faults.Loss > 0 && n.rng.Float64() < n.Faults.Loss {
			continue
		}
		delay := n.Faults.DelayMin
		if spread := n.Faults.DelayMax - n.Faults.DelayMin; spread > 0 {
			delay += time.Duration(n.rng.Int64N(int64(spread)))
		}
		n.sequence++
		heap.Push(&n.queue, delivery{
			at: n.now + delay, sequence: n.sequence, to: target,
			frame: Frame{From: e.id, Lane: lane, Group: group, Payload: bytes.Clone(payload)},
		})
	}
	return true
}

// SetPeer implements Transport; the address is not used.
func (e *Endpoint) SetPeer(id uint64, _ string) {
	if !e.removed[id] {
		e.peers[id] = true
	}
}

// RemovePeer implements Transport.
func (e *Endpoint) RemovePeer(id uint64) {
	delete(e.peers, id)
	e.removed[id] = true
}

// SetNotice implements Transport.
func (e *Endpoint) SetNotice(notice []byte) { e.notice = bytes.Clone(notice) }

// Stats implements Transport.
func (e *Endpoint) Stats() Stats { return e.stats }

// Close implements Transport.
func (e *Endpoint) Close() error {
	e.closed = true
	return nil
}

type delivery struct {
	at       time.Duration
	sequence uint64
	to       *Endpoint
	frame    Frame
}

type deliveries []delivery

func (d deliveries) Len() int      { return len(d) }
func (d deliveries) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d deliveries) Less(i, j int) bool {
	if d[i].at != d[j].at {
		return d[i].at < d[j].at
	}
	return d[i].sequence < d[j].sequence
}

func (d *deliveries) Push(x any) { *d = append(*d, x.(delivery)) }

func (d *deliveries) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = delivery{}
	*d = (*d)[:last]
	return x
}
