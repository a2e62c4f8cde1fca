package selector

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

var twoTerms = &NodeSelector{NodeSelectorTerms: []NodeSelectorTerm{
	{MatchExpressions: []NodeSelectorRequirement{
		{Key: "zone", Operator: "In", Values: []string{"zone-a", "zone-c"}},
		{Key: "gen", Operator: "Gt", Values: []string{"3"}},
	}},
	{MatchExpressions: []NodeSelectorRequirement{
		{Key: "env", Operator: "In", Values: []string{"prod"}},
		{Key: "tier", Operator: "Exists"},
	}},
}}

func nodeSelector(t *testing.T, text string) *NodeSelector {
	t.Helper()
	var ns NodeSelector
	require.NoError(t, json.Unmarshal([]byte(text), &ns))
	return &ns
}

func TestNodeSelectorMatches(t *testing.T) {
	labels := map[string]string{"zone": "a", "gen": "7"}
	for _, c := range []struct {
		name string // of the node
		ns   string
		want bool
	}{
		{"n1", `{}`, false},
		{"n1", `{"nodeSelectorTerms":[{}]}`, false},
		{"n1", `{"nodeSelectorTerms":[{},{"matchExpressions":[{"key":"zone","operator":"Exists"}]}]}`, true},
		{"n1", `{"nodeSelectorTerms":[{"matchExpressions":[{"key":"zone","operator":"In","values":["b"]}]},{"matchExpressions":[{"key":"gen","operator":"Gt","values":["6"]}]}]}`, true},
		{"n1", `{"nodeSelectorTerms":[{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]},{"key":"gen","operator":"Lt","values":["7"]}]}]}`, false},
		{"n1", `{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}`, true},
		{"n2", `{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}`, false},
		{"n2", `{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"NotIn","values":["n1"]}]}]}`, true},
		{"n1", `{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"NotIn","values":["n1"]}]}]}`, false},
		// A node has no other field: it reads as empty.
		{"n1", `{"nodeSelectorTerms":[{"matchFields":[{"key":"spec.x","operator":"In","values":[""]}]}]}`, true},
		{"n1", `{"nodeSelectorTerms":[{"matchFields":[{"key":"spec.x","operator":"In","values":["n1"]}]}]}`, false},
		// Fields of a node without a name are not looked at.
		{"", `{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}`, true},
		{"n1", `{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}],"matchExpressions":[{"key":"zone","operator":"DoesNotExist"}]}]}`, false},
	} {
		m, err := CompileNodeSelector(nodeSelector(t, c.ns))
		require.NoError(t, err, c.ns)
		require.Equal(t, c.want, m.Matches(c.name, NewLabels(labels)), c.ns)
		require.Equal(t, c.want, m.MatchesMap(c.name, labels), c.ns)
	}
}

func TestNodeSelectorNilIsNoConstraint(t *testing.T) {
	m, err := CompileNodeSelector(nil)
	require.NoError(t, err)
	require.True(t, m.Matches("n", Labels{}))
	require.False(t, NodeMatcher{}.Matches("n", Labels{}))
	require.False(t, NodeTerm{}.Matches("n", Labels{}))
}

// TestNodeSelectorBrokenTerm: a broken term never matches, the others may.
func TestNodeSelectorBrokenTerm(t *testing.T) {
	ns := nodeSelector(t, `{"nodeSelectorTerms":[
		{"matchExpressions":[{"key":"gen","operator":"Gt","values":["x"]},{"key":"zone","operator":"Nope"}]},
		{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]}]},
		{"matchFields":[{"key":"metadata.name","operator":"In","values":["a","b"]},{"key":"metadata.name","operator":"Gt","values":["1"]}]}]}`)
	lazy := CompileNodeSelectorLazy(ns)
	require.True(t, lazy.Matches("n", NewLabels(map[string]string{"zone": "a"})))
	require.False(t, lazy.Matches("n", NewLabels(map[string]string{"zone": "b", "gen": "9"})))
	text := `[nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer, ` +
		`nodeSelectorTerms[0].matchExpressions[1].operator: Unsupported value: "Nope": supported values: "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", ` +
		`nodeSelectorTerms[2].matchFields[0].values: Invalid value: ["a","b"]: must have one element, ` +
		`nodeSelectorTerms[2].matchFields[1].operator: Unsupported value: "Gt": supported values: "In", "NotIn"]`
	require.EqualError(t, lazy.Err(), text)
	m, err := CompileNodeSelector(ns)
	require.EqualError(t, err, text)
	require.False(t, m.Matches("n", NewLabels(map[string]string{"zone": "a"})))
	var field *FieldError
	require.ErrorAs(t, err, &field)
	require.Equal(t, "nodeSelectorTerms[0].matchExpressions[0].values[0]", field.Field)
}

func TestPreferred(t *testing.T) {
	terms := []PreferredSchedulingTerm{
		{Weight: 10, Preference: NodeSelectorTerm{MatchExpressions: []NodeSelectorRequirement{{Key: "a", Operator: "Exists"}}}},
		{Weight: 5, Preference: NodeSelectorTerm{MatchExpressions: []NodeSelectorRequirement{{Key: "a", Operator: "In", Values: []string{"1"}}}}},
		{Weight: 3},
		{Weight: 0, Preference: NodeSelectorTerm{MatchExpressions: []NodeSelectorRequirement{{Key: "a", Operator: "Broken"}}}},
	}
	p, err := CompilePreferred(terms)
	require.NoError(t, err)
	require.Equal(t, 2, p.Len())
	require.Equal(t, int64(15), p.Score("n", NewLabels(map[string]string{"a": "1"})))
	require.Equal(t, int64(10), p.Score("n", NewLabels(map[string]string{"a": "2"})))
	require.Zero(t, p.Score("n", Labels{}))

	terms[3].Weight = 1
	_, err = CompilePreferred(terms)
	require.EqualError(t, err, `[3].matchExpressions[0].operator: Unsupported value: "Broken": supported values: "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"`)
}

func TestNodeExplain(t *testing.T) {
	m, err := CompileNodeSelector(nodeSelector(t, `{"nodeSelectorTerms":[
		{"matchExpressions":[{"key":"zone","operator":"In","values":["a"]},{"key":"gen","operator":"Gt","values":["3"]}]},
		{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]},{"key":"other","operator":"NotIn","values":[""]}]}]}`))
	require.NoError(t, err)
	var lines []string
	for i, term := range m.Explain("n2", NewLabels(map[string]string{"zone": "b", "gen": "7"})) {
		for _, mismatch := range term {
			lines = append(lines, fmt.Sprint(i, " ", mismatch))
		}
	}
	require.Equal(t, []string{
		`0 zone in (a): the label is "b"`,
		`1 metadata.name=n1: the label is "n2"`,
		`1 other!=: the label is ""`,
	}, lines)
	require.Empty(t, m.Explain("n2", NewLabels(map[string]string{"zone": "a", "gen": "7"})))

	rng := rand.New(rand.NewPCG(51, 52))
	for range 60 {
		ns := randomNodeSelector(rng)
		m, err := CompileNodeSelector(ns)
		require.NoError(t, err)
		eachNode(func(name string, labels map[string]string) {
			if m.Terms() > 0 && m.MatchesMap(name, labels) != (m.Explain(name, NewLabels(labels)) == nil) {
				t.Fatalf("%+v on %s %v", ns, name, labels)
			}
		})
	}
}
