package raftstore

import (
	"errors"
	"strings"
	"time"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
)

var errSimDisk = errors.New("simulated disk fault")

// scheduleFaults decides how rough this world is.
func (w *world) scheduleFaults() {
	w.net.Faults = transport.Faults{
		DelayMin:  w.between(0, 2*time.Millisecond),
		DelayMax:  w.between(2*time.Millisecond, 40*time.Millisecond),
		Loss:      []float64{0, 0.01, 0.1}[w.rng.IntN(3)],
		Duplicate: []float64{0, 0.01, 0.1}[w.rng.IntN(3)],
	}
	pace := w.between(200*time.Millisecond, 3*time.Second)
	var again func()
	again = func() {
		if !w.calm {
			w.fault()
			w.after(w.between(0, 2*pace), again)
		}
	}
	w.after(w.between(500*time.Millisecond, 3*time.Second), again)
}

func (w *world) anyNode() *simNode { return w.nodes[w.rng.IntN(len(w.nodes))] }

// fault lets one thing go wrong.
func (w *world) fault() {
	n := w.anyNode()
	switch w.rng.IntN(9) {
	case 0, 1:
		if n.replica != nil {
			n.crash(w.rng.IntN(3) > 0)
		}
	case 2:
		w.powerCut()
	case 3:
		w.partition(n)
	case 4:
		w.tell("network heals")
		w.net.Heal()
	case 5:
		n.failDisk()
	case 6:
		n.asleep = w.now + w.between(10*time.Millisecond, 3*time.Second)
		w.counts["pauses"]++
		w.tell("member %d pauses until %v", n.id, n.asleep)
	case 7:
		if n.replica != nil && n.replica.role() == Leader && n.replica.transferTo(0) == nil {
			w.counts["transfers"]++
			w.tell("member %d hands leadership over", n.id)
			n.turn()
		}
	case 8:
		from, to := w.anyNode(), w.anyNode()
		w.net.Block(from.id, to.id, true)
		w.tell("member %d is not heard by member %d", from.id, to.id)
	}
}

// powerCut takes everybody down at once.
func (w *world) powerCut() {
	if w.rng.IntN(3) > 0 {
		return
	}
	w.tell("power cut")
	w.counts["power cuts"]++
	for _, n := range w.nodes {
		if n.replica != nil {
			n.crash(true)
		}
	}
}

// partition cuts a member off, both ways.
func (w *world) partition(n *simNode) {
	w.tell("member %d is cut off", n.id)
	w.counts["partitions"]++
	for _, other := range w.nodes {
		if other != n {
			w.net.Block(n.id, other.id, true)
			w.net.Block(other.id, n.id, true)
		}
	}
	w.after(w.between(100*time.Millisecond, 5*time.Second), w.net.Heal)
}

// failDisk makes one of the next operations on the disk fail.
func (n *simNode) failDisk() {
	w := n.w
	skip := w.rng.IntN(30)
	only := wal.Op(w.rng.IntN(3))
	snapshots := w.rng.IntN(2) == 0
	w.tell("disk of member %d will fail", n.id)
	n.fs.Fault = func(op wal.Op, name string) error {
		if op != only || !snapshots && strings.Contains(name, "snap") {
			return nil
		}
		if skip--; skip > 0 {
			return nil
		}
		n.fs.Fault = nil
		w.counts["disk faults"]++
		return errSimDisk
	}
}
