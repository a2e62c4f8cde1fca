package scheduler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/stretchr/testify/require"
)

func newScheduler(t testing.TB, c *Cache) *Scheduler {
	s, err := New(Config{Cache: c})
	require.NoError(t, err)
	return s
}

// feasible returns the nodes that admit the pod.
func feasible(t testing.TB, c *Cache, p *Pod) map[string]bool {
	e, err := newScheduler(t, c).Explain(p)
	require.NoError(t, err)
	set := make(map[string]bool)
	for _, n := range e.Nodes {
		if n.Status.Code == Success {
			set[n.Node] = true
		}
	}
	return set
}

// A taint never admits a pod to a node, a toleration never shuts one out.
// Spread constraints that honour taints are an exception: a taint takes a node
// out of its domain's count, which may raise the smallest count.
func TestTaintsOnlyShutOut(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		c := randomCluster(t, rng, 8, 16)
		p := randomPod(rng, "new")
		before := feasible(t, c, p)

		tolerant := *p
		tolerant.Spec.Tolerations = append([]Toleration{{Key: "dedicated", Operator: "Exists"}}, p.Spec.Tolerations...)
		for node := range before {
			require.Contains(t, feasible(t, c, &tolerant), node)
		}

		n := *c.nodes["n3"].Node
		n.Spec.Taints = append([]Taint{{Key: "new", Effect: oneOf(rng, NoSchedule, NoExecute)}}, n.Spec.Taints...)
		require.NoError(t, c.UpdateNode(&n))
		for node := range feasible(t, c, p) {
			require.Contains(t, before, node)
		}
	}
}

// A pod that was placed and taken out again fits where it was.
func TestPlacedPodStillFits(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		c := randomCluster(t, rng, 8, 16)
		p := randomPod(rng, "new")
		s := newScheduler(t, c)
		placement, err := s.Schedule(p)
		if err != nil {
			continue
		}
		require.NoError(t, c.Assume(p, placement.Node))
		require.NoError(t, c.Forget(p.Namespace, p.Name))
		require.Contains(t, feasible(t, c, p), placement.Node)
	}
}

// The order in which pods are added does not matter for the next decision.
func TestPodOrderDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var nodes []*Node
		var pods []*Pod
		for i := range 8 {
			nodes = append(nodes, randomNode(rng, fmt.Sprintf("n%d", i)))
		}
		for i := range 20 {
			p := randomPod(rng, fmt.Sprintf("p%d", i))
			p.Spec.NodeName = fmt.Sprintf("n%d", rng.IntN(8))
			pods = append(pods, p)
		}
		p := randomPod(rng, "new")
		var want string
		for try := range 3 {
			c := NewCache(CacheConfig{})
			for _, n := range nodes {
				require.NoError(t, c.AddNode(n))
			}
			rng.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
			for _, q := range pods {
				require.NoError(t, c.AddPod(q))
			}
			placement, err := newScheduler(t, c).Schedule(p)
			got := fmt.Sprint(placement, err)
			if try == 0 {
				want = got
			}
			require.Equal(t, want, got)
		}
	}
}

// What Explain asks for is enough: a node that wants only resources and
// tolerations admits the pod once it has them.
func TestChangesAreEnough(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for tried := 0; tried < 300; {
		c := randomCluster(t, rng, 6, 30)
		p := randomPod(rng, "new")
		e, err := newScheduler(t, c).Explain(p)
		require.NoError(t, err)
		for _, explained := range e.Nodes {
			node, pod := *c.nodes[explained.Node].Node, *p
			amounts := maps.Clone(node.Status.Allocatable)
			ours := true
			for _, change := range explained.Changes {
				switch {
				case change.Toleration != nil:
					pod.Spec.Tolerations = append(slices.Clone(pod.Spec.Tolerations), *change.Toleration)
				case change.Resource == "cpu":
					amounts["cpu"] = amounts["cpu"].Add(resource.NewMilli(change.Amount))
				case change.Resource != "":
					amounts[change.Resource] = amounts[change.Resource].Add(resource.NewInt(change.Amount))
				default:
					ours = false
				}
			}
			// A toleration may change which nodes count for the spread.
			if !ours || len(explained.Changes) == 0 || len(p.Spec.TopologySpreadConstraints) > 0 {
				continue
			}
			tried++
			before := node.Status.Allocatable
			node.Status.Allocatable = amounts
			require.NoError(t, c.UpdateNode(&node))
			require.Contains(t, feasible(t, c, &pod), node.Name, "%+v", explained.Changes)
			restored := node
			restored.Status.Allocatable = before
			require.NoError(t, c.UpdateNode(&restored))
		}
	}
}

// What preemption proposes works: with the victims gone the pod fits on the
// node, and all of them are less important.
func TestVictimsAreEnough(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for found := 0; found < 100; {
		c := randomCluster(t, rng, 4, 40)
		p := randomPod(rng, "new")
		top := int32(5)
		p.Spec.Priority = &top
		dry, err := newScheduler(t, c).DryRunPreemption(p)
		require.NoError(t, err)
		for _, d := range dry.Candidates {
			found++
			require.NotContains(t, feasible(t, c, p), d.Node)
			var victims []*Pod
			for _, name := range d.Victims {
				v := podNamed(t, c, name)
				require.Less(t, *v.Spec.Priority, top)
				require.NoError(t, c.RemovePod(v.Namespace, v.Name))
				victims = append(victims, v)
			}
			require.Contains(t, feasible(t, c, p), d.Node)
			for _, v := range victims {
				require.NoError(t, c.AddPod(v))
			}
		}
	}
}

func podNamed(t *testing.T, c *Cache, name string) *Pod {
	for key, state := range c.pods {
		if key.String() == name {
			return state.info.Pod
		}
	}
	t.Fatalf("no pod %s", name)
	return nil
}
