package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/orchcore/orchcore/selector"
	"github.com/stretchr/testify/require"
)

// BenchmarkSampling places 3,000 pods on 2,000 unequal nodes, looking at all of
// them and at the share that upstream looks at by default, and reports what
// sampling costs: by how much the taken node's score is below the best one's, how
// many pods had a better node, and how many nodes are in use in the end.
func BenchmarkSampling(b *testing.B) {
	for _, percent := range []int{100, Adaptive} {
		b.Run(fmt.Sprintf("nodes=2000/percent=%d", percent), func(b *testing.B) {
			var gap, missed, used, placed int
			for b.Loop() {
				gap, missed, used, placed = sampleRun(b, percent)
			}
			require.Positive(b, placed)
			if percent == 100 {
				require.Zero(b, gap)
			}
			b.ReportMetric(float64(gap)/float64(placed), "score-gap/pod")
			b.ReportMetric(float64(missed)/float64(placed), "missed/pod")
			b.ReportMetric(float64(used), "nodes-used")
			b.ReportMetric(float64(placed)*float64(b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}

func sampleRun(b *testing.B, percent int) (gap, missed, used, placed int) {
	rng := rand.New(rand.NewPCG(1, 2))
	c := NewCache(CacheConfig{})
	for i := range 2000 {
		require.NoError(b, c.AddNode(randomNode(rng, fmt.Sprintf("n%d", i))))
	}
	s, err := New(Config{Cache: c, PercentageOfNodesToScore: percent})
	require.NoError(b, err)
	all, err := New(Config{Cache: c})
	require.NoError(b, err)
	nodes := make(map[string]bool)
	for i := range 3000 {
		p, err := CompilePod(sampledPod(i))
		require.NoError(b, err)
		best, err := all.SchedulePod(p)
		if err != nil {
			continue
		}
		got, err := s.SchedulePod(p)
		require.NoError(b, err)
		if d := best.Score - all.engine.scoreOn(c, all.profiles[DefaultSchedulerName], p, got.Node); d > 0 {
			gap += int(d)
			missed++
		}
		require.NoError(b, c.AssumePod(p, got.Node))
		nodes[got.Node] = true
		placed++
	}
	return gap, missed, len(nodes), placed
}

// scoreOn is the total of a node, all feasible nodes scored.
func (e *engine) scoreOn(c *Cache, profile *profile, p *PodInfo, node string) int64 {
	k := e.classOf(c, profile, p)
	at, _ := e.position(c.node(node).slot)
	return k.ownPart(at) + k.groups.added[k.groups.of[at]]
}

func sampledPod(i int) *Pod {
	rng := rand.New(rand.NewPCG(9, uint64(i%12)))
	p := randomPod(rng, "")
	p.Name = fmt.Sprintf("p%d", i)
	p.Spec.Affinity, p.Spec.Containers[0].Ports = nil, nil
	p.Spec.TopologySpreadConstraints = nil
	ssd := selector.NodeSelectorTerm{MatchExpressions: []selector.NodeSelectorRequirement{{Key: "disk", Operator: "In", Values: []string{"ssd"}}}}
	if i%3 == 0 {
		p.Spec.Affinity = &Affinity{NodeAffinity: &NodeAffinity{Preferred: []selector.PreferredSchedulingTerm{{Weight: 10, Preference: ssd}}}}
	}
	return p
}
