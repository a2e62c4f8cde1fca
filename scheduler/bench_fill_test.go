package scheduler

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkFill places 150,000 pods of ten services on 5,000 empty nodes, the
// size that Kubernetes documents as its limit, with the default plugins: the
// spread by service and zone that these bring as well. from=compiled decides and
// books pods that were compiled before, from=decoded validates and compiles each
// as well.
func BenchmarkFill(b *testing.B) {
	const nodes, pods, services = 5000, 150000, 10
	for _, from := range []string{"compiled", "decoded"} {
		b.Run(fmt.Sprintf("nodes=%d/pods=%d/from=%s", nodes, pods, from), func(b *testing.B) {
			var wire []*Pod
			for i := range pods {
				wire = append(wire, decodeAs[Pod](b, podJSON(i)))
			}
			for b.Loop() {
				b.StopTimer()
				c := uniformCluster(b, nodes)
				for i := range services {
					svc := &Service{ObjectMeta: ObjectMeta{Name: fmt.Sprintf("s%d", i)}}
					svc.Spec.Selector = map[string]string{"app": svc.Name}
					require.NoError(b, c.SetService(svc))
				}
				s := newScheduler(b, c)
				infos := make([]*PodInfo, pods)
				if from == "compiled" {
					for i := range infos {
						infos[i] = mustCompile(b, wire[i])
					}
				}
				b.StartTimer()
				var out Placement
				for i, p := range infos {
					if p == nil {
						p = mustCompile(b, wire[i])
					}
					if err := s.SchedulePodInto(p, &out); err != nil {
						b.Fatal(err)
					}
					if err := c.AssumePod(p, out.Node); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				requireEven(b, c, pods)
				b.StartTimer()
			}
			b.ReportMetric(float64(pods*b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}

func mustCompile(t testing.TB, pod *Pod) *PodInfo {
	p, err := CompilePod(pod)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// requireEven sees that all pods are there and no node has much more than its
// share.
func requireEven(t testing.TB, c *Cache, pods int) {
	nodes, have := c.Len()
	require.GreaterOrEqual(t, have, pods)
	for _, n := range c.list {
		require.LessOrEqual(t, len(n.Pods), have/nodes+3, n.Name)
	}
}

// TestSizes reports what a node and a pod take in the Cache, with everything
// that was decoded from their JSON and with the engine's share, and holds them
// to the sum that 15,000 nodes and 450,000 pods may take: 1.5 GB.
func TestSizes(t *testing.T) {
	const nodes, pods = 500, 15000
	used := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	empty := used()
	c := uniformCluster(t, nodes)
	withNodes := used()
	s := newScheduler(t, c)
	var out Placement
	for i := range pods {
		p, err := c.Compile(decodeAs[Pod](t, podJSON(i)))
		require.NoError(t, err)
		require.NoError(t, s.SchedulePodInto(p, &out))
		require.NoError(t, c.AssumePod(p, out.Node))
	}
	full := used()
	perNode, perPod := (withNodes-empty)/nodes, (full-withNodes)/pods
	t.Logf("%d bytes per node, %d per pod", perNode, perPod)
	require.Less(t, 15000*perNode+450000*perPod, 1500_000_000)
	runtime.KeepAlive(s)
}

// podJSON is an ordinary pod: what an API server keeps of it, as far as it is
// decoded.
func podJSON(i int) string {
	return fmt.Sprintf(`{"metadata":{"name":"web-5d4f8c7b9-%05d","namespace":"default","uid":"5d4f8c7b-%05d",
		"labels":{"app":"s%d","pod-template-hash":"5d4f8c7b9"},
		"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d4f8c7b9","uid":"rs-1","controller":true}]},
		"spec":{"containers":[{"name":"web","image":"registry.example.com/web:1.0","ports":[{"containerPort":80,"protocol":"TCP"}],
			"resources":{"requests":{"cpu":"100m","memory":"500Mi"},"limits":{"cpu":"100m","memory":"500Mi"}}}],
		"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},
			{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],
		"priority":0}}`, i, i, i%10)
}
