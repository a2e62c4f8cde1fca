package scheduler

import (
	"fmt"
	"maps"
	"math"

	"github.com/orchcore/orchcore/selector"
)

// InterPodAffinityArgs are the arguments of the InterPodAffinity plugin.
type InterPodAffinityArgs struct {
	// HardWeight is what a required affinity term of a running pod adds to the
	// score, as if it were preferred; nil means 1, upstream's default.
	HardWeight *int32
	// IgnoreExistingPreferred leaves the preferred terms of running pods out
	// when the pending pod has none.
	IgnoreExistingPreferred bool
	// FixNamespaceSelector repairs kubernetes #141526: a namespaceSelector
	// with NotIn or DoesNotExist selects what it says, not every namespace.
	FixNamespaceSelector bool
}

// interPodAffinity brings pods together and keeps them apart by topology
// domain: all nodes that agree on the value of a label form a domain.
type interPodAffinity struct {
	hardWeight     int64
	ignoreExisting bool
	fixed          bool
}

func newInterPodAffinity(args InterPodAffinityArgs) (*interPodAffinity, error) {
	p := &interPodAffinity{hardWeight: 1, ignoreExisting: args.IgnoreExistingPreferred, fixed: args.FixNamespaceSelector}
	if w := args.HardWeight; w != nil {
		if *w < 0 || *w > 100 {
			return nil, configError("InterPodAffinity.HardWeight", fmt.Sprint(*w), "0 to 100")
		}
		p.hardWeight = int64(*w)
	}
	return p, nil
}

// domain is one value of a topology key.
type domain struct{ key, value string }

// domainCounts counts matches by domain. Domains that fall to zero are
// removed, so that an empty map means no match anywhere.
type domainCounts map[domain]int64

func (m domainCounts) add(n *NodeInfo, key string, delta int64) {
	value, ok := n.Labels.Lookup(key)
	if !ok {
		return
	}
	d := domain{key, value}
	if m[d] += delta; m[d] == 0 {
		delete(m, d)
	}
}

// interPodState is what the plugin knows within a cycle.
type interPodState struct {
	// The required terms of the pending pod.
	affinity, anti []affinityTerm
	namespace      selector.Labels // labels of the pod's namespace

	// existing counts terms of running pods that repel the pod; together and
	// apart count running pods that the pod's own terms select.
	existing, together, apart domainCounts

	// scores adds up weights for the score, booked says that there are any.
	scores map[domain]int64
	keys   []string // topology keys in scores
	booked bool
}

// reset empties the state, keeping its memory.
func (s interPodState) reset() interPodState {
	clear(s.existing)
	clear(s.together)
	clear(s.apart)
	clear(s.scores)
	return interPodState{
		existing: s.existing, together: s.together, apart: s.apart,
		scores: s.scores, keys: s.keys[:0],
	}
}

// clone copies what AddPod and RemovePod change.
func (s interPodState) clone() interPodState {
	s.existing = maps.Clone(s.existing)
	s.together = maps.Clone(s.together)
	s.apart = maps.Clone(s.apart)
	return s
}

func (*interPodAffinity) Name() string { return "InterPodAffinity" }

func (pl *interPodAffinity) PreFilter(c *Cycle) (map[string]bool, Status) {
	p, s := c.Pod, &c.interPod
	if p.affinityErr != nil {
		return nil, Status{Code: UnschedulableAndUnresolvable, Details: []string{"parsing pod: " + p.affinityErr.Error()}}
	}
	if s.existing == nil {
		s.existing, s.together, s.apart = domainCounts{}, domainCounts{}, domainCounts{}
	}
	s.affinity = c.unroll(p.required, pl.fixed)
	s.anti = c.unroll(p.requiredAnti, pl.fixed)
	s.namespace, _ = c.NamespaceLabels(p.Namespace)
	own := len(s.affinity)+len(s.anti) > 0
	for _, n := range c.Nodes {
		for _, q := range n.WithAntiAffinity {
			s.countExisting(p, q, n, 1)
		}
		if !own {
			continue
		}
		for _, q := range n.Pods {
			s.countOwn(q, n, 1)
		}
	}
	if !own && len(s.existing) == 0 {
		return nil, Status{Code: Skip}
	}
	return nil, Status{}
}

// countExisting counts the terms with which a running pod repels the pending
// one.
func (s *interPodState) countExisting(p, running *PodInfo, n *NodeInfo, delta int64) {
	for i := range running.requiredAnti {
		if t := &running.requiredAnti[i]; t.matches(p, s.namespace) {
			s.existing.add(n, t.key, delta)
		}
	}
}

// countOwn counts a running pod for the pending pod's terms: for affinity when
// all terms select it, for anti-affinity term by term.
func (s *interPodState) countOwn(running *PodInfo, n *NodeInfo, delta int64) {
	if matchesAll(s.affinity, running) {
		for i := range s.affinity {
			s.together.add(n, s.affinity[i].key, delta)
		}
	}
	for i := range s.anti {
		if t := &s.anti[i]; t.matches(running, selector.Labels{}) {
			s.apart.add(n, t.key, delta)
		}
	}
}

func (*interPodAffinity) AddPod(c *Cycle, p *PodInfo, n *NodeInfo) {
	c.interPod.countExisting(c.Pod, p, n, 1)
	c.interPod.countOwn(p, n, 1)
}

func (*interPodAffinity) RemovePod(c *Cycle, p *PodInfo, n *NodeInfo) {
	c.interPod.countExisting(c.Pod, p, n, -1)
	c.interPod.countOwn(p, n, -1)
}

func (*interPodAffinity) Filter(c *Cycle, n *NodeInfo) Status {
	s := &c.interPod
	switch {
	case !s.isTogether(c.Pod, n):
		return RejectFinally(ReasonPodAffinity)
	case !s.isApart(n):
		return Reject(ReasonPodAntiAffinity)
	case !s.isWelcome(n):
		return Reject(ReasonExistingAntiAffinity)
	}
	return Status{}
}

// isTogether says that the node's domains have pods for every affinity term.
// The first of a group of pods that want to be together has nobody to join: it
// passes when its terms select nobody anywhere, but the pod itself.
func (s *interPodState) isTogether(p *PodInfo, n *NodeInfo) bool {
	found := true
	for i := range s.affinity {
		key := s.affinity[i].key
		value, ok := n.Labels.Lookup(key)
		if !ok {
			return false
		}
		if s.together[domain{key, value}] <= 0 {
			found = false
		}
	}
	return found || len(s.together) == 0 && matchesAll(s.affinity, p)
}

// isApart says that no pod that the anti-affinity terms select is in the
// node's domains. A node without the label is in no domain.
func (s *interPodState) isApart(n *NodeInfo) bool {
	for i := range s.anti {
		key := s.anti[i].key
		if value, ok := n.Labels.Lookup(key); ok && s.apart[domain{key, value}] > 0 {
			return false
		}
	}
	return true
}

// isWelcome says that no running pod in the node's domains repels the pod.
func (s *interPodState) isWelcome(n *NodeInfo) bool {
	if len(s.existing) == 0 {
		return true
	}
	for key, value := range n.Labels.All() {
		if s.existing[domain{key, value}] > 0 {
			return false
		}
	}
	return true
}

// PreScore books, by domain, what the pod thinks of the pods that run and what
// they think of it. All nodes count, not only feasible ones.
func (pl *interPodAffinity) PreScore(c *Cycle, _ []*NodeInfo) Status {
	p, s := c.Pod, &c.interPod
	own := hasPreferred(p.Pod)
	if pl.ignoreExisting && !own {
		return Status{Code: Skip}
	}
	if p.affinityErr != nil {
		return Status{Code: Failed, Err: fmt.Errorf("failed to parse pod: %w", p.affinityErr)}
	}
	if s.scores == nil {
		s.scores = make(map[domain]int64)
	}
	attract, repel := c.unroll(p.preferred, pl.fixed), c.unroll(p.preferredAnti, pl.fixed)
	s.namespace, _ = c.NamespaceLabels(p.Namespace)
	for _, n := range c.Nodes {
		pods := n.WithAffinity
		if own {
			pods = n.Pods
		}
		for _, q := range pods {
			for i := range attract {
				s.book(&attract[i], q, selector.Labels{}, n, attract[i].weight)
			}
			for i := range repel {
				s.book(&repel[i], q, selector.Labels{}, n, -repel[i].weight)
			}
			s.bookExisting(p, q, n, pl.hardWeight)
		}
	}
	if !s.booked {
		return Status{Code: Skip}
	}
	return Status{}
}

// bookExisting books the terms of a running pod that select the pending one.
func (s *interPodState) bookExisting(p, running *PodInfo, n *NodeInfo, hardWeight int64) {
	if hardWeight > 0 {
		for i := range running.required {
			s.book(&running.required[i], p, s.namespace, n, hardWeight)
		}
	}
	for i := range running.preferred {
		s.book(&running.preferred[i], p, s.namespace, n, running.preferred[i].weight)
	}
	for i := range running.preferredAnti {
		s.book(&running.preferredAnti[i], p, s.namespace, n, -running.preferredAnti[i].weight)
	}
}

func (s *interPodState) book(t *affinityTerm, p *PodInfo, namespace selector.Labels, n *NodeInfo, weight int64) {
	if !t.matches(p, namespace) {
		return
	}
	value, ok := n.Labels.Lookup(t.key)
	if !ok {
		return
	}
	s.booked = true
	s.scores[domain{t.key, value}] += weight
	for _, k := range s.keys {
		if k == t.key {
			return
		}
	}
	s.keys = append(s.keys, t.key)
}

func hasPreferred(p *Pod) bool {
	a := p.Spec.Affinity
	return a != nil && (a.PodAffinity != nil && len(a.PodAffinity.Preferred) > 0 ||
		a.PodAntiAffinity != nil && len(a.PodAntiAffinity.Preferred) > 0)
}

func (*interPodAffinity) Score(c *Cycle, n *NodeInfo) int64 {
	var sum int64
	for _, key := range c.interPod.keys {
		if value, ok := n.Labels.Lookup(key); ok {
			sum += c.interPod.scores[domain{key, value}]
		}
	}
	return sum
}

// Normalize stretches the raw scores, which may be negative, from the lowest
// to the highest. The float expression is upstream's: the result is truncated.
func (*interPodAffinity) Normalize(_ *Cycle, _ []*NodeInfo, scores []int64) {
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for _, s := range scores {
		low, high = min(low, s), max(high, s)
	}
	for i, s := range scores {
		scores[i] = 0
		if high > low {
			scores[i] = int64(float64(MaxNodeScore) * (float64(s-low) / float64(high-low)))
		}
	}
}
