package scheduler

import "math"

// quick is NodeResourcesFit and NodeResourcesBalancedAllocation written out for
// what nearly everybody uses: LeastAllocated, and CPU and memory balanced against
// each other. The plugins themselves score where something else is asked for.
type quick struct {
	fit, balanced               bool
	cpuWeight, memoryWeight     int64 // in the mean of NodeResourcesFit
	fitWeight, balancedWeight   int64 // of the plugins
	imageWeight                 int64
	cpu, memory                 int64 // as NodeResourcesFit scores the pod
	requestedCPU, requestedMemo int64 // as NodeResourcesBalancedAllocation does
}

// newQuick finds out which plugins can be written out.
func newQuick(k *class) quick {
	var q quick
	p := k.pod
	q.cpu, q.memory = p.scored.CPUMilli, p.scored.MemoryBytes
	q.requestedCPU, q.requestedMemo = p.requested.CPUMilli, p.requested.MemoryBytes
	for _, s := range k.id.profile.scores {
		switch pl := s.plugin.(type) {
		case *nodeResourcesFit:
			q.fitWeight = s.weight
			q.fit = pl.least && isCPUMemory(pl.resources)
			if q.fit {
				q.cpuWeight, q.memoryWeight = pl.resources[0].Weight, pl.resources[1].Weight
			}
		case *balancedAllocation:
			q.balancedWeight = s.weight
			q.balanced = isCPUMemory(pl.resources)
		case imageLocality:
			q.imageWeight = s.weight
		}
	}
	return q
}

func isCPUMemory(list []ResourceWeight) bool {
	return len(list) == 2 && list[0].Name == "cpu" && list[1].Name == "memory"
}

// base is the weighted sum of the scores that need no normalising.
func (k *class) baseOf(n *NodeInfo) int64 {
	q, p, c := &k.quick, k.parts, &k.cycle
	whole := n.Allocatable.CPUMilli > 0 && n.Allocatable.MemoryBytes > 0
	var sum int64
	switch {
	case p.fit == nil:
	case q.fit && whole:
		sum += q.fitWeight * q.fitScore(n)
	default:
		sum += q.fitWeight * p.fit.Score(c, n)
	}
	switch {
	case p.balanced == nil || !k.scoreBalanced:
	case q.balanced && whole:
		sum += q.balancedWeight * q.balancedScore(n)
	default:
		sum += q.balancedWeight * p.balanced.Score(c, n)
	}
	if p.image && (len(n.images) > 0 || len(k.pod.images) == 0) {
		sum += q.imageWeight * imageLocality{}.Score(c, n)
	}
	return sum
}

// fitScore is nodeResourcesFit.Score.
func (q *quick) fitScore(n *NodeInfo) int64 {
	cpu := rateLeast(q.cpu+n.NonZeroCPUMilli, n.Allocatable.CPUMilli)
	memory := rateLeast(q.memory+n.NonZeroMemoryBytes, n.Allocatable.MemoryBytes)
	return (cpu*q.cpuWeight + memory*q.memoryWeight) / (q.cpuWeight + q.memoryWeight)
}

// balancedScore is balancedAllocation.Score.
func (q *quick) balancedScore(n *NodeInfo) int64 {
	cpu, memory := float64(n.Allocatable.CPUMilli), float64(n.Allocatable.MemoryBytes)
	with := evenPair(float64(n.Requested.CPUMilli+q.requestedCPU)/cpu, float64(n.Requested.MemoryBytes+q.requestedMemo)/memory)
	without := evenPair(float64(n.Requested.CPUMilli)/cpu, float64(n.Requested.MemoryBytes)/memory)
	return MaxNodeScore/2 + (MaxNodeScore/2+with-without)/2
}

// evenPair is balancedAllocation.evenness for two fractions.
func evenPair(a, b float64) int64 {
	return int64((1 - math.Abs((min(1, a)-min(1, b))/2)) * float64(MaxNodeScore))
}

// fits is nodeResourcesFit.Filter for a pod that requests no scalar resources.
func fits(want *Resources, n *NodeInfo) bool {
	have, used := &n.Allocatable, &n.Requested
	return int64(len(n.Pods)) < have.Pods &&
		(want.CPUMilli <= 0 || want.CPUMilli <= have.CPUMilli-used.CPUMilli) &&
		(want.MemoryBytes <= 0 || want.MemoryBytes <= have.MemoryBytes-used.MemoryBytes) &&
		(want.EphemeralBytes <= 0 || want.EphemeralBytes <= have.EphemeralBytes-used.EphemeralBytes)
}
