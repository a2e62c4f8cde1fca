package workload

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// Object is a JSON object. Its values are strings, numbers, booleans, Objects
// and slices of those.
type Object map[string]any

// JSON returns the encoded object.
func (o Object) JSON() []byte { return mustJSON(o) }

// mustJSON encodes what the generators made; they make nothing that JSON lacks.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("workload: %v", err))
	}
	return b
}

// child returns the object under key, making it first if need be.
func (o Object) child(key string) Object {
	if c, ok := o[key].(Object); ok {
		return c
	}
	c := Object{}
	o[key] = c
	return c
}

// list is a JSON array.
type list = []any

// random draws the small choices that all generators need.
type random struct{ *rand.Rand }

// pick returns one of the values.
func (r random) pick(values ...string) string { return values[r.IntN(len(values))] }

// chance is true once in n draws.
func (r random) chance(n int) bool { return r.IntN(n) == 0 }
