package selector

import (
	"slices"
)

// A query is a selector translated into set algebra on postings. It runs chunk
// by chunk, so that everything it combines stays in the first-level cache.
type query struct {
	live    *posting
	steps   []step // the smallest positive one first, negative ones last
	nothing bool   // no object can match
}

// step narrows the result to the union of sets, to what lies outside of it, or
// to the objects whose number is in a range.
type step struct {
	size   int // of the union at most
	one    *posting
	more   []*posting // when the union has more or less than one set
	negate bool
	ints   *intRange
}

// intRange is a bit-sliced comparison (O'Neil and Quass, 1997): bit by bit from
// the top, numbers that agree with the bound so far are kept apart from those
// that are decided.
type intRange struct {
	any   *posting
	bits  [64]*posting // nil: no number has the bit
	bound uint64
	op    Operator // Gt or Lt
}

// posting returns the posting with this number: an empty one for numbers given
// out after the view was taken.
func (v *view[K]) posting(no uint32) *posting {
	if v.postings.has(no) {
		return v.postings.at(no)
	}
	return new(posting)
}

// query translates s; steps is memory to use.
func (v *view[K]) query(s Selector, steps []step) query {
	q := query{live: &v.live, steps: steps[:0], nothing: !s.selectable}
	if v.dict == nil {
		q.nothing = true
		return q
	}
	v.dict.mu.RLock()
	defer v.dict.mu.RUnlock()
	for i := range s.clauses {
		switch st, effect := v.step(&s.clauses[i]); effect {
		case matchesNone:
			q.nothing = true
		case narrows:
			q.steps = append(q.steps, st)
		}
	}
	if len(q.steps) > stepsUsual {
		slices.SortStableFunc(q.steps, func(a, b step) int { return a.rank() - b.rank() })
		return q
	}
	for i := 1; i < len(q.steps); i++ {
		for j := i; j > 0 && q.steps[j].rank() < q.steps[j-1].rank(); j-- {
			q.steps[j], q.steps[j-1] = q.steps[j-1], q.steps[j]
		}
	}
	return q
}

// effect of a clause on the result.
type effect int

const (
	matchesAll effect = iota
	matchesNone
	narrows
)

func (s *step) rank() int {
	const last = 1 << 40
	switch {
	case s.ints != nil:
		return last // bounds profit from being last of the positive ones
	case s.negate:
		return last + 1
	}
	return s.size
}

// step translates one clause.
func (v *view[K]) step(c *clause) (step, effect) {
	key := v.dict.keys[c.key]
	st := step{negate: c.absentOK}
	switch {
	case key == nil: // no object ever had it
	case c.op == Exists || c.op == DoesNotExist:
		st.one = v.posting(key.any)
	case c.op == Gt || c.op == Lt:
		if key.ints != nil {
			st.ints = v.intRange(key.ints, c)
			return st, narrows
		}
	case c.single:
		st.one = v.posting(key.values[c.label.Value().value])
	default:
		for _, h := range c.labels {
			if p := v.posting(key.values[h.Value().value]); p.n > 0 {
				st.more = append(st.more, p)
				st.size += int(p.n)
			}
		}
	}
	if st.one != nil {
		st.size = int(st.one.n)
	}
	switch {
	case st.size > 0:
		return st, narrows
	case st.negate:
		return st, matchesAll // it excludes nobody
	}
	return st, matchesNone
}

func (v *view[K]) intRange(ints *intEntry, c *clause) *intRange {
	r := &intRange{any: v.posting(ints.any), bound: ordinal(c.bound), op: c.op}
	for bit, no := range ints.bits {
		if p := v.posting(no); no != 0 && p.n > 0 {
			r.bits[bit] = p
		}
	}
	return r
}

// stepsUsual is the number of requirements up to which a query needs no memory
// for its steps.
const stepsUsual = 8

// scratch is where a query combines sets.
type scratch struct{ acc, tmp, tie words }

func (v *view[K]) count(s Selector) int {
	var steps [stepsUsual]step
	q := v.query(s, steps[:])
	switch {
	case q.nothing:
		return 0
	case len(q.steps) == 0:
		return int(v.live.n)
	case len(q.steps) == 1 && q.steps[0].one != nil:
		if q.steps[0].negate {
			return int(v.live.n - q.steps[0].one.n)
		}
		return int(q.steps[0].one.n)
	}
	n := 0
	var sc scratch
	for no := range v.live.chunkNumbers() {
		if q.chunk(no, &sc) {
			n += sc.acc.count()
		}
	}
	return n
}

// cursor walks through the result of a query, 64 ids at a time. It is small
// enough for the stack of whoever ranges over Select.
type cursor[K comparable] struct {
	view  *view[K]
	query query
	sc    scratch
	chunk uint32 // the next one to evaluate
	at    uint32 // the next word of the present one
	keys  *[64]K // the keys of the present word
	word  uint64 // those of them that are selected
}

func (c *cursor[K]) start(v *view[K], s Selector) {
	if v == nil {
		v = new(view[K])
	}
	c.view, c.query, c.at = v, v.query(s, nil), chunkWords
}

// next moves to the next word that is not zero and reports whether there is
// one.
func (c *cursor[K]) next() bool {
	for {
		for ; c.at < chunkWords; c.at++ {
			if c.word = c.sc.acc[c.at]; c.word != 0 {
				id := (c.chunk-1)<<chunkBits | c.at*64
				c.keys = (*[64]K)(c.view.keys.spine[id/pageItems].items[id%pageItems:])
				c.at++
				return true
			}
		}
		if c.query.nothing || c.chunk == c.view.live.chunkNumbers() {
			return false
		}
		if c.query.chunk(c.chunk, &c.sc) {
			c.at = 0
		}
		c.chunk++
	}
}

// chunkNumbers bounds the numbers of p's chunks.
func (p *posting) chunkNumbers() uint32 {
	switch p.n {
	case 0:
		return 0
	case 1:
		return p.only>>chunkBits + 1
	}
	return p.list.chunks[len(p.list.chunks)-1].no + 1
}

// chunk leaves in sc.acc the ids of chunk no that the query selects; it
// reports false when there are none for certain.
func (q *query) chunk(no uint32, sc *scratch) bool {
	steps := q.steps
	sc.acc = words{}
	if len(steps) > 0 && !steps[0].negate && steps[0].ints == nil {
		if !steps[0].or(no, &sc.acc) {
			return false
		}
		steps = steps[1:]
	} else {
		q.live.or(no, &sc.acc)
	}
	for i := range steps {
		st := &steps[i]
		switch {
		case st.ints != nil:
			st.ints.and(no, sc)
		case st.negate:
			st.andNot(no, &sc.acc)
		default:
			if !st.and(no, sc) {
				return false
			}
		}
	}
	return true
}

// or adds the step's union to acc; it reports false when it is empty.
func (s *step) or(no uint32, acc *words) bool {
	if s.one != nil {
		return s.one.or(no, acc)
	}
	some := false
	for _, p := range s.more {
		if p.or(no, acc) {
			some = true
		}
	}
	return some
}

func (s *step) and(no uint32, sc *scratch) bool {
	if s.one != nil {
		if b := s.one.bitmap(no); b != nil {
			sc.acc.and(b)
			return true
		}
	}
	sc.tmp = words{}
	if !s.or(no, &sc.tmp) {
		return false
	}
	sc.acc.and(&sc.tmp)
	return true
}

func (s *step) andNot(no uint32, acc *words) {
	if s.one != nil {
		s.one.andNot(no, acc)
		return
	}
	for _, p := range s.more {
		p.andNot(no, acc)
	}
}

// and narrows sc.acc to the numbers above or below the bound. tie holds the
// ids that agree with the bound in all bits so far.
func (r *intRange) and(no uint32, sc *scratch) {
	sc.tmp = words{}
	r.any.or(no, &sc.tmp)
	sc.tie = sc.acc
	sc.tie.and(&sc.tmp)
	sc.acc = words{}
	for bit := 63; bit >= 0; bit-- {
		boundHas := r.bound>>bit&1 != 0
		var set *words
		if p := r.bits[bit]; p != nil {
			if set = p.bitmap(no); set == nil {
				sc.tmp = words{}
				if p.or(no, &sc.tmp) {
					set = &sc.tmp
				}
			}
		}
		switch {
		case set == nil && !boundHas:
		case set == nil: // every number has 0 where the bound has 1: all are below
			if r.op == Lt {
				sc.acc.or(&sc.tie)
			}
			return
		case boundHas:
			if r.op == Lt {
				sc.acc.orAndNot(&sc.tie, set)
			}
			sc.tie.and(set)
		default:
			if r.op == Gt {
				sc.acc.orAnd(&sc.tie, set)
			}
			sc.tie.andNot(set)
		}
	}
}
