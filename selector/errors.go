package selector

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// ParseError says where a selector or label-set string stops making sense.
type ParseError struct {
	Input  string // the whole text that was given
	Offset int    // byte offset of the token that was not expected
	Msg    string // what was found and what was expected, in Kubernetes' words
}

// inputShownMax bounds how much of a long input an error text repeats.
const inputShownMax = 120

// Error quotes the input, shortened around the offset when it is long.
func (e *ParseError) Error() string {
	shown := strconv.Quote(e.Input)
	if len(e.Input) > inputShownMax {
		from := min(max(e.Offset-inputShownMax/2, 0), len(e.Input))
		to := min(from+inputShownMax, len(e.Input))
		shown = "…" + strconv.Quote(e.Input[from:to]) + "…"
	}
	return fmt.Sprintf("selector %s: offset %d: %s", shown, e.Offset, e.Msg)
}

// Kinds of FieldError.
const (
	kindInvalid     = "Invalid value"
	kindUnsupported = "Unsupported value"
	kindRequired    = "Required value"
	kindForbidden   = "Forbidden"
)

// FieldError reports one field of a selector object that Kubernetes refuses.
type FieldError struct {
	Field string // path inside the object, for example nodeSelectorTerms[0].matchExpressions[2].values[0]
	Kind  string // "Invalid value", "Unsupported value", "Required value" or "Forbidden"
	Value string // the offending value, quoted or as JSON; empty for the last two kinds
	Msg   string // what was expected
}

// Error prints the field error in the form that the API server uses.
func (e *FieldError) Error() string {
	if e.Value == "" {
		return e.Field + ": " + e.Kind + ": " + e.Msg
	}
	return e.Field + ": " + e.Kind + ": " + e.Value + ": " + e.Msg
}

// Errors are all the faults of one object, in the order of its fields.
// Use errors.As to reach the single *FieldError values.
type Errors []error

// faultsShownMax bounds how many faults one error text lists.
const faultsShownMax = 100

// Error prints one fault as it is and several as a bracketed list without
// repeats, as upstream's aggregate error does; of very many it shows the first.
func (e Errors) Error() string {
	var texts []string
	seen := make(map[string]bool)
	for i, err := range e {
		if len(texts) == faultsShownMax {
			texts = append(texts, fmt.Sprintf("and %d more", len(e)-i))
			break
		}
		if text := err.Error(); !seen[text] {
			seen[text] = true
			texts = append(texts, text)
		}
	}
	if len(texts) == 1 {
		return texts[0]
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// Unwrap gives errors.Is and errors.As the single faults.
func (e Errors) Unwrap() []error { return e }

// orNil keeps an empty list from becoming a non-nil error.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// quotedMax bounds how much of a value an error text repeats. No valid key or
// value is as long.
//
// Differs: upstream repeats all of it.
const quotedMax = 400

func clip(text string) string {
	if len(text) > quotedMax {
		return text[:quotedMax] + "…"
	}
	return text
}

func quote(value string) string { return strconv.Quote(clip(value)) }

func invalid(field, value, msg string) *FieldError {
	return &FieldError{Field: clip(field), Kind: kindInvalid, Value: quote(value), Msg: msg}
}

func invalidList(field string, values []string, msg string) *FieldError {
	return &FieldError{Field: field, Kind: kindInvalid, Value: clip(asJSON(values)), Msg: msg}
}

func unsupported(field, value string, supported ...string) *FieldError {
	quoted := make([]string, len(supported))
	for i, s := range supported {
		quoted[i] = strconv.Quote(s)
	}
	return &FieldError{
		Field: field, Kind: kindUnsupported, Value: clip(asJSON(value)),
		Msg: "supported values: " + strings.Join(quoted, ", "),
	}
}

// asJSON cannot fail: it is only given strings and lists of strings.
func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%q", v)
	}
	return string(text)
}

// child joins a path and a field name; an empty path has no dot.
func child(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
