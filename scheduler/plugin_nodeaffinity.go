package scheduler

import (
	"maps"

	"github.com/orchcore/orchcore/selector"
)

// nodeRequirement is which nodes a pod accepts by their labels and name: its
// nodeSelector and its required node affinity together.
type nodeRequirement struct {
	any      bool // neither is given
	labels   selector.Selector
	affinity selector.NodeMatcher
}

// compileNodeRequirement compiles leniently: a term that cannot be parsed
// never matches, other terms still may.
func compileNodeRequirement(p *Pod) nodeRequirement {
	r := nodeRequirement{labels: selector.FromMap(p.Spec.NodeSelector)}
	required := requiredNodeAffinity(p)
	r.any = p.Spec.NodeSelector == nil && required == nil
	r.affinity = selector.CompileNodeSelectorLazy(required)
	return r
}

func (r *nodeRequirement) matches(n *NodeInfo) bool {
	return r.any || r.labels.Matches(n.Labels) && r.affinity.Matches(n.Name, n.Labels)
}

func requiredNodeAffinity(p *Pod) *selector.NodeSelector {
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		return a.NodeAffinity.Required
	}
	return nil
}

// NodeAffinityArgs are the arguments of the NodeAffinity plugin.
type NodeAffinityArgs struct {
	// Added is node affinity that every pod of the profile has in addition to
	// its own.
	Added *NodeAffinity
}

// nodeAffinity keeps pods on the nodes that they select, and prefers those
// that match their preferred terms.
type nodeAffinity struct {
	added     *selector.NodeMatcher
	preferred selector.Preferred
}

func newNodeAffinity(args NodeAffinityArgs) (*nodeAffinity, error) {
	p := &nodeAffinity{}
	if args.Added == nil {
		return p, nil
	}
	if required := args.Added.Required; required != nil {
		m, err := selector.CompileNodeSelector(required)
		if err != nil {
			return nil, &ConfigError{Field: "NodeAffinity.Added.Required", Err: err}
		}
		p.added = &m
	}
	preferred, err := selector.CompilePreferred(args.Added.Preferred)
	if err != nil {
		return nil, &ConfigError{Field: "NodeAffinity.Added.Preferred", Err: err}
	}
	p.preferred = preferred
	return p, nil
}

func (*nodeAffinity) Name() string { return "NodeAffinity" }

// PreFilter narrows the scan to the nodes that the pod names, when every term
// of its affinity names some.
func (pl *nodeAffinity) PreFilter(c *Cycle) (map[string]bool, Status) {
	if pl.added == nil && c.Pod.nodes.any {
		return nil, Status{Code: Skip}
	}
	required := requiredNodeAffinity(c.Pod.Pod)
	if required == nil || len(required.NodeSelectorTerms) == 0 {
		return nil, Status{}
	}
	var names map[string]bool
	for i := range required.NodeSelectorTerms {
		named, ok := namesIn(&required.NodeSelectorTerms[i])
		if !ok {
			return nil, Status{}
		}
		if names == nil {
			names = make(map[string]bool)
		}
		maps.Copy(names, named)
	}
	if len(names) == 0 {
		return nil, Status{Code: UnschedulableAndUnresolvable, Details: conflictDetails}
	}
	return names, Status{}
}

var conflictDetails = []string{"pod affinity terms conflict"}

// namesIn returns the node names that a term allows; ok is false when it does
// not name nodes. Requirements within a term are ANDed.
func namesIn(term *selector.NodeSelectorTerm) (names map[string]bool, ok bool) {
	for _, r := range term.MatchFields {
		if r.Key != "metadata.name" || r.Operator != "In" {
			continue
		}
		allowed := make(map[string]bool, len(r.Values))
		for _, v := range r.Values {
			if names == nil || names[v] {
				allowed[v] = true
			}
		}
		names = allowed
	}
	return names, names != nil
}

func (pl *nodeAffinity) Filter(c *Cycle, n *NodeInfo) Status {
	if pl.added != nil && !pl.added.Matches(n.Name, n.Labels) {
		return RejectFinally(ReasonEnforcedAffinity)
	}
	if !c.Pod.nodes.matches(n) {
		return RejectFinally(ReasonNodeAffinity)
	}
	return Status{}
}

// PreScore fails on a preferred term that cannot be parsed. It runs only when
// several nodes are feasible, so that such a pod is placed when there is one
// (kube-scheduler 1.36).
func (pl *nodeAffinity) PreScore(c *Cycle, _ []*NodeInfo) Status {
	var terms []selector.PreferredSchedulingTerm
	if a := c.Pod.Pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		terms = a.NodeAffinity.Preferred
	}
	if terms == nil && pl.preferred.Len() == 0 {
		return Status{Code: Skip}
	}
	preferred, err := selector.CompilePreferred(terms)
	if err != nil {
		return Status{Code: Failed, Err: err}
	}
	c.preferred = preferred
	return Status{}
}

func (pl *nodeAffinity) Score(c *Cycle, n *NodeInfo) int64 {
	return pl.preferred.Score(n.Name, n.Labels) + c.preferred.Score(n.Name, n.Labels)
}

func (*nodeAffinity) Normalize(_ *Cycle, _ []*NodeInfo, scores []int64) {
	normalize(scores, false)
}
