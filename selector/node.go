package selector

// NodeSelector is the JSON object of that name, as in a pod's
// requiredDuringSchedulingIgnoredDuringExecution: a node matches when one of
// the terms does.
type NodeSelector struct {
	NodeSelectorTerms []NodeSelectorTerm `json:"nodeSelectorTerms"`
}

// NodeSelectorTerm holds requirements on labels and on fields, all ANDed. A
// term with neither matches no node.
type NodeSelectorTerm struct {
	MatchExpressions []NodeSelectorRequirement `json:"matchExpressions,omitempty"`
	MatchFields      []NodeSelectorRequirement `json:"matchFields,omitempty"`
}

// NodeSelectorRequirement is one condition. On labels, Operator is one of In,
// NotIn, Exists, DoesNotExist, Gt and Lt; on fields, In or NotIn with exactly
// one value.
type NodeSelectorRequirement struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values,omitempty"`
}

// PreferredSchedulingTerm is a term with the weight it adds to the score of a
// node that it matches.
type PreferredSchedulingTerm struct {
	Weight     int32            `json:"weight"`
	Preference NodeSelectorTerm `json:"preference"`
}

// NodeMatcher is a compiled NodeSelector: the terms that can match, ORed. It
// is immutable and safe for concurrent use. The zero value matches no node.
type NodeMatcher struct {
	terms []NodeTerm // all of them checked
	err   error      // faults of the terms that were left out
}

// NodeTerm is a compiled NodeSelectorTerm. The zero value matches no node.
type NodeTerm struct {
	labels  Selector
	fields  []fieldTest
	checked bool // set by compiling: at least one requirement and no fault
}

// nameField is the only field that nodes have for selectors.
const nameField = "metadata.name"

// fieldTest compares one field of a node with one value.
type fieldTest struct {
	field  string
	negate bool
	value  string
}

// CompileNodeSelector compiles every term and reports all faults of all terms,
// as Errors of *FieldError; on error the result matches no node. Terms without
// requirements are skipped: they match nothing. nil stands for a pod without
// required affinity and matches every node.
func CompileNodeSelector(ns *NodeSelector) (NodeMatcher, error) {
	m := CompileNodeSelectorLazy(ns)
	if m.err != nil {
		return NodeMatcher{}, m.err
	}
	return m, nil
}

// CompileNodeSelectorLazy compiles the terms that are sound; a broken term
// never matches, and the others may. Err tells what was broken. The scheduler
// reads a pod's required affinity in this way.
func CompileNodeSelectorLazy(ns *NodeSelector) NodeMatcher {
	if ns == nil {
		return NodeMatcher{terms: []NodeTerm{{labels: Everything(), checked: true}}}
	}
	var m NodeMatcher
	var faults Errors
	for i := range ns.NodeSelectorTerms {
		term := &ns.NodeSelectorTerms[i]
		if term.empty() {
			continue
		}
		compiled, termFaults := compileTerm(term, index("nodeSelectorTerms", i))
		if len(termFaults) > 0 {
			faults = append(faults, termFaults...)
			continue
		}
		m.terms = append(m.terms, compiled)
	}
	m.err = faults.orNil()
	return m
}

// CompileNodeSelectorTerm compiles one term; its fields are named from
// matchExpressions and matchFields on. A term without requirements compiles
// into one that matches no node.
func CompileNodeSelectorTerm(term *NodeSelectorTerm) (NodeTerm, error) {
	if term == nil || term.empty() {
		return NodeTerm{}, nil
	}
	compiled, faults := compileTerm(term, "")
	return compiled, faults.orNil()
}

func (t *NodeSelectorTerm) empty() bool {
	return len(t.MatchExpressions) == 0 && len(t.MatchFields) == 0
}

func compileTerm(term *NodeSelectorTerm, path string) (NodeTerm, Errors) {
	var faults Errors
	requirements := make([]Requirement, 0, len(term.MatchExpressions))
	for i, e := range term.MatchExpressions {
		at := index(child(path, "matchExpressions"), i)
		op := nodeOperator(e.Operator)
		if op == 0 {
			faults = append(faults, unsupported(child(at, "operator"), e.Operator,
				"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"))
			continue
		}
		if f := requirementFaults(at, e.Key, op, e.Values); len(f) > 0 {
			faults = append(faults, f...)
			continue
		}
		requirements = append(requirements, Requirement{e.Key, op, sortedCopy(e.Values)})
	}
	var fields []fieldTest
	for i, e := range term.MatchFields {
		at := index(child(path, "matchFields"), i)
		switch {
		case e.Operator != "In" && e.Operator != "NotIn":
			faults = append(faults, unsupported(child(at, "operator"), e.Operator, "In", "NotIn"))
		case len(e.Values) != 1:
			faults = append(faults, invalidList(child(at, "values"), e.Values, "must have one element"))
		default:
			fields = append(fields, fieldTest{e.Key, e.Operator == "NotIn", e.Values[0]})
		}
	}
	if len(faults) > 0 {
		return NodeTerm{}, faults
	}
	return NodeTerm{labels: compile(requirements), fields: fields, checked: true}, nil
}

func nodeOperator(name string) Operator {
	switch name {
	case "Gt":
		return Gt
	case "Lt":
		return Lt
	}
	return labelOperator(name)
}

// Matches reports whether a term matches the node with this name and these
// labels.
func (m NodeMatcher) Matches(name string, labels Labels) bool {
	for i := range m.terms {
		t := &m.terms[i]
		if t.labels.Matches(labels) && (len(t.fields) == 0 || t.matchesFields(name)) {
			return true
		}
	}
	return false
}

// MatchesMap is Matches on a plain map.
func (m NodeMatcher) MatchesMap(name string, labels map[string]string) bool {
	for i := range m.terms {
		if m.terms[i].MatchesMap(name, labels) {
			return true
		}
	}
	return false
}

// Err is what was wrong with the terms that CompileNodeSelectorLazy left out,
// or nil. Upstream's scheduler reports it only for a node that no term
// matches.
func (m NodeMatcher) Err() error { return m.err }

// Terms is the number of terms that can match.
func (m NodeMatcher) Terms() int { return len(m.terms) }

// Matches reports whether all requirements of the term hold. Requirements on
// fields are not looked at when the node has no name: so does upstream.
func (t NodeTerm) Matches(name string, labels Labels) bool {
	return t.checked && t.labels.Matches(labels) && (len(t.fields) == 0 || t.matchesFields(name))
}

// MatchesMap is Matches on a plain map.
func (t NodeTerm) MatchesMap(name string, labels map[string]string) bool {
	return t.checked && t.labels.MatchesMap(labels) && (len(t.fields) == 0 || t.matchesFields(name))
}

// matchesFields takes a field that nodes do not have as empty.
func (t *NodeTerm) matchesFields(name string) bool {
	if name == "" {
		return true
	}
	for _, f := range t.fields {
		value := ""
		if f.field == nameField {
			value = name
		}
		if (value == f.value) == f.negate {
			return false
		}
	}
	return true
}

// Preferred is a compiled list of preferred terms. The zero value scores 0.
type Preferred struct {
	terms   []NodeTerm
	weights []int64
}

// CompilePreferred compiles preferred terms and reports all faults of all
// terms. Terms of weight 0 and terms without requirements are skipped before
// they are checked, as upstream does; their faults go unreported.
func CompilePreferred(terms []PreferredSchedulingTerm) (Preferred, error) {
	var p Preferred
	var faults Errors
	for i := range terms {
		term := &terms[i]
		if term.Weight == 0 || term.Preference.empty() {
			continue
		}
		compiled, termFaults := compileTerm(&term.Preference, index("", i))
		faults = append(faults, termFaults...)
		p.terms = append(p.terms, compiled)
		p.weights = append(p.weights, int64(term.Weight))
	}
	if len(faults) > 0 {
		return Preferred{}, faults
	}
	return p, nil
}

// Score is the sum of the weights of the terms that match the node.
func (p Preferred) Score(name string, labels Labels) int64 {
	var sum int64
	for i := range p.terms {
		if p.terms[i].Matches(name, labels) {
			sum += p.weights[i]
		}
	}
	return sum
}

// Len is the number of terms that count.
func (p Preferred) Len() int { return len(p.terms) }
