package scheduler

import (
	"maps"
	"slices"
	"sync"
)

// owner tells engines apart: a class that carries another one's mark is shared
// and gets copied before it changes.
type owner struct{ _ byte }

// freeze returns a copy of the engine that never changes, for a snapshot of the
// Cache to keep. O(1); afterwards the engine copies each class once, when it
// uses it next. Both locks are held.
func (e *engine) freeze() *engine {
	e.mark, e.sharesMaps = new(owner), true
	return &engine{
		clock: e.clock, cursor: e.cursor, at: e.at, relabelled: e.relabelled,
		columns: e.columns, classes: e.classes, sharesMaps: true,
		uses: e.uses, cells: e.cells, checked: e.checked,
	}
}

// engineOf returns what the engine of a Scheduler knows of the cluster as the
// snapshot holds it; nil when it knows nothing, or a later state. The
// Scheduler is locked.
func (s *Snapshot) engineOf(like *Scheduler) *engine {
	e := like.engine
	if e == nil || e.clock == 0 || e.clock > s.changes.clock || like.config.Cache != s.cache {
		return nil
	}
	s.engines.Lock()
	defer s.engines.Unlock()
	if s.engines.of[like] == nil {
		if s.engines.of == nil {
			s.engines.of = make(map[*Scheduler]*engine)
		}
		s.engines.of[like] = e.freeze()
	}
	return s.engines.of[like]
}

// frozenEngines are the engines that forks of a Snapshot start from.
type frozenEngines struct {
	sync.Mutex
	of map[*Scheduler]*engine
}

// fork returns an engine for a fork of the snapshot that the frozen engine e
// belongs to. O(1), and safe from several goroutines at once, as it only reads.
func (e *engine) fork() *engine {
	out := *e
	out.mark, out.seen = new(owner), newBitset(len(e.at))
	return &out
}

// ownMaps copies the maps before the first change. Columns are immutable.
func (e *engine) ownMaps() {
	if e.sharesMaps {
		e.columns, e.classes, e.sharesMaps = maps.Clone(e.columns), maps.Clone(e.classes), false
	}
}

// owned returns the class, or a copy of it if it belongs to somebody else.
func (e *engine) owned(k *class) *class {
	if k.mark == e.mark {
		return k
	}
	own := k.clone()
	own.mark, own.engine = e.mark, e
	e.ownMaps()
	e.classes[k.id] = own
	return own
}

func (k *class) clone() *class {
	out := *k
	out.local, out.base = slices.Clone(k.local), slices.Clone(k.base)
	out.taints, out.affinity = slices.Clone(k.taints), slices.Clone(k.affinity)
	out.fits, out.best = slices.Clone(k.fits), k.best.clone()
	out.hard, out.soft = cloneSpread(k.hard), cloneSpread(k.soft)
	out.near, out.apart = cloneCounters(k.near), cloneCounters(k.apart)
	out.repel, out.weights = cloneCounters(k.repel), cloneCounters(k.weights)
	out.groups = k.groups.clone()
	out.bookedBy = slices.Clone(k.bookedBy)
	out.flips, out.recounted = nil, nil
	out.failed = k.failed.clone()
	return &out
}

func (b *bestNodes) clone() bestNodes {
	out := *b
	out.top, out.mask = slices.Clone(b.top), slices.Clone(b.mask)
	out.groupTop, out.groupSoiled = slices.Clone(b.groupTop), slices.Clone(b.groupSoiled)
	out.before, out.soiled = slices.Clone(b.before), slices.Clone(b.soiled)
	out.word = slices.Clone(b.word)
	return out
}

func (g *groups) clone() groups {
	out := *g
	out.of, out.keys, out.ids = slices.Clone(g.of), slices.Clone(g.keys), maps.Clone(g.ids)
	out.feasible, out.ignored = slices.Clone(g.feasible), slices.Clone(g.ignored)
	out.spread, out.interPod, out.added, out.weights = nil, nil, nil, nil
	return out
}

func (c *counter) clone() *counter {
	out := *c
	out.node, out.sum, out.bad = slices.Clone(c.node), slices.Clone(c.sum), slices.Clone(c.bad)
	return &out
}

func cloneCounters(list []*counter) []*counter {
	out := make([]*counter, len(list))
	for i, c := range list {
		out[i] = c.clone()
	}
	return out
}

func cloneSpread(list []spreadCounter) []spreadCounter {
	out := slices.Clone(list)
	for i := range out {
		sc := &out[i]
		sc.counter = sc.counter.clone()
		sc.takesPart, sc.open = slices.Clone(sc.takesPart), slices.Clone(sc.open)
	}
	return out
}
