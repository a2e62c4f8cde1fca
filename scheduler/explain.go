package scheduler

import "slices"

// Explanation says what every node means for a pod.
type Explanation struct {
	Pod string
	// PreFilter is the verdict that rejected the pod before any node was
	// looked at, PreFilterPlugin its plugin; "" when none did.
	PreFilter       Status
	PreFilterPlugin string
	// Nominated says that the pod's nominated node admits it: only that node
	// is considered then.
	Nominated bool
	// Narrowed holds the nodes that PreFilter narrowed the scan to, in scan
	// order; nil when it did not.
	Narrowed []string
	// Nodes holds the nodes that were looked at, in scan order.
	Nodes []NodeExplanation
	// Fit is the error that Schedule would return, nil when a node is
	// feasible.
	Fit *FitError
}

// NodeExplanation is what one node means for the pod.
type NodeExplanation struct {
	Node string
	// Status is the verdict of the first plugin that rejected the node, Plugin
	// its name; Success and "" when none did.
	Status Status
	Plugin string
	// Score is the total of Plugins. Both are empty on rejected nodes.
	Score   int64
	Plugins []PluginScore
	// Changes are what would have to be different for the node to admit the
	// pod, as far as all filters are concerned. Nil on feasible nodes.
	Changes []Change
}

// Explain looks at all nodes and scores all feasible ones, even a single one,
// without deciding. The errors are those of Schedule; that no node fits is not
// an error here. When a plugin fails the Explanation comes with the error, as
// far as it got.
func (s *Scheduler) Explain(pod *Pod) (out *Explanation, err error) {
	err = s.inCycle(pod, func(c *Cycle) error {
		out, err = s.explain(c)
		return err
	})
	return out, err
}

func (s *Scheduler) explain(c *Cycle) (*Explanation, error) {
	out := &Explanation{Pod: c.Pod.Name()}
	fit := newFitError(c)
	s.feasible = s.feasible[:0]
	narrow := c.preFilter()
	switch {
	case narrow.verdict.Code == Failed:
		out.PreFilter, out.PreFilterPlugin = narrow.verdict, narrow.plugin
		return out, narrow.verdict.Err
	case narrow.verdict.Rejected():
		fit.PreFilter, fit.PreFilterPlugin = narrow.verdict, narrow.plugin
		out.PreFilter, out.PreFilterPlugin = narrow.verdict, narrow.plugin
	case s.tryNominated(c, &narrow, newFitError(c)):
		out.Nominated = true
		out.Nodes = append(out.Nodes, NodeExplanation{Node: s.feasible[0].Name})
	default:
		if err := s.explainNodes(c, narrow, fit, out); err != nil {
			return out, err
		}
	}
	if len(s.feasible) == 0 {
		s.postFilter(c, fit)
		out.Fit = fit
		return out, nil
	}
	if err := s.scores.fill(c, s.feasible); err != nil {
		return out, err
	}
	at := 0
	for i := range out.Nodes {
		if n := &out.Nodes[i]; n.Status.Code == Success {
			n.Score, n.Plugins = s.scores.total[at], s.scores.plugins(at)
			at++
		}
	}
	return out, nil
}

// explainNodes filters every node.
func (s *Scheduler) explainNodes(c *Cycle, narrow narrowing, fit *FitError, out *Explanation) error {
	nodes := c.Nodes
	if narrow.only != nil {
		nodes = named(c.Nodes, narrow.only)
		out.Narrowed = make([]string, 0, len(nodes))
		for _, n := range nodes {
			out.Narrowed = append(out.Narrowed, n.Name)
		}
		fit.Absent = absentVerdict(narrow.by)
	}
	for _, n := range nodes {
		v, plugin := c.filter(n)
		switch v.Code {
		case Failed:
			// Nothing is feasible when the scan was not finished.
			out.Nodes = slices.DeleteFunc(out.Nodes, func(e NodeExplanation) bool { return e.Status.Code == Success })
			return v.Err
		case Success:
			s.feasible = append(s.feasible, n)
		default:
			fit.rejected.add(n, plugin, v)
		}
		e := NodeExplanation{Node: n.Name, Status: v, Plugin: plugin}
		if v.Rejected() {
			e.Changes = c.changes(n)
		}
		out.Nodes = append(out.Nodes, e)
	}
	return nil
}

// Best returns the names of the feasible nodes with the highest score, in scan
// order.
func (e *Explanation) Best() []string {
	var best []string
	var top int64
	for i := range e.Nodes {
		n := &e.Nodes[i]
		if n.Status.Code != Success {
			continue
		}
		if len(best) == 0 || n.Score > top {
			best, top = best[:0], n.Score
		}
		if n.Score == top {
			best = append(best, n.Node)
		}
	}
	return best
}
