package selector

import "fmt"

// LabelSelector is the JSON object of that name: what a Deployment's or a
// PodDisruptionBudget's spec.selector holds. All entries are ANDed.
type LabelSelector struct {
	MatchLabels      map[string]string          `json:"matchLabels,omitempty"`
	MatchExpressions []LabelSelectorRequirement `json:"matchExpressions,omitempty"`
}

// LabelSelectorRequirement is one entry of matchExpressions. Operator is one
// of In, NotIn, Exists and DoesNotExist, spelled exactly so.
type LabelSelectorRequirement struct {
	Key      string   `json:"key"`
	Operator string   `json:"operator"`
	Values   []string `json:"values,omitempty"`
}

// Compile turns a LabelSelector into a Selector: nil gives Nothing, an object
// without entries Everything. The error is that of the first faulty entry:
// matchLabels in key order, then matchExpressions.
func Compile(ls *LabelSelector) (Selector, error) {
	if ls == nil {
		return Nothing(), nil
	}
	requirements, err := equalities(ls.MatchLabels)
	if err != nil {
		return Nothing(), err
	}
	for _, e := range ls.MatchExpressions {
		op := labelOperator(e.Operator)
		if op == 0 {
			return Nothing(), &OperatorError{e.Operator}
		}
		values := e.Values
		if len(values) == 0 {
			values = nil
		}
		r, err := NewRequirement(e.Key, op, values...)
		if err != nil {
			return Nothing(), err
		}
		requirements = append(requirements, r)
	}
	return compile(requirements), nil
}

// OperatorError is returned by Compile for an operator that a LabelSelector
// does not know.
type OperatorError struct{ Operator string }

func (e *OperatorError) Error() string {
	return fmt.Sprintf("%q is not a valid label selector operator", e.Operator)
}

// labelOperator maps the operators of a LabelSelector; 0 is none of them.
func labelOperator(name string) Operator {
	switch name {
	case "In":
		return In
	case "NotIn":
		return NotIn
	case "Exists":
		return Exists
	case "DoesNotExist":
		return DoesNotExist
	}
	return 0
}
