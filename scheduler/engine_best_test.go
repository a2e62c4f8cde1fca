package scheduler

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever is feasible and best, and wherever the scan starts: the node that is
// taken is that of the plain form.
func TestRankedIsPlainChoice(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 4000 {
		n := 1 + rng.IntN(oneOf(rng, 5, 70, 300))
		k := &class{fits: newBitset(n), best: newBestNodes(n)}
		rarity := 1 + rng.IntN(40)
		start := rng.IntN(n)
		for at := range int32(n) {
			if rng.IntN(4) > 0 {
				k.fits.set(at)
			}
		}
		for i, word := range k.fits {
			k.feasible += bits.OnesCount64(word)
			k.best.before[i+1] = int32(k.feasible)
		}
		if k.feasible == 0 {
			continue
		}
		for at := range k.fits.all() {
			if rng.IntN(rarity) == 0 {
				k.best.mask[at>>6] |= 1 << (at & 63)
				k.best.top[at>>6], k.best.groupTop[0] = 7, 7
			}
		}
		if k.best.groupTop[0] == noTotal {
			continue
		}
		r := k.ranked(start, []int64{0})
		order := k.fits.appendFrom(nil, start, n)
		require.Len(t, order, k.feasible)
		totals := make([]int64, len(order))
		for rank, at := range order {
			require.Equal(t, at, r.at(int32(rank)))
			require.EqualValues(t, rank, r.rank(at))
			totals[rank] = int64(r.word[at>>6] >> (at & 63) & 1)
		}
		require.Equal(t, order[firstInHeap(totals, 1)], r.firstInHeap())
		one, other := rand.NewPCG(1, 2), rand.NewPCG(1, 2)
		require.Equal(t, order[drawBest(totals, 1, rand.New(one))], r.draw(rand.New(other)))
		require.Equal(t, one, other)
		var all []int32
		for at := range r.all {
			all = append(all, at)
		}
		order = slices.DeleteFunc(order, func(at int32) bool { return r.word[at>>6]>>(at&63)&1 == 0 })
		require.Equal(t, order, all)
	}
}

// Far away nodes are scored anew when the worst node, which all are held
// against, leaves the feasible ones or joins them.
func TestNormaliserMovesAllTotals(t *testing.T) {
	c := uniformCluster(t, 300)
	soft := Taint{Key: "spot", Effect: PreferNoSchedule}
	for i, n := range c.refresh() {
		tainted := *n.Node
		tainted.Spec.Taints = []Taint{soft}
		if i == 290 {
			tainted.Spec.Taints = []Taint{soft, {Key: "slow", Effect: PreferNoSchedule}}
		}
		require.NoError(t, c.UpdateNode(&tainted))
	}
	s, plain := newScheduler(t, c), newScheduler(t, c)
	plain.engine = nil
	worst := *c.refresh()[290].Node
	for range 4 {
		p := podWith(t, "p", "", "")
		want, err := plain.Schedule(p)
		require.NoError(t, err)
		got, err := s.Schedule(p)
		require.NoError(t, err)
		require.Equal(t, want, got)
		worst.Spec.Unschedulable = !worst.Spec.Unschedulable
		next := worst
		require.NoError(t, c.UpdateNode(&next))
	}
	require.EqualValues(t, 4, s.engine.decided)
}
