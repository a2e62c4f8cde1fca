// Package selector holds orchcore's selector package against apimachinery.
package selector

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/selector"
)

// Parity compares string selectors.
func Parity() compare.Area {
	return compare.Area{
		Name:   "selector",
		Doc:    "selector/doc.go",
		Suites: []compare.Suite{matchSuite()},
	}
}

// matchCase is a string selector and the labels it is asked about.
type matchCase struct {
	Selector string            `json:"selector"`
	Labels   map[string]string `json:"labels"`
}

func matchSuite() compare.Suite {
	return &compare.Cases[matchCase]{
		Parts: []string{"match"},
		Corners: []matchCase{
			{"", nil},
			{"a", nil},
			{"!a", map[string]string{"a": ""}},
			{"a=", map[string]string{"a": ""}},
			{"a in (,b)", map[string]string{"a": ""}},
			{"a>1", map[string]string{"a": "01"}},
		},
		Generate: func(r *rand.Rand) matchCase { return matchCase{selectorText(r), labelSet(r)} },
		Compare: func(c matchCase, rec *compare.Record) {
			rec.Text("match", upstreamMatch(c), ourMatch(c))
		},
		Shrink: shrinkMatch,
	}
}

func upstreamMatch(c matchCase) string {
	s, err := labels.Parse(c.Selector)
	if err != nil {
		return "not a selector"
	}
	return fmt.Sprint(s.Matches(labels.Set(c.Labels)))
}

func ourMatch(c matchCase) string {
	s, err := selector.Parse(c.Selector)
	if err != nil {
		return "not a selector"
	}
	ours := s.Matches(selector.NewLabels(c.Labels))
	if m := s.MatchesMap(c.Labels); m != ours {
		return fmt.Sprintf("%v on Labels, %v on the map", ours, m)
	}
	return fmt.Sprint(ours)
}

var (
	keys   = []string{"app", "tier", "gen", "example.com/role"}
	values = []string{"", "web", "db", "1", "7", "10", "-3"}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func labelSet(r *rand.Rand) map[string]string {
	m := map[string]string{}
	for range r.IntN(4) {
		m[pick(r, keys)] = pick(r, values)
	}
	return m
}

func selectorText(r *rand.Rand) string {
	var parts []string
	for range r.IntN(4) {
		k := pick(r, keys)
		switch r.IntN(6) {
		case 0:
			parts = append(parts, k)
		case 1:
			parts = append(parts, "!"+k)
		case 2:
			parts = append(parts, k+pick(r, []string{"=", "==", "!="})+pick(r, values))
		case 3:
			parts = append(parts, k+pick(r, []string{">", "<"})+pick(r, []string{"0", "5", "-4", "x"}))
		default:
			parts = append(parts, k+pick(r, []string{" in ", " notin "})+"("+pick(r, values)+","+pick(r, values)+")")
		}
	}
	return strings.Join(parts, ",")
}

func shrinkMatch(c matchCase) iter.Seq[matchCase] {
	return func(yield func(matchCase) bool) {
		parts := strings.Split(c.Selector, ",")
		for i := range parts {
			fewer := slices.Delete(slices.Clone(parts), i, i+1)
			if !yield(matchCase{strings.Join(fewer, ","), c.Labels}) {
				return
			}
		}
		for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
			fewer := maps.Clone(c.Labels)
			delete(fewer, k)
			if !yield(matchCase{c.Selector, fewer}) {
				return
			}
		}
	}
}
