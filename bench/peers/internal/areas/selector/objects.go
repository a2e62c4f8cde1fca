package selector

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	upstreamjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/selector"
)

// objectCase is a JSON object and the object that it is asked about.
type objectCase struct {
	JSON   string            `json:"json"`
	Node   string            `json:"node,omitempty"`
	Labels map[string]string `json:"labels"`
}

func nodeCase(text func(*rand.Rand) string) func(*rand.Rand) objectCase {
	return func(r *rand.Rand) objectCase {
		return objectCase{text(r), pick(r, []string{"node-1", "node-1", "node-2", ""}), labelSet(r)}
	}
}

func labelSelectorSuite() compare.Suite {
	return &compare.Cases[objectCase]{
		Parts:    []string{"labelselector", "labelselector/print", "labelselector/match"},
		Generate: func(r *rand.Rand) objectCase { return objectCase{labelSelectorText(r), "", labelSet(r)} },
		Compare:  compareLabelSelector,
		Documented: []compare.Difference[objectCase]{{
			Differs: `Nothing prints as "<nothing>"`,
			Applies: func(c objectCase, d compare.Disagreement) bool {
				return c.JSON == "null" && d.Upstream == "" && d.Ours == "<nothing>"
			},
		}, {
			Differs: "JSON field names are matched without regard to case",
			Applies: func(c objectCase, _ compare.Disagreement) bool {
				return strings.Contains(c.JSON, `"matchlabels"`)
			},
		}},
	}
}

func compareLabelSelector(c objectCase, rec *compare.Record) {
	var theirs *metav1.LabelSelector
	var ours *selector.LabelSelector
	upstreamErr := upstreamjson.Unmarshal([]byte(c.JSON), &theirs)
	ourErr := json.Unmarshal([]byte(c.JSON), &ours)
	if upstreamErr != nil || ourErr != nil {
		rec.Text("labelselector", fmt.Sprint(upstreamErr == nil), fmt.Sprint(ourErr == nil))
		return
	}
	upstream, upstreamErr := metav1.LabelSelectorAsSelector(firstFault(theirs))
	compiled, ourErr := selector.Compile(ours)
	rec.Text("labelselector", outcome(upstreamErr), outcome(ourErr))
	if upstreamErr != nil || ourErr != nil {
		return
	}
	rec.Text("labelselector/print", upstream.String(), compiled.String())
	rec.Text("labelselector/match", fmt.Sprint(upstream.Matches(labels.Set(c.Labels))), ourMatch(compiled, c.Labels))
}

// firstFault leaves of several faulty matchLabels entries the first in key
// order: upstream reports a random one.
func firstFault(ls *metav1.LabelSelector) *metav1.LabelSelector {
	if ls == nil {
		return nil
	}
	for _, k := range slices.Sorted(maps.Keys(ls.MatchLabels)) {
		if _, err := labels.NewRequirement(k, selection.Equals, []string{ls.MatchLabels[k]}); err != nil {
			return &metav1.LabelSelector{MatchLabels: map[string]string{k: ls.MatchLabels[k]}}
		}
	}
	return ls
}

func nodeSelectorSuite() compare.Suite {
	return &compare.Cases[objectCase]{
		Parts:    []string{"nodeselector", "nodeselector/match", "nodeselector/lazy"},
		Generate: nodeCase(nodeSelectorText),
		Compare:  compareNodeSelector,
	}
}

func compareNodeSelector(c objectCase, rec *compare.Record) {
	var theirs v1.NodeSelector
	var ours selector.NodeSelector
	if err := upstreamjson.Unmarshal([]byte(c.JSON), &theirs); err != nil {
		panic(err)
	}
	if err := json.Unmarshal([]byte(c.JSON), &ours); err != nil {
		panic(err)
	}
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: c.Node, Labels: c.Labels}}
	own := selector.NewLabels(c.Labels)

	upstream, upstreamErr := nodeaffinity.NewNodeSelector(&theirs)
	eager, ourErr := selector.CompileNodeSelector(&ours)
	rec.Text("nodeselector", outcome(upstreamErr), outcome(ourErr))
	if upstreamErr == nil && ourErr == nil {
		rec.Text("nodeselector/match", fmt.Sprint(upstream.Match(node)), nodeMatch(eager, c, own))
	}
	lazy := selector.CompileNodeSelectorLazy(&ours)
	match, err := nodeaffinity.NewLazyErrorNodeSelector(&theirs).Match(node)
	got := nodeMatch(lazy, c, own)
	// Upstream tells the faults only of a node that no term matches.
	if got == "false" {
		got += " " + outcome(lazy.Err())
	} else {
		got += " accepted"
	}
	rec.Text("nodeselector/lazy", fmt.Sprint(match)+" "+outcome(err), got)
}

func nodeMatch(m selector.NodeMatcher, c objectCase, own selector.Labels) string {
	match := m.Matches(c.Node, own)
	if onMap := m.MatchesMap(c.Node, c.Labels); onMap != match {
		return fmt.Sprintf("%v on Labels, %v on the map", match, onMap)
	}
	return fmt.Sprint(match)
}

func preferredSuite() compare.Suite {
	return &compare.Cases[objectCase]{
		Parts:    []string{"preferred", "preferred/score"},
		Generate: nodeCase(preferredText),
		Compare: func(c objectCase, rec *compare.Record) {
			var theirs struct{ List []v1.PreferredSchedulingTerm }
			var ours struct {
				List []selector.PreferredSchedulingTerm
			}
			if err := json.Unmarshal([]byte(c.JSON), &theirs); err != nil {
				panic(err)
			}
			if err := json.Unmarshal([]byte(c.JSON), &ours); err != nil {
				panic(err)
			}
			upstream, upstreamErr := nodeaffinity.NewPreferredSchedulingTerms(theirs.List)
			compiled, ourErr := selector.CompilePreferred(ours.List)
			rec.Text("preferred", outcome(upstreamErr), outcome(ourErr))
			if upstreamErr != nil || ourErr != nil {
				return
			}
			node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: c.Node, Labels: c.Labels}}
			rec.Text("preferred/score", fmt.Sprint(upstream.Score(node)), fmt.Sprint(compiled.Score(c.Node, selector.NewLabels(c.Labels))))
		},
	}
}
