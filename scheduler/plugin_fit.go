package scheduler

import "math"

// Strategy says how NodeResourcesFit rates how full a node is.
type Strategy string

// The strategies. The zero value is LeastAllocated.
const (
	LeastAllocated           Strategy = "LeastAllocated"
	MostAllocated            Strategy = "MostAllocated"
	RequestedToCapacityRatio Strategy = "RequestedToCapacityRatio"
)

// ResourceWeight is a resource that counts for a score, with its weight.
type ResourceWeight struct {
	Name   string
	Weight int64 // 0 means 1
}

// ShapePoint is one point of the utilisation curve of
// RequestedToCapacityRatio.
type ShapePoint struct {
	Utilization int64 // percent, 0 to 100, ascending from point to point
	Score       int64 // 0 to 10
}

// FitArgs are the arguments of the NodeResourcesFit plugin.
type FitArgs struct {
	// Strategy is LeastAllocated when empty.
	Strategy Strategy
	// Resources count for the score; nil means cpu and memory, weight 1 each.
	Resources []ResourceWeight
	// Shape is required for RequestedToCapacityRatio and ignored otherwise.
	Shape []ShapePoint
	// IgnoredResources are extended resources that are not checked.
	IgnoredResources []string
	// IgnoredGroups are prefixes (example.com) of extended resources that are
	// not checked.
	IgnoredGroups []string
}

// nodeResourcesFit keeps nodes from being overcommitted and rates how full
// they are.
type nodeResourcesFit struct {
	resources []ResourceWeight
	rate      func(requested, allocatable int64) int64
	least     bool // rate is rateLeast
	// skipZero and round are how RequestedToCapacityRatio differs: a resource
	// rated 0 has no weight, and the mean is rounded, not truncated.
	skipZero bool
	ignored  map[string]bool // names, and groups with their slash
}

func newNodeResourcesFit(args FitArgs) (*nodeResourcesFit, error) {
	resources, err := resourceWeights("Fit.Resources", args.Resources)
	if err != nil {
		return nil, err
	}
	p := &nodeResourcesFit{resources: resources}
	switch args.Strategy {
	case "", LeastAllocated:
		p.rate, p.least = rateLeast, true
	case MostAllocated:
		p.rate = rateMost
	case RequestedToCapacityRatio:
		if err := checkShape(args.Shape); err != nil {
			return nil, err
		}
		p.rate, p.skipZero = rateShape(args.Shape), true
	default:
		return nil, configError("Fit.Strategy", string(args.Strategy), "LeastAllocated, MostAllocated or RequestedToCapacityRatio")
	}
	if len(args.IgnoredResources)+len(args.IgnoredGroups) > 0 {
		p.ignored = make(map[string]bool)
		for _, name := range args.IgnoredResources {
			p.ignored[name] = true
		}
		for _, group := range args.IgnoredGroups {
			p.ignored[group+"/"] = true
		}
	}
	return p, nil
}

func (*nodeResourcesFit) Name() string { return "NodeResourcesFit" }

func (pl *nodeResourcesFit) Filter(c *Cycle, n *NodeInfo) Status {
	var v Status
	if int64(len(n.Pods))+1 > n.Allocatable.Pods {
		v = Reject(ReasonTooManyPods)
	}
	want, have, used := &c.Pod.Request, &n.Allocatable, &n.Requested
	check := func(reason Reason, want, have, used int64) {
		if want > 0 && want > have-used {
			v.lack(want > have)
			v.Reasons |= reason
		}
	}
	check(ReasonCPU, want.CPUMilli, have.CPUMilli, used.CPUMilli)
	check(ReasonMemory, want.MemoryBytes, have.MemoryBytes, used.MemoryBytes)
	check(ReasonEphemeralStorage, want.EphemeralBytes, have.EphemeralBytes, used.EphemeralBytes)
	for _, s := range want.Scalars {
		if s.Value == 0 || pl.ignores(s.Name) {
			continue
		}
		if total := have.Scalar(s.Name); s.Value > total-used.Scalar(s.Name) {
			v.lack(s.Value > total)
			v.Details = append(v.Details, "Insufficient "+s.Name)
		}
	}
	return v
}

// lack records that a resource does not suffice; beyond says that not even the
// empty node has enough.
func (s *Status) lack(beyond bool) {
	if beyond {
		s.Code = UnschedulableAndUnresolvable
	} else if s.Code == Success {
		s.Code = Unschedulable
	}
}

func (pl *nodeResourcesFit) ignores(name string) bool {
	if pl.ignored == nil || !isExtendedName(name) {
		return false
	}
	return pl.ignored[name] || pl.ignored[name[:indexSlash(name)+1]]
}

func indexSlash(name string) int {
	for i := range len(name) {
		if name[i] == '/' {
			return i
		}
	}
	return -1
}

// Score is the weighted mean of what the strategy says of each resource.
func (pl *nodeResourcesFit) Score(c *Cycle, n *NodeInfo) int64 {
	var sum, weights int64
	for _, r := range pl.resources {
		allocatable := n.Allocatable.Amount(r.Name)
		want := c.Pod.scored.Amount(r.Name)
		if allocatable == 0 || want == 0 && isScalarName(r.Name) {
			continue
		}
		requested := want + n.nonZero(r.Name)
		score := pl.rate(requested, allocatable)
		if pl.skipZero && score <= 0 {
			continue
		}
		sum += score * r.Weight
		weights += r.Weight
	}
	switch {
	case weights == 0:
		return 0
	case pl.skipZero:
		return int64(math.Round(float64(sum) / float64(weights)))
	}
	return sum / weights
}

// nonZero is what the pods on the node request of a resource, with stand-ins
// for CPU and memory.
func (n *NodeInfo) nonZero(name string) int64 {
	switch name {
	case "cpu":
		return n.NonZeroCPUMilli
	case "memory":
		return n.NonZeroMemoryBytes
	}
	return n.Requested.Amount(name)
}

func rateLeast(requested, allocatable int64) int64 {
	if requested > allocatable {
		return 0
	}
	return (allocatable - requested) * MaxNodeScore / allocatable
}

func rateMost(requested, allocatable int64) int64 {
	return min(requested, allocatable) * MaxNodeScore / allocatable
}

// rateShape interpolates between the points, truncating as integers do, also
// where the curve falls.
func rateShape(shape []ShapePoint) func(requested, allocatable int64) int64 {
	points := make([]ShapePoint, len(shape))
	for i, p := range shape {
		points[i] = ShapePoint{p.Utilization, p.Score * (MaxNodeScore / maxShapeScore)}
	}
	return func(requested, allocatable int64) int64 {
		u := int64(100)
		if requested <= allocatable {
			u = requested * 100 / allocatable
		}
		for i, p := range points {
			if u > p.Utilization {
				continue
			}
			if i == 0 {
				return p.Score
			}
			from := points[i-1]
			return from.Score + (p.Score-from.Score)*(u-from.Utilization)/(p.Utilization-from.Utilization)
		}
		return points[len(points)-1].Score
	}
}
