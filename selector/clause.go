package selector

import (
	"slices"
	"strings"
)

// clause is a requirement made ready to run.
type clause struct {
	tags     uint64   // the tag of key in every byte
	label    handle   // the label asked for, when there is exactly one value
	labels   []handle // the labels asked for, sorted, when there are several values
	key      string
	bound    int64  // of Gt and Lt
	pos      uint32 // place in the printed order
	op       Operator
	single   bool // label is set
	absentOK bool // the answer when the label is absent
	labelOK  bool // the answer when the set holds label
}

func newClause(key string, op Operator) clause {
	return clause{key: key, tags: tagWord(key), op: op, absentOK: op.absentOK()}
}

// absentOK is the answer of the operator when the label is absent.
func (o Operator) absentOK() bool { return o == NotIn || o == NotEquals || o == DoesNotExist }

func clauseOf(r Requirement) clause {
	c := newClause(r.key, r.op)
	if len(r.values) == 1 {
		c.bound, _ = parseInt(r.values[0])
		c.setValue(r.values[0])
		return c
	}
	for _, v := range r.values {
		c.labels = append(c.labels, handleOf(r.key, v))
	}
	return c
}

func (c *clause) setValue(value string) {
	c.label, c.single = handleOf(c.key, value), true
	c.labelOK = c.op <= In // Gt and Lt do not hold at their bound
}

// requirement is the inverse of clauseOf.
func (c *clause) requirement() Requirement {
	r := Requirement{key: c.key, op: c.op}
	if c.single {
		r.values = []string{c.label.Value().value}
	} else if len(c.labels) > 0 {
		r.values = make([]string, len(c.labels))
		for i, h := range c.labels {
			r.values[i] = h.Value().value
		}
	}
	return r
}

// matches evaluates the clause on a set that holds at least one label. hits marks the
// candidates among its first eight labels.
func (c *clause) matches(set *labelSet, hits uint64) bool {
	if hits&(hits-1) != 0 || len(set.rest) != 0 {
		value, present := set.find(c.key, c.tags)
		return c.matchesValue(value, present)
	}
	if hits == 0 {
		return c.absentOK
	}
	// Only this label can have the key: so it is nearly always.
	candidate := set.pairs[slot(hits)]
	switch {
	case c.single && c.op < Gt:
		return (candidate == c.label) == c.labelOK
	case c.op <= NotIn && len(c.labels) <= scanMax:
		for _, h := range c.labels {
			if h == candidate {
				return !c.absentOK
			}
		}
		return c.absentOK
	}
	p := candidate.Value()
	if p.key != c.key {
		return c.absentOK
	}
	return c.op == Exists || c.matchesValue(p.value, true)
}

// scanMax is the list length up to which comparing one by one beats a search.
const scanMax = 16

// matchesValue is Requirement.Matches on the compiled form.
func (c *clause) matchesValue(value string, present bool) bool {
	switch c.op {
	case In, Equals, DoubleEquals:
		return present && c.lists(value)
	case NotIn, NotEquals:
		return !present || !c.lists(value)
	case Exists:
		return present
	case DoesNotExist:
		return !present
	case Gt:
		n, isInt := parseInt(value)
		return present && isInt && n > c.bound
	case Lt:
		n, isInt := parseInt(value)
		return present && isInt && n < c.bound
	}
	return false
}

func (c *clause) lists(value string) bool {
	if c.single {
		return c.label.Value().value == value
	}
	_, found := slices.BinarySearchFunc(c.labels, value, func(h handle, v string) int {
		return strings.Compare(h.Value().value, v)
	})
	return found
}
