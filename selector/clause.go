package selector

import (
	"slices"
	"strconv"
	"strings"
	"unique"
)

// clause is a requirement made ready to run.
type clause struct {
	tags     uint64    // the tag of key in every byte
	label    handle    // the label asked for, when there is exactly one value
	labels   []handle  // the labels asked for, sorted, when there are several values
	keyID    keyHandle // of key, for the operators that look at it alone
	key      string
	bound    int64  // of Gt and Lt
	zeros    uint8  // written before the bound
	pos      uint32 // place in the printed order
	op       Operator
	eval     Operator // op, or the equality operator that means the same
	single   bool     // label is set
	absentOK bool     // the answer when the label is absent
}

func newClause(key string, op Operator) clause {
	c := clause{key: key, tags: tagWord(key)}
	c.setOp(op)
	return c
}

func (c *clause) setOp(op Operator) {
	c.op, c.eval, c.absentOK = op, op, op.absentOK()
	if op >= Exists {
		c.keyID = unique.Make(c.key)
	}
}

// absentOK is the answer of the operator when the label is absent.
func (o Operator) absentOK() bool { return o == NotIn || o == NotEquals || o == DoesNotExist }

func clauseOf(r Requirement) clause {
	c := newClause(r.key, r.op)
	if len(r.values) == 1 {
		c.setValue(r.values[0])
		return c
	}
	for _, v := range r.values {
		c.labels = append(c.labels, handleOf(r.key, v))
	}
	return c
}

func (c *clause) setValue(value string) {
	if c.op == Gt || c.op == Lt {
		// A valid value has no sign: leading zeros are all that a number loses.
		c.bound, _ = parseInt(value)
		for int(c.zeros) < len(value)-1 && value[c.zeros] == '0' {
			c.zeros++
		}
		return
	}
	c.label, c.single = handleOf(c.key, value), true
	switch c.op {
	case In, DoubleEquals:
		c.eval = Equals
	case NotIn:
		c.eval = NotEquals
	}
}

// requirement is the inverse of clauseOf.
func (c *clause) requirement() Requirement {
	r := Requirement{key: c.key, op: c.op}
	if c.op == Gt || c.op == Lt {
		r.values = []string{strings.Repeat("0", int(c.zeros)) + strconv.FormatInt(c.bound, 10)}
	} else if c.single {
		r.values = []string{c.label.Value().value}
	} else if len(c.labels) > 0 {
		r.values = make([]string, len(c.labels))
		for i, h := range c.labels {
			r.values[i] = h.Value().value
		}
	}
	return r
}

// matchesAmong evaluates the clause on a set in which several labels, or
// labels beyond the first eight, may have the key.
func (c *clause) matchesAmong(set *labelSet) bool {
	value, present := set.find(c.key, c.tags)
	return c.matchesValue(value, present)
}

// scanMax is the list length up to which comparing one by one beats a search.
const scanMax = 16

// lists reports whether one of labels is h.
func (c *clause) lists(h handle) bool {
	if len(c.labels) > scanMax {
		p := h.Value()
		return p.key == c.key && c.listsValue(p.value)
	}
	for _, l := range c.labels {
		if l == h {
			return true
		}
	}
	return false
}

// matchesValue is Requirement.Matches on the compiled form.
func (c *clause) matchesValue(value string, present bool) bool {
	switch c.op {
	case In, Equals, DoubleEquals:
		return present && c.listsValue(value)
	case NotIn, NotEquals:
		return !present || !c.listsValue(value)
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

func (c *clause) listsValue(value string) bool {
	if c.single {
		return c.label.Value().value == value
	}
	_, found := slices.BinarySearchFunc(c.labels, value, func(h handle, v string) int {
		return strings.Compare(h.Value().value, v)
	})
	return found
}
