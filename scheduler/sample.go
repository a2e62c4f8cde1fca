package scheduler

// The bounds of the adaptive sample of nodes (kube-scheduler 1.36).
const (
	minFeasibleNodes   = 100
	minFeasiblePercent = 5
)

// nodesToFind returns how many feasible nodes are enough among n.
func nodesToFind(n, percent int) int {
	if n < minFeasibleNodes {
		return n
	}
	switch percent {
	case 0:
		percent = 100
	case Adaptive:
		percent = max(50-n/125, minFeasiblePercent)
	}
	return max(n*percent/100, minFeasibleNodes)
}

// wanted returns how many feasible nodes of n a scan looks for.
func (s *Scheduler) wanted(p *profile, n int) int {
	if len(p.scores) == 0 {
		return 1
	}
	percent := p.percentage
	if percent == 0 {
		percent = s.config.PercentageOfNodesToScore
	}
	return nodesToFind(n, percent)
}

// scan looks at nodes from the rotating start until enough feasible ones are
// found. The scan ends at the node that would be one too many; that one counts
// neither as feasible nor as rejected (kube-scheduler 1.36, parallelism 1).
func (s *Scheduler) scan(c *Cycle, nodes []*NodeInfo, e *FitError) error {
	want := s.wanted(c.profile, len(nodes))
	at := 0
	if len(nodes) > 0 {
		at = s.start % len(nodes)
	}
	for range nodes {
		n := nodes[at]
		if at++; at == len(nodes) {
			at = 0
		}
		v, plugin := c.filter(n)
		switch {
		case v.Code == Failed:
			return v.Err
		case v.Code != Success:
			e.rejected.add(n, plugin, v)
		case len(s.feasible) == want:
			return nil
		default:
			s.feasible = append(s.feasible, n)
		}
	}
	return nil
}
