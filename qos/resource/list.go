package resource

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// A List holds an amount per resource name: the ResourceList of the
// Kubernetes API. A name that is absent counts as 0 in the operations here.
type List map[string]Quantity

// An EntryError says which entry of a List is not a quantity.
type EntryError struct {
	Resource string
	Err      error
}

// Error names the resource and what is wrong with its value.
func (e *EntryError) Error() string { return fmt.Sprintf("resource %q: %v", e.Resource, e.Err) }

// Unwrap returns the reason, for errors.Is and errors.As.
func (e *EntryError) Unwrap() error { return e.Err }

// UnmarshalJSON reads a JSON object of quantities. On an error (an
// *EntryError for the first bad name in alphabetical order) the list is left
// as it was.
func (l *List) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	if raw == nil {
		*l = nil
		return nil
	}
	list := make(List, len(raw))
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		var q Quantity
		if err := q.UnmarshalJSON(raw[name]); err != nil {
			return &EntryError{Resource: name, Err: err}
		}
		list[name] = q
	}
	*l = list
	return nil
}

// Add returns the sum per name of l and y.
func (l List) Add(y List) List {
	sum := make(List, max(len(l), len(y)))
	maps.Copy(sum, l)
	for name, q := range y {
		if have, ok := sum[name]; ok {
			q = have.Add(q)
		}
		sum[name] = q
	}
	return sum
}

// Sub returns the difference per name of l and y; names that only y has
// become negative.
func (l List) Sub(y List) List {
	diff := make(List, max(len(l), len(y)))
	maps.Copy(diff, l)
	for name, q := range y {
		diff[name] = diff[name].Sub(q)
	}
	return diff
}

// Max returns the larger amount per name of l and y. A name that only one of
// them has keeps its amount.
func (l List) Max(y List) List {
	larger := make(List, max(len(l), len(y)))
	maps.Copy(larger, l)
	for name, q := range y {
		if have, ok := larger[name]; !ok || have.Cmp(q) < 0 {
			larger[name] = q
		}
	}
	return larger
}

// Fits reports whether every positive amount in l is available.
func (l List) Fits(available List) bool {
	for name, q := range l {
		if q.Sign() > 0 && q.Cmp(available[name]) > 0 {
			return false
		}
	}
	return true
}

// Lacking returns, sorted, the names whose positive amount in l exceeds what
// is available; none when l fits.
func (l List) Lacking(available List) []string {
	var names []string
	for name, q := range l {
		if q.Sign() > 0 && q.Cmp(available[name]) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
