package load

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Origin says where an object was read.
type Origin struct {
	File     string
	Document int    // counted from 1; 0 means the whole file
	Line     int    // where the document begins; 0 for JSON
	Item     string // "items[3]" inside a List
}

func (o Origin) String() string {
	var b strings.Builder
	b.WriteString(o.File)
	if o.Document > 0 {
		fmt.Fprintf(&b, ": document %d", o.Document)
		if o.Line > 0 {
			fmt.Fprintf(&b, " (line %d)", o.Line)
		}
	}
	if o.Item != "" {
		b.WriteString(", " + o.Item)
	}
	return b.String()
}

// Error is a mistake in an input: where, in which object and field, what was
// found, and what was expected instead.
type Error struct {
	Origin Origin
	Object string // "Deployment shop/cart", once that is known
	Field  string // "spec.replicas"
	Value  string // as JSON
	Want   string
}

func (e *Error) Error() string {
	parts := []string{e.Origin.String()}
	if e.Object != "" {
		parts = append(parts, e.Object)
	}
	if e.Field != "" {
		parts = append(parts, e.Field)
	}
	if e.Value != "" {
		parts = append(parts, e.Value)
	}
	return strings.Join(append(parts, e.Want), ": ")
}

const valueShownMax = 80

// show prints a value for an error, cut so that a hostile one cannot flood the terminal.
func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("(%T)", value)
	}
	if len(text) > valueShownMax {
		return string(text[:valueShownMax]) + "…"
	}
	return string(text)
}
