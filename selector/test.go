package selector

import "slices"

// test is a requirement made ready to run.
type test struct {
	key    string
	text   string   // "key=value" when there is exactly one value
	values []string // sorted, when there are several
	bound  int64    // of Gt and Lt
	pos    uint32   // place in the printed order
	op     Operator
	tag    byte // of key
}

func testOf(r Requirement) test {
	t := test{key: r.key, op: r.op, tag: keyTag(r.key)}
	if len(r.values) == 1 {
		t.text = r.key + "=" + r.values[0]
		t.bound, _ = parseInt(r.values[0])
	} else {
		t.values = r.values
	}
	return t
}

// requirement is the inverse of testOf.
func (t *test) requirement() Requirement {
	r := Requirement{key: t.key, op: t.op, values: t.values}
	if t.text != "" {
		r.values = []string{t.value()}
	}
	return r
}

// value is the single value; only valid when text is set.
func (t *test) value() string { return t.text[len(t.key)+1:] }

// matches runs the test on a set that holds at least one label.
func (t *test) matches(set *labelSet) bool {
	switch t.op {
	case Equals, DoubleEquals:
		return set.has(t.text, len(t.key), t.tag)
	case NotEquals:
		return !set.has(t.text, len(t.key), t.tag)
	}
	if p := set.find(t.key, t.tag); p != nil {
		return t.matchesValue(p.value(), true)
	}
	return t.op == NotIn || t.op == DoesNotExist
}

// matchesValue is Requirement.Matches on the compiled form.
func (t *test) matchesValue(value string, present bool) bool {
	switch t.op {
	case In, Equals, DoubleEquals:
		return present && t.lists(value)
	case NotIn, NotEquals:
		return !present || !t.lists(value)
	case Exists:
		return present
	case DoesNotExist:
		return !present
	case Gt:
		n, isInt := parseInt(value)
		return present && isInt && n > t.bound
	case Lt:
		n, isInt := parseInt(value)
		return present && isInt && n < t.bound
	}
	return false
}

// scanMax is the list length up to which comparing one by one beats a search.
const scanMax = 8

func (t *test) lists(value string) bool {
	if t.text != "" {
		return t.value() == value
	}
	if len(t.values) > scanMax {
		_, found := slices.BinarySearch(t.values, value)
		return found
	}
	return slices.Contains(t.values, value)
}
