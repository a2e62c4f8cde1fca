package selector

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/selector"
)

// Ratios measures parsing, matching, selecting from many objects and finding
// selectors.
func Ratios() measure.Area {
	var rows []measure.Row
	for _, w := range textWorkloads {
		rows = append(rows, parseRow(w))
	}
	for _, w := range textWorkloads {
		rows = append(rows, matchRow(w))
	}
	rows = append(rows, nodeSelectorRow())
	return measure.Area{Name: "selector", Rows: append(rows, indexRows()...)}
}

// eightLabels are the labels of a pod of a deployment.
var eightLabels = map[string]string{
	"app": "nginx-42", "tier": "frontend", "release": "stable", "env": "prod",
	"zone": "zone-b", "gen": "55", "team": "team-7", "pod-template-hash": "6d5f7c9b8c",
}

// textWorkload is a selector with reqs requirements that matches eightLabels.
type textWorkload struct {
	reqs int
	text string
}

var textWorkloads = []textWorkload{
	{1, "app=nginx-42"},
	{3, "app=nginx-42,tier=frontend,release=stable"},
	{6, "app=nginx-42,tier in (backend,frontend,cache),release!=canary,env,!deprecated,gen>50"},
}

func parseRow(w textWorkload) measure.Row {
	return measure.Row{Name: fmt.Sprintf("parse/reqs=%d", w.reqs), Unit: "ns/op", Open: func() (*measure.Pair, error) {
		var ours selector.Selector
		var upstream labels.Selector
		var ourErr, upstreamErr error
		return &measure.Pair{
			Ours: measure.Loop(func(n int) {
				for range n {
					ours, ourErr = selector.Parse(w.text)
				}
			}),
			Peer: measure.Loop(func(n int) {
				for range n {
					upstream, upstreamErr = labels.Parse(w.text)
				}
			}),
			Check: func() error {
				if ourErr != nil || upstreamErr != nil {
					return fmt.Errorf("ours: %v, upstream: %v", ourErr, upstreamErr)
				}
				if ours.Len() != w.reqs || ours.String() != upstream.String() {
					return fmt.Errorf("ours %q, upstream %q, want %d requirements", ours, upstream, w.reqs)
				}
				return nil
			},
		}, nil
	}}
}

func matchRow(w textWorkload) measure.Row {
	return measure.Row{Name: fmt.Sprintf("match/reqs=%d", w.reqs), Unit: "ns/op", Open: func() (*measure.Pair, error) {
		upstream, err := labels.Parse(w.text)
		if err != nil {
			return nil, err
		}
		ours, err := selector.Parse(w.text)
		if err != nil {
			return nil, err
		}
		set, own := labels.Set(eightLabels), selector.NewLabels(eightLabels)
		return hitPair(func() bool { return ours.Matches(own) }, func() bool { return upstream.Matches(set) }), nil
	}}
}

// hitPair measures two questions that both must always answer yes.
func hitPair(ours, upstream func() bool) *measure.Pair {
	var missesOurs, missesUpstream int
	count := func(misses *int, ask func() bool) func(int) {
		return func(n int) {
			for range n {
				if !ask() {
					*misses++
				}
			}
		}
	}
	return &measure.Pair{
		Ours: measure.Loop(count(&missesOurs, ours)),
		Peer: measure.Loop(count(&missesUpstream, upstream)),
		Check: func() error {
			if missesOurs != 0 || missesUpstream != 0 {
				return fmt.Errorf("misses ours %d, upstream %d: want none", missesOurs, missesUpstream)
			}
			return nil
		},
	}
}

// nodeSelectorRow asks two terms, of which the second matches.
func nodeSelectorRow() measure.Row {
	return measure.Row{Name: "nodeselector/terms=2", Unit: "ns/op", Open: func() (*measure.Pair, error) {
		upstream, err := nodeaffinity.NewNodeSelector(&v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{
			{MatchExpressions: []v1.NodeSelectorRequirement{
				{Key: "zone", Operator: v1.NodeSelectorOpIn, Values: []string{"zone-a", "zone-c"}},
				{Key: "gen", Operator: v1.NodeSelectorOpGt, Values: []string{"3"}},
			}},
			{MatchExpressions: []v1.NodeSelectorRequirement{
				{Key: "env", Operator: v1.NodeSelectorOpIn, Values: []string{"prod"}},
				{Key: "tier", Operator: v1.NodeSelectorOpExists},
			}},
		}})
		if err != nil {
			return nil, err
		}
		ours, err := selector.CompileNodeSelector(&selector.NodeSelector{NodeSelectorTerms: []selector.NodeSelectorTerm{
			{MatchExpressions: []selector.NodeSelectorRequirement{
				{Key: "zone", Operator: "In", Values: []string{"zone-a", "zone-c"}},
				{Key: "gen", Operator: "Gt", Values: []string{"3"}},
			}},
			{MatchExpressions: []selector.NodeSelectorRequirement{
				{Key: "env", Operator: "In", Values: []string{"prod"}},
				{Key: "tier", Operator: "Exists"},
			}},
		}})
		if err != nil {
			return nil, err
		}
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", Labels: eightLabels}}
		own := selector.NewLabels(eightLabels)
		return hitPair(func() bool { return ours.Matches("node-1", own) }, func() bool { return upstream.Match(node) }), nil
	}}
}
