package selector

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// nodeStates are enough for the selectors below: every label in every state
// that tells them apart, and names that are and are not mentioned.
var (
	nodeNames  = []string{"n1", "n2", "n3"}
	nodeStates = []string{absentState, "", "v", "w", "fresh", "3", "4", "5", "05", "0005", "6", "7", "8"}
)

func randomNodeSelector(rng *rand.Rand) *NodeSelector {
	ns := &NodeSelector{}
	for range rng.IntN(4) {
		var term NodeSelectorTerm
		for range rng.IntN(3) {
			e := NodeSelectorRequirement{Key: pick(rng, []string{"a", "b"}), Operator: pick(rng, []string{"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"})}
			switch e.Operator {
			case "In", "NotIn":
				e.Values = []string{pick(rng, []string{"", "v", "w", "5", "05"}), pick(rng, []string{"v", "6"})}
			case "Gt", "Lt":
				e.Values = []string{pick(rng, []string{"4", "5", "6"})}
			}
			term.MatchExpressions = append(term.MatchExpressions, e)
		}
		if rng.IntN(3) == 0 {
			field := NodeSelectorRequirement{Key: "metadata.name", Operator: pick(rng, []string{"In", "NotIn"}), Values: []string{pick(rng, []string{"n1", "n2", ""})}}
			if rng.IntN(8) == 0 {
				field.Key = "spec.other"
			}
			term.MatchFields = append(term.MatchFields, field)
		}
		ns.NodeSelectorTerms = append(ns.NodeSelectorTerms, term)
	}
	return ns
}

// eachNode calls f with every node of the small world.
func eachNode(f func(name string, labels map[string]string)) {
	labels := map[string]string{}
	for _, name := range nodeNames {
		for _, a := range nodeStates {
			for _, b := range nodeStates {
				clear(labels)
				if a != absentState {
					labels["a"] = a
				}
				if b != absentState {
					labels["b"] = b
				}
				f(name, labels)
			}
		}
	}
}

func TestNodeReasoningAgainstBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	implied := 0
	for range 3000 {
		nsA, nsB := randomNodeSelector(rng), randomNodeSelector(rng)
		if rng.IntN(3) == 0 { // make implication likely
			nsB.NodeSelectorTerms = append(nsB.NodeSelectorTerms, nsA.NodeSelectorTerms...)
		}
		a, err := CompileNodeSelector(nsA)
		require.NoError(t, err)
		b, err := CompileNodeSelector(nsB)
		require.NoError(t, err)
		overlap, implies, equal := false, true, true
		eachNode(func(name string, labels map[string]string) {
			inA, inB := a.MatchesMap(name, labels), b.MatchesMap(name, labels)
			overlap = overlap || inA && inB
			implies = implies && (!inA || inB)
			equal = equal && inA == inB
		})
		what := fmt.Sprintf("%+v\nand %+v", nsA, nsB)

		node, ok := NodesOverlap(a, b)
		require.Equal(t, overlap, ok, what)
		if ok {
			require.True(t, a.Matches(node.Name, node.Labels) && b.Matches(node.Name, node.Labels), what)
		}
		verdict, node := NodesImply(a, b, 10_000)
		require.Equal(t, map[bool]Verdict{true: Yes, false: No}[implies], verdict, what)
		if verdict == No {
			require.NotEmpty(t, node.Name)
			require.True(t, a.Matches(node.Name, node.Labels) && !b.Matches(node.Name, node.Labels), what)
		} else {
			implied++
		}
		verdict, _ = NodesEquivalent(a, b, 10_000)
		require.Equal(t, map[bool]Verdict{true: Yes, false: No}[equal], verdict, what)
	}
	require.Greater(t, implied, 300)
	require.Less(t, implied, 2700)
}

// TestNodesImplyGivesUp encodes a tautology over n boolean keys whose proof
// needs many boxes: too small a budget says Unknown, never a wrong answer.
func TestNodesImplyGivesUp(t *testing.T) {
	var terms []Selector
	const n = 8
	for i := range 1 << n { // all 2^n corners, one by one
		requirements := make([]Requirement, n)
		for bit := range n {
			op := Exists
			if i>>bit&1 != 0 {
				op = DoesNotExist
			}
			requirements[bit] = Requirement{key: fmt.Sprint("k", bit), op: op}
		}
		terms = append(terms, New(requirements...))
	}
	all := MatcherOf(Everything())
	verdict, _ := NodesImply(all, MatcherOf(terms...), 50)
	require.Equal(t, Unknown, verdict)
	verdict, _ = NodesImply(all, MatcherOf(terms...), 1_000_000)
	require.Equal(t, Yes, verdict)
	verdict, node := NodesImply(all, MatcherOf(terms[1:]...), 1_000_000)
	require.Equal(t, No, verdict)
	require.True(t, terms[0].Matches(node.Labels))
	require.Equal(t, "unknown yes no", fmt.Sprint(Unknown, " ", Yes, " ", No))
}

// TestValueSets holds the algebra of value sets equal to membership.
func TestValueSets(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	universe := []string{"", "v", "w", "fresh", "0", "00", "3", "4", "04", "5", "6", "9223372036854775807", "9223372036854775808", "12345"}
	random := func() valueSet {
		var list []string
		for range rng.IntN(4) {
			list = append(list, pick(rng, universe))
		}
		switch rng.IntN(4) {
		case 0:
			in := exclusive(allBut, 0, 0, list)
			return valueSet{list: in.list}
		case 1:
			return exclusive(allBut, 0, 0, list)
		case 2:
			lo := int64(rng.IntN(6))
			return exclusive(intBut, lo, lo+int64(rng.IntN(3)), list)
		}
		return exclusive(wordBut, 0, 0, list)
	}
	for range 20_000 {
		v, w := random(), random()
		both := v.intersect(&w)
		rest := v.minus(&w)
		for _, value := range universe {
			require.Equal(t, v.has(value) && w.has(value), both.has(value), "%+v and %+v: %q", v, w, value)
			n := 0
			for i := range rest {
				if rest[i].has(value) {
					n++
				}
			}
			want := 0
			if v.has(value) && !w.has(value) {
				want = 1
			}
			require.Equal(t, want, n, "%+v minus %+v: %q in %+v", v, w, value, rest)
		}
		for i := range rest {
			picked := rest[i].pick()
			require.True(t, v.has(picked) && !w.has(picked) && ValidValue(picked))
		}
		if both.empty() {
			require.False(t, v.shape == allBut && w.shape == allBut)
		} else {
			require.True(t, v.has(both.pick()) && w.has(both.pick()))
		}
	}
}
