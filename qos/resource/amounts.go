package resource

import (
	"encoding/json"
	"maps"
	"slices"
)

// An Amount is a quantity of a named resource.
type Amount struct {
	Name     string
	Quantity Quantity
}

// Amounts is a List laid out as a slice, with the same JSON: a quarter of the
// memory, and faster to read than a map as long as it is short. Names are
// distinct; decoding sorts them.
type Amounts []Amount

// AmountsOf returns l as a sorted slice.
func AmountsOf(l List) Amounts {
	if l == nil {
		return nil
	}
	amounts := make(Amounts, 0, len(l))
	for _, name := range slices.Sorted(maps.Keys(l)) {
		amounts = append(amounts, Amount{name, l[name]})
	}
	return amounts
}

// List returns a as a map.
func (a Amounts) List() List {
	if a == nil {
		return nil
	}
	l := make(List, len(a))
	for i := range a {
		l[a[i].Name] = a[i].Quantity
	}
	return l
}

// Of returns the amount of the named resource, 0 when it is absent.
func (a Amounts) Of(name string) Quantity {
	q, _ := a.Lookup(name)
	return q
}

// Lookup returns the amount of the named resource and whether it is present.
func (a Amounts) Lookup(name string) (Quantity, bool) {
	for i := range a {
		if a[i].Name == name {
			return a[i].Quantity, true
		}
	}
	return Quantity{}, false
}

// MarshalJSON returns the JSON object that List would give.
func (a Amounts) MarshalJSON() ([]byte, error) { return json.Marshal(a.List()) }

// UnmarshalJSON reads a JSON object of quantities, with the errors of
// List.UnmarshalJSON.
func (a *Amounts) UnmarshalJSON(data []byte) error {
	var l List
	if err := l.UnmarshalJSON(data); err != nil {
		return err
	}
	*a = AmountsOf(l)
	for i := range *a {
		(*a)[i].Name = interned((*a)[i].Name)
	}
	return nil
}

// interned returns the program's own copy of a usual name, so that decoded
// objects share it and comparing it with the constant ends at the pointer.
func interned(name string) string {
	switch name {
	case "cpu":
		return "cpu"
	case "memory":
		return "memory"
	case "ephemeral-storage":
		return "ephemeral-storage"
	}
	return name
}
