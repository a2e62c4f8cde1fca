package mvcc

import (
	"strings"
	"sync/atomic"
)

// watchHub finds the watchers that a change concerns. Watchers of the same
// range form a group; groups of single keys are in a map, the others in an
// interval tree: one probe per change, whatever the number of watchers.
type watchHub struct {
	closed bool
	keys   map[string]*watchGroup
	ranges *rangeNode
	// spans finds the group of a range; added numbers the groups, which gives
	// the tree its random shape.
	spans map[watchSpan]*watchGroup
	added uint64
}

// watchSpan is a range of keys; open means that it has no end.
type watchSpan struct {
	from, to string
	open     bool
}

func (s watchSpan) less(o watchSpan) bool {
	if c := strings.Compare(s.from, o.from); c != 0 {
		return c < 0
	}
	if s.open != o.open {
		return o.open
	}
	return s.to < o.to
}

// watchGroup is the watchers of one range.
type watchGroup struct {
	single   bool
	span     watchSpan
	watchers map[*Watcher]struct{}
	// last is the last batch that one of several watchers has read: those that
	// keep pace with it need not read it again.
	last atomic.Pointer[sharedBatch]
}

// sharedBatch is a batch with all that it follows from, besides the range.
type sharedBatch struct {
	from     int64 // the first revision looked at
	revision int64 // the store's at that time
	prevKV   bool
	noPut    bool
	noDelete bool
	most     int
	batch    *WatchBatch
}

// shared returns the next batch of a watcher of the group.
func (g *watchGroup) shared(w *Watcher, v *view) WatchBatch {
	if len(g.watchers) < 2 {
		return w.read(v)
	}
	o := &w.options
	want := sharedBatch{from: w.pending, revision: v.revision, prevKV: o.PrevKV, noPut: o.NoPut, noDelete: o.NoDelete, most: o.BatchEvents}
	if last := g.last.Load(); last != nil {
		want.batch = last.batch
		if *last == want {
			return *last.batch
		}
	}
	batch := w.read(v)
	want.batch = &batch
	g.last.Store(&want)
	return batch
}

func (h *watchHub) init() {
	h.keys = make(map[string]*watchGroup)
	h.spans = make(map[watchSpan]*watchGroup)
}

func (h *watchHub) add(w *Watcher) {
	w.group = h.groupOf(&w.options)
	w.group.watchers[w] = struct{}{}
}

func (h *watchHub) groupOf(o *WatchOptions) *watchGroup {
	if len(o.End) == 0 {
		g := h.keys[string(o.Key)]
		if g == nil {
			g = &watchGroup{single: true, span: watchSpan{from: string(o.Key)}, watchers: make(map[*Watcher]struct{})}
			h.keys[string(o.Key)] = g
		}
		return g
	}
	span := watchSpan{from: string(o.Key), to: string(o.End), open: rangeEnd(o.End).open}
	g := h.spans[span]
	if g == nil {
		g = &watchGroup{span: span, watchers: make(map[*Watcher]struct{})}
		h.spans[span] = g
		h.added++
		h.ranges = h.ranges.insert(&rangeNode{group: g, priority: hashNumbers(0, h.added, 0, 0)})
	}
	return g
}

func (h *watchHub) remove(w *Watcher) {
	g := w.group
	delete(g.watchers, w)
	if len(g.watchers) > 0 {
		return
	}
	if g.single {
		delete(h.keys, g.span.from)
		return
	}
	delete(h.spans, g.span)
	h.ranges = h.ranges.delete(g.span)
}

// notify tells the watchers concerned by the records from first on.
func (h *watchHub) notify(v *view, first uint64) {
	if len(h.keys) == 0 && h.ranges == nil {
		return
	}
	for p := first; p < v.history.end; p++ {
		change := v.change(p)
		key := v.dir.key(change.entry)
		if g := h.keys[string(key)]; g != nil {
			g.notify(&change)
		}
		h.ranges.stab(key, &change)
	}
}

// The order in which a group's watchers wake has no meaning.
func (g *watchGroup) notify(change *version) {
	for w := range g.watchers {
		if w.pending == 0 && change.mod >= w.next && w.wantsType(change) {
			w.pending = change.mod
			w.wake()
		}
	}
}

// restored sets all watchers on the contents of another store. One that had
// seen everything up to revision before goes on behind it.
func (h *watchHub) restored(v *view, before int64) {
	h.each(func(w *Watcher) {
		w.group.last.Store(nil) // the same revisions may hold something else now
		if w.pending == 0 {
			w.next = max(w.next, before+1)
		} else {
			w.next = w.pending
		}
		w.pending = 0
		if w.next <= v.revision {
			w.pending = w.next
		}
		w.wake()
	})
}

func (h *watchHub) close() {
	h.closed = true
	h.each((*Watcher).wake)
}

func (h *watchHub) each(visit func(*Watcher)) {
	for _, g := range h.keys {
		for w := range g.watchers {
			visit(w)
		}
	}
	for _, g := range h.spans {
		for w := range g.watchers {
			visit(w)
		}
	}
}

// rangeNode is a node of the interval tree: a treap in the order of the spans,
// in which each node knows the furthest end below it.
type rangeNode struct {
	group       *watchGroup
	priority    uint64
	left, right *rangeNode
	furthest    string
	open        bool // the furthest span has no end
}

func (n *rangeNode) insert(m *rangeNode) *rangeNode {
	switch {
	case n == nil:
		return m.update()
	case m.priority > n.priority:
		m.left, m.right = n.divide(m.group.span)
		return m.update()
	case m.group.span.less(n.group.span):
		n.left = n.left.insert(m)
	default:
		n.right = n.right.insert(m)
	}
	return n.update()
}

// divide returns the parts of the tree before and after a span that is not in it.
func (n *rangeNode) divide(span watchSpan) (before, after *rangeNode) {
	if n == nil {
		return nil, nil
	}
	if n.group.span.less(span) {
		n.right, after = n.right.divide(span)
		return n.update(), after
	}
	before, n.left = n.left.divide(span)
	return before, n.update()
}

func (n *rangeNode) delete(span watchSpan) *rangeNode {
	switch {
	case n.group.span == span:
		return n.left.join(n.right)
	case span.less(n.group.span):
		n.left = n.left.delete(span)
	default:
		n.right = n.right.delete(span)
	}
	return n.update()
}

// join unites two trees of which all of the first comes before the second.
func (n *rangeNode) join(m *rangeNode) *rangeNode {
	switch {
	case n == nil:
		return m
	case m == nil:
		return n
	case n.priority > m.priority:
		n.right = n.right.join(m)
		return n.update()
	default:
		m.left = n.join(m.left)
		return m.update()
	}
}

func (n *rangeNode) update() *rangeNode {
	n.furthest, n.open = n.group.span.to, n.group.span.open
	for _, c := range [...]*rangeNode{n.left, n.right} {
		if c == nil {
			continue
		}
		n.open = n.open || c.open
		n.furthest = max(n.furthest, c.furthest)
	}
	return n
}

// stab notifies every group whose span covers key.
func (n *rangeNode) stab(key []byte, change *version) {
	if n == nil || !n.open && n.furthest <= string(key) {
		return
	}
	n.left.stab(key, change)
	if n.group.span.from > string(key) {
		return
	}
	if n.group.span.open || string(key) < n.group.span.to {
		n.group.notify(change)
	}
	n.right.stab(key, change)
}
