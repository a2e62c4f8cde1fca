package scheduler

import "math"

// BalancedArgs are the arguments of the NodeResourcesBalancedAllocation
// plugin.
type BalancedArgs struct {
	// Resources are balanced against each other; nil means cpu and memory.
	Resources []ResourceWeight
}

// balancedAllocation prefers nodes on which the pod makes the use of the
// resources more even: no node should run out of memory with its CPUs idle.
type balancedAllocation struct {
	resources []ResourceWeight
}

func newBalancedAllocation(args BalancedArgs) (*balancedAllocation, error) {
	resources, err := resourceWeights("Balanced.Resources", args.Resources)
	if err != nil {
		return nil, err
	}
	return &balancedAllocation{resources}, nil
}

func (*balancedAllocation) Name() string { return "NodeResourcesBalancedAllocation" }

// PreScore skips pods that request none of the resources: they change no
// balance, and would all be sent to the same node (kubernetes #129138).
func (pl *balancedAllocation) PreScore(c *Cycle, _ []*NodeInfo) Status {
	for _, r := range pl.resources {
		if c.Pod.requested.Amount(r.Name) != 0 {
			return Status{}
		}
	}
	return Status{Code: Skip}
}

// Score is 75 when the pod changes nothing, up to 100 when it makes the use
// more even and down to 50 when it makes it less so.
func (pl *balancedAllocation) Score(c *Cycle, n *NodeInfo) int64 {
	with := pl.evenness(c, n, true)
	without := pl.evenness(c, n, false)
	return MaxNodeScore/2 + (MaxNodeScore/2+with-without)/2
}

// evenness is 100 less the standard deviation of the used fractions, in
// percent. The float expressions and their order are upstream's, since the
// result is truncated.
func (pl *balancedAllocation) evenness(c *Cycle, n *NodeInfo, withPod bool) int64 {
	var used [8]float64
	fractions := used[:0]
	var total float64
	for _, r := range pl.resources {
		allocatable := n.Allocatable.Amount(r.Name)
		want := c.Pod.requested.Amount(r.Name)
		if allocatable == 0 || want == 0 && isScalarName(r.Name) {
			continue
		}
		requested := n.Requested.Amount(r.Name)
		if withPod {
			requested += want
		}
		fraction := min(1, float64(requested)/float64(allocatable))
		total += fraction
		fractions = append(fractions, fraction)
	}
	deviation := 0.0
	switch {
	case len(fractions) == 2:
		deviation = math.Abs((fractions[0] - fractions[1]) / 2)
	case len(fractions) > 2:
		mean := total / float64(len(fractions))
		var sum float64
		for _, f := range fractions {
			sum += float64((f - mean) * (f - mean))
		}
		deviation = math.Sqrt(sum / float64(len(fractions)))
	}
	return int64((1 - deviation) * float64(MaxNodeScore))
}
