package scheduler

import (
	"fmt"
	"math/rand/v2"
)

// PreemptionArgs are the arguments of the DefaultPreemption plugin. The zero
// value tries every node that preemption may cure. Upstream's defaults are 10
// and 100.
type PreemptionArgs struct {
	// MinCandidatesPercent, of the nodes that may be cured, and MinCandidates
	// bound the search: it starts at a random node and ends when the larger of
	// the two is found, with at least one candidate that violates no budget.
	MinCandidatesPercent int
	MinCandidates        int
}

// Nomination is a node that will have room for the pod once the victims are
// gone.
type Nomination struct {
	Node string
	// Victims are namespace/name of the pods to remove, most important first.
	Victims []string
	// Violations is the number of victims whose removal violates a
	// PodDisruptionBudget.
	Violations int
}

// Preemption is what removing less important pods could do for a pod that fits
// nowhere.
type Preemption struct {
	// Eligible says that the pod may preempt at all; Message says why not.
	Eligible bool
	Message  string
	// Candidates are the nodes on which it would help, in scan order.
	Candidates []Nomination
	// Picked are the best candidates. Nothing tells them apart: upstream takes
	// any, Schedule the first in scan order.
	Picked []string
	// Rejections say why it would not help on the other nodes that were tried.
	Rejections []Rejection
}

// candidate is a node on which preemption helps.
type candidate struct {
	node       string
	victims    []*PodInfo
	violations int
}

// defaultPreemption makes room by removing less important pods from one node.
type defaultPreemption struct {
	args PreemptionArgs
}

func newPreemption(args PreemptionArgs) (*defaultPreemption, error) {
	if p := args.MinCandidatesPercent; p < 0 || p > 100 {
		return nil, configError("Preemption.MinCandidatesPercent", fmt.Sprint(p), "0 to 100")
	}
	if n := args.MinCandidates; n < 0 {
		return nil, configError("Preemption.MinCandidates", fmt.Sprint(n), "0 or more")
	}
	return &defaultPreemption{args}, nil
}

func (*defaultPreemption) Name() string { return "DefaultPreemption" }

// sample returns how many candidates are enough among n nodes, and with which
// node to begin.
func (pl *defaultPreemption) sample(n int, rng *rand.Rand) (want, start int) {
	if pl.args == (PreemptionArgs{}) || n == 0 {
		return n, 0
	}
	want = max(n*pl.args.MinCandidatesPercent/100, pl.args.MinCandidates)
	return min(want, n), rng.IntN(n)
}

// PostFilter nominates the best candidate.
func (pl *defaultPreemption) PostFilter(c *Cycle, fit *FitError) (*Nomination, Status) {
	if message := c.ineligible(fit); message != "" {
		return nil, unhelpful(message)
	}
	var best *candidate
	var rejections []Rejection
	if c.candidates != nil && pl.args == (PreemptionArgs{}) {
		if best = c.candidates.best(c, fit); best == nil {
			rejections = c.candidates.rejections(c.Nodes)
		}
	} else {
		var candidates []candidate
		if candidates, rejections = c.dryRun(fit, pl); len(candidates) > 0 {
			best = &pick(candidates)[0]
		}
	}
	if best == nil {
		for i := range rejections {
			if v := &rejections[i].Status; v.Code == Failed {
				return nil, Status{Code: Failed, Err: fmt.Errorf("preemption: %w", v.Err)}
			}
		}
		inner := FitError{NumNodes: len(c.Nodes), Absent: RejectFinally(ReasonPreemptionUnhelpful)}
		for _, r := range rejections {
			inner.rejected.add(&NodeInfo{Name: r.Node}, r.Plugin, r.Status)
		}
		// An empty nomination ends the one that the pod may have had.
		return &Nomination{}, unhelpful(inner.Error())
	}
	nomination := best.nomination()
	return &nomination, Status{}
}

func unhelpful(message string) Status {
	return Status{Code: Unschedulable, Details: []string{"preemption: " + message}}
}

func (d *candidate) nomination() Nomination {
	n := Nomination{Node: d.node, Violations: d.violations}
	for _, v := range d.victims {
		n.Victims = append(n.Victims, v.Name())
	}
	return n
}

// ineligible returns why the pod may not preempt, "" when it may. A pod that
// has preempted already waits while its victims terminate.
func (c *Cycle) ineligible(fit *FitError) string {
	p := c.Pod.Pod
	if p.Spec.PreemptionPolicy != nil && *p.Spec.PreemptionPolicy == "Never" {
		return "not eligible due to preemptionPolicy=Never."
	}
	nominated := p.Status.NominatedNodeName
	if nominated == "" {
		return ""
	}
	if v, _ := fit.NodeStatus(nominated); v.Code == UnschedulableAndUnresolvable {
		return ""
	}
	n := c.cache.node(nominated)
	if n == nil || n.Node == nil {
		return ""
	}
	for _, q := range n.Pods {
		if q.Priority < c.Pod.Priority && q.preempted() {
			return "not eligible due to a terminating pod on the nominated node."
		}
	}
	return ""
}

// preempted says that the pod terminates because the scheduler removed it.
func (p *PodInfo) preempted() bool {
	if !p.terminating() {
		return false
	}
	for _, condition := range p.Pod.Status.Conditions {
		if condition.Type == "DisruptionTarget" {
			return condition.Status == "True" && condition.Reason == "PreemptionByScheduler"
		}
	}
	return false
}

// dryRun tries the nodes that were rejected for a reason which preemption may
// cure: all of them, or as many as pl asks for.
func (c *Cycle) dryRun(fit *FitError, pl *defaultPreemption) (candidates []candidate, rejections []Rejection) {
	nodes := c.curable(fit)
	want, start := pl.sample(len(nodes), c.rng)
	harmless := 0
	for i := range nodes {
		if harmless > 0 && len(candidates) >= want {
			break
		}
		n := nodes[(start+i)%len(nodes)]
		found, v, plugin := c.victimsOn(n)
		if v, plugin = c.judged(&found, v, plugin); v.Code != Success {
			rejections = append(rejections, Rejection{Node: n.Name, Plugin: plugin, Status: v})
			continue
		}
		candidates = append(candidates, found)
		if found.violations == 0 {
			harmless++
		}
	}
	return candidates, rejections
}

// judged is the verdict on what was found on a node: without victims it is a
// fault (kube-scheduler 1.36).
func (c *Cycle) judged(found *candidate, v Status, plugin string) (Status, string) {
	if v.Code == Success && len(found.victims) == 0 {
		return Status{Code: Failed, Err: fmt.Errorf("expected at least one victim pod on node %q", found.node)}, ""
	}
	return v, plugin
}

// curable returns the nodes that were rejected for reasons which the removal of
// pods may cure, in the order of all nodes: where the scan began plays no part.
func (c *Cycle) curable(fit *FitError) []*NodeInfo {
	if fit.PreFilter.Code == Unschedulable {
		return c.Nodes
	}
	marked := make([]bool, len(c.Nodes))
	count := 0
	for n, v := range fit.rejected.all() {
		if v.status.Code == Unschedulable {
			marked[c.cache.at[n.slot]] = true
			count++
		}
	}
	nodes := make([]*NodeInfo, 0, count)
	for i, n := range c.Nodes {
		if marked[i] {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// victimsOn finds a small set of pods whose removal from the node makes room:
// all less important pods are removed, then one by one, the most important
// first, those are put back with which the pod still fits. Pods that a
// disruption budget protects are put back first.
func (c *Cycle) victimsOn(node *NodeInfo) (candidate, Status, string) {
	pool := c.lessImportantOn(node)
	if len(pool) == 0 {
		return candidate{}, RejectFinally(ReasonNoVictims), ""
	}
	trial, n := c.trial(node)
	for _, q := range pool {
		trial.removePod(q, n)
	}
	if v, plugin := trial.filter(n); v.Code != Success {
		return candidate{}, v, plugin
	}
	out := c.reprieve(node, pool, func(q *PodInfo) bool {
		trial.addPod(q, n)
		v, _ := trial.filter(n)
		if v.Code != Success {
			trial.removePod(q, n)
		}
		return v.Code == Success
	})
	return out, Status{}, ""
}

// lessImportantOn returns the pods on a node that may have to go, in memory
// that the next call uses again.
func (c *Cycle) lessImportantOn(n *NodeInfo) []*PodInfo {
	c.pool = c.pool[:0]
	for _, q := range n.Pods {
		if q.Priority < c.Pod.Priority {
			c.pool = append(c.pool, q)
		}
	}
	return c.pool
}

// reprieve puts back as many of the removed pods as it can, in order; putBack
// says whether the pod still fits beside one more.
func (c *Cycle) reprieve(node *NodeInfo, pool []*PodInfo, putBack func(*PodInfo) bool) candidate {
	byImportance(pool)
	protected, free := c.cache.splitByBudget(pool)
	out := candidate{node: node.Name}
	for i, group := range [...][]*PodInfo{protected, free} {
		for _, q := range group {
			if putBack(q) {
				continue
			}
			if out.victims == nil {
				out.victims = make([]*PodInfo, 0, len(pool))
			}
			out.victims = append(out.victims, q)
			if i == 0 {
				out.violations++
			}
		}
	}
	if len(protected) > 0 && len(free) > 0 {
		byImportance(out.victims)
	}
	return out
}

// trial returns a cycle and a copy of the node on which pods can be added and
// removed; the copy's memory is used again by the next trial. Where no plugin
// follows such changes the cycle itself will do.
func (c *Cycle) trial(node *NodeInfo) (*Cycle, *NodeInfo) {
	if c.scratch == nil {
		c.scratch = new(NodeInfo)
	}
	node.copyTo(c.scratch)
	for _, pl := range c.profile.trackers {
		if !c.skipFilter[pl.number] {
			return c.fork(), c.scratch
		}
	}
	return c, c.scratch
}

// DryRunPreemption says which pods would have to go for the pod to fit, on
// every node, whatever PreemptionArgs say. When it fits anyway the result is
// not eligible. The errors are those of Schedule.
func (s *Scheduler) DryRunPreemption(pod *Pod) (out *Preemption, err error) {
	err = s.inCycle(pod, func(c *Cycle) error {
		start := s.start
		fit, _, err := s.feasibleNodes(c)
		s.start = start
		switch {
		case err != nil:
			return err
		case len(s.feasible) > 0:
			out = &Preemption{Message: "the pod fits without preemption"}
		default:
			out = c.preemption(fit)
		}
		return nil
	})
	return out, err
}

// inCycle begins a cycle for a pod over the nodes there are, as Schedule does, and
// calls ask in it, with the scheduler and its cache locked.
func (s *Scheduler) inCycle(pod *Pod, ask func(*Cycle) error) error {
	p, err := s.config.Cache.compile(pod)
	if err != nil {
		return err
	}
	profile, err := s.profileOf(p)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cache := s.config.Cache
	cache.mu.Lock()
	defer cache.mu.Unlock()
	nodes := cache.refresh()
	if len(nodes) == 0 {
		return ErrNoNodes
	}
	s.cycle.begin(s, profile, p, nodes)
	return ask(&s.cycle)
}

func (c *Cycle) preemption(fit *FitError) *Preemption {
	out := &Preemption{Message: c.ineligible(fit)}
	if out.Message != "" {
		return out
	}
	out.Eligible = true
	candidates, rejections := c.dryRun(fit, &defaultPreemption{})
	out.Rejections = rejections
	for i := range candidates {
		out.Candidates = append(out.Candidates, candidates[i].nomination())
	}
	if len(candidates) > 0 {
		for _, d := range pick(candidates) {
			out.Picked = append(out.Picked, d.node)
		}
	}
	return out
}
