package compare

import (
	"slices"
	"testing"
)

func TestShrinkJSON(t *testing.T) {
	anything := func([]string, int) bool { return true }
	var got []string
	for d := range ShrinkJSON([]byte(`{"a":[1,2,3,4],"b":{"c":5}}`), anything) {
		got = append(got, string(d))
	}
	want := []string{
		`{"a":[3,4],"b":{"c":5}}`, `{"a":[1,2],"b":{"c":5}}`,
		`{"a":[2,3,4],"b":{"c":5}}`, `{"a":[1,3,4],"b":{"c":5}}`, `{"a":[1,2,4],"b":{"c":5}}`, `{"a":[1,2,3],"b":{"c":5}}`,
		`{"b":{"c":5}}`, `{"a":[1,2,3,4]}`, `{"a":[1,2,3,4],"b":{}}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestShrinkJSONKeepsWhatMustStay(t *testing.T) {
	keep := func(path []string, siblings int) bool { return path[len(path)-1] != "b" && siblings > 1 }
	for d := range ShrinkJSON([]byte(`{"a":[1],"b":{"c":5}}`), keep) {
		if string(d) != `{"b":{"c":5}}` {
			t.Errorf("got %s", d)
		}
	}
}

func TestShrinkJSONStopsWhenTold(t *testing.T) {
	n := 0
	for range ShrinkJSON([]byte(`[[1,2],[3,4]]`), func([]string, int) bool { return true }) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d candidates", n)
	}
}
