package qos

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoAllocations(t *testing.T) {
	full := list("cpu", "1", "memory", "1.5Gi")
	p := podOf(container(full, full), container(full, full), container(full, full))
	for name, f := range map[string]func(){
		"ClassOf": func() { ClassOf(p) },
		"Classifier": func() {
			var c Classifier
			c.Add(Compute{full.Of(CPU), full.Of(Memory)}, Compute{full.Of(CPU), full.Of(Memory)})
			c.Class()
		},
	} {
		require.Zero(t, testing.AllocsPerRun(100, f), name)
	}
}

func TestRankingAllocations(t *testing.T) {
	candidates := randomCandidates(rand.New(rand.NewPCG(1, 1)), 200)
	stats := &PodStats{Memory: &MemoryStats{WorkingSetBytes: bytesOf("1Gi")}, Containers: []ContainerStats{{Rootfs: &FSStats{UsedBytes: bytesOf("1Mi")}}}}
	summary := &Summary{Node: NodeStats{Memory: &MemoryStats{AvailableBytes: bytesOf("1Gi"), WorkingSetBytes: bytesOf("1Gi")}}}
	for name, f := range map[string]func(){
		"First":     func() { First(candidates, NodeFSAvailable, Layout{}) },
		"KeyFor":    func() { candidates[0].KeyFor(MemoryAvailable, Layout{}) },
		"Observe":   func() { candidates[0].Observe(stats) },
		"Summary":   func() { Observe(summary) },
		"RequestOf": func() { RequestOf(candidates[0].Pod, Memory) },
	} {
		require.Zero(t, testing.AllocsPerRun(50, f), name)
	}
	var pods []*Pod
	for i := range candidates {
		pods = append(pods, candidates[i].Pod)
		summary.Pods = append(summary.Pods, PodStats{PodRef: PodReference{UID: pods[i].Metadata.UID}})
	}
	// The map by UID, two slices, the order: none for a pod.
	require.LessOrEqual(t, testing.AllocsPerRun(50, func() { RankPods(pods, summary, MemoryAvailable, Layout{}) }), 12.0)
	require.LessOrEqual(t, testing.AllocsPerRun(50, func() { Rank(candidates, MemoryAvailable, Layout{}) }), 2.0)
}
