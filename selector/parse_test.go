package selector

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseAndPrint(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"", ""},
		{" \t\r\n", ""},
		{"<nothing>", "<nothing>"},
		{"a", "a"},
		{"! a", "!a"},
		{"a=b", "a=b"},
		{"a = b", "a=b"},
		{"a==b", "a==b"},
		{"a!=b", "a!=b"},
		{"a=", "a="},
		{"a=,b", "a=,b"},
		{"a!=", "a!="},
		{"a>5,b<7", "a>5,b<7"},
		{"a>01", "a>01"},
		{"a in(b)", "a in (b)"},
		{"a notin(c,b,c)", "a notin (b,c)"},
		{"a in ()", "a in ()"},
		{"a in (,)", "a in ()"},
		{"a in (,b)", "a in (,b)"},
		{"a in (b,)", "a in (,b)"},
		{"a in (c,,b)", "a in (,b,c)"},
		{"in in (in,notin)", "in in (in,notin)"},
		{"notin notin (in)", "notin notin (in)"},
		{"!in", "!in"},
		{"a=notin", "a=notin"},
		{"z=1,a=2,m", "a=2,m,z=1"},
		{"a=1,a!=2", "a=1,a!=2"},
		{"a!=2,a=1", "a!=2,a=1"},
		{"a=1,a=1", "a=1,a=1"},
		{"example.com/a.b-c_d in (X,y)", "example.com/a.b-c_d in (X,y)"},
		{"a>9223372036854775807", "a>9223372036854775807"},
	} {
		s, err := Parse(c.in)
		require.NoError(t, err, c.in)
		require.Equal(t, c.out, s.String(), c.in)
		again, err := Parse(s.String())
		require.NoError(t, err, c.out)
		require.True(t, s.Equal(again), c.in)
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		in     string
		offset int
		msg    string
	}{
		{",a", 0, "found ',', expected: !, identifier, or 'end of string'"},
		{"a,", 2, "found '', expected: identifier after ','"},
		{"a,,b", 2, "found ',', expected: identifier after ','"},
		{"a b", 2, "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
		{"!a=b", 2, "found '=', expected: ',' or 'end of string'"},
		{"!", 1, "unable to parse requirement: found '', expected: identifier"},
		{"a===b", 3, "unable to parse requirement: found '=', expected: identifier"},
		{"a>=5", 2, "unable to parse requirement: found '=', expected: identifier"},
		{"a in b", 5, "unable to parse requirement: found 'b' expected: '('"},
		{"a in (b", 7, "unable to parse requirement: found '', expected: ',' or ')'"},
		{"a in (b c)", 8, "unable to parse requirement: found 'c', expected: ',' or ')'"},
		{"a in (=)", 6, "unable to parse requirement: found '=', expected: ',', ')' or identifier"},
		{"a in (b,=)", 8, "unable to parse requirement: found '=', expected: ',', or identifier"},
		{"a in (b),", 9, "found '', expected: identifier after ','"},
		{"a in (b)c", 8, "found 'c', expected: ',' or 'end of string'"},
		{"ain(b)", 3, "unable to parse requirement: found '(', expected: in, notin, =, ==, !=, gt, lt"},
		{"a=b\x00,c", 3, "found a NUL byte, expected: text without NUL bytes"},
		{"a>x", 2, `unable to parse requirement: values[0]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer`},
		{"<nothing>,a", 0, "found '<', expected: !, identifier, or 'end of string'"},
	} {
		s, err := Parse(c.in)
		require.Equal(t, &ParseError{c.in, c.offset, c.msg}, err, c.in)
		require.True(t, s.IsNothing(), c.in)
	}
}

func TestParseErrorShortensLongInput(t *testing.T) {
	_, err := Parse(strings.Repeat("a,", 1<<19) + ",")
	require.Error(t, err)
	require.Less(t, len(err.Error()), 400)
}
