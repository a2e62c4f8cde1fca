package selector

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidateLabelSelector(t *testing.T) {
	var ls LabelSelector
	require.NoError(t, json.Unmarshal([]byte(`{"matchLabels":{"b":"-","-":"x"},"matchExpressions":[
		{"key":"a","operator":"In"},{"key":"a","operator":"Exists","values":["x"]},{"key":"a","operator":"Is","values":["é"]}]}`), &ls))
	text := func(msg string) string {
		return ` (e.g. ` + msg + `, regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`
	}
	value := "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character" +
		text("'MyValue',  or 'my_value',  or '12345'")
	require.EqualError(t, ls.Validate("spec.selector", Tolerance{}), `[spec.selector.matchLabels: Invalid value: "-": name part `+nameMsg+
		`, spec.selector.matchLabels: Invalid value: "-": `+value+
		", spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"+
		", spec.selector.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"+
		`, spec.selector.matchExpressions[2].operator: Invalid value: "Is": not a valid selector operator`+
		`, spec.selector.matchExpressions[2].values[0]: Invalid value: "é": `+value+`]`)
	ls = LabelSelector{MatchExpressions: ls.MatchExpressions[2:]}
	require.NoError(t, ls.Validate("", Tolerance{InvalidValues: true, UnknownOperators: true}))
	require.NoError(t, (*LabelSelector)(nil).Validate("", Tolerance{}))
}

func TestValidateNodeSelector(t *testing.T) {
	require.EqualError(t, (&NodeSelector{}).Validate("required", Tolerance{}), "required.nodeSelectorTerms: Required value: must have at least one node selector term")
	ns := nodeSelector(t, `{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Gt","values":["x"]}]},
		{"matchFields":[{"key":"metadata.name","operator":"In","values":["node-1"]}]}]}`)
	require.NoError(t, ns.Validate("", Tolerance{}), "a bound that is no integer passes validation")
	_, err := CompileNodeSelector(ns)
	require.Error(t, err)
	ns = nodeSelector(t, `{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Lt"}],
		"matchFields":[{"key":"spec.x","operator":"Exists"}]}]}`)
	require.EqualError(t, ns.Validate("", Tolerance{UnknownOperators: true}),
		"[nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt', "+
			`nodeSelectorTerms[0].matchFields[0].operator: Invalid value: "Exists": not a valid selector operator, `+
			`nodeSelectorTerms[0].matchFields[0].key: Invalid value: "spec.x": not a valid field selector key]`)
	require.EqualError(t, ValidatePreferred([]PreferredSchedulingTerm{{Weight: 101}}, "p"), "p[0].weight: Invalid value: 101: must be in the range 1-100")
}

func TestConvertToLabelSelectorAndBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	for range 5000 {
		s := randomSelector(rng)
		ls, err := s.LabelSelector()
		requirements, _ := s.Requirements()
		bounds := false
		for _, r := range requirements {
			bounds = bounds || r.Operator() == Gt || r.Operator() == Lt
		}
		require.Equal(t, bounds, err != nil, s.String())
		if err != nil {
			continue
		}
		again, err := Compile(ls)
		require.NoError(t, err)
		_, ok := Equivalent(s, again)
		require.True(t, ok, "%q became %q", s, again)
	}
	ls, err := Nothing().LabelSelector()
	require.NoError(t, err)
	require.Nil(t, ls)
	ls, err = Everything().LabelSelector()
	require.NoError(t, err)
	require.Equal(t, &LabelSelector{}, ls)
}

func TestLabelSelectorMap(t *testing.T) {
	read := func(text string) *LabelSelector {
		var ls *LabelSelector
		require.NoError(t, json.Unmarshal([]byte(text), &ls))
		return ls
	}
	m, err := read(`{"matchLabels":{"a":"1"},"matchExpressions":[{"key":"b","operator":"In","values":["2"]},{"key":"a","operator":"In","values":["1"]}]}`).Map()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "1", "b": "2"}, m)
	m, err = read(`null`).Map()
	require.NoError(t, err)
	require.Nil(t, m)
	for text, want := range map[string]string{
		`{"matchExpressions":[{"key":"b","operator":"Exists"}]}`:                                    `operator "Exists" cannot be converted into the old label selector format`,
		`{"matchExpressions":[{"key":"b","operator":"In","values":["1","2"]}]}`:                     `operator "In" without a single value cannot be converted into the old label selector format`,
		`{"matchExpressions":[{"key":"b","operator":"Is"}]}`:                                        `"Is" is not a valid selector operator`,
		`{"matchLabels":{"b":"1"},"matchExpressions":[{"key":"b","operator":"In","values":["2"]}]}`: `key "b": values "1" and "2" cannot both be required`,
	} {
		_, err := read(text).Map()
		require.EqualError(t, err, want)
	}
}

func TestMergeAndConflicts(t *testing.T) {
	set := func(text string) Labels {
		l, err := ParseLabels(text)
		require.NoError(t, err)
		return l
	}
	require.Equal(t, "a=1,b=3,c=4", set("a=1,b=2").Merge(set("b=3,c=4")).String())
	require.Equal(t, "a=1", Labels{}.Merge(set("a=1")).String())
	require.Equal(t, "a=1", set("a=1").Merge(Labels{}).String())
	require.True(t, set("a=1,b=2").Conflicts(set("b=3")))
	require.False(t, set("a=1,b=2").Conflicts(set("b=2,c=3")))
	require.False(t, Labels{}.Conflicts(set("b=2")))
}
