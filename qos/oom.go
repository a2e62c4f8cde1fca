package qos

import (
	"fmt"
	"math"
	"math/bits"
)

// Values of oom_score_adj. The kernel adds one to the share (in thousandths) of
// memory that a process uses and kills the highest sum first.
const (
	// OOMScoreAdjNode is for the kubelet, the container runtime and kube-proxy.
	OOMScoreAdjNode = -999
	// OOMScoreAdjGuaranteed is for Guaranteed and node-critical pods.
	OOMScoreAdjGuaranteed = -997
	// OOMScoreAdjBestEffort is for BestEffort pods.
	OOMScoreAdjBestEffort = 1000

	oomScoreAdjBurstableMin = 1000 + OOMScoreAdjGuaranteed
	oomScoreAdjBurstableMax = OOMScoreAdjBestEffort - 1
)

// OOMScoreAdj returns the oom_score_adj of the processes of container c of pod
// p on a node with so much memory. A Burstable container that requests a tenth
// of the memory gets 900, so that it has to use more than it asked for to look
// as bad as a BestEffort one.
//
// Differs: no capacity is an error where upstream divides by zero, and a
// Burstable score is at most 999 whatever the request, where upstream's product
// wraps beyond 9.2e15 bytes and negative requests exceed 1000.
func OOMScoreAdj(p *Pod, c *Container, memoryCapacityBytes int64) (int, error) {
	if memoryCapacityBytes <= 0 {
		return 0, fmt.Errorf("memory capacity %d: want a positive number of bytes", memoryCapacityBytes)
	}
	switch class := ClassOf(p); {
	case isNodeCritical(p), class == Guaranteed:
		return OOMScoreAdjGuaranteed, nil
	case class == BestEffort:
		return OOMScoreAdjBestEffort, nil
	}
	share := unassignedMemoryPerContainer(p)
	score := oomScore(memoryRequest(c), share, memoryCapacityBytes)
	if isSidecarOf(p, c) && len(p.Spec.Containers) > 0 {
		// A sidecar must not be killed before the containers that it serves.
		least := memoryRequest(&p.Spec.Containers[0])
		for i := range p.Spec.Containers {
			least = min(least, memoryRequest(&p.Spec.Containers[i]))
		}
		score = min(score, oomScore(least, share, memoryCapacityBytes))
	}
	return int(min(max(score, oomScoreAdjBurstableMin), oomScoreAdjBurstableMax)), nil
}

func memoryRequest(c *Container) int64 { return c.Resources.Requests.Of(Memory).Value() }

// oomScore returns 1000 - 1000·(request+share)/capacity, at least 0 and at
// most 1000, without overflow on the way.
func oomScore(request, share, capacity int64) int64 {
	bytes := saturatingAdd(request, share)
	if bytes <= 0 {
		return 1000
	}
	if bytes >= capacity {
		return 0
	}
	hi, lo := bits.Mul64(1000, uint64(bytes))
	thousandths, _ := bits.Div64(hi, lo, uint64(capacity))
	return 1000 - int64(thousandths)
}

// unassignedMemoryPerContainer spreads what the pod level requests beyond its
// containers evenly over them (KEP-2837).
func unassignedMemoryPerContainer(p *Pod) int64 {
	if p.Spec.Resources == nil {
		return 0
	}
	podLevel := p.Spec.Resources.Requests.Of(Memory)
	containers := len(p.Spec.Containers) + len(p.Spec.InitContainers)
	if podLevel.IsZero() || containers == 0 {
		return 0
	}
	assigned := containerRequests(p)[Memory]
	return saturatingSub(podLevel.Value(), assigned.Value()) / int64(containers)
}

func isSidecarOf(p *Pod, c *Container) bool {
	if !c.sidecar() {
		return false
	}
	for i := range p.Spec.InitContainers {
		if p.Spec.InitContainers[i].Name == c.Name {
			return true
		}
	}
	return false
}

func saturatingAdd(a, b int64) int64 {
	switch {
	case a > 0 && b > math.MaxInt64-a:
		return math.MaxInt64
	case a < 0 && b < math.MinInt64-a:
		return math.MinInt64
	}
	return a + b
}

func saturatingSub(a, b int64) int64 {
	if b == math.MinInt64 {
		return saturatingAdd(saturatingAdd(a, math.MaxInt64), 1)
	}
	return saturatingAdd(a, -b)
}
