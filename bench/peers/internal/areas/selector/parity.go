// Package selector holds orchcore's selector package against apimachinery and
// component-helpers.
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

// Parity compares string selectors, label sets, LabelSelectors and NodeSelectors.
func Parity() compare.Area {
	return compare.Area{
		Name:   "selector",
		Doc:    "selector/doc.go",
		Suites: []compare.Suite{textSuite(), labelSetSuite(), labelSelectorSuite(), nodeSelectorSuite(), preferredSuite(), validateSuite()},
	}
}

// textCase is a string selector and the labels it is asked about.
type textCase struct {
	Selector string            `json:"selector"`
	Labels   map[string]string `json:"labels"`
}

// textSuite compares what is accepted, the error texts, the canonical form,
// RequiresExactMatch and the answers on labels.
func textSuite() compare.Suite {
	return &compare.Cases[textCase]{
		Parts:    []string{"parse", "print", "match", "exact"},
		Corners:  textCorners(),
		Generate: func(r *rand.Rand) textCase { return textCase{selectorText(r), labelSet(r)} },
		Compare:  compareText,
		Shrink:   shrinkText,
		Documented: []compare.Difference[textCase]{{
			Differs: "a NUL byte in a selector string is an error",
			Applies: func(c textCase, d compare.Disagreement) bool {
				return strings.Contains(c.Selector, "\x00") && strings.HasPrefix(d.Ours, "found a NUL byte")
			},
		}, {
			Differs: `Nothing prints as "<nothing>"`,
			Applies: func(c textCase, d compare.Disagreement) bool {
				return c.Selector == "<nothing>" && d.Ours == "accepted"
			},
		}, {
			Differs: clippedDiffers,
			Applies: func(c textCase, d compare.Disagreement) bool { return clipped(c.Selector, d) },
		}},
	}
}

const clippedDiffers = "an error text repeats at most 400 bytes of a value"

// clipped reports whether the answers are one error text, of which ours leaves
// out the middle.
func clipped(input string, d compare.Disagreement) bool {
	before, after, found := strings.Cut(d.Ours, "…")
	return found && len(input) > 400 && len(before) > 400 &&
		strings.HasPrefix(d.Upstream, before) && strings.HasSuffix(d.Upstream, after)
}

func textCorners() []textCase {
	web := map[string]string{"app": "web", "gen": "05", "empty": "", "minus": "-5", "plus": "+5", "big": "9223372036854775808"}
	var corners []textCase
	for _, text := range []string{
		"", " ", "a", "!a", "! a", "a=", "a==", "a!=", "a=,b", "a in ()", "a in (,)", "a in (,b)", "a in (b,)", "a in (b,,c)",
		"a,", ",a", "a,,b", "a in (b),", "in in (in,notin)", "!in", "a=notin", "a notin(b)", "ain(b)", "!a=b", "!a in (b)",
		"a>1", "a>", "a>x", "a>-1", "a>+1", "a>01", "a>9223372036854775807", "a>9223372036854775808", "a===b", "a>=1", "a=>1", "a<>1",
		"a\x00", "a \x00 b", "\x00a", "a\x00,b", "<nothing>", "<nothing>,a", "app=web", "app!=web", "gen>4", "gen<5", "minus<0", "plus>4", "big>1",
		"empty=", "empty", "!empty", "none=", "none!=x", "app in (web,db),gen>1,!none", "é=1", "a=é", "a/b/c", "/a", "a/", "A/b", "a.-b/c", "a-/b",
		"in", "notin", "in=in", "a in", "a in (", "a in (b", "a in (b c)", "a in (=)", "a in b", "a b", "(a)", "a)", "a=(b)", "a,!", "!", "!!a",
		strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 253) + "/b", strings.Repeat("a", 254) + "/b",
		"a=" + strings.Repeat("a", 63), "a=" + strings.Repeat("a", 64), "a in (" + strings.Repeat("-", 70) + ",_,x)", "a\vb", "a\u00a0=b",
	} {
		corners = append(corners, textCase{text, web}, textCase{text, nil})
	}
	return corners
}

func compareText(c textCase, rec *compare.Record) {
	upstream, upstreamErr := labels.Parse(c.Selector)
	ours, ourErr := selector.Parse(c.Selector)
	rec.Text("parse", outcome(upstreamErr), outcome(ourErr))
	if upstreamErr != nil || ourErr != nil {
		return
	}
	rec.Text("print", upstream.String(), ours.String())
	rec.Text("match", fmt.Sprint(upstream.Matches(labels.Set(c.Labels))), ourMatch(ours, c.Labels))
	for _, key := range []string{"app", "tier", "none"} {
		rec.Text("exact", fmt.Sprint(upstream.RequiresExactMatch(key)), fmt.Sprint(ours.RequiresExactMatch(key)))
	}
}

// outcome is the error's text. Ours has the position apart from the text, and
// does not print the field path that a string does not have.
func outcome(err error) string {
	if err == nil {
		return "accepted"
	}
	if ours, ok := err.(*selector.ParseError); ok {
		return ours.Msg
	}
	return strings.ReplaceAll(err.Error(), "<nil>: ", "")
}

// ourMatch asks both forms of labels.
func ourMatch(s selector.Selector, set map[string]string) string {
	match := s.Matches(selector.NewLabels(set))
	if m := s.MatchesMap(set); m != match {
		return fmt.Sprintf("%v on Labels, %v on the map", match, m)
	}
	return fmt.Sprint(match)
}

func shrinkText(c textCase) iter.Seq[textCase] {
	return func(yield func(textCase) bool) {
		for text := range shorter(c.Selector) {
			if !yield(textCase{text, c.Labels}) {
				return
			}
		}
		for fewer := range without(c.Labels) {
			if !yield(textCase{c.Selector, fewer}) {
				return
			}
		}
	}
}

// shorter yields s without each of its comma-separated parts, and without each
// of its bytes.
func shorter(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		parts := strings.Split(s, ",")
		for i := range parts {
			if len(parts) > 1 && !yield(strings.Join(slices.Delete(slices.Clone(parts), i, i+1), ",")) {
				return
			}
		}
		for i := range s {
			if !yield(s[:i] + s[i+1:]) {
				return
			}
		}
	}
}

// without yields set without each of its labels.
func without(set map[string]string) iter.Seq[map[string]string] {
	return func(yield func(map[string]string) bool) {
		for _, k := range slices.Sorted(maps.Keys(set)) {
			fewer := maps.Clone(set)
			delete(fewer, k)
			if !yield(fewer) {
				return
			}
		}
	}
}

// setCase is a label set as text.
type setCase struct {
	Text string `json:"text"`
}

// labelSetSuite compares label-set strings.
func labelSetSuite() compare.Suite {
	return &compare.Cases[setCase]{
		Parts:    []string{"labelset"},
		Corners:  []setCase{{""}, {"a=1"}, {" a = 1 ,b="}, {"a==1"}, {"a"}, {"a=1,"}, {"=1"}, {"a=1,a=2"}, {"a=1=2"}, {"a=\u00a01"}},
		Generate: func(r *rand.Rand) setCase { return setCase{labelSetText(r)} },
		Compare: func(c setCase, rec *compare.Record) {
			upstream, err := labels.ConvertSelectorToLabelsMap(c.Text)
			theirs := outcome(err)
			if err == nil {
				theirs = upstream.String()
			}
			set, err := selector.ParseLabels(c.Text)
			ours := outcome(err)
			if err == nil {
				ours = set.String()
			}
			rec.Text("labelset", theirs, ours)
		},
		Documented: []compare.Difference[setCase]{{
			Differs: clippedDiffers,
			Applies: func(c setCase, d compare.Disagreement) bool { return clipped(c.Text, d) },
		}},
		Shrink: func(c setCase) iter.Seq[setCase] {
			return func(yield func(setCase) bool) {
				for text := range shorter(c.Text) {
					if !yield(setCase{text}) {
						return
					}
				}
			}
		},
	}
}
