package selector

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the answers into testdata/reason.txt")

// TestWorkedExamples reads testdata/reason.txt: pairs of selectors, one pair a
// block, with the answers that the reasoning gives about them.
func TestWorkedExamples(t *testing.T) {
	const file = "testdata/reason.txt"
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var out strings.Builder
	pairs := 0
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "    ") {
			continue // an answer: written anew
		}
		out.WriteString(line + "\n")
		if textA, textB, ok := strings.Cut(line, "  |  "); ok {
			a, err := Parse(textA)
			require.NoError(t, err)
			b, err := Parse(textB)
			require.NoError(t, err)
			out.WriteString(answers(a, b))
			pairs++
		}
	}
	require.Positive(t, pairs)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
		return
	}
	require.Equal(t, string(data), out.String(), "if the new answers are right: go test -run WorkedExamples -update")
}

func answers(a, b Selector) string {
	example := func(l Labels) string {
		if l.Len() == 0 {
			return "no labels"
		}
		if text := l.String(); len(text) < 60 {
			return text
		}
		return l.String()[:60] + "…"
	}
	var out strings.Builder
	if witness, ok := Overlap(a, b); ok {
		fmt.Fprintf(&out, "    overlap            both match %s\n", example(witness))
	} else {
		fmt.Fprintf(&out, "    overlap            no\n")
	}
	for _, q := range []struct {
		name     string
		from, to Selector
	}{{"left implies right", a, b}, {"right implies left", b, a}} {
		if counter, ok := Implies(q.from, q.to); ok {
			fmt.Fprintf(&out, "    %s yes\n", q.name)
		} else {
			fmt.Fprintf(&out, "    %s no: %s\n", q.name, example(counter))
		}
	}
	fmt.Fprintf(&out, "    simplified         %s  |  %s\n", Simplify(a), Simplify(b))
	return out.String()
}
