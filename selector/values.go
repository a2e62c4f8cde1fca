package selector

import (
	"math"
	"slices"
	"strconv"
)

// valueSet is a set of valid label values. With four shapes it is closed under
// intersection and, piece by piece, under difference:
//
//	oneOf    exactly the listed values
//	allBut   every value but the listed ones
//	intBut   every spelling of an integer in [lo, hi] but the listed ones
//	wordBut  every value that spells no int64 but the listed ones
//
// A valid value has no sign and at most 63 bytes, so a number with d digits has
// 64-d spellings: 5, 05, 005 and so on. Therefore a>4,a<6 is not a=5, and only
// a list of all spellings can empty a range.
type valueSet struct {
	shape  shape
	list   []string // sorted, distinct; only values that the bare shape holds
	lo, hi int64    // of intBut: 0 <= lo <= hi
}

type shape uint8

const (
	oneOf shape = iota // the zero valueSet is empty
	allBut
	intBut
	wordBut
)

// holdsShape reports whether the shape without its list holds value.
func (v *valueSet) holdsShape(value string) bool {
	switch v.shape {
	case allBut:
		return true
	case intBut:
		n, ok := parseInt(value)
		return ok && v.lo <= n && n <= v.hi
	case wordBut:
		_, ok := parseInt(value)
		return !ok
	}
	return false
}

func (v *valueSet) has(value string) bool {
	_, listed := slices.BinarySearch(v.list, value)
	if v.shape == oneOf {
		return listed
	}
	return !listed && v.holdsShape(value)
}

// exclusive makes a set of one of the shapes that exclude; list may hold
// anything. An emptied range becomes the empty oneOf.
func exclusive(s shape, lo, hi int64, list []string) valueSet {
	v := valueSet{shape: s, lo: max(lo, 0), hi: hi}
	for _, value := range list {
		if v.holdsShape(value) {
			v.list = append(v.list, value)
		}
	}
	slices.Sort(v.list)
	v.list = slices.Compact(v.list)
	if s == intBut {
		v.shrink()
		if v.lo > v.hi {
			return valueSet{}
		}
	}
	return v
}

// shrink moves the ends of a range past numbers whose spellings are all
// excluded, and drops those. Each step uses up 45 listed values at least.
func (v *valueSet) shrink() {
	if len(v.list) < spellings(math.MaxInt64) {
		return
	}
	lo, hi := v.lo, v.hi
	for lo <= hi && v.excludesAll(lo) {
		lo++ // lo < MaxInt64, or hi would be below lo
		if lo < 0 {
			lo, hi = 1, 0
		}
	}
	for hi >= lo && v.excludesAll(hi) {
		hi--
	}
	v.lo, v.hi = lo, hi
	v.list = slices.DeleteFunc(v.list, func(value string) bool { return !v.holdsShape(value) })
}

func (v *valueSet) excludesAll(n int64) bool {
	for value := strconv.FormatInt(n, 10); len(value) <= nameBytesMax; value = "0" + value {
		if _, listed := slices.BinarySearch(v.list, value); !listed {
			return false
		}
	}
	return true
}

// spellings is the number of valid values that spell n >= 0.
func spellings(n int64) int { return nameBytesMax + 1 - len(strconv.FormatInt(n, 10)) }

func (v *valueSet) empty() bool { return v.shape == oneOf && len(v.list) == 0 }

// pick returns a value of a set that is not empty: the first one of a list,
// the lowest number in its shortest spelling, or a word made up.
func (v *valueSet) pick() string {
	switch v.shape {
	case oneOf:
		return v.list[0]
	case intBut:
		for n := v.lo; ; n++ {
			for value := strconv.FormatInt(n, 10); len(value) <= nameBytesMax; value = "0" + value {
				if v.has(value) {
					return value
				}
			}
		}
	}
	for i := 0; ; i++ {
		if value := "x" + strconv.Itoa(i); v.has(value) {
			return value
		}
	}
}

func (v *valueSet) filter(keep func(string) bool) valueSet {
	out := valueSet{}
	for _, value := range v.list {
		if keep(value) {
			out.list = append(out.list, value)
		}
	}
	return out
}

func (v *valueSet) intersect(w *valueSet) valueSet {
	switch {
	case v.shape == oneOf:
		return v.filter(w.has)
	case w.shape == oneOf:
		return w.filter(v.has)
	case v.shape == wordBut && w.shape == intBut, v.shape == intBut && w.shape == wordBut:
		return valueSet{}
	}
	list := slices.Concat(v.list, w.list)
	switch {
	case v.shape == intBut && w.shape == intBut:
		return exclusive(intBut, max(v.lo, w.lo), min(v.hi, w.hi), list)
	case v.shape == allBut:
		return exclusive(w.shape, w.lo, w.hi, list)
	}
	return exclusive(v.shape, v.lo, v.hi, list)
}

// minus returns v without w as disjoint sets that are not empty.
func (v *valueSet) minus(w *valueSet) []valueSet {
	if v.shape == oneOf {
		return nonEmpty(v.filter(func(value string) bool { return !w.has(value) }))
	}
	switch w.shape {
	case oneOf:
		return nonEmpty(exclusive(v.shape, v.lo, v.hi, slices.Concat(v.list, w.list)))
	case allBut:
		return nonEmpty(w.filter(v.has))
	case wordBut:
		ints := valueSet{shape: intBut, hi: math.MaxInt64}
		return nonEmpty(v.intersect(&ints), w.filter(v.has))
	}
	words := valueSet{shape: wordBut}
	pieces := []valueSet{v.intersect(&words), w.filter(v.has)}
	if w.lo > 0 {
		below := valueSet{shape: intBut, hi: w.lo - 1}
		pieces = append(pieces, v.intersect(&below))
	}
	if w.hi < math.MaxInt64 {
		above := valueSet{shape: intBut, lo: w.hi + 1, hi: math.MaxInt64}
		pieces = append(pieces, v.intersect(&above))
	}
	return nonEmpty(pieces...)
}

func nonEmpty(sets ...valueSet) []valueSet {
	return slices.DeleteFunc(sets, func(v valueSet) bool { return v.empty() })
}

// state is the set of states that one label may be in.
type state struct {
	absent bool // it may be absent
	values valueSet
}

func (s *state) empty() bool { return !s.absent && s.values.empty() }

func (s *state) intersect(t *state) state {
	return state{s.absent && t.absent, s.values.intersect(&t.values)}
}

// minus returns s without t as disjoint states that are not empty.
func (s *state) minus(t *state) []state {
	var pieces []state
	if s.absent && !t.absent {
		pieces = append(pieces, state{absent: true})
	}
	for _, values := range s.values.minus(&t.values) {
		pieces = append(pieces, state{values: values})
	}
	return pieces
}

// key name of the variable that stands for a node's name. No label has it: a
// NUL byte is in no valid key, and keys that are not valid are never present.
const nameAxis = "\x00metadata.name"

// anyState is what a label may be in when nothing is asked of it.
func anyState(key string) state {
	switch {
	case key == nameAxis: // a node has a name, and it is not empty
		return state{values: valueSet{shape: allBut, list: []string{""}}}
	case !ValidKey(key):
		return state{absent: true}
	}
	return state{absent: true, values: valueSet{shape: allBut}}
}

// demands gathers the requirements on one key. They are intersected all at
// once: one by one, many exclusions on one key would cost quadratic time.
type demands struct {
	absentOK bool
	absent   bool           // the label must be absent
	lists    int            // In and Equals
	listed   map[string]int // in how many of them a value is
	excluded []string
	bounded  bool
	lo, hi   int64
}

func (d *demands) add(r *Requirement) {
	d.absentOK = d.absentOK && r.op.absentOK()
	switch r.op {
	case In, Equals, DoubleEquals:
		d.lists++
		for i, value := range r.values {
			if i == 0 || value != r.values[i-1] {
				d.listed[value]++
			}
		}
	case NotIn, NotEquals:
		d.excluded = append(d.excluded, r.values...)
	case Gt, Lt:
		n, _ := parseInt(r.values[0])
		d.bounded = true
		d.lo, d.hi = narrowed(r.op, n, d.lo, d.hi)
	case Exists:
	default: // DoesNotExist; the zero Requirement, which nothing satisfies
		d.absent = true
	}
}

// stateOf intersects the requirements on one key.
func stateOf(key string, requirements []Requirement) state {
	free := anyState(key)
	d := demands{absentOK: free.absent, listed: map[string]int{}, hi: math.MaxInt64}
	for i := range requirements {
		d.add(&requirements[i])
	}
	st := state{absent: d.absentOK}
	switch {
	case d.absent || free.values.empty() || d.lo > d.hi:
		return st
	case d.bounded:
		st.values = exclusive(intBut, d.lo, d.hi, d.excluded)
	default:
		st.values = exclusive(allBut, 0, 0, append(d.excluded, free.values.list...))
	}
	if d.lists > 0 {
		in := valueSet{}
		for value, n := range d.listed {
			if n == d.lists && (ValidValue(value) || key == nameAxis) {
				in.list = append(in.list, value)
			}
		}
		slices.Sort(in.list)
		st.values = in.filter(st.values.has)
	}
	return st
}

// narrowed applies a bound, without overflow at the ends of int64.
func narrowed(op Operator, n, lo, hi int64) (int64, int64) {
	switch {
	case op == Gt && n == math.MaxInt64, op == Lt && n == math.MinInt64:
		return 1, 0
	case op == Gt:
		return max(lo, n+1), hi
	}
	return lo, min(hi, n-1)
}

// requirements writes the state of a label as the fewest requirements in a
// fixed order. Only states that a conjunction can produce are asked for.
func (s *state) requirements(key string) []Requirement {
	v := &s.values
	not := NotIn
	if len(v.list) == 1 {
		not = NotEquals
	}
	var out []Requirement
	add := func(op Operator, values ...string) { out = append(out, Requirement{key, op, values}) }
	switch {
	case v.shape == oneOf && len(v.list) == 0:
		add(DoesNotExist)
		return out
	case v.shape == oneOf && len(v.list) == 1:
		add(Equals, v.list[0])
		return out
	case v.shape == oneOf:
		add(In, v.list...)
		return out
	case v.shape == intBut:
		if v.lo > 0 {
			add(Gt, strconv.FormatInt(v.lo-1, 10))
		}
		if v.hi < math.MaxInt64 {
			add(Lt, strconv.FormatInt(v.hi+1, 10))
		}
	case !s.absent:
		add(Exists)
	}
	if len(v.list) > 0 {
		add(not, v.list...)
	}
	return out
}
