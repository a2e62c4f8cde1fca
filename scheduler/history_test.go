package scheduler

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// world is what a cache should hold, kept in the plainest way.
type world struct {
	nodes   map[string]*Node
	pods    map[string]*Pod // bound, by name
	assumed map[string]*Pod // with spec.nodeName set
}

// rebuilt returns a cache that was never changed.
func (w *world) rebuilt(t *testing.T) *Cache {
	c := NewCache(CacheConfig{HoldUnknownNodes: true})
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		require.NoError(t, c.AddNode(w.nodes[name]))
	}
	for _, m := range []map[string]*Pod{w.pods, w.assumed} {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			require.NoError(t, c.AddPod(m[name]))
		}
	}
	return c
}

// However a cache came to hold what it holds, it decides like one that was
// filled at once. Image counts are left out: they go stale, as upstream's do.
func TestHistoryDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 22))
	for range 30 {
		w := &world{map[string]*Node{}, map[string]*Pod{}, map[string]*Pod{}}
		c := NewCache(CacheConfig{HoldUnknownNodes: true})
		for step := range 200 {
			w.step(t, rng, c, step)
		}
		fresh := w.rebuilt(t)
		require.ElementsMatch(t, c.Nodes(), fresh.Nodes())
		for i := range 10 {
			p := randomPod(rng, fmt.Sprintf("decide-%d", i))
			p.Spec.Containers[0].Ports = nil
			require.Equal(t, verdicts(t, fresh, p), verdicts(t, c, p))
		}
	}
}

// step does one random thing to the cache and to the world.
func (w *world) step(t *testing.T, rng *rand.Rand, c *Cache, step int) {
	node := fmt.Sprintf("n%d", rng.IntN(8))
	pod := func() *Pod {
		p := randomPod(rng, fmt.Sprintf("p%d", step))
		p.Spec.Containers[0].Ports = nil // ports are a set, so their history matters
		return p
	}
	plain := func() *Node {
		n := randomNode(rng, node)
		n.Status.Images = nil
		return n
	}
	switch rng.IntN(9) {
	case 0, 1:
		n := plain()
		if w.nodes[node] == nil {
			require.NoError(t, c.AddNode(n))
		} else {
			require.NoError(t, c.UpdateNode(n))
		}
		w.nodes[node] = n
	case 2:
		if w.nodes[node] != nil && rng.IntN(3) == 0 {
			require.NoError(t, c.RemoveNode(node))
			delete(w.nodes, node)
		}
	case 3, 4:
		p := pod()
		p.Spec.NodeName = node
		require.NoError(t, c.AddPod(p))
		w.pods[p.Name] = p
	case 5:
		for _, name := range slices.Sorted(maps.Keys(w.pods)) {
			old := w.pods[name]
			p := pod()
			p.ObjectMeta = old.ObjectMeta
			p.Spec.NodeName = old.Spec.NodeName
			require.NoError(t, c.UpdatePod(p))
			w.pods[name] = p
			break
		}
	case 6:
		for _, name := range slices.Sorted(maps.Keys(w.pods)) {
			require.NoError(t, c.RemovePod(w.pods[name].Namespace, name))
			delete(w.pods, name)
			break
		}
	case 7:
		w.assume(t, c, pod())
	case 8:
		for _, name := range slices.Sorted(maps.Keys(w.assumed)) {
			p := w.assumed[name]
			delete(w.assumed, name)
			if rng.IntN(2) == 0 {
				require.NoError(t, c.Forget(p.Namespace, name))
				break
			}
			require.NoError(t, c.Confirm(p.Namespace, name))
			w.pods[name] = p
			break
		}
	}
}

// assume places the pod if it fits anywhere.
func (w *world) assume(t *testing.T, c *Cache, p *Pod) {
	placement, err := newScheduler(t, c).Schedule(p)
	var fit *FitError
	if errors.As(err, &fit) || errors.Is(err, ErrNoNodes) {
		return
	}
	require.NoError(t, err)
	require.NoError(t, c.Assume(p, placement.Node))
	bound := *p
	bound.Spec.NodeName = placement.Node
	w.assumed[p.Name] = &bound
}

// verdicts says what every node means for the pod.
func verdicts(t *testing.T, c *Cache, p *Pod) map[string]string {
	out := make(map[string]string)
	e, err := newScheduler(t, c).Explain(p)
	if errors.Is(err, ErrNoNodes) {
		return out
	}
	require.NoError(t, err)
	for _, n := range e.Nodes {
		out[n.Node] = fmt.Sprint(n.Score, n.Plugins, n.Plugin, n.Status.Message())
	}
	return out
}

// Deciding and changing the cluster at the same time is safe; run with -race.
func TestConcurrentUse(t *testing.T) {
	c := uniformCluster(t, 50)
	s := newScheduler(t, c)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 50 {
				p := podWith(t, fmt.Sprintf("w%d-%d", worker, i), "", "")
				placement, err := s.Schedule(p)
				if err == nil {
					err = c.Assume(p, placement.Node)
				}
				if err == nil && i%2 == 0 {
					err = c.Confirm("", p.Name)
				} else if err == nil {
					err = c.Forget("", p.Name)
				}
				if err != nil {
					t.Error(err)
				}
				if _, err := s.Explain(podWith(t, "why", "", "")); err != nil {
					t.Error(err)
				}
				c.Nodes()
				c.PodNode("", p.Name)
			}
		})
	}
	wg.Go(func() {
		for i := range 50 {
			n := *c.nodes["node-00007"].Node
			n.Spec.Unschedulable = i%2 == 0
			if err := c.UpdateNode(&n); err != nil {
				t.Error(err)
			}
			if err := c.SetNamespace(&Namespace{ObjectMeta: ObjectMeta{Name: fmt.Sprint(i)}}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	_, pods := c.Len()
	require.Equal(t, 50/5+4*25, pods)
}
