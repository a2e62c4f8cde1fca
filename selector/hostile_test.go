package selector

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The tests of this file pass quickly or, if something costs quadratic time or
// memory, not at all.

// hugeCount is the number of requirements, values and terms.
func hugeCount() int {
	if raceDetector {
		return 5_000
	}
	return 100_000
}

func TestHugeSelectorStrings(t *testing.T) {
	n := hugeCount()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "key-%d in (a,b),", i)
	}
	s, err := Parse(strings.TrimSuffix(b.String(), ","))
	require.NoError(t, err)
	require.Equal(t, n, s.Len())
	again, err := Parse(s.String())
	require.NoError(t, err)
	require.True(t, s.Equal(again))
	require.False(t, s.Matches(NewLabels(benchLabels)))

	same, err := Parse(strings.Repeat("a!=x,", n) + "b")
	require.NoError(t, err)
	require.True(t, same.Matches(NewLabels(map[string]string{"b": "1"})))

	b.Reset()
	for i := range n {
		fmt.Fprintf(&b, "v%d,", i)
	}
	list, err := Parse("a in (" + b.String() + ")")
	require.NoError(t, err)
	require.True(t, list.MatchesMap(map[string]string{"a": "v4777"}))
	require.True(t, list.Matches(NewLabels(map[string]string{"a": "v4777"})))
	require.False(t, list.Matches(NewLabels(map[string]string{"a": "w"})))
	var x Index[int]
	x.Set(1, NewLabels(map[string]string{"a": "v4777"}))
	require.Equal(t, 1, x.Count(list))
	require.Equal(t, 0, x.Count(s))
	var r Registry[int]
	r.Set(1, list)
	r.Set(2, s)
	require.Equal(t, []int{1}, r.AppendMatches(nil, NewLabels(map[string]string{"a": "v4777"})))
	require.True(t, r.Delete(1))
}

func TestHugeNonsense(t *testing.T) {
	const n = 1 << 20
	for _, input := range []string{
		strings.Repeat("(", n), strings.Repeat("a", n), strings.Repeat("a in (", n/6), "a in (" + strings.Repeat(",", n),
		strings.Repeat("!", n), strings.Repeat("=", n), "a=" + strings.Repeat("b", n), "a in (" + strings.Repeat("-,", n/2) + ")",
		strings.Repeat("a,", n/2), strings.Repeat("p.", n/2) + "/n", strings.Repeat("\xff", n), strings.Repeat(" ", n) + "\x00",
		strings.Repeat("a", InputBytesMax+1),
	} {
		_, err := Parse(input)
		require.Error(t, err, input[:10])
		require.Less(t, len(err.Error()), 100_000, input[:10])
		_, err = ParseLabels(input)
		require.Error(t, err)
		require.Less(t, len(err.Error()), 100_000)
	}
	s, err := Parse(strings.Repeat(" ", n))
	require.NoError(t, err)
	require.True(t, s.IsEverything())
	s, err = Parse("a in (" + strings.Repeat(",", n) + ")")
	require.NoError(t, err)
	require.Equal(t, "a in ()", s.String())
}

func TestHugeObjects(t *testing.T) {
	n := hugeCount()
	ls := &LabelSelector{MatchLabels: map[string]string{}}
	ns := &NodeSelector{}
	values := make([]string, n)
	for i := range n {
		ls.MatchLabels[fmt.Sprintf("k%d", i)] = "v"
		values[i] = "-"
		ns.NodeSelectorTerms = append(ns.NodeSelectorTerms, NodeSelectorTerm{
			MatchExpressions: []NodeSelectorRequirement{{Key: "a", Operator: "In", Values: []string{fmt.Sprint(i)}}}})
	}
	s, err := Compile(ls)
	require.NoError(t, err)
	require.Equal(t, n, s.Len())
	m, err := CompileNodeSelector(ns)
	require.NoError(t, err)
	require.True(t, m.Matches("n", NewLabels(map[string]string{"a": fmt.Sprint(n - 1)})))
	verdict, _ := NodesImply(m, MatcherOf(MustParse("b")), 3)
	require.Equal(t, No, verdict)

	ns.NodeSelectorTerms[0].MatchExpressions[0].Values = values
	_, err = CompileNodeSelector(ns)
	require.Error(t, err)
	require.Less(t, len(err.Error()), 100_000)
	require.Contains(t, err.Error(), fmt.Sprintf("and %d more", n-faultsShownMax))
}

// TestHugeLabelSets has keys that all have the same tag.
func TestHugeLabelSets(t *testing.T) {
	labels := map[string]string{}
	want := keyTag("key-0")
	for i := 0; len(labels) < 5_000; i++ {
		if key := fmt.Sprintf("key-%d", i); keyTag(key) == want {
			labels[key] = fmt.Sprint(i)
		}
	}
	l := NewLabels(labels)
	for key, value := range labels {
		got, ok := l.Lookup(key)
		require.True(t, ok)
		require.Equal(t, value, got)
	}
	for _, text := range []string{"key-0", "key-0=0", "key-0 in (0,1)", "key-0<1", "!none", "none!=1"} {
		require.True(t, MustParse(text).Matches(l), text)
	}
	for _, text := range []string{"!key-0", "key-0!=0", "key-0>0", "none"} {
		require.False(t, MustParse(text).Matches(l), text)
	}
	var x Index[string]
	x.Set("a", l)
	require.Equal(t, 1, x.Count(MustParse("key-0<1")))
	x.Set("a", Labels{})
	require.Equal(t, 0, x.Count(MustParse("key-0")))
}

// TestRealNodes matches nodes of real clusters, one with 91 labels, and holds
// the answers equal to the definition.
func TestRealNodes(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", "troubleshoot", "nodes-7-mixed.json"))
	if err != nil {
		t.Skip("no real nodes beside the repository:", err)
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name   string            `json:"name"`
				Labels map[string]string `json:"labels"`
			} `json:"metadata"`
		} `json:"items"`
	}
	require.NoError(t, json.Unmarshal(data, &list))
	require.NotEmpty(t, list.Items)
	var x Index[string]
	most := 0
	for _, item := range list.Items {
		most = max(most, len(item.Metadata.Labels))
		l := NewLabels(item.Metadata.Labels)
		x.Set(item.Metadata.Name, l)
		parsed, err := ParseLabels(l.String())
		require.NoError(t, err)
		require.True(t, parsed.Equal(l))
	}
	require.Equal(t, 91, most)
	for _, of := range list.Items {
		for key, value := range of.Metadata.Labels {
			for _, text := range []string{key, "!" + key, key + "=" + value, key + "!=" + value, key + " in (" + value + ",x)", key + ">1", key + "<9"} {
				s, err := Parse(text)
				require.NoError(t, err)
				var want []string
				for _, item := range list.Items {
					match := plainMatches(s, item.Metadata.Labels)
					require.Equal(t, match, s.Matches(NewLabels(item.Metadata.Labels)), text)
					if match {
						want = append(want, item.Metadata.Name)
					}
				}
				slices.Sort(want)
				require.Equal(t, want, slices.Sorted(x.Select(s)), text)
			}
		}
	}
}
