package raftstore

import (
	"container/heap"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
)

// The simulator runs whole clusters in one goroutine: the production core, log,
// snapshots, transfers, state and codecs over a simulated clock, network and disk.
// Everything that happens follows from the seed; a seed that fails, fails again:
//
//	go test ./raftstore -run Sim -sim.seed=S -sim.seeds=N [-sim.story]
var (
	simSeed  = flag.Uint64("sim.seed", 1, "first seed of the simulator")
	simSeeds = flag.Int("sim.seeds", 0, "number of seeds; 0 is 40, or 6 under the race detector")
	simStory = flag.Bool("sim.story", false, "print what happens")
)

func TestSim(t *testing.T) {
	var simulated time.Duration
	counts := map[string]int{}
	begun, cpu := time.Now(), cpuTime()
	seeds := *simSeeds
	if seeds == 0 {
		seeds = simSeedsDefault
	}
	for seed := *simSeed; seed < *simSeed+uint64(seeds); seed++ {
		w := newWorld(t, seed)
		w.run()
		simulated += w.now
		for k, v := range w.counts {
			counts[k] += v
		}
	}
	t.Logf("%d seeds, %v simulated in %v: %v", seeds, simulated.Round(time.Second), time.Since(begun).Round(time.Millisecond), counts)
	if used := cpuTime() - cpu; used > 0 {
		t.Logf("%.1f simulated hours per CPU-minute", simulated.Hours()/used.Minutes())
	}
}

func TestSimIsExact(t *testing.T) {
	story := func() string {
		w := newWorld(t, 4711)
		w.run()
		return strings.Join(w.story, "\n")
	}
	first := story()
	if second := story(); first != second {
		t.Fatalf("the same seed told two stories:\n%s", firstDifference(first, second))
	}
}

// A leader whose disk hangs gives leadership away: its heartbeats go on, so nobody
// else would notice.
func TestSimStalledDisk(t *testing.T) {
	w := newWorld(t, 1)
	for len(w.nodes) != 3 {
		w = newWorld(t, w.seed+1)
	}
	w.net.Faults = transport.Faults{DelayMin: time.Millisecond, DelayMax: 2 * time.Millisecond}
	for _, n := range w.nodes {
		n.slow = true
		n.start()
	}
	w.after(time.Second, w.clients[0].next)
	if !w.until(10*time.Second, func() bool { return len(w.history.ops) > 5 && w.leaderNode() != nil }) {
		w.fatal("no leader")
	}
	stalled := w.leaderNode()
	stalled.stalled = true
	w.tell("disk of member %d stalls", stalled.id)
	moved := func() bool {
		for _, n := range w.nodes {
			if n != stalled && n.replica.role() == Leader {
				return true
			}
		}
		return false
	}
	if !w.until(w.now+30*time.Second, moved) {
		w.fatal("member %d keeps leading: %s", stalled.id, w.describe())
	}
}

func firstDifference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return as[i] + "\n" + bs[i]
		}
	}
	return fmt.Sprintf("%d and %d lines", len(as), len(bs))
}

// world is one simulation.
type world struct {
	t    *testing.T
	seed uint64
	rng  *rand.Rand
	now  time.Duration
	net  *transport.Network

	nodes   []*simNode
	clients []*simClient
	agenda  agenda
	order   int
	calm    bool // faults are over
	// operator changes the members.
	operator simOperator

	history history
	// hashes are those of the state at each index, entries those of the committed
	// entries, leaders the leader of each term: the same for everybody.
	hashes  map[uint64]uint64
	entries map[uint64]uint32
	leaders map[uint64]uint64

	story  []string
	counts map[string]int
}

// simNode is one member with its machine.
type simNode struct {
	w       *world
	id      uint64
	cfg     Config
	fs      *wal.MemFS
	replica *replica
	inbox   []transport.Frame
	life    int // counts starts, so that events of an earlier life do nothing
	asleep  time.Duration
	period  time.Duration
	slow    bool
	// busy machines deliver ticks late; tickWaits tells that a tick waits for the end of
	// a pause.
	busy, tickWaits bool
	stream          simStream
	state           *machine // as examined last
	examined        uint64   // index up to which entries were
	gone            bool     // removed from the cluster
	stalled         bool     // its disk answers nothing
	flipped         bool     // a bit of its disk
}

func (w *world) tell(format string, args ...any) {
	line := fmt.Sprintf("%10.3fs  ", w.now.Seconds()) + fmt.Sprintf(format, args...)
	w.story = append(w.story, line)
	if *simStory {
		fmt.Println(line)
	}
}

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	tail := w.story[max(0, len(w.story)-60):]
	w.t.Fatalf("seed %d at %v: %s\n%s", w.seed, w.now, fmt.Sprintf(format, args...), strings.Join(tail, "\n"))
}

// event is something that happens at a time; equal times keep their order.
type event struct {
	at    time.Duration
	order int
	do    func()
}

type agenda []event

func (a agenda) Len() int      { return len(a) }
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].order < a[j].order
}
func (a *agenda) Push(x any) { *a = append(*a, x.(event)) }
func (a *agenda) Pop() any {
	x := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return x
}

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.agenda, event{w.now + d, w.order, do})
}

// between returns a random time in [lo, hi).
func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)))
}

func newWorld(t *testing.T, seed uint64) *world {
	// Raft draws its election timeouts from crypto/rand.
	cryptotest.SetGlobalRandom(t, seed)
	w := &world{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 99)),
		hashes: map[uint64]uint64{}, entries: map[uint64]uint32{}, leaders: map[uint64]uint64{},
		counts: map[string]int{},
	}
	w.net = transport.NewNetwork(rand.New(rand.NewPCG(seed, 7)))
	w.history.init(w)
	size := []int{3, 3, 3, 5, 1, 2}[w.rng.IntN(6)]
	var members []Member
	for i := range size {
		members = append(members, Member{ID: uint64(i + 1), Address: fmt.Sprintf("sim:%d", i+1)})
	}
	snapshotEntries := []uint64{20, 60, 100_000}[w.rng.IntN(3)]
	catchUp := []uint64{1, 5 + snapshotEntries/2}[w.rng.IntN(2)]
	leases := w.rng.IntN(2) == 0
	// With a small one, nearly all of the log is read from the disk.
	catchUpSize := []int64{0, 32 << 10}[seed%2]
	catchUpRate := []int64{0, 8 << 10}[seed%2]
	for _, m := range members {
		n := &simNode{w: w, id: m.ID, fs: wal.NewMemFS(), slow: w.rng.IntN(3) == 0, busy: w.rng.IntN(3) == 0}
		n.period = w.between(9*time.Millisecond, 11*time.Millisecond)
		n.cfg = Config{
			ID: m.ID, Members: members, SegmentSizeBytes: 8 << 10,
			SnapshotEntries: snapshotEntries, CatchUpEntries: catchUp, CatchUpSizeBytes: catchUpSize, LeaseReads: leases,
			CatchUpRateBytes: catchUpRate,
		}.withDefaults()
		w.nodes = append(w.nodes, n)
	}
	for i := range 2 + w.rng.IntN(4) {
		w.clients = append(w.clients, &simClient{w: w, id: i})
	}
	return w
}

const (
	simTrouble = 20 * time.Second // of faults
	simHealing = 60 * time.Second // at most, to be one again
)

// run is the life of a cluster: trouble, then calm, then the reckoning.
func (w *world) run() {
	defer func() {
		if p := recover(); p != nil {
			w.fatal("panic: %v\n%s", p, debug.Stack())
		}
	}()
	for _, n := range w.nodes {
		n.start()
	}
	for _, c := range w.clients {
		w.after(w.between(0, time.Second), c.next)
	}
	w.scheduleFaults()
	w.startOperator()
	w.until(simTrouble, func() bool { return false })
	w.heal()
	deadline := w.now + simHealing
	if !w.until(deadline, w.recovered) {
		w.fatal("no progress after healing: %s", w.describe())
	}
	w.history.check()
}

// until lets things happen until a time or a condition.
func (w *world) until(end time.Duration, done func() bool) bool {
	for {
		next := end
		if len(w.agenda) > 0 {
			next = min(next, w.agenda[0].at)
		}
		if at, ok := w.net.Next(); ok {
			next = min(next, at)
		}
		w.now = max(w.now, next)
		w.net.Advance(w.now)
		for len(w.agenda) > 0 && w.agenda[0].at <= w.now {
			heap.Pop(&w.agenda).(event).do()
		}
		for _, n := range w.nodes {
			n.process()
		}
		if w.calm {
			w.retireForgotten()
			w.operator.startMissing()
		}
		if done() {
			return true
		}
		if w.now >= end {
			return false
		}
	}
}

// heal ends all faults and starts everybody who is down.
func (w *world) heal() {
	w.tell("calm")
	w.calm = true
	w.net.Heal()
	w.net.Faults = transport.Faults{DelayMin: time.Millisecond, DelayMax: 2 * time.Millisecond}
	for _, n := range w.nodes {
		n.asleep = 0
		n.fs.Fault = nil
		n.unflip()
		if n.replica == nil && !n.gone {
			n.start()
		}
	}
}

// recovered reports whether every client has made progress since the healing and
// all members are alike and idle.
func (w *world) recovered() bool {
	for _, c := range w.clients {
		if c.calmWrites < 3 {
			return false
		}
	}
	members := w.members()
	applied := uint64(0)
	for _, n := range w.nodes {
		if _, ok := members[n.id]; !ok {
			continue
		}
		if n.replica == nil || applied != 0 && n.replica.core.state.applied != applied {
			return false
		}
		applied = n.replica.core.state.applied
	}
	return applied != 0
}

func (w *world) describe() string {
	var b strings.Builder
	for _, n := range w.nodes {
		if n.replica == nil {
			fmt.Fprintf(&b, "\nmember %d is down", n.id)
			continue
		}
		fmt.Fprintf(&b, "\n%v", n.replica.status())
	}
	return b.String()
}

// Receive implements transport.Handler.
func (n *simNode) Receive(f transport.Frame) {
	if n.replica != nil && len(n.inbox) < 10_000 {
		n.inbox = append(n.inbox, f)
	}
}

// Unreachable implements transport.Handler.
func (n *simNode) Unreachable(uint64) {}

// Removed implements transport.Handler.
func (n *simNode) Removed(by uint64, notice []byte) {
	if n.replica != nil {
		n.replica.toldRemoved(by, notice)
	}
}

// start opens the member from what is on its disk.
func (n *simNode) start() {
	w := n.w
	n.life++
	n.inbox, n.tickWaits = nil, false
	cfg := n.cfg
	cfg.FS = n.fs
	r, err := openReplica("data", cfg)
	if n.foundFlip(err) {
		n.fs.Kill()
		r, err = openReplica("data", cfg)
	}
	if err != nil {
		if !errors.Is(err, errSimDisk) {
			w.fatal("member %d cannot start: %v", n.id, err)
		}
		w.tell("member %d: disk fails at start", n.id)
		n.crash(true)
		return
	}
	n.replica, n.state = r, nil
	n.examined = r.core.state.applied - min(r.core.state.applied, 3)
	life := n.life
	r.background = func(work, done func()) { n.background(life, work, done) }
	r.complete = w.complete
	// The member's own clock: as fast or slow as its ticks.
	rate := float64(n.cfg.TickInterval) / float64(n.period)
	r.now = func() time.Duration { return time.Duration(float64(w.now) * rate) }
	if n.slow {
		r.syncTook = time.Second // writes go to the background
	}
	r.attach(w.net.Attach(n.id, n))
	n.stream.open(n)
	w.tell("member %d starts at index %d, log to %d", n.id, r.core.state.applied, r.core.log.last())
	w.after(w.between(0, n.period), func() { n.tick(life) })
}

func (n *simNode) background(life int, work, done func()) {
	w := n.w
	w.after(w.between(0, 30*time.Millisecond), func() {
		if n.life != life || n.replica == nil || n.stalled {
			return
		}
		work()
		w.after(w.between(0, 5*time.Millisecond), func() {
			if n.life == life && n.replica != nil {
				done()
				n.turn()
			}
		})
	})
}

// tick is what a time.Ticker does: it keeps to its beat, a busy machine delivers a tick
// late, so that the next one follows at once, and of those that a pause has missed one
// waits at its end.
func (n *simNode) tick(life int) {
	if n.life != life || n.replica == nil {
		return
	}
	n.w.after(n.period, func() { n.tick(life) })
	if n.busy {
		n.w.after(n.w.between(0, n.period), func() { n.deliverTick(life) })
	} else {
		n.deliverTick(life)
	}
}

func (n *simNode) deliverTick(life int) {
	switch {
	case n.life != life || n.replica == nil:
	case n.w.now >= n.asleep:
		n.replica.tick()
		n.turn()
	case !n.tickWaits:
		n.tickWaits = true
		n.w.after(n.asleep-n.w.now, func() {
			n.tickWaits = false
			n.deliverTick(life)
		})
	}
}

// process handles the frames that have arrived, some or all at a time.
func (n *simNode) process() {
	for n.replica != nil && len(n.inbox) > 0 && n.w.now >= n.asleep {
		k := 1 + n.w.rng.IntN(len(n.inbox))
		frames := n.inbox[:k]
		n.inbox = n.inbox[k:]
		for _, f := range frames {
			n.replica.receive(f)
		}
		n.turn()
	}
}

// turn has the replica act and looks at what became of it.
func (n *simNode) turn() {
	if err := n.replica.turn(); err != nil {
		if errors.Is(err, ErrRemoved) {
			n.gone = true
			n.w.counts["removals"]++
			n.crash(false)
			return
		}
		if !errors.Is(err, errSimDisk) && !n.foundFlip(err) {
			n.w.fatal("member %d fails: %v", n.id, err)
		}
		n.w.tell("member %d: %v", n.id, err)
		n.crash(n.w.rng.IntN(2) == 0)
		return
	}
	if n.w.rng.IntN(2) == 0 { // otherwise there is work already, and they go with the next turn
		n.replica.sendNotices()
	}
	n.examine()
	n.stream.poll(n)
}

// examine compares the member with what others have shown before.
func (n *simNode) examine() {
	w, c := n.w, n.replica.core
	if n.state != c.state {
		if n.state != nil {
			w.counts["installs"]++
			w.tell("member %d has installed a snapshot at %d", n.id, c.state.applied)
		}
		n.state = c.state
	}
	hash := c.state.store.Hash()
	if known, ok := w.hashes[c.state.applied]; !ok {
		w.hashes[c.state.applied] = hash
	} else if known != hash {
		w.fatal("member %d has state %x at index %d, another one has %x", n.id, hash, c.state.applied, known)
	}
	for i := max(c.log.offset, n.examined) + 1; i <= c.state.applied; i++ {
		entries, err := c.log.Entries(i, i+1, 1)
		if err != nil {
			w.fatal("member %d cannot read its entry %d: %v", n.id, i, err)
		}
		e := entries[0]
		sum := crc32.Checksum(e.Data, castagnoli) ^ uint32(e.GetTerm())
		if known, ok := w.entries[i]; !ok {
			w.entries[i] = sum
		} else if known != sum {
			w.fatal("member %d has another entry at index %d", n.id, i)
		}
	}
	n.examined = c.state.applied
	if n.replica.role() == Leader {
		term := c.term()
		if known, ok := w.leaders[term]; !ok {
			w.leaders[term] = n.id
			w.counts["leaders"]++
			w.tell("member %d leads in term %d", n.id, term)
		} else if known != n.id {
			w.fatal("members %d and %d both lead in term %d", known, n.id, term)
		}
	}
}

// crash ends the member: by a power failure, or as a process whose machine goes on.
func (n *simNode) crash(power bool) {
	w := n.w
	n.life++
	if n.replica != nil {
		w.abandon(n)
		if err := n.replica.net.Close(); err != nil {
			w.fatal("close: %v", err)
		}
		n.replica = nil
	}
	if power {
		n.fs = n.fs.Crash(w.rng)
		w.counts["power failures"]++
	} else {
		n.fs.Kill()
		w.counts["kills"]++
	}
	w.tell("member %d is down (power %v)", n.id, power)
	w.after(w.between(10*time.Millisecond, 4*time.Second), func() {
		if n.replica == nil && !n.gone {
			n.start()
		}
	})
}
