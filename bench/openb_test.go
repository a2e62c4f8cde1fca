package bench

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/bench/internal/workload"
	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/scheduler"
)

// trace is a GPU cluster's trace on its way through the scheduler.
type trace struct {
	nodes []*scheduler.Node
	pods  []*scheduler.Pod

	placed   map[string]string // pod → node
	unplaced map[string]int    // text of the failure → pods
}

// openTrace reads the trace from beside the repository.
func openTrace(tb testing.TB, pods int) *trace {
	tb.Helper()
	folder := filepath.Join("..", "..", "shared", "data", "openb")
	if _, err := os.Stat(filepath.Join(folder, workload.OpenBNodes)); err != nil {
		tb.Skipf("no trace here: %v", err)
	}
	c, err := workload.OpenB(folder, workload.OpenBPods)
	require.NoError(tb, err)
	t := &trace{}
	for _, o := range c.Nodes {
		t.nodes = append(t.nodes, decoded[scheduler.Node](tb, o))
	}
	for _, o := range c.Pods[:min(pods, len(c.Pods))] {
		t.pods = append(t.pods, decoded[scheduler.Pod](tb, o))
	}
	return t
}

func decoded[T any](tb testing.TB, o workload.Object) *T {
	v := new(T)
	require.NoError(tb, json.Unmarshal(o.JSON(), v))
	return v
}

// run places the pods in order of arrival; none leaves.
func (t *trace) run(tb testing.TB) {
	cache := scheduler.NewCache(scheduler.CacheConfig{})
	for _, n := range t.nodes {
		require.NoError(tb, cache.AddNode(n))
	}
	s, err := scheduler.New(scheduler.Config{Cache: cache})
	require.NoError(tb, err)
	t.placed, t.unplaced = map[string]string{}, map[string]int{}
	for _, p := range t.pods {
		placement, err := s.Schedule(p)
		var unfit *scheduler.FitError
		if errors.As(err, &unfit) {
			t.unplaced[err.Error()]++
			continue
		}
		require.NoError(tb, err)
		require.NoError(tb, cache.Assume(p, placement.Node))
		t.placed[p.Name] = placement.Node
	}
}

// check adds up what each node gave away, and returns how much of all GPUs that
// is.
func (t *trace) check(tb testing.TB) (gpuShare float64) {
	used := map[string]resource.List{}
	for _, p := range t.pods {
		if node, ok := t.placed[p.Name]; ok {
			used[node] = used[node].Add(p.Spec.Containers[0].Resources.Requests)
		}
	}
	var all, given int64
	for _, n := range t.nodes {
		require.Empty(tb, used[n.Name].Lacking(n.Status.Allocatable), "node %s is overcommitted", n.Name)
		total, mine := n.Status.Allocatable[workload.GPUMilli], used[n.Name][workload.GPUMilli]
		all, given = all+total.Value(), given+mine.Value()
	}
	lost := 0
	for _, n := range t.unplaced {
		lost += n
	}
	require.Equal(tb, len(t.pods), len(t.placed)+lost)
	return float64(given) / float64(all)
}

func TestOpenB(t *testing.T) {
	run := openTrace(t, 500)
	run.run(t)
	run.check(t)
	require.Len(t, run.placed, 500, "the first pods of the trace all fit: %v", run.unplaced)
}

func BenchmarkOpenB(b *testing.B) {
	run := openTrace(b, 1<<20)
	run.run(b)
	share := run.check(b)
	require.Greater(b, share, 0.8, "share of all GPUs that the placed pods have")
	b.ReportAllocs()
	for b.Loop() {
		run.run(b)
	}
	b.ReportMetric(float64(len(run.pods))*float64(b.N)/b.Elapsed().Seconds(), "pods/s")
	b.ReportMetric(float64(len(run.placed)), "placed")
	b.ReportMetric(100*share, "gpu-%")
}
