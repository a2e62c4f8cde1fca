package selector

import "slices"

// The functions of this file decide questions about all valid sets of labels:
// keys and values that the API server accepts. They are exact. Matching takes
// any labels, so labels that were never validated may escape a conclusion: -5
// satisfies a<1 and is no valid value.

// box is a conjunction in normal form: for each key the states that the label
// may be in. It holds the label sets of the product of those states; what it
// does not mention may be in any state. Products are what makes the questions
// cheap: a product is empty if one factor is, and lies within another if each
// factor does.
type box []axis

type axis struct {
	key   string
	state state
}

// boxOf needs O(n log n) for n values in all requirements. Nothing has no box;
// callers test for it.
func boxOf(requirements []Requirement) box {
	requirements = slices.Clone(requirements)
	slices.SortStableFunc(requirements, func(a, b Requirement) int { return compareKeys(a.key, b.key) })
	var b box
	for len(requirements) > 0 {
		key, n := requirements[0].key, 1
		for n < len(requirements) && requirements[n].key == key {
			n++
		}
		b = append(b, axis{key, stateOf(key, requirements[:n])})
		requirements = requirements[n:]
	}
	return b
}

func compareKeys(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// emptyAxis returns the first axis without states, or -1.
func (b box) emptyAxis() int {
	return slices.IndexFunc(b, func(a axis) bool { return a.state.empty() })
}

func (b box) empty() bool { return b.emptyAxis() >= 0 }

// at returns the states of key.
func (b box) at(key string) state {
	if i, found := slices.BinarySearchFunc(b, key, func(a axis, key string) int { return compareKeys(a.key, key) }); found {
		return b[i].state
	}
	return anyState(key)
}

// with returns b with other states for key.
func (b box) with(key string, s state) box {
	i, found := slices.BinarySearchFunc(b, key, func(a axis, key string) int { return compareKeys(a.key, key) })
	out := slices.Clone(b)
	if !found {
		return slices.Insert(out, i, axis{key, s})
	}
	out[i].state = s
	return out
}

// intersect merges two boxes.
func (b box) intersect(c box) box {
	out := make(box, 0, len(b)+len(c))
	for len(b) > 0 || len(c) > 0 {
		switch {
		case len(c) == 0 || len(b) > 0 && b[0].key < c[0].key:
			out, b = append(out, b[0]), b[1:]
		case len(b) == 0 || c[0].key < b[0].key:
			out, c = append(out, c[0]), c[1:]
		default:
			out = append(out, axis{b[0].key, b[0].state.intersect(&c[0].state)})
			b, c = b[1:], c[1:]
		}
	}
	return out
}

// witness returns labels in a box that is not empty, as few as possible, and
// the value of nameAxis.
func (b box) witness() (Labels, string) {
	labels := make(map[string]string)
	name := b.at(nameAxis)
	for _, a := range b {
		if !a.state.absent && a.key != nameAxis {
			labels[a.key] = a.state.values.pick()
		}
	}
	return NewLabels(labels), name.values.pick()
}

// outside returns a part of b that lies outside of c: one whose states of one
// key are narrowed. ok is false when b lies within c. b is not empty.
func (b box) outside(c box) (part box, ok bool) {
	for i := range c {
		s := b.at(c[i].key)
		if pieces := s.minus(&c[i].state); len(pieces) > 0 {
			return b.with(c[i].key, pieces[0]), true
		}
	}
	return nil, false
}

func (s Selector) box() box {
	requirements, _ := s.Requirements()
	return boxOf(requirements)
}

// Satisfiable reports whether some valid set of labels matches s, and gives
// one with as few labels as possible.
func Satisfiable(s Selector) (witness Labels, ok bool) {
	if s.IsNothing() {
		return Labels{}, false
	}
	b := s.box()
	if b.empty() {
		return Labels{}, false
	}
	witness, _ = b.witness()
	return witness, true
}

// Contradiction explains why no valid set of labels matches s: it returns the
// requirements on the first key that leave it no state. They are the whole
// conflict, since requirements on different keys cannot contradict each other.
// The result is empty when s is satisfiable, and for Nothing.
func Contradiction(s Selector) []Requirement {
	requirements, _ := s.Requirements()
	b := boxOf(requirements)
	i := b.emptyAxis()
	if i < 0 {
		return nil
	}
	return slices.DeleteFunc(requirements, func(r Requirement) bool { return r.key != b[i].key })
}

// Overlap reports whether some valid set of labels matches both selectors, and
// gives one: an object that two controllers would fight over.
func Overlap(a, b Selector) (witness Labels, ok bool) {
	if a.IsNothing() || b.IsNothing() {
		return Labels{}, false
	}
	both := a.box().intersect(b.box())
	if both.empty() {
		return Labels{}, false
	}
	witness, _ = both.witness()
	return witness, true
}

// Implies reports whether every valid set of labels that matches a matches b.
// If not, it gives a set that matches a and not b.
func Implies(a, b Selector) (counterexample Labels, ok bool) {
	if a.IsNothing() {
		return Labels{}, true
	}
	from := a.box()
	if from.empty() {
		return Labels{}, true
	}
	if b.IsNothing() {
		counterexample, _ = from.witness()
		return counterexample, false
	}
	part, out := from.outside(b.box())
	if !out {
		return Labels{}, true
	}
	counterexample, _ = part.witness()
	return counterexample, false
}

// Equivalent reports whether the same valid sets of labels match both. If not,
// it gives a set that matches only one of them.
func Equivalent(a, b Selector) (counterexample Labels, ok bool) {
	if counterexample, ok = Implies(a, b); !ok {
		return counterexample, false
	}
	return Implies(b, a)
}

// Simplify returns a selector that valid labels match if and only if they match
// s: one that says nothing twice and nothing that follows from the rest, keys
// and values in order. A selector that nothing valid matches becomes Nothing.
//
// Selectors that differ in form and not in meaning simplify to the same form,
// but for one corner: a list of all 45 or more spellings of a number, which
// could be a range, stays a list. Equivalent knows it.
func Simplify(s Selector) Selector {
	if s.IsNothing() {
		return s
	}
	var requirements []Requirement
	for _, a := range s.box() {
		if a.state.empty() {
			return Nothing()
		}
		requirements = append(requirements, a.state.requirements(a.key)...)
	}
	return compile(requirements)
}
