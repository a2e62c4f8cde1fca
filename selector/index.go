package selector

import (
	"iter"
	"math/bits"
	"slices"
	"sync"
)

// Index holds labelled objects and finds those that a selector matches without
// looking at each of them: per label, per key and per bit of integer values it
// keeps the set of objects that have it, and combines sets. K names an object.
// The zero Index is empty and ready. All methods may be called concurrently;
// writers exclude each other and never wait for readers of a Snapshot.
type Index[K comparable] struct {
	mu     sync.RWMutex
	ids    map[K]uint32
	free   []uint32        // ids of removed objects, to be used again
	labels pages[[]uint32] // by id: the numbers of the object's labels, ascending
	view   view[K]
	epoch  uint64   // of the parts that may be written in place
	shared *view[K] // a copy of view for snapshots, nil once view was written to
	unused int      // numbers of labels that no object has
}

// view is what queries read. Copied shallowly, it is a snapshot: see pages and
// chunkList for what is copied before a write.
type view[K comparable] struct {
	dict     *dictionary
	postings pages[posting] // by number
	keys     pages[K]       // by id
	live     posting        // ids in use
}

// unusedMin keeps small indexes from being renumbered again and again.
const unusedMin = 1024

// Set adds the object or, if the index has it, replaces its labels. It costs
// O(labels that changed), and copies what a snapshot shares.
func (x *Index[K]) Set(key K, labels Labels) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ids == nil {
		x.ids = make(map[K]uint32)
		x.view.dict = newDictionary()
	}
	id, known := x.ids[key]
	if !known {
		x.shared = nil
		id = x.newID()
		x.ids[key] = id
		*x.view.keys.write(id, x.epoch) = key
		x.view.live.add(id, x.epoch)
	}
	slot := x.labels.write(id, 0)
	old, fresh := *slot, x.numbers(labels)
	if slices.Equal(old, fresh) {
		return
	}
	x.shared = nil
	*slot = fresh
	// Both lists ascend: what only one of them has changed. Removals go first,
	// since a key may keep its number while its value changes.
	inOne(old, fresh, func(no uint32) { x.book(id, no, (*posting).remove) })
	inOne(fresh, old, func(no uint32) { x.book(id, no, (*posting).add) })
	x.renumberIfWasteful()
}

// Delete removes the object and reports whether the index had it.
func (x *Index[K]) Delete(key K) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	id, known := x.ids[key]
	if !known {
		return false
	}
	x.shared = nil
	slot := x.labels.write(id, 0)
	for _, no := range *slot {
		x.book(id, no, (*posting).remove)
	}
	*slot = nil
	var none K
	*x.view.keys.write(id, x.epoch) = none
	x.view.live.remove(id, x.epoch)
	delete(x.ids, key)
	x.free = append(x.free, id)
	x.renumberIfWasteful()
	return true
}

func (x *Index[K]) newID() uint32 {
	if n := len(x.free); n > 0 {
		id := x.free[n-1]
		x.free = x.free[:n-1]
		return id
	}
	return x.view.live.n // without removed ids, the ids in use are 0..n-1
}

// numbers translates labels into ascending numbers.
func (x *Index[K]) numbers(labels Labels) []uint32 {
	if labels.Len() == 0 {
		return nil
	}
	numbers := make([]uint32, 0, labels.Len())
	for key, value := range labels.All() {
		no, fresh := x.view.dict.number(key, value)
		if fresh {
			x.unused++ // until it is booked
		}
		numbers = append(numbers, no)
	}
	slices.Sort(numbers)
	return numbers
}

// inOne calls f with what a has and b has not; both ascend.
func inOne(a, b []uint32, f func(uint32)) {
	for _, no := range a {
		for len(b) > 0 && b[0] < no {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != no {
			f(no)
		}
	}
}

// book changes the postings that follow from the object having the label.
func (x *Index[K]) book(id, no uint32, change func(*posting, uint32, uint64) bool) {
	p := x.view.postings.write(no, x.epoch)
	before := p.n
	change(p, id, x.epoch)
	switch {
	case before == 0 && p.n == 1:
		x.unused--
	case before == 1 && p.n == 0:
		x.unused++
	}
	label := x.view.dict.pairs[no]
	change(x.view.postings.write(label.key.any, x.epoch), id, x.epoch)
	n, isInt := parseInt(label.value)
	if !isInt {
		return
	}
	ints := label.key.ints
	change(x.view.postings.write(ints.any, x.epoch), id, x.epoch)
	for o := ordinal(n); o != 0; o &= o - 1 {
		change(x.view.postings.write(ints.bits[bits.TrailingZeros64(o)], x.epoch), id, x.epoch)
	}
}

// renumberIfWasteful moves to a new dictionary when most numbers of the old
// one stand for labels that are gone, as pods' hashes and names go.
func (x *Index[K]) renumberIfWasteful() {
	used := len(x.view.dict.pairs) - x.unused
	if x.unused < unusedMin || x.unused < used {
		return
	}
	old := x.view
	x.view.dict = newDictionary()
	x.view.postings = pages[posting]{epoch: x.epoch}
	x.unused = 0
	renumbered := make([]uint32, len(old.dict.pairs))
	move := func(from, to uint32) {
		if from != 0 && to != 0 {
			*x.view.postings.write(to, x.epoch) = *old.posting(from)
		}
	}
	for no, label := range old.dict.pairs {
		p := old.posting(uint32(no))
		if label.key == nil || p.n == 0 {
			continue
		}
		to, _ := x.view.dict.number(label.key.name, label.value)
		renumbered[no] = to
		move(uint32(no), to)
		key := x.view.dict.keys[label.key.name]
		move(label.key.any, key.any)
		if key.ints != nil {
			move(label.key.ints.any, key.ints.any)
			for bit := range key.ints.bits {
				move(label.key.ints.bits[bit], key.ints.bits[bit])
			}
		}
	}
	for _, id := range x.ids {
		list := *x.labels.write(id, 0)
		for i, no := range list {
			list[i] = renumbered[no]
		}
		slices.Sort(list)
	}
}

// Len is the number of objects.
func (x *Index[K]) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.ids)
}

// Labels returns the labels of an object and whether the index has it.
func (x *Index[K]) Labels(key K) (Labels, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	id, known := x.ids[key]
	if !known {
		return Labels{}, false
	}
	m := make(map[string]string)
	for _, no := range *x.labels.at(id) {
		label := x.view.dict.pairs[no]
		m[label.key.name] = label.value
	}
	return NewLabels(m), true
}

// Snapshot returns the present state, which later writes leave as it is. It
// costs O(1); the writes after it copy what they touch.
func (x *Index[K]) Snapshot() Snapshot[K] { return Snapshot[K]{x.present()} }

func (x *Index[K]) present() *view[K] {
	x.mu.RLock()
	shared := x.shared
	x.mu.RUnlock()
	if shared != nil {
		return shared
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.shared == nil {
		copied := x.view
		x.shared = &copied
		x.epoch++
	}
	return x.shared
}

// Select yields the objects that s matches. Each loop over it goes through a
// Snapshot taken when the loop starts, in the order of Snapshot.Select.
//
// This and Snapshot.Select are written out so that the compiler can put the
// iterator, and the body of a loop over it, in line: then a large result costs
// no call per object.
func (x *Index[K]) Select(s Selector) iter.Seq[K] {
	return func(yield func(K) bool) {
		var c cursor[K]
		c.start(x.present(), s)
		for c.next() {
			for w := c.word; w != 0; w &= w - 1 {
				if !yield(c.keys[bits.TrailingZeros64(w)&63]) {
					return
				}
			}
		}
	}
}

// Count returns how many objects s matches. It excludes writers meanwhile, and
// unlike Select does not make the next write copy anything.
func (x *Index[K]) Count(s Selector) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.view.count(s)
}

// Snapshot is an Index at one moment. It is immutable and safe for concurrent
// use; the zero Snapshot is that of an empty index.
type Snapshot[K comparable] struct{ view *view[K] }

// Len is the number of objects.
func (s Snapshot[K]) Len() int { return s.Count(Everything()) }

// Count returns how many objects the selector matches.
func (s Snapshot[K]) Count(selector Selector) int {
	if s.view == nil {
		return 0
	}
	return s.view.count(selector)
}

// Select yields the objects that the selector matches. The order is that of
// their numbers: the order of first addition, with freed places reused.
func (s Snapshot[K]) Select(selector Selector) iter.Seq[K] {
	return func(yield func(K) bool) {
		var c cursor[K]
		c.start(s.view, selector)
		for c.next() {
			for w := c.word; w != 0; w &= w - 1 {
				if !yield(c.keys[bits.TrailingZeros64(w)&63]) {
					return
				}
			}
		}
	}
}
