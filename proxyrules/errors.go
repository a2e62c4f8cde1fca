package proxyrules

import (
	"errors"
	"fmt"
	"strings"
)

// ErrRefused is matched (errors.Is) by every *InputError.
var ErrRefused = errors.New("proxyrules: input refused")

// InputError says which value of which object was refused, and what would
// have been accepted in its place.
type InputError struct {
	Object string // "Service shop/web", "EndpointSlice shop/web-1", "Config"
	Field  string // "spec.ports[0].port"
	Value  string // as given; shortened when it is long
	Want   string // what was expected
}

// Error prints object, field, value and expectation on one line.
func (e *InputError) Error() string {
	return fmt.Sprintf("proxyrules: %s: %s: %q: expected %s", e.Object, e.Field, e.Value, e.Want)
}

// Is reports that every InputError is an ErrRefused.
func (e *InputError) Is(target error) bool { return target == ErrRefused }

const quotedMax = 80

func refuse(object, field, value, want string) *InputError {
	if len(value) > quotedMax {
		value = strings.ToValidUTF8(value[:quotedMax], "") + "…"
	}
	return &InputError{Object: object, Field: field, Value: value, Want: want}
}
