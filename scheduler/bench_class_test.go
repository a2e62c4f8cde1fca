package scheduler

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkNewKind decides about a pod of a kind that was not seen before: the
// engine looks at every node once. What is measured is the worst case of a mix
// in which no two pods are alike.
func BenchmarkNewKind(b *testing.B) {
	for _, name := range []string{"basic", "nodeaffinity", "spread", "antiaffinity", "prefaffinity"} {
		for _, plain := range []bool{false, true} {
			b.Run(fmt.Sprintf("workload=%s/nodes=5000/plain=%t", name, plain), func(b *testing.B) {
				c := uniformCluster(b, 5000)
				s, err := New(Config{Cache: c, Plain: plain})
				require.NoError(b, err)
				pods := make([]*PodInfo, 1000)
				for i := range pods {
					kind := benchSpecs[name]
					pods[i], err = CompilePod(podWith(b, "p", fmt.Sprintf(`"kind":"%d"%s`, i, prefixed(", ", kind.labels)), kind.spec))
					require.NoError(b, err)
				}
				next := 0
				b.ReportAllocs()
				for b.Loop() {
					out, err := s.SchedulePod(pods[next%len(pods)])
					if err != nil || out.Feasible == 0 {
						b.Fatal(err)
					}
					next++
				}
			})
		}
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}
