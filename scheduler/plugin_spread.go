package scheduler

import (
	"fmt"
	"maps"
	"math"

	"github.com/orchcore/orchcore/selector"
)

// The words of a TopologySpreadConstraint.
const (
	doNotSchedule  = "DoNotSchedule"
	scheduleAnyway = "ScheduleAnyway"
	policyHonor    = "Honor"
	policyIgnore   = "Ignore"
)

// SpreadArgs are the arguments of the PodTopologySpread plugin.
type SpreadArgs struct {
	// Defaults apply to pods that have no constraints of their own but belong
	// to a service or controller. nil means upstream's: soft, by host with
	// maxSkew 3 and by zone with maxSkew 5. An empty list turns them off.
	Defaults []TopologySpreadConstraint
}

var systemDefaults = []TopologySpreadConstraint{
	{TopologyKey: LabelHostname, WhenUnsatisfiable: scheduleAnyway, MaxSkew: 3},
	{TopologyKey: LabelZone, WhenUnsatisfiable: scheduleAnyway, MaxSkew: 5},
}

// topologySpread keeps pods evenly spread over topology domains: hard
// constraints filter, soft ones score.
type topologySpread struct {
	defaults []spreadConstraint
	// lenient: with the system's defaults nodes without the labels take part.
	lenient bool
}

func newTopologySpread(args SpreadArgs) (*topologySpread, error) {
	wire := args.Defaults
	pl := &topologySpread{lenient: wire == nil}
	if wire == nil {
		wire = systemDefaults
	}
	for i := range wire {
		v := validator{object: "default constraint"}
		v.spread(fmt.Sprintf("Spread.Defaults[%d]", i), &wire[i])
		if v.first == nil && wire[i].LabelSelector != nil {
			v.fault(fmt.Sprintf("Spread.Defaults[%d].LabelSelector", i), "", "none: it follows from services and owners")
		}
		if v.first != nil {
			return nil, configError(v.first.Field, v.first.Value, v.first.Want)
		}
		pl.defaults = append(pl.defaults, compileConstraint(&wire[i], selector.Labels{}))
	}
	return pl, nil
}

// spreadConstraint is a compiled constraint.
type spreadConstraint struct {
	action      string // whenUnsatisfiable
	key         string
	maxSkew     int64
	minDomains  int
	pods        selector.Selector
	honorNodes  bool // nodes that the pod's node affinity excludes do not count
	honorTaints bool // nodes with untolerated taints do not count
	err         error
}

// compileSpread compiles the pod's own constraints.
func compileSpread(p *PodInfo) []spreadConstraint {
	var list []spreadConstraint
	for i := range p.Pod.Spec.TopologySpreadConstraints {
		list = append(list, compileConstraint(&p.Pod.Spec.TopologySpreadConstraints[i], p.Labels))
	}
	return list
}

func compileConstraint(wire *TopologySpreadConstraint, podLabels selector.Labels) spreadConstraint {
	c := spreadConstraint{
		action:     wire.WhenUnsatisfiable,
		key:        wire.TopologyKey,
		maxSkew:    int64(wire.MaxSkew),
		minDomains: 1,
		honorNodes: wire.NodeAffinityPolicy == nil || *wire.NodeAffinityPolicy == policyHonor,
	}
	if wire.NodeTaintsPolicy != nil {
		c.honorTaints = *wire.NodeTaintsPolicy == policyHonor
	}
	if wire.MinDomains != nil {
		c.minDomains = int(*wire.MinDomains)
	}
	if c.pods, c.err = selector.Compile(wire.LabelSelector); c.err != nil {
		return c
	}
	c.pods = narrowByKeys(c.pods, wire.MatchLabelKeys, podLabels)
	return c
}

// narrowByKeys adds key=value for each of the keys that the pod has (KEP-3243).
// A selector that selects nothing stays so.
func narrowByKeys(pods selector.Selector, keys []string, podLabels selector.Labels) selector.Selector {
	match := make(map[string]string)
	for _, key := range keys {
		if value, ok := podLabels.Lookup(key); ok {
			match[key] = value
		}
	}
	requirements, ok := pods.Requirements()
	if len(match) == 0 || !ok {
		return pods
	}
	return selector.FromMap(match).Add(requirements...)
}

// includes says that the node takes part in the constraint for this pod.
func (sc *spreadConstraint) includes(c *Cycle, n *NodeInfo) bool {
	if sc.honorNodes && !c.Pod.nodes.matches(n) {
		return false
	}
	return !sc.honorTaints || untoleratedTaint(n, c.Pod.Pod.Spec.Tolerations) == nil
}

// count is the number of pods on the node that the constraint selects.
// Terminating pods do not count (kubernetes #87621), and neither does anything
// when the selector is empty.
func (sc *spreadConstraint) count(c *Cycle, n *NodeInfo) int64 {
	if sc.pods.IsEverything() {
		return 0
	}
	var count int64
	for _, p := range n.Pods {
		if !p.terminating() && p.Namespace == c.Pod.Namespace && sc.pods.Matches(p.Labels) {
			count++
		}
	}
	return count
}

// hasKeys says that the node has the labels of all constraints.
func hasKeys(n *NodeInfo, constraints []spreadConstraint) bool {
	for i := range constraints {
		if _, ok := n.Labels.Lookup(constraints[i].key); !ok {
			return false
		}
	}
	return true
}

// spreadState is what the plugin knows within a cycle.
type spreadState struct {
	hard   []spreadConstraint
	counts []map[string]int64 // per hard constraint: pods by domain
	low    []int64            // per hard constraint: the smallest count

	soft    []spreadConstraint
	domains []map[string]int64 // per soft constraint: pods by domain
	weights []float64          // per soft constraint
	ignored map[*NodeInfo]bool // feasible nodes that lack a label
}

// reset empties the state, keeping its memory.
func (s spreadState) reset() spreadState {
	clear(s.ignored)
	return spreadState{
		hard: s.hard[:0], counts: s.counts[:0], low: s.low[:0],
		soft: s.soft[:0], domains: s.domains[:0], weights: s.weights[:0],
		ignored: s.ignored,
	}
}

// clone copies what AddPod and RemovePod change.
func (s spreadState) clone() spreadState {
	counts := make([]map[string]int64, len(s.counts))
	for i, m := range s.counts {
		counts[i] = maps.Clone(m)
	}
	s.counts = counts
	s.low = append([]int64(nil), s.low...)
	return s
}

// appendMap grows a list by one empty map, reusing one that was there before.
func appendMap(list []map[string]int64) []map[string]int64 {
	if len(list) < cap(list) {
		list = list[:len(list)+1]
		if last := list[len(list)-1]; last != nil {
			clear(last)
			return list
		}
		list[len(list)-1] = make(map[string]int64)
		return list
	}
	return append(list, make(map[string]int64))
}

// constraints appends those with one action that apply to the pod: its own, or
// the defaults when it has none of any action.
func (pl *topologySpread) constraints(c *Cycle, dst []spreadConstraint, action string) ([]spreadConstraint, error) {
	if len(c.Pod.spread) == 0 {
		return pl.defaulted(c, dst, action), nil
	}
	for _, sc := range c.Pod.spread {
		if sc.action != action {
			continue
		}
		if sc.err != nil {
			return nil, sc.err
		}
		dst = append(dst, sc)
	}
	return dst, nil
}

func (pl *topologySpread) defaulted(c *Cycle, dst []spreadConstraint, action string) []spreadConstraint {
	for _, sc := range pl.defaults {
		if sc.action == action {
			dst = append(dst, sc)
		}
	}
	if len(dst) == 0 {
		return dst
	}
	pods := c.cache.owners.defaultSelector(c.Pod)
	if pods.IsEverything() {
		return dst[:0]
	}
	for i := range dst {
		dst[i].pods = pods
	}
	return dst
}

func (*topologySpread) Name() string { return "PodTopologySpread" }

// PreFilter counts pods by domain for the hard constraints.
func (pl *topologySpread) PreFilter(c *Cycle) (map[string]bool, Status) {
	s := &c.spread
	var err error
	if s.hard, err = pl.constraints(c, s.hard[:0], doNotSchedule); err != nil {
		return nil, Status{Code: Failed, Err: fmt.Errorf("get constraints from pod: obtaining pod's hard topology spread constraints: %w", err)}
	}
	if len(s.hard) == 0 {
		return nil, Status{Code: Skip}
	}
	s.counts, s.low = s.counts[:0], s.low[:0]
	for range s.hard {
		s.counts = appendMap(s.counts)
		s.low = append(s.low, 0)
	}
	for _, n := range c.Nodes {
		if !hasKeys(n, s.hard) {
			continue
		}
		for i := range s.hard {
			if sc := &s.hard[i]; sc.includes(c, n) {
				value, _ := n.Labels.Lookup(sc.key)
				s.counts[i][value] += sc.count(c, n)
			}
		}
	}
	for i := range s.hard {
		s.findLow(i)
	}
	return nil, Status{}
}

// findLow finds the smallest count of a constraint. With fewer domains than
// minDomains it is 0, so that new domains are opened (KEP-3022).
func (s *spreadState) findLow(i int) {
	low := int64(math.MaxInt32)
	for _, count := range s.counts[i] {
		low = min(low, count)
	}
	if len(s.counts[i]) < s.hard[i].minDomains {
		low = 0
	}
	s.low[i] = low
}

func (pl *topologySpread) AddPod(c *Cycle, p *PodInfo, n *NodeInfo) {
	c.spread.recount(c, p, n, 1)
}

func (pl *topologySpread) RemovePod(c *Cycle, p *PodInfo, n *NodeInfo) {
	c.spread.recount(c, p, n, -1)
}

// recount follows one pod. Here terminating pods do count (kube-scheduler
// 1.36).
func (s *spreadState) recount(c *Cycle, p *PodInfo, n *NodeInfo, delta int64) {
	if p.Namespace != c.Pod.Namespace || !hasKeys(n, s.hard) {
		return
	}
	for i := range s.hard {
		sc := &s.hard[i]
		if !sc.pods.Matches(p.Labels) || !sc.includes(c, n) {
			continue
		}
		value, _ := n.Labels.Lookup(sc.key)
		s.counts[i][value] += delta
		s.findLow(i)
	}
}

// Filter rejects a node whose domain, with the pod in it, would be more than
// maxSkew above the smallest.
func (*topologySpread) Filter(c *Cycle, n *NodeInfo) Status {
	s := &c.spread
	for i := range s.hard {
		sc := &s.hard[i]
		value, ok := n.Labels.Lookup(sc.key)
		if !ok {
			return RejectFinally(ReasonSpreadLabel)
		}
		if s.skew(c, i, value) > sc.maxSkew {
			return Reject(ReasonSpread)
		}
	}
	return Status{}
}

// skew is how far the domain, with the pod in it, is above the smallest.
func (s *spreadState) skew(c *Cycle, i int, value string) int64 {
	count := s.counts[i][value] - s.low[i]
	if s.hard[i].pods.Matches(c.Pod.Labels) {
		count++
	}
	return count
}

// PreScore opens a domain for each value that a feasible node has, and counts
// the pods of all nodes in them.
func (pl *topologySpread) PreScore(c *Cycle, feasible []*NodeInfo) Status {
	s := &c.spread
	var err error
	if s.soft, err = pl.constraints(c, s.soft[:0], scheduleAnyway); err != nil {
		return Status{Code: Failed, Err: fmt.Errorf("calculating preScoreState: obtaining pod's soft topology spread constraints: %w", err)}
	}
	if len(s.soft) == 0 {
		return Status{Code: Skip}
	}
	strict := len(c.Pod.spread) > 0 || !pl.lenient
	s.openDomains(feasible, strict)
	for _, n := range c.Nodes {
		if strict && !hasKeys(n, s.soft) {
			continue
		}
		for i := range s.soft {
			sc := &s.soft[i]
			value, _ := n.Labels.Lookup(sc.key)
			if _, open := s.domains[i][value]; open && sc.includes(c, n) {
				s.domains[i][value] += sc.count(c, n)
			}
		}
	}
	return Status{}
}

// openDomains also weighs the constraints: the more domains, the more a pod in
// one of them counts. By hostname each node is its own domain, counted when it
// is scored. When nodes need not have the labels, those without share the
// domain "".
func (s *spreadState) openDomains(feasible []*NodeInfo, strict bool) {
	if s.ignored == nil {
		s.ignored = make(map[*NodeInfo]bool)
	}
	clear(s.ignored)
	s.domains, s.weights = s.domains[:0], s.weights[:0]
	for range s.soft {
		s.domains = appendMap(s.domains)
	}
	for _, n := range feasible {
		if strict && !hasKeys(n, s.soft) {
			s.ignored[n] = true
			continue
		}
		for i := range s.soft {
			if key := s.soft[i].key; key != LabelHostname {
				value, _ := n.Labels.Lookup(key)
				s.domains[i][value] = 0
			}
		}
	}
	for i := range s.soft {
		size := len(s.domains[i])
		if s.soft[i].key == LabelHostname {
			size = len(feasible) - len(s.ignored)
		}
		s.weights = append(s.weights, math.Log(float64(size+2)))
	}
}

// Score is the weighted number of pods in the node's domains: more is worse.
func (*topologySpread) Score(c *Cycle, n *NodeInfo) int64 {
	s := &c.spread
	if s.ignored[n] {
		return 0
	}
	var score float64
	for i := range s.soft {
		sc := &s.soft[i]
		value, ok := n.Labels.Lookup(sc.key)
		if !ok {
			continue
		}
		count := s.domains[i][value]
		if sc.key == LabelHostname {
			count = sc.count(c, n)
		}
		score += float64(float64(count)*s.weights[i]) + float64(sc.maxSkew-1)
	}
	return int64(math.Round(score))
}

// Normalize turns counts round, so that the emptiest domain is best. A raw
// score of -1, which only a negative maxSkew gives, is upstream's mark for
// ignored nodes.
func (*topologySpread) Normalize(c *Cycle, feasible []*NodeInfo, scores []int64) {
	ignored := c.spread.ignored
	low, high := int64(math.MaxInt64), int64(0)
	for i, n := range feasible {
		if !ignored[n] {
			low, high = min(low, scores[i]), max(high, scores[i])
		}
	}
	for i, n := range feasible {
		switch {
		case ignored[n], scores[i] == -1:
			scores[i] = 0
		case high == 0:
			scores[i] = MaxNodeScore
		default:
			scores[i] = MaxNodeScore * (high + low - scores[i]) / high
		}
	}
}
