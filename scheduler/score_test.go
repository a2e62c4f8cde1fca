package scheduler

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxHeap is how upstream chooses: a heap built in place, whose root is taken.
type maxHeap struct{ totals, index []int64 }

func (h maxHeap) Len() int           { return len(h.totals) }
func (h maxHeap) Less(i, j int) bool { return h.totals[i] > h.totals[j] }
func (h maxHeap) Swap(i, j int) {
	h.totals[i], h.totals[j] = h.totals[j], h.totals[i]
	h.index[i], h.index[j] = h.index[j], h.index[i]
}
func (maxHeap) Push(any) {}
func (maxHeap) Pop() any { return nil }

func TestFirstInHeap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		n := 1 + rng.IntN(40)
		totals := make([]int64, n)
		h := maxHeap{make([]int64, n), make([]int64, n)}
		best := int64(0)
		for i := range totals {
			totals[i] = int64(rng.IntN(3))
			h.totals[i], h.index[i] = totals[i], int64(i)
			best = max(best, totals[i])
		}
		heap.Init(h)
		require.Equal(t, int(h.index[0]), firstInHeap(totals, best), "%v", totals)
	}
}

func TestTieBreak(t *testing.T) {
	place := func(config Config) map[string]int {
		c := NewCache(CacheConfig{})
		for _, name := range []string{"c", "a", "d", "b"} {
			require.NoError(t, c.AddNode(decodeAs[Node](t, fmt.Sprintf(
				`{"metadata":{"name":%q},"status":{"allocatable":{"cpu":"4","pods":"9"}}}`, name))))
		}
		config.Cache = c
		s, err := New(config)
		require.NoError(t, err)
		took := make(map[string]int)
		for range 400 {
			placement, err := s.Schedule(decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}]}}`))
			require.NoError(t, err)
			took[placement.Node]++
		}
		return took
	}
	require.Equal(t, map[string]int{"c": 400}, place(Config{}), "the first in scan order")
	require.Equal(t, map[string]int{"a": 400}, place(Config{TieBreak: TieFirst}))
	random := place(Config{TieBreak: TieRandom, Seed: 7})
	require.Len(t, random, 4)
	for node, n := range random {
		require.Greater(t, n, 50, node)
	}
	require.Equal(t, random, place(Config{TieBreak: TieRandom, Seed: 7}), "the same seed draws the same")
}

func TestNormalize(t *testing.T) {
	tests := []struct {
		raw     []int64
		reverse bool
		want    []int64
	}{
		{[]int64{0, 0}, false, []int64{0, 0}},
		{[]int64{0, 0}, true, []int64{100, 100}},
		{[]int64{0, 1, 3}, false, []int64{0, 33, 100}},
		{[]int64{0, 1, 3}, true, []int64{100, 67, 0}},
	}
	for _, test := range tests {
		got := append([]int64(nil), test.raw...)
		normalize(got, test.reverse)
		require.Equal(t, test.want, got, "%v reverse=%v", test.raw, test.reverse)
	}
}

func TestNodesToFind(t *testing.T) {
	for _, test := range []struct{ nodes, percent, want int }{
		{0, Adaptive, 0}, {99, Adaptive, 99}, {100, Adaptive, 100}, {101, 1, 100},
		{1000, Adaptive, 420}, {5000, Adaptive, 500}, {6000, Adaptive, 300}, {10000, Adaptive, 500},
		{5000, 0, 5000}, {5000, 100, 5000}, {5000, 30, 1500}, {200, 10, 100},
	} {
		require.Equal(t, test.want, nodesToFind(test.nodes, test.percent), "%+v", test)
	}
}

// A truncated scan starts where the last one ended, and the feasible node that
// would be one too many is not counted.
func TestTruncatedScan(t *testing.T) {
	c := NewCache(CacheConfig{})
	for i := range 250 {
		cpu := 4
		if i%5 == 4 {
			cpu = 0 // every fifth node admits nobody
		}
		require.NoError(t, c.AddNode(decodeAs[Node](t, fmt.Sprintf(
			`{"metadata":{"name":"n%03d"},"status":{"allocatable":{"cpu":"%d","pods":"9"}}}`, i, cpu))))
	}
	s, err := New(Config{Cache: c, PercentageOfNodesToScore: 10, Profiles: []Profile{{}, {SchedulerName: "all", PercentageOfNodesToScore: 100}}})
	require.NoError(t, err)
	all, err := s.Schedule(decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"schedulerName":"all","containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`))
	require.NoError(t, err)
	require.Equal(t, 200, all.Feasible)
	require.Equal(t, 250, all.Evaluated)
	require.Zero(t, s.start, "once round")
	pod := decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`)
	for _, want := range []struct {
		node             string
		evaluated, start int
	}{
		// 100 feasible among the first 125, the last of them infeasible.
		{"n000", 125, 125},
		{"n125", 125, 0},
		{"n000", 125, 125},
	} {
		placement, err := s.Schedule(pod)
		require.NoError(t, err)
		require.Equal(t, want.node, placement.Node)
		require.Equal(t, 100, placement.Feasible)
		require.Equal(t, want.evaluated, placement.Evaluated)
		require.Equal(t, want.start, s.start)
	}
}
