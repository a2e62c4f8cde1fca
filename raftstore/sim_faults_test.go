package raftstore

import (
	"errors"
	"slices"
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
	switch w.rng.IntN(10) {
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
	case 9:
		n.flipBit()
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

// flipBit has the disk of a member that is down forget a bit of what is long durable: in
// a snapshot, or in a segment before the last one. (In the very last batch it would
// look like a torn write.) Whether the member falls over it, finds what it needs
// elsewhere, or never reads it, is seen later; in no case may it take it for the truth.
func (n *simNode) flipBit() {
	w := n.w
	if n.replica != nil || n.gone || n.flipped {
		return
	}
	var files []string
	for _, dir := range []string{"data/wal", "data/snap"} {
		names, err := n.fs.List(dir)
		if err != nil {
			return // it has not begun yet
		}
		names = slices.DeleteFunc(names, func(name string) bool {
			return !strings.HasSuffix(name, ".wal") && !strings.HasSuffix(name, snapshotSuffix)
		})
		if dir == "data/wal" {
			names = names[:max(len(names), 1)-1]
		}
		for _, name := range names {
			files = append(files, dir+"/"+name)
		}
	}
	if len(files) == 0 {
		return
	}
	name := files[w.rng.IntN(len(files))]
	file, err := n.fs.Open(name)
	if err != nil {
		w.fatal("flip a bit: %v", err)
	}
	size, err := file.Size()
	if err != nil || size == 0 {
		w.fatal("flip a bit of %s: %d bytes, %v", name, size, err)
	}
	off := w.rng.Int64N(size)
	w.tell("a bit of member %d flips in %s at %d", n.id, name, off)
	w.counts["flipped bits"]++
	if err := n.fs.Corrupt(name, off, byte(1)<<w.rng.IntN(8)); err != nil {
		w.fatal("%v", err)
	}
	n.flipped = true
}

func (n *simNode) unflip() {
	n.fs.Mend()
	n.flipped = false
}

// foundFlip reports whether a member has ended because it has met a flipped bit. Its
// operator would put another member in its place; here the bit comes back.
func (n *simNode) foundFlip(err error) bool {
	if !n.flipped || !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrCorruptSnapshot) {
		return false
	}
	n.w.counts["flipped bits found"]++
	n.w.tell("member %d: %v", n.id, err)
	n.unflip()
	return true
}
