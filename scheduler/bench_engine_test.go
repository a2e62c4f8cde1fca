package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkReplicas places the next replica of a template, compiled before: what
// a decision and the booking of the pod cost once the kind of pod is known. The
// last of a fifth of the nodes' number is taken away again, so that the cluster
// never fills up.
func BenchmarkReplicas(b *testing.B) {
	kinds := maps.Clone(benchSpecs)
	kinds["service"] = benchKind{`"app":"web"`, ""}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		for _, nodes := range []int{1000, 5000, 15000, 50000} {
			b.Run(fmt.Sprintf("workload=%s/nodes=%d", name, nodes), func(b *testing.B) {
				c := uniformCluster(b, nodes)
				svc := &Service{ObjectMeta: ObjectMeta{Name: "web"}}
				svc.Spec.Selector = map[string]string{"app": "web"}
				require.NoError(b, c.SetService(svc))
				s := newScheduler(b, c)
				pods := make([]*PodInfo, nodes/5)
				for i := range pods {
					var err error
					pods[i], err = CompilePod(podWith(b, fmt.Sprintf("p-%d", i), kinds[name].labels, kinds[name].spec))
					require.NoError(b, err)
				}
				var out Placement
				require.NoError(b, s.SchedulePodInto(pods[0], &out))
				require.Greater(b, out.Feasible, nodes/2)
				next := 0
				b.ReportAllocs()
				for b.Loop() {
					p := pods[next%len(pods)]
					if next >= len(pods) {
						if err := c.Forget("", p.Pod.Name); err != nil {
							b.Fatal(err)
						}
					}
					if err := s.SchedulePodInto(p, &out); err != nil {
						b.Fatal(err)
					}
					if err := c.AssumePod(p, out.Node); err != nil {
						b.Fatal(err)
					}
					next++
				}
				b.ReportMetric(float64(next)/b.Elapsed().Seconds(), "pods/s")
			})
		}
	}
}
