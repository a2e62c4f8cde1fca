package selector

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLabels(t *testing.T) {
	for _, n := range []int{0, 1, 7, 8, 9, 16, 17, 91} {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf("key-%02d", i)] = fmt.Sprint(i)
		}
		l := NewLabels(m)
		require.Equal(t, n, l.Len())
		previous, seen := "", 0
		for key, value := range l.All() {
			require.Greater(t, key, previous)
			require.Equal(t, m[key], value)
			got, ok := l.Lookup(key)
			require.True(t, ok)
			require.Equal(t, value, got)
			previous, seen = key, seen+1
		}
		require.Equal(t, n, seen)
		_, ok := l.Lookup("absent")
		require.False(t, ok)
		require.True(t, l.Equal(NewLabels(m)))
		m["one more"] = ""
		require.False(t, l.Equal(NewLabels(m)), "the set must not follow the map")
	}
}

func TestLabelsAcceptAnything(t *testing.T) {
	l := NewLabels(map[string]string{"": "empty key", "a=b": "c", "a": "b=c"})
	require.Equal(t, 3, l.Len())
	value, ok := l.Lookup("")
	require.True(t, ok)
	require.Equal(t, "empty key", value)
	require.False(t, FromMap(map[string]string{"a=b": "d"}).Matches(l))
	require.True(t, FromMap(map[string]string{"a=b": "c", "a": "b=c"}).Matches(l))
	require.Equal(t, "=empty key,a=b=c,a=b=c", l.String())
}

func TestLabelsString(t *testing.T) {
	require.Equal(t, "", Labels{}.String())
	// Sorted as whole strings: '-' sorts before '='.
	require.Equal(t, "a-b=2,a=1", NewLabels(map[string]string{"a": "1", "a-b": "2"}).String())
}

func TestParseLabels(t *testing.T) {
	l, err := ParseLabels(" a = 1 ,b=,a=2,x.io/y=z")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "2", "b": "", "x.io/y": "z"}, l.Map())
	for _, c := range []struct {
		in     string
		offset int
		msg    string
	}{
		{"a", 0, "invalid selector: [a]"},
		{"a=1,", 4, "invalid selector: []"},
		{"a=1,b==2", 4, "invalid selector: [b  2]"},
		{"a=1=2", 0, "invalid selector: [a 1 2]"},
	} {
		l, err := ParseLabels(c.in)
		require.Equal(t, &ParseError{c.in, c.offset, c.msg}, err)
		require.Zero(t, l.Len())
	}
	_, err = ParseLabels("=1")
	require.ErrorContains(t, err, `Invalid value: "": name part must be non-empty; name part must consist of`)
	_, err = ParseLabels("a=é")
	require.ErrorContains(t, err, `[a]: Invalid value: "é": a valid label must be`)
}
