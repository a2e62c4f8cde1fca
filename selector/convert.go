package selector

import "fmt"

// LabelSelector writes s as the JSON object: equalities become matchLabels and
// the rest matchExpressions. Nothing becomes nil. Gt and Lt have no such form
// and are an error.
//
// Differs: for a=1,a=2 upstream drops one of the two and so selects what s does
// not; here the second one becomes an expression. a!=1 becomes NotIn; upstream
// refuses it.
func (s Selector) LabelSelector() (*LabelSelector, error) {
	requirements, ok := s.Requirements()
	if !ok {
		return nil, nil
	}
	ls := &LabelSelector{}
	for _, r := range requirements {
		var op string
		switch r.op {
		case Equals, DoubleEquals:
			if _, taken := ls.MatchLabels[r.key]; !taken {
				if ls.MatchLabels == nil {
					ls.MatchLabels = make(map[string]string)
				}
				ls.MatchLabels[r.key] = r.values[0]
				continue
			}
			op = "In"
		case In:
			op = "In"
		case NotIn, NotEquals:
			op = "NotIn"
		case Exists:
			op = "Exists"
		case DoesNotExist:
			op = "DoesNotExist"
		default:
			return nil, fmt.Errorf("%q isn't supported in label selectors", r.op)
		}
		ls.MatchExpressions = append(ls.MatchExpressions, LabelSelectorRequirement{r.key, op, r.Values()})
	}
	return ls, nil
}

// Map writes a LabelSelector as the plain map of labels that Services and
// replication controllers use: nil for nil, matchLabels and one-value In; other
// expressions are an error.
//
// Differs: two different values for one key are an error; upstream lets the
// later one win.
func (ls *LabelSelector) Map() (map[string]string, error) {
	if ls == nil {
		return nil, nil
	}
	m := make(map[string]string, len(ls.MatchLabels)+len(ls.MatchExpressions))
	for key, value := range ls.MatchLabels {
		m[key] = value
	}
	for _, e := range ls.MatchExpressions {
		switch {
		case labelOperator(e.Operator) == 0:
			return nil, fmt.Errorf("%q is not a valid selector operator", e.Operator)
		case e.Operator != "In":
			return nil, fmt.Errorf("operator %q cannot be converted into the old label selector format", e.Operator)
		case len(e.Values) != 1:
			return nil, fmt.Errorf("operator %q without a single value cannot be converted into the old label selector format", e.Operator)
		}
		if value, taken := m[e.Key]; taken && value != e.Values[0] {
			return nil, fmt.Errorf("key %q: values %q and %q cannot both be required", e.Key, value, e.Values[0])
		}
		m[e.Key] = e.Values[0]
	}
	return m, nil
}

// Conflicts reports whether some key has different values in both sets.
func (l Labels) Conflicts(other Labels) bool {
	for key, value := range l.All() {
		if v, ok := other.Lookup(key); ok && v != value {
			return true
		}
	}
	return false
}

// Merge returns the labels of both sets; where both have a key, other's value
// wins.
func (l Labels) Merge(other Labels) Labels {
	m := l.Map()
	if m == nil {
		return other
	}
	for key, value := range other.All() {
		m[key] = value
	}
	return NewLabels(m)
}
