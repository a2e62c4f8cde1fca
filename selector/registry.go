package selector

import (
	"slices"
	"sync"
	"sync/atomic"
	"unique"
)

// Registry holds selectors and finds those that match given labels, without
// trying each of them: what a controller asks when one pod changes. Every
// selector waits at an anchor, one of its requirements that can only hold if
// the labels have a certain pair or key; only selectors anchored at something
// that the labels have are tried. Selectors that merely exclude (a!=b, !c) have
// no such requirement and are tried always.
//
// Which anchor is best depends on the labels asked about: everything has
// release=stable, few have app=billing. The registry counts, for a sample of
// the questions, how often each pair and key occurs, and moves selectors away
// from anchors where they are tried in vain too often.
//
// K names a selector. The zero Registry is empty and ready. All methods may be
// called concurrently.
type Registry[K comparable] struct {
	mu       sync.RWMutex
	places   map[K]uint32
	entries  []entry[K] // by place
	free     []uint32
	pairs    map[handle]*anchor
	keys     map[keyHandle]*anchor
	always   []uint32 // places of selectors without an anchor, ascending
	asked    atomic.Uint64
	sampled  atomic.Uint64
	troubled atomic.Pointer[anchor] // where too much is tried in vain
}

type entry[K comparable] struct {
	key      K
	selector Selector
	anchored int // index of the clause that it waits at, or noAnchor
	used     bool
}

const noAnchor = -1

// anchor is a pair or key that some registered selector asks for.
type anchor struct {
	places []uint32      // of the selectors that wait here, ascending
	refs   int           // selectors that could wait here
	seen   atomic.Uint64 // sampled questions whose labels had it
	vain   atomic.Uint64 // selectors tried here in vain since the last review, in sampled questions
	limit  uint64        // of vain, at which a review is due
}

const (
	sampleEvery = 16      // questions of which one is counted
	sampledMax  = 1 << 16 // counted questions after which all counts are halved
	vainMin     = 64      // vain tries that never ask for a review
)

// Set registers the selector, in place of the one that key may have had.
func (r *Registry[K]) Set(key K, s Selector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.places == nil {
		r.places = make(map[K]uint32)
		r.pairs = make(map[handle]*anchor)
		r.keys = make(map[keyHandle]*anchor)
	}
	place, known := r.places[key]
	if known {
		r.forget(place)
	} else {
		place = r.newPlace()
		r.places[key] = place
	}
	r.entries[place] = entry[K]{key: key, selector: s, anchored: noAnchor, used: true}
	for i := range s.clauses {
		for a := range r.anchorsOf(&s.clauses[i], true) {
			a.refs++
		}
	}
	r.anchor(place)
}

// Delete removes a selector and reports whether there was one.
func (r *Registry[K]) Delete(key K) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	place, known := r.places[key]
	if !known {
		return false
	}
	r.forget(place)
	r.entries[place] = entry[K]{}
	delete(r.places, key)
	r.free = append(r.free, place)
	return true
}

func (r *Registry[K]) newPlace() uint32 {
	if n := len(r.free); n > 0 {
		place := r.free[n-1]
		r.free = r.free[:n-1]
		return place
	}
	r.entries = append(r.entries, entry[K]{})
	return uint32(len(r.entries) - 1)
}

// Len is the number of selectors.
func (r *Registry[K]) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.places)
}

// Selector returns the selector registered under key.
func (r *Registry[K]) Selector(key K) (Selector, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	place, known := r.places[key]
	if !known {
		return Nothing(), false
	}
	return r.entries[place].selector, true
}

// AppendMatches appends to dst the keys of the selectors that match labels, in
// the order of first registration (places of deleted selectors are used again).
func (r *Registry[K]) AppendMatches(dst []K, labels Labels) []K {
	r.mu.RLock()
	var memory [64]uint32
	for _, place := range r.matches(memory[:0], labels) {
		dst = append(dst, r.entries[place].key)
	}
	r.mu.RUnlock()
	r.review()
	return dst
}

// Diff returns the keys of the selectors that match after and not before, and
// of those that match before and not after: what starts and stops when an
// object is relabelled.
func (r *Registry[K]) Diff(before, after Labels) (started, stopped []K) {
	if before.Equal(after) {
		return nil, nil
	}
	r.mu.RLock()
	var memory [2][64]uint32
	old := r.matches(memory[0][:0], before)
	now := r.matches(memory[1][:0], after)
	inOne(now, old, func(place uint32) { started = append(started, r.entries[place].key) })
	inOne(old, now, func(place uint32) { stopped = append(stopped, r.entries[place].key) })
	r.mu.RUnlock()
	r.review()
	return started, stopped
}

// matches appends the places of the selectors that match, ascending.
func (r *Registry[K]) matches(dst []uint32, labels Labels) []uint32 {
	sample := r.asked.Add(1)%sampleEvery == 0
	if sample {
		r.sampled.Add(1)
	}
	dst = r.try(dst, r.always, labels)
	if labels.set == nil {
		return dst
	}
	for _, l := range labels.set.pairs {
		if a := r.pairs[l.pair]; a != nil {
			dst = r.tryAnchor(dst, a, labels, sample)
		}
		if a := r.keys[l.key]; a != nil {
			dst = r.tryAnchor(dst, a, labels, sample)
		}
	}
	slices.Sort(dst)
	return dst
}

func (r *Registry[K]) tryAnchor(dst []uint32, a *anchor, labels Labels, sample bool) []uint32 {
	before := len(dst)
	dst = r.try(dst, a.places, labels)
	if sample {
		a.seen.Add(1)
		if vain := a.vain.Add(uint64(len(a.places) - (len(dst) - before))); vain > a.limit && vain > vainMin {
			r.troubled.Store(a)
		}
	}
	return dst
}

func (r *Registry[K]) try(dst, places []uint32, labels Labels) []uint32 {
	for _, place := range places {
		if r.entries[place].selector.Matches(labels) {
			dst = append(dst, place)
		}
	}
	return dst
}

// review moves the selectors of a troubled anchor to better ones. It does
// nothing when others hold the registry: a later question will come by.
func (r *Registry[K]) review() {
	if r.troubled.Load() == nil || !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	a := r.troubled.Swap(nil)
	if a == nil {
		return
	}
	for _, place := range slices.Clone(a.places) {
		r.leave(place)
		r.anchor(place)
	}
	// What stays has nowhere better to go: wait longer until the next review.
	a.vain.Store(0)
	a.limit = max(2*a.limit, uint64(8*len(a.places)))
	r.age()
}

// age halves all counts from time to time, so that what was asked long ago
// weighs less.
func (r *Registry[K]) age() {
	if r.sampled.Load() <= sampledMax {
		return
	}
	r.sampled.Store(r.sampled.Load() / 2)
	for _, a := range r.pairs {
		a.seen.Store(a.seen.Load() / 2)
	}
	for _, a := range r.keys {
		a.seen.Store(a.seen.Load() / 2)
	}
}

// anchor lets the selector wait where it will be tried least often.
func (r *Registry[K]) anchor(place uint32) {
	e := &r.entries[place]
	e.anchored = noAnchor
	if e.selector.IsNothing() {
		return
	}
	best := 0.0
	for i := range e.selector.clauses {
		c := &e.selector.clauses[i]
		if c.absentOK || c.op == 0 {
			continue
		}
		cost := 0.0
		for a := range r.anchorsOf(c, false) {
			cost += r.probability(a)
		}
		if e.anchored == noAnchor || cost < best {
			e.anchored, best = i, cost
		}
	}
	if e.anchored == noAnchor {
		r.always = inserted(r.always, place)
		return
	}
	for a := range r.anchorsOf(&e.selector.clauses[e.anchored], false) {
		a.places = inserted(a.places, place)
	}
}

// priorWeight is how many sampled questions the first guess counts for.
const priorWeight = 16

// probability estimates how likely the labels asked about have a's pair or
// key. Before anything was asked, what many selectors ask for counts as common.
func (r *Registry[K]) probability(a *anchor) float64 {
	prior := float64(a.refs) / float64(len(r.places)+1)
	return (float64(a.seen.Load()) + priorWeight*prior) / (float64(r.sampled.Load()) + priorWeight)
}

// leave takes the selector from where it waits.
func (r *Registry[K]) leave(place uint32) {
	e := &r.entries[place]
	if e.anchored == noAnchor {
		r.always = removed(r.always, place)
		return
	}
	for a := range r.anchorsOf(&e.selector.clauses[e.anchored], false) {
		a.places = removed(a.places, place)
	}
}

// forget undoes Set, apart from freeing the place.
func (r *Registry[K]) forget(place uint32) {
	r.leave(place)
	s := r.entries[place].selector
	for i := range s.clauses {
		c := &s.clauses[i]
		for a := range r.anchorsOf(c, false) {
			a.refs--
		}
		r.dropUnused(c)
	}
}

// anchorsOf yields where a selector with this clause could wait: the pairs of
// an equality or list, the key of the other positive operators; exclusions have
// none. Repeated values are yielded once. With make, missing anchors are made.
func (r *Registry[K]) anchorsOf(c *clause, make bool) func(yield func(*anchor) bool) {
	return func(yield func(*anchor) bool) {
		switch {
		case c.absentOK || c.op == 0:
		case c.op >= Exists:
			yield(find(r.keys, c.keyID, make))
		case c.single:
			yield(find(r.pairs, c.label, make))
		default:
			for i, h := range c.labels {
				if (i == 0 || h != c.labels[i-1]) && !yield(find(r.pairs, h, make)) {
					return
				}
			}
		}
	}
}

func find[T comparable](in map[unique.Handle[T]]*anchor, at unique.Handle[T], make bool) *anchor {
	a := in[at]
	if a == nil && make {
		a = new(anchor)
		in[at] = a
	}
	return a
}

// dropUnused forgets anchors that no selector could wait at any more.
func (r *Registry[K]) dropUnused(c *clause) {
	drop(r.keys, c.keyID)
	drop(r.pairs, c.label)
	for _, h := range c.labels {
		drop(r.pairs, h)
	}
}

func drop[T comparable](in map[unique.Handle[T]]*anchor, at unique.Handle[T]) {
	if a := in[at]; a != nil && a.refs == 0 {
		delete(in, at)
	}
}

func inserted(places []uint32, place uint32) []uint32 {
	at, found := slices.BinarySearch(places, place)
	if found {
		return places
	}
	return slices.Insert(places, at, place)
}

func removed(places []uint32, place uint32) []uint32 {
	if at, found := slices.BinarySearch(places, place); found {
		return slices.Delete(places, at, at+1)
	}
	return places
}
