package raftstore

import (
	"errors"
	"fmt"
	"runtime/debug"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// TestSimWatches runs watchers with ranges, filters and previous pairs over clusters in
// trouble, from revisions of the past, the present and the future. They go on at other
// members when theirs goes down, and live through snapshots that members install and
// changes of the members. In the end what each was sent is held against the history:
// the guarantees that etcd documents.
func TestSimWatches(t *testing.T) {
	seeds := *simSeeds
	if seeds == 0 {
		seeds = min(simSeedsDefault, 200)
	}
	counts := map[string]int{}
	for seed := *simSeed; seed < *simSeed+uint64(seeds); seed++ {
		w := newWorld(t, seed)
		w.runWatches()
		for k, v := range w.counts {
			counts[k] += v
		}
	}
	t.Logf("%d seeds: %v", seeds, counts)
	for _, k := range []string{"watch events", "watches moved", "watches over snapshots", "watches from the future"} {
		if counts[k] == 0 {
			t.Errorf("no %s in %d seeds", k, seeds)
		}
	}
}

func (w *world) runWatches() {
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
	var watches []*simWatch
	for i := range 12 {
		watches = append(watches, &simWatch{world: w, id: i})
	}
	poll := func() {
		for _, s := range watches {
			s.poll()
		}
	}
	w.scheduleFaults()
	w.startOperator()
	w.until(simTrouble, func() bool { poll(); return false })
	w.heal()
	if !w.until(w.now+simHealing, func() bool { poll(); return w.recovered() }) {
		w.fatal("no progress after healing: %s", w.describe())
	}
	w.history.check()
	at := w.history.states()
	for _, s := range watches {
		poll()
		s.check(at)
	}
}

// simWatch is one watcher of a client, over however many members.
type simWatch struct {
	world *world
	id    int

	node    *simNode
	life    int
	state   *machine // of the node when it was last looked at
	w       *mvcc.Watcher
	options WatchOptions
	// stretches are what was sent between two gaps that the watcher was told of.
	stretches []*simStretch
}

// simStretch is a sequence of batches without a gap: all events from a revision on.
type simStretch struct {
	from, to int64 // to is the progress
	events   []Event
	// floors are those of the member when each event was sent.
	floors []int64
	// ends are the number of events and the progress after each batch.
	ends [][2]int64
}

// open begins or goes on at a random member that is up.
func (s *simWatch) open() {
	w := s.world
	n := w.anyNode()
	if n.replica == nil {
		return
	}
	store := n.replica.core.state.store
	if len(s.stretches) == 0 {
		s.options = s.choose(store.Revision())
		s.stretches = append(s.stretches, &simStretch{from: s.options.StartRevision, to: s.options.StartRevision - 1})
		if s.options.StartRevision > store.Revision()+1 {
			w.counts["watches from the future"]++
		}
	} else {
		w.counts["watches moved"]++
	}
	last := s.stretches[len(s.stretches)-1]
	s.options.StartRevision = last.to + 1
	watcher, err := store.Watch(s.options)
	var compacted *mvcc.CompactedError
	if errors.As(err, &compacted) {
		if compacted.Floor <= last.to+1 {
			w.fatal("watcher %d from %d is refused by a floor of %d", s.id, last.to+1, compacted.Floor)
		}
		s.stretches = append(s.stretches, &simStretch{from: compacted.Floor, to: compacted.Floor - 1})
		w.counts["watches told of gaps"]++
		return
	}
	if err != nil {
		w.fatal("watch: %v", err)
	}
	s.w, s.node, s.life, s.state = watcher, n, n.life, n.replica.core.state
}

// choose draws what to watch.
func (s *simWatch) choose(revision int64) WatchOptions {
	r := s.world.rng
	o := WatchOptions{Key: []byte("k"), End: []byte("l"), PrevKV: r.IntN(2) == 0, BatchEvents: 1 + r.IntN(5)}
	switch r.IntN(4) {
	case 0:
		o.Key, o.End = fmt.Appendf(nil, "k%d", r.IntN(5)), nil
	case 1:
		o.Key, o.End = fmt.Appendf(nil, "k%d", r.IntN(5)), []byte{0}
	}
	o.NoPut, o.NoDelete = r.IntN(6) == 0, r.IntN(6) == 0
	o.StartRevision = max(1, revision+1+r.Int64N(60)-30)
	return o
}

// poll takes what there is, goes on elsewhere when the member is gone, and sometimes for
// no reason.
func (s *simWatch) poll() {
	w := s.world
	if s.w != nil && (s.node.replica == nil || s.node.life != s.life || w.rng.IntN(3000) == 0) {
		s.w.Close()
		s.w = nil
	}
	if s.w == nil {
		if s.open(); s.w == nil {
			return
		}
	}
	if s.state != s.node.replica.core.state {
		s.state = s.node.replica.core.state
		w.counts["watches over snapshots"]++
	}
	if w.rng.IntN(4) == 0 {
		return // a slow consumer
	}
	stretch := s.stretches[len(s.stretches)-1]
	batch, more, err := s.w.Poll()
	if errors.Is(err, mvcc.ErrCompacted) {
		s.w.Close()
		s.w = nil
		return // opening it again tells the floor
	}
	if err != nil {
		w.fatal("watcher %d at member %d: %v", s.id, s.node.id, err)
	}
	floor := s.state.store.CompactedRevision()
	for _, e := range batch.Events {
		stretch.events = append(stretch.events, e)
		stretch.floors = append(stretch.floors, floor)
	}
	w.counts["watch events"] += len(batch.Events)
	if !more && len(batch.Events) > 0 {
		w.fatal("watcher %d: events without more", s.id)
	}
	if batch.Revision < stretch.to && batch.Revision != 0 && len(batch.Events) > 0 {
		w.fatal("watcher %d: progress went from %d to %d", s.id, stretch.to, batch.Revision)
	}
	stretch.to = max(stretch.to, batch.Revision)
	stretch.ends = append(stretch.ends, [2]int64{int64(len(stretch.events)), stretch.to})
}

// check holds what was sent against the history.
func (s *simWatch) check(at func(string, int64) KeyValue) {
	for _, stretch := range s.stretches {
		want := s.expected(stretch)
		for i, e := range stretch.events {
			if i >= len(want) || !sameEvents([]Event{e}, want[i:i+1]) {
				s.world.fatal("watcher %d (%+v) from %d: event %d is %+v, want %+v", s.id, s.options, stretch.from, i, e, want[min(i, len(want)):min(i+1, len(want))])
			}
			s.checkPrevious(e, at(string(e.KV.Key), e.KV.ModRevision-1), stretch.floors[i])
		}
		n := 0
		for _, end := range stretch.ends {
			for n < len(want) && want[n].KV.ModRevision <= end[1] {
				n++
			}
			if int64(n) != end[0] {
				s.world.fatal("watcher %d (%+v) from %d: %d events with progress %d, want %d", s.id, s.options, stretch.from, end[0], end[1], n)
			}
		}
	}
}

// expected are the events of the history that a stretch must consist of.
func (s *simWatch) expected(stretch *simStretch) (events []Event) {
	for revision := max(stretch.from, 2); revision <= stretch.to; revision++ {
		for _, e := range s.world.history.events[revision] {
			key, o := string(e.KV.Key), &s.options
			inside := key == string(o.Key) || len(o.End) > 0 && key >= string(o.Key) && (string(o.End) == "\x00" || key < string(o.End))
			if inside && !(o.NoPut && e.Type == EventPut) && !(o.NoDelete && e.Type == EventDelete) {
				events = append(events, e)
			}
		}
	}
	return events
}

// checkPrevious sees that a previous pair is that of the history, or missing because it
// was compacted.
func (s *simWatch) checkPrevious(e Event, before KeyValue, floor int64) {
	switch {
	case e.PrevKV == nil:
		if s.options.PrevKV && before.ModRevision != 0 && floor <= e.KV.ModRevision-1 {
			s.world.fatal("watcher %d: the pair before %+v is missing, the floor is %d", s.id, e, floor)
		}
	case !s.options.PrevKV || before.ModRevision != e.PrevKV.ModRevision || string(before.Value) != string(e.PrevKV.Value):
		s.world.fatal("watcher %d: the pair before %+v is %+v, want %+v", s.id, e, e.PrevKV, before)
	}
}
