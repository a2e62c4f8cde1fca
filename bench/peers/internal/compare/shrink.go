package compare

import (
	"bytes"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strconv"
)

// Removable says whether the JSON value at path may be taken out of its parent,
// which is an object, or an array with that many elements. Path elements are
// keys and indices.
type Removable func(path []string, siblings int) bool

// ShrinkJSON yields copies of a JSON document with something taken out: first
// runs of array elements, longest first, then single object members. It is the
// Shrink of cases that are JSON documents.
func ShrinkJSON(data []byte, removable Removable) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		var root any
		if dec.Decode(&root) != nil {
			return
		}
		s := &jsonShrinker{removable: removable, emit: func() bool {
			out, err := json.Marshal(root)
			return err != nil || yield(out)
		}}
		set := func(v any) { root = v }
		if s.walk(root, nil, set, s.elements) {
			s.walk(root, nil, set, s.members)
		}
	}
}

type jsonShrinker struct {
	removable Removable
	emit      func() bool // yields the document as it is now
}

// visit tries removals in one value, which set can replace; false ends it all.
type visit func(v any, path []string, set func(any)) bool

// walk visits v and everything below it, parents first.
func (s *jsonShrinker) walk(v any, path []string, set func(any), f visit) bool {
	if !f(v, path, set) {
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if !s.walk(v[k], append(path, k), func(n any) { v[k] = n }, f) {
				return false
			}
		}
	case []any:
		for i := range v {
			if !s.walk(v[i], append(path, strconv.Itoa(i)), func(n any) { v[i] = n }, f) {
				return false
			}
		}
	}
	return true
}

// elements removes runs of array elements, from halves down to single ones.
func (s *jsonShrinker) elements(v any, path []string, set func(any)) bool {
	list, ok := v.([]any)
	if !ok || len(list) == 0 || !s.removable(append(path, "0"), len(list)) {
		return true
	}
	defer set(list)
	for size := max(len(list)/2, 1); size > 0; size /= 2 {
		for at := 0; at+size <= len(list); at += size {
			set(slices.Concat(list[:at], list[at+size:]))
			if !s.emit() {
				return false
			}
		}
	}
	return true
}

// members removes object members one at a time.
func (s *jsonShrinker) members(v any, path []string, _ func(any)) bool {
	object, ok := v.(map[string]any)
	if !ok {
		return true
	}
	for _, k := range slices.Sorted(maps.Keys(object)) {
		if !s.removable(append(path, k), len(object)) {
			continue
		}
		old := object[k]
		delete(object, k)
		more := s.emit()
		object[k] = old
		if !more {
			return false
		}
	}
	return true
}
