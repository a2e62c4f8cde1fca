package selector

// Verdict answers a question whose exact answer may cost too much.
type Verdict uint8

// The verdicts. The zero Verdict is Unknown.
const (
	Unknown Verdict = iota // the step budget did not suffice
	Yes
	No
)

// String gives unknown, yes or no.
func (v Verdict) String() string {
	switch v {
	case Yes:
		return "yes"
	case No:
		return "no"
	}
	return "unknown"
}

// NodeExample is a node that answers a question about node selectors: one with
// this name and these labels.
type NodeExample struct {
	Name   string
	Labels Labels
}

// boxes are the terms that can match, in normal form. A node has a name, which
// is one more variable: it is not empty, and terms compare it only for
// equality. Other fields read as empty, so what a term asks of them is decided
// here.
func (m NodeMatcher) boxes() []box {
	var boxes []box
	for i := range m.terms {
		t := &m.terms[i]
		b := t.labels.box()
		possible := !t.labels.IsNothing()
		var names []Requirement
		for _, f := range t.fields {
			switch {
			case f.field != nameField:
				possible = possible && (f.value == "") != f.negate
			case f.negate:
				names = append(names, Requirement{nameAxis, NotEquals, []string{f.value}})
			default:
				names = append(names, Requirement{nameAxis, Equals, []string{f.value}})
			}
		}
		if names != nil {
			b = b.with(nameAxis, stateOf(nameAxis, names))
		}
		if possible && !b.empty() {
			boxes = append(boxes, b)
		}
	}
	return boxes
}

func (b box) node() NodeExample {
	labels, name := b.witness()
	return NodeExample{name, labels}
}

// NodesOverlap reports whether some node with valid labels matches both, and
// gives one. It costs O(terms of a · terms of b).
func NodesOverlap(a, b NodeMatcher) (witness NodeExample, ok bool) {
	theirs := b.boxes()
	for _, x := range a.boxes() {
		for _, y := range theirs {
			if both := x.intersect(y); !both.empty() {
				return both.node(), true
			}
		}
	}
	return NodeExample{}, false
}

// NodesImply reports whether every node with valid labels that matches a
// matches b, and if not gives one that matches only a. Terms are alternatives,
// which makes the question co-NP-complete: the answer is Unknown when more than
// stepsMax boxes would have to be looked at.
func NodesImply(a, b NodeMatcher, stepsMax int) (Verdict, NodeExample) {
	c := cover{steps: stepsMax}
	terms := b.boxes()
	for _, x := range a.boxes() {
		if verdict, part := c.covers(x, terms); verdict != Yes {
			if verdict == No {
				return No, part.node()
			}
			return Unknown, NodeExample{}
		}
	}
	return Yes, NodeExample{}
}

// cover decides whether terms together cover a box, by cutting away from the
// box what a term covers and asking for the rest.
type cover struct{ steps int }

// covers returns No with a part of b that no term touches.
func (c *cover) covers(b box, terms []box) (Verdict, box) {
	if c.steps--; c.steps < 0 {
		return Unknown, nil
	}
	// Terms that do not touch b are of no use for its parts either.
	var touching []box
	for _, t := range terms {
		if b.intersect(t).empty() {
			continue
		}
		if _, out := b.outside(t); !out {
			return Yes, nil
		}
		touching = append(touching, t)
	}
	if len(touching) == 0 {
		return No, b
	}
	first, rest := touching[0], touching[1:]
	for _, a := range first {
		inside := b.at(a.key)
		for _, piece := range inside.minus(&a.state) {
			if verdict, part := c.covers(b.with(a.key, piece), rest); verdict != Yes {
				return verdict, part
			}
		}
		b = b.with(a.key, inside.intersect(&a.state))
	}
	return Yes, nil
}

// NodesEquivalent reports whether the same nodes with valid labels match both,
// and if not gives one that matches only one of them. stepsMax bounds each of
// the two directions.
func NodesEquivalent(a, b NodeMatcher, stepsMax int) (Verdict, NodeExample) {
	forth, example := NodesImply(a, b, stepsMax)
	if forth == No {
		return No, example
	}
	back, example := NodesImply(b, a, stepsMax)
	if back == No {
		return No, example
	}
	if forth == Unknown || back == Unknown {
		return Unknown, NodeExample{}
	}
	return Yes, NodeExample{}
}

// MatcherOf is the NodeMatcher with the selectors as its terms: what matches
// one of them matches it. It brings alternatives of selectors under the same
// questions.
func MatcherOf(selectors ...Selector) NodeMatcher {
	var m NodeMatcher
	for _, s := range selectors {
		m.terms = append(m.terms, NodeTerm{labels: s, checked: true})
	}
	return m
}
