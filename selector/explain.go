package selector

import "strconv"

// Mismatch is a requirement that labels do not satisfy, with the label that
// was there.
type Mismatch struct {
	Requirement Requirement // the zero Requirement for Nothing
	Value       string      // of the label with the requirement's key
	Present     bool        // whether there is one
}

// Explain returns the requirements of s that labels do not satisfy, in printed
// order: none exactly when s matches. For Nothing it is one Mismatch without a
// requirement.
func (s Selector) Explain(labels Labels) []Mismatch {
	if s.IsNothing() {
		return []Mismatch{{}}
	}
	var failed []Mismatch
	requirements, _ := s.Requirements()
	for _, r := range requirements {
		if value, present := labels.Lookup(r.key); !r.Matches(value, present) {
			failed = append(failed, Mismatch{r, value, present})
		}
	}
	return failed
}

// Explain returns, for each term that could match, what of it the node fails:
// conditions on its name appear as requirements on metadata.name. It is nil
// exactly when the node matches or there is no term.
func (m NodeMatcher) Explain(name string, labels Labels) [][]Mismatch {
	var failed [][]Mismatch
	for i := range m.terms {
		t := &m.terms[i]
		mismatches := t.labels.Explain(labels)
		for _, f := range t.fields {
			if r, value := f.requirement(name); name != "" && !r.Matches(value, true) {
				mismatches = append(mismatches, Mismatch{r, value, true})
			}
		}
		if len(mismatches) == 0 {
			return nil
		}
		failed = append(failed, mismatches)
	}
	return failed
}

// requirement is the condition on a field with the value that it reads.
func (f fieldTest) requirement(name string) (Requirement, string) {
	r := Requirement{f.field, Equals, []string{f.value}}
	if f.negate {
		r.op = NotEquals
	}
	if f.field != nameField {
		name = ""
	}
	return r, name
}

// String is one line for people, such as: tier=web: the label is "db".
func (m Mismatch) String() string {
	r := m.Requirement
	if r.op == 0 {
		return "the selector matches nothing"
	}
	if !m.Present {
		return r.String() + ": there is no such label"
	}
	text := r.String() + ": the label is " + strconv.Quote(m.Value)
	if _, isInt := parseInt(m.Value); !isInt && (r.op == Gt || r.op == Lt) {
		text += ", which is no integer"
	}
	return text
}
