package scheduler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
	"github.com/stretchr/testify/require"
)

// Capacity is what placing pod after pod gives, and leaves the fork as it was.
func TestCapacity(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 52))
	for range 60 {
		c := randomCluster(t, rng, 6, 20)
		s := newScheduler(t, c)
		f := c.Snapshot().Fork(s)
		p := randomPod(rng, "new")
		want := map[string]int{}
		total := 0
		plain := c.Snapshot().Fork(s)
		var stopped error
		for i := range 200 {
			one := *p
			one.Name = fmt.Sprintf("new-%d", i)
			var placement Placement
			if placement, stopped = plain.Schedule(&one); stopped != nil {
				break
			}
			want[placement.Node]++
			total++
		}
		before := f.cache.state()
		got, err := f.Capacity(p, 200)
		require.NoError(t, err)
		require.Equal(t, total, got.Pods)
		for _, n := range got.Nodes {
			require.Equal(t, want[n.Node], n.Pods, n.Node)
		}
		require.Len(t, got.Nodes, len(want))
		require.Equal(t, before, f.cache.state())
		require.Empty(t, f.marks)
		require.Empty(t, f.log)
		if stopped != nil {
			require.Equal(t, stopped.(*FitError).FilterText(), got.Stopped.Error())
		} else {
			require.Nil(t, got.Stopped)
		}
	}
	_, err := small(t).Capacity(podWith(t, "p", "", ""), -1)
	require.EqualError(t, err, `pod default/p: limit: "-1": want 0 or more`)
}

// small is a fork of three nodes.
func small(t *testing.T) *Fork { return uniformCluster(t, 3).Snapshot().Fork(nil) }

// Every move of a shrinkage can be made, in its order; what is emptied is
// empty, nobody is lost, and nodes are kept for a reason.
func TestShrink(t *testing.T) {
	rng := rand.New(rand.NewPCG(53, 54))
	emptied, kept := 0, 0
	for range 60 {
		c := NewCache(CacheConfig{})
		for i := range 6 {
			require.NoError(t, c.AddNode(randomNode(rng, fmt.Sprintf("n%d", i))))
		}
		f := c.Snapshot().Fork(nil)
		for i := range 12 {
			_, _ = f.Schedule(randomPod(rng, fmt.Sprintf("p%d", i)))
		}
		require.NoError(t, f.Commit(CommitUnchanged))
		f = c.Snapshot().Fork(nil)
		_, pods := f.Len()
		out, err := f.Shrink(ShrinkOptions{Drain: qos.DrainOptions{Force: true}})
		require.NoError(t, err)
		require.Empty(t, f.marks)
		_, after := f.Len()
		require.Equal(t, pods, after)

		replay := c.Snapshot().Fork(nil)
		for _, e := range out.Emptied {
			_, evicted, err := replay.Drain(e.Node, qos.DrainOptions{Force: true}, nil, ShrinkOptions{}.Now)
			require.NoError(t, err)
			require.Len(t, evicted, len(e.Moves))
			for _, m := range e.Moves {
				at := slices.IndexFunc(evicted, func(p *Pod) bool { return keyOf(&p.ObjectMeta).String() == m.Pod })
				p := evicted[at]
				x, err := replay.Scheduler().Explain(p)
				require.NoError(t, err)
				require.True(t, slices.ContainsFunc(x.Nodes, func(n NodeExplanation) bool { return n.Node == m.To && n.Status.Code == Success }))
				require.NoError(t, replay.Assume(p, m.To))
			}
			require.Empty(t, f.cache.node(e.Node).Pods)
			emptied++
		}
		require.Equal(t, sortedState(t, &replay.cache), sortedState(t, &f.cache))
		for _, k := range out.Kept {
			require.NotEmpty(t, k.Why)
			require.NotNil(t, k.Fit)
			kept++
		}
		require.Equal(t, 6, len(out.Emptied)+len(out.Kept))
	}
	require.Greater(t, emptied, 50)
	require.Greater(t, kept, 50)

	_, err := small(t).Shrink(ShrinkOptions{Nodes: []string{"node-00001", "node-00001"}})
	require.EqualError(t, err, `shrink options: Nodes[1]: "node-00001": want each node once`)
	_, err = small(t).Shrink(ShrinkOptions{Nodes: []string{"nobody"}})
	require.ErrorIs(t, err, ErrUnknownNode)
}

// template returns a kind of node with so many CPUs.
func template(name string, cpu int64) *Node {
	return &Node{ObjectMeta: ObjectMeta{Name: name}, Status: NodeStatus{Allocatable: resource.List{
		"cpu": resource.NewInt(cpu), "pods": resource.NewInt(20),
	}}}
}

// A packing costs no less than the cheapest one, which costs no less than the
// bound says.
func TestPackBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(55, 56))
	best, total := 0, 0
	for range 80 {
		templates := []NodeTemplate{
			{Node: template("small", 4), Price: int64(3 + rng.IntN(3))},
			{Node: template("large", 8), Price: int64(5 + rng.IntN(6))},
		}
		var pods []*Pod
		var cpus []int64
		for i := range 1 + rng.IntN(6) {
			cpu := int64(1 + rng.IntN(7))
			p := &Pod{ObjectMeta: ObjectMeta{Name: fmt.Sprintf("p%d", i)}}
			p.Spec.Containers = []Container{{Name: "c"}}
			p.Spec.Containers[0].Resources.Requests = resource.List{"cpu": resource.NewInt(cpu)}
			pods, cpus = append(pods, p), append(cpus, cpu)
		}
		f := NewCache(CacheConfig{}).Snapshot().Fork(nil)
		out, err := f.Pack(pods, templates)
		require.NoError(t, err)
		placed := 0
		var price int64
		for _, n := range out.Nodes {
			placed += n.Pods
			price += templates[n.Template].Price
			require.True(t, strings.HasPrefix(n.Name, templates[n.Template].Node.Name+"-"))
		}
		require.Equal(t, len(pods), placed)
		require.Equal(t, price, out.Price)
		cheapest := cheapestPacking(cpus, nil, templates)
		require.LessOrEqual(t, out.PriceAtLeast, cheapest)
		require.LessOrEqual(t, cheapest, out.Price)
		require.LessOrEqual(t, out.NodesAtLeast, len(out.Nodes))
		nodes, _ := f.Len()
		require.Equal(t, len(out.Nodes), nodes)
		best, total = best+int(cheapest), total+int(out.Price)
	}
	t.Logf("packed for %d, the cheapest is %d", total, best)
	require.Less(t, float64(total), 1.3*float64(best))
}

// cheapestPacking tries everything: each item in each open bin and in a new one
// of each kind.
func cheapestPacking(items, bins []int64, templates []NodeTemplate) int64 {
	if len(items) == 0 {
		return 0
	}
	best := int64(math.MaxInt64)
	for i, room := range bins {
		if room >= items[0] {
			bins[i] -= items[0]
			best = min(best, cheapestPacking(items[1:], bins, templates))
			bins[i] += items[0]
		}
	}
	for _, t := range templates {
		size := t.Node.Status.Allocatable["cpu"]
		if room := size.Value() - items[0]; room >= 0 {
			rest := cheapestPacking(items[1:], append(slices.Clip(bins), room), templates)
			if rest < math.MaxInt64 {
				best = min(best, t.Price+rest)
			}
		}
	}
	return best
}

// Pods go where there is room before anything is bought; what no template takes
// is said; limits are kept.
func TestPackLimits(t *testing.T) {
	pod := func(name, cpu string) *Pod {
		return decodeAs[Pod](t, fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":%q}}}]}}`, name, cpu))
	}
	c := NewCache(CacheConfig{})
	require.NoError(t, c.AddNode(template("old", 4)))
	f := c.Snapshot().Fork(nil)
	out, err := f.Pack([]*Pod{pod("a", "3"), pod("b", "3"), pod("c", "3"), pod("d", "3"), pod("huge", "100")},
		[]NodeTemplate{{Node: template("old", 4), Price: 5, Most: 2}})
	require.NoError(t, err)
	var got []string
	for _, o := range out.Outcomes {
		text := o.Pod.Name + " " + o.Placement.Node
		if o.Err != nil {
			text += o.Err.Error()
		}
		got = append(got, text)
	}
	require.Equal(t, []string{
		"huge 0/1 nodes are available: 1 Insufficient cpu.",
		"a old", "b old-0", "c old-1",
		"d 0/3 nodes are available: 3 Insufficient cpu.",
	}, got)
	require.Equal(t, int64(10), out.Price)
	require.Equal(t, 2, out.NodesAtLeast)

	for _, bad := range [][]NodeTemplate{{{}}, {{Node: template("x", 1), Price: -1}}, {{Node: template("x", 1), Most: -1}}} {
		_, err := f.Pack(nil, bad)
		require.ErrorContains(t, err, "templates[0]")
	}
	_, err = f.Pack([]*Pod{nil}, nil)
	require.EqualError(t, err, "pods[0]: pod is nil")
}

// A renamed pod is the pod that would have been compiled under that name.
func TestRenamed(t *testing.T) {
	for _, volume := range []Volume{
		{Name: "v", EmptyDir: &qos.EmptyDirVolume{}},
		{Name: "v", PersistentVolumeClaim: &PersistentVolumeClaimSource{ClaimName: "c"}},
		{Name: "v", Ephemeral: &EphemeralVolumeSource{}},
	} {
		pod := podWith(t, "a", "", "")
		pod.Spec.Volumes = []Volume{volume}
		a, err := compilePod(pod)
		require.NoError(t, err)
		first, second := a.renamed("b"), a.renamed("c")
		for name, got := range map[string]*PodInfo{"b": first, "c": second} {
			other := *pod
			other.Name = name
			want, err := compilePod(&other)
			require.NoError(t, err)
			require.Equal(t, want.volumeClaims, got.volumeClaims)
			require.Equal(t, want, got)
		}
	}
}

func BenchmarkCapacity(b *testing.B) {
	for _, nodes := range []int{100, 1000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			c := uniformCluster(b, nodes)
			s := newScheduler(b, c)
			snapshot := c.Snapshot()
			template := podWith(b, "p", "", "")
			b.ReportAllocs()
			pods := 0
			for b.Loop() {
				out, err := snapshot.Fork(s).Capacity(template, 0)
				if err != nil || out.Pods < 30*nodes {
					b.Fatal(out, err)
				}
				pods += out.Pods
			}
			b.ReportMetric(float64(pods)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}

// BenchmarkScheduleAll places ten thousand pods on a fork of 5,000 nodes.
func BenchmarkScheduleAll(b *testing.B) {
	c := uniformCluster(b, 5000)
	s := newScheduler(b, c)
	snapshot := c.Snapshot()
	var pods []*Pod
	for i := range 10000 {
		pods = append(pods, podWith(b, fmt.Sprintf("p%d", i), "", ""))
	}
	b.ReportAllocs()
	for b.Loop() {
		out := snapshot.Fork(s).ScheduleAll(pods)
		if out[len(out)-1].Err != nil {
			b.Fatal(out[len(out)-1].Err)
		}
	}
	b.ReportMetric(float64(b.N)*10000/b.Elapsed().Seconds(), "pods/s")
}
