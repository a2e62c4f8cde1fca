package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkSchedule places pods of one kind on equal nodes, scoring all of
// them: validate, compile, decide, assume.
func BenchmarkSchedule(b *testing.B) {
	for _, nodes := range []int{100, 1000, 5000} {
		for _, name := range slices.Sorted(maps.Keys(benchSpecs)) {
			kind := benchSpecs[name]
			b.Run(fmt.Sprintf("nodes=%d/workload=%s", nodes, name), func(b *testing.B) {
				c := uniformCluster(b, nodes)
				s := newScheduler(b, c)
				first, err := s.Schedule(podWith(b, "probe", kind.labels, kind.spec))
				require.NoError(b, err)
				require.Positive(b, first.Feasible)
				require.NotEmpty(b, first.Plugins)
				wire := podWith(b, "p", kind.labels, kind.spec)
				window := nodes / 5 // pods placed at a time, so that the cluster never fills up
				var placed []string
				b.ReportAllocs()
				for b.Loop() {
					pod := *wire
					pod.Name = fmt.Sprintf("p-%d", len(placed))
					if err := place(c, s, &pod); err != nil {
						b.Fatal(err)
					}
					placed = append(placed, pod.Name)
					if done := len(placed) - window; done > 0 {
						if err := c.Forget("", placed[done-1]); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric(float64(len(placed))/b.Elapsed().Seconds(), "pods/s")
			})
		}
	}
}

// place schedules a pod and assumes it.
func place(c *Cache, s *Scheduler, pod *Pod) error {
	p, err := CompilePod(pod)
	if err != nil {
		return err
	}
	placement, err := s.SchedulePod(p)
	if err != nil {
		return err
	}
	return c.AssumePod(p, placement.Node)
}

// BenchmarkPreemption fails to place a pod, finds the victims, three of four
// less important pods on one of the nodes, removes them, and places the pod on
// the nominated node; then all of it is undone.
func BenchmarkPreemption(b *testing.B) {
	for _, nodes := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			c := crowdedCluster(b, nodes)
			s := newScheduler(b, c)
			p, err := CompilePod(decodeAs[Pod](b, `{"metadata":{"name":"p"},"spec":{"priority":10,
				"containers":[{"name":"c","resources":{"requests":{"cpu":"3"}}}]}}`))
			require.NoError(b, err)
			nominated := *p.Pod
			b.ReportAllocs()
			for b.Loop() {
				_, err := s.SchedulePod(p)
				fit, ok := err.(*FitError)
				if !ok || fit.Nominated == nil || len(fit.Nominated.Victims) != 3 {
					b.Fatal(err)
				}
				if err := makeRoom(c, s, &nominated, fit.Nominated); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// crowdedCluster has four pods of 900m on each node, which has 4 CPUs.
func crowdedCluster(t testing.TB, nodes int) *Cache {
	c := uniformCluster(t, nodes)
	for i := range 4 * nodes {
		low := decodeAs[Pod](t, fmt.Sprintf(`{"metadata":{"name":"low-%d"},"spec":{"nodeName":"node-%05d",
			"containers":[{"name":"c","resources":{"requests":{"cpu":"900m"}}}]}}`, i, i%nodes))
		require.NoError(t, c.AddPod(low))
	}
	return c
}

// makeRoom removes the victims, places the pod where they were, and undoes that.
func makeRoom(c *Cache, s *Scheduler, pod *Pod, n *Nomination) error {
	var victims []*PodInfo
	for _, v := range n.Victims {
		namespace, name, _ := strings.Cut(v, "/")
		victims = append(victims, c.pods[podKey{namespace, name}].info)
		if err := c.RemovePod(namespace, name); err != nil {
			return err
		}
	}
	pod.Status.NominatedNodeName = n.Node
	if err := c.Nominate(pod, n.Node); err != nil {
		return err
	}
	placement, err := s.Schedule(pod)
	if err != nil {
		return err
	}
	if err := c.Assume(pod, placement.Node); err != nil {
		return err
	}
	if err := c.Forget("", pod.Name); err != nil {
		return err
	}
	for _, v := range victims {
		if err := c.addPod(v); err != nil {
			return err
		}
	}
	return nil
}
