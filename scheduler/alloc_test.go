package scheduler

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// podWith returns a pod with 100m CPU and 500Mi, and what fields adds to its
// object.
func podWith(t testing.TB, name, labels, spec string) *Pod {
	return decodeAs[Pod](t, fmt.Sprintf(`{"metadata":{"name":%q,"labels":{%s}},"spec":{%s
		"containers":[{"name":"c","image":"pause","resources":{"requests":{"cpu":"100m","memory":"500Mi"}}}]}}`, name, labels, spec))
}

type benchKind struct{ labels, spec string }

// benchSpecs are kinds of pods with their own cost.
var benchSpecs = map[string]benchKind{
	"basic": {"", ""},
	"nodeaffinity": {"", `"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
		{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["zone1","zone2"]}]}]}}},`},
	"spread": {`"color":"blue"`, `"topologySpreadConstraints":[{"maxSkew":5,"topologyKey":"topology.kubernetes.io/zone",
		"whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"color":"blue"}}}],`},
	"antiaffinity": {`"color":"green"`, `"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[
		{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"color":"green"}}}]}},`},
	"prefaffinity": {`"color":"red"`, `"affinity":{"podAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,
		"podAffinityTerm":{"topologyKey":"topology.kubernetes.io/zone","labelSelector":{"matchLabels":{"color":"red"}}}}]}},`},
}

// uniformCluster has equal nodes in three zones, a fifth of them with one pod.
func uniformCluster(t testing.TB, nodes int) *Cache {
	c := NewCache(CacheConfig{})
	for i := range nodes {
		require.NoError(t, c.AddNode(decodeAs[Node](t, fmt.Sprintf(`{"metadata":{"name":"node-%05d","labels":{
			"kubernetes.io/hostname":"node-%05d","topology.kubernetes.io/zone":"zone%d","kubernetes.io/os":"linux"}},
			"status":{"allocatable":{"cpu":"4","memory":"32Gi","pods":"110"}}}`, i, i, i%3))))
	}
	for i := range nodes / 5 {
		p := podWith(t, fmt.Sprintf("init-%d", i), "", "")
		p.Spec.NodeName = fmt.Sprintf("node-%05d", i)
		require.NoError(t, c.AddPod(p))
	}
	return c
}

// A decision allocates a handful of times, however many nodes there are: once
// its memory has grown the scheduler uses it again.
func TestScheduleAllocs(t *testing.T) {
	if checked {
		t.Skip("the engine and the plain form decide, both")
	}
	for name, kind := range benchSpecs {
		t.Run(name, func(t *testing.T) {
			s := newScheduler(t, uniformCluster(t, 200))
			p, err := CompilePod(podWith(t, "new", kind.labels, kind.spec))
			require.NoError(t, err)
			n := testing.AllocsPerRun(20, func() {
				if _, err := s.SchedulePod(p); err != nil {
					t.Fatal(err)
				}
			})
			require.LessOrEqual(t, n, 4.0)
		})
	}
}

// Filtering one node allocates nothing, whether it passes or not.
func TestFilterAllocs(t *testing.T) {
	c := uniformCluster(t, 10)
	s := newScheduler(t, c)
	for _, cpu := range []string{"100m", "5"} {
		p, err := CompilePod(decodeAs[Pod](t, fmt.Sprintf(`{"metadata":{"name":"p"},"spec":{
			"containers":[{"name":"c","resources":{"requests":{"cpu":%q}}}]}}`, cpu)))
		require.NoError(t, err)
		s.cycle.begin(s, s.profiles[DefaultSchedulerName], p, c.refresh())
		s.cycle.preFilter()
		n := s.cycle.Nodes[0]
		require.Zero(t, testing.AllocsPerRun(100, func() { s.cycle.filter(n) }))
	}
}

// A fork is one piece of memory of one size, and going back to a mark when
// nothing has changed takes none.
func TestForkAllocs(t *testing.T) {
	s := newScheduler(t, uniformCluster(t, 200))
	snapshot := s.config.Cache.Snapshot()
	var f *Fork
	require.Equal(t, 1.0, testing.AllocsPerRun(20, func() { f = snapshot.Fork(s) }))
	before := f.Mark()
	require.Zero(t, testing.AllocsPerRun(20, func() {
		if err := f.Revert(before); err != nil {
			t.Fatal(err)
		}
	}))
}

// Once the Scheduler has seen pods of a kind, placing the next one allocates
// nothing: the decision goes into the caller's memory, and the Cache's tables
// grow seldom. What the pod itself takes is the caller's, from CompilePod.
func TestPlacingAllocs(t *testing.T) {
	if checked {
		t.Skip("the plain form decides, too")
	}
	for name, kind := range benchSpecs {
		t.Run(name, func(t *testing.T) {
			c := uniformCluster(t, 500)
			s := newScheduler(t, c)
			pods := make([]*PodInfo, 300)
			for i := range pods {
				var err error
				pods[i], err = CompilePod(podWith(t, fmt.Sprintf("p%d", i), kind.labels, kind.spec))
				require.NoError(t, err)
			}
			var out Placement
			next := 0
			place := func() {
				if err := s.SchedulePodInto(pods[next], &out); err != nil {
					t.Fatal(err)
				}
				if err := c.AssumePod(pods[next], out.Node); err != nil {
					t.Fatal(err)
				}
				next++
			}
			place()
			require.Zero(t, testing.AllocsPerRun(len(pods)-2, place))
		})
	}
}
