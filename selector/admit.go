package selector

import (
	"maps"
	"slices"
	"strconv"
)

// The API server validates selectors when objects are written, with other
// rules and texts than those that compiling follows; these are its checks.

// Tolerance says what validation lets pass. The zero value is strict.
type Tolerance struct {
	InvalidValues    bool // of matchExpressions: the API server tolerates on update what is stored already
	UnknownOperators bool // for authorisation checks, which can do without the requirement
}

// Validate reports every fault of a LabelSelector at path, as Errors of
// *FieldError, in the order of the fields and of keys. nil has none.
func (ls *LabelSelector) Validate(path string, t Tolerance) error {
	if ls == nil {
		return nil
	}
	faults := labelFaults(ls.MatchLabels, child(path, "matchLabels"))
	for i, e := range ls.MatchExpressions {
		at := index(child(path, "matchExpressions"), i)
		switch e.Operator {
		case "In", "NotIn":
			if len(e.Values) == 0 {
				faults = append(faults, required(child(at, "values"), valuesRequiredMsg))
			}
		case "Exists", "DoesNotExist":
			if len(e.Values) > 0 {
				faults = append(faults, forbidden(child(at, "values"), valuesForbiddenMsg))
			}
		default:
			if !t.UnknownOperators {
				faults = append(faults, invalidJSON(child(at, "operator"), e.Operator, operatorMsg))
			}
		}
		faults = append(faults, wordFaults(e.Key, e.Values, at, t)...)
	}
	return faults.orNil()
}

const (
	valuesRequiredMsg  = "must be specified when `operator` is 'In' or 'NotIn'"
	valuesForbiddenMsg = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
	operatorMsg        = "not a valid selector operator"
)

// ValidateLabels reports every fault of the labels of an object, at path.
func ValidateLabels(labels map[string]string, path string) error {
	return labelFaults(labels, path).orNil()
}

func labelFaults(labels map[string]string, path string) Errors {
	var faults Errors
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		for _, text := range keyFaults(key) {
			faults = append(faults, invalid(path, key, text))
		}
		for _, text := range valueFaults(labels[key]) {
			faults = append(faults, invalid(path, labels[key], text))
		}
	}
	return faults
}

// wordFaults checks the syntax of a requirement's key and values.
func wordFaults(key string, values []string, path string, t Tolerance) Errors {
	var faults Errors
	for _, text := range keyFaults(key) {
		faults = append(faults, invalid(child(path, "key"), key, text))
	}
	if t.InvalidValues {
		return faults
	}
	for i, value := range values {
		for _, text := range valueFaults(value) {
			faults = append(faults, invalid(index(child(path, "values"), i), value, text))
		}
	}
	return faults
}

// Validate reports every fault of a NodeSelector at path. Of t only
// InvalidValues applies: unknown operators are never tolerated here. That Gt and Lt want
// an integer is not among the checks: a bound that is none breaks its term when
// the selector is compiled.
func (ns *NodeSelector) Validate(path string, t Tolerance) error {
	at := child(path, "nodeSelectorTerms")
	if len(ns.NodeSelectorTerms) == 0 {
		return Errors{required(at, "must have at least one node selector term")}
	}
	var faults Errors
	for i := range ns.NodeSelectorTerms {
		faults = append(faults, ns.NodeSelectorTerms[i].faults(index(at, i), t)...)
	}
	return faults.orNil()
}

// ValidatePreferred reports every fault of preferred terms at path. Invalid
// values are tolerated there: so does the API server.
func ValidatePreferred(terms []PreferredSchedulingTerm, path string) error {
	var faults Errors
	for i := range terms {
		at := index(path, i)
		if w := terms[i].Weight; w <= 0 || w > 100 {
			faults = append(faults, &FieldError{
				Field: child(at, "weight"), Kind: kindInvalid, Value: strconv.Itoa(int(w)), Msg: "must be in the range 1-100"})
		}
		faults = append(faults, terms[i].Preference.faults(child(at, "preference"), Tolerance{InvalidValues: true})...)
	}
	return faults.orNil()
}

func (t *NodeSelectorTerm) faults(path string, tolerance Tolerance) Errors {
	var faults Errors
	for i, e := range t.MatchExpressions {
		at := index(child(path, "matchExpressions"), i)
		switch e.Operator {
		case "In", "NotIn":
			if len(e.Values) == 0 {
				faults = append(faults, required(child(at, "values"), valuesRequiredMsg))
			}
		case "Exists", "DoesNotExist":
			if len(e.Values) > 0 {
				faults = append(faults, forbidden(child(at, "values"), valuesForbiddenMsg))
			}
		case "Gt", "Lt":
			if len(e.Values) != 1 {
				faults = append(faults, required(child(at, "values"), "must be specified single value when `operator` is 'Lt' or 'Gt'"))
			}
		default:
			faults = append(faults, invalidJSON(child(at, "operator"), e.Operator, operatorMsg))
		}
		faults = append(faults, wordFaults(e.Key, e.Values, at, tolerance)...)
	}
	for i, e := range t.MatchFields {
		faults = append(faults, fieldFaults(e, index(child(path, "matchFields"), i))...)
	}
	return faults
}

func fieldFaults(e NodeSelectorRequirement, path string) Errors {
	var faults Errors
	switch {
	case e.Operator != "In" && e.Operator != "NotIn":
		faults = append(faults, invalidJSON(child(path, "operator"), e.Operator, operatorMsg))
	case len(e.Values) != 1:
		faults = append(faults, required(child(path, "values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"))
	}
	if e.Key != nameField {
		return append(faults, invalid(child(path, "key"), e.Key, "not a valid field selector key"))
	}
	for i, value := range e.Values {
		for _, text := range subdomainFaults(value) {
			faults = append(faults, invalid(index(child(path, "values"), i), value, text))
		}
	}
	return faults
}

func required(field, msg string) *FieldError {
	return &FieldError{Field: field, Kind: kindRequired, Msg: msg}
}

func forbidden(field, msg string) *FieldError {
	return &FieldError{Field: field, Kind: kindForbidden, Msg: msg}
}

// invalidJSON is invalid for operators, which upstream prints as JSON.
func invalidJSON(field, value, msg string) *FieldError {
	return &FieldError{Field: field, Kind: kindInvalid, Value: clip(asJSON(value)), Msg: msg}
}
