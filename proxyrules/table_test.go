package proxyrules

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func randomAddr(rng *rand.Rand) netip.Addr {
	if rng.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{10, 0, byte(rng.IntN(2)), byte(rng.IntN(256))})
	}
	return netip.AddrFrom16([16]byte{0xfd, 15: byte(rng.IntN(256))})
}

func TestWords(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		a := randomAddr(rng)
		require.Equal(t, a, wordsOf(a).addr())
		require.Equal(t, a.Is4(), wordsOf(a).is4())
	}
	mapped := netip.MustParseAddr("::ffff:10.0.0.1")
	require.Equal(t, wordsOf(mapped.Unmap()), wordsOf(mapped))
}

// A table does what a map does, edit after edit, and what was made before
// stays as it was.
func TestTableIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		tab, counts := newTable(), map[tableKey]uint32{}
		for range 60 {
			before, was := tab, map[tableKey]uint32{}
			for k, n := range counts {
				was[k] = n
			}
			edit := tab.edit(&node{})
			for range rng.IntN(30) {
				a := randomAddr(rng)
				k := addressKey(a, uint32(rng.IntN(4)))
				if rng.IntN(2) == 0 || counts[k] == 0 {
					edit.slot(k).count++
					edit.take(a)
					counts[k]++
					continue
				}
				edit.release(k)
				if counts[k]--; counts[k] == 0 {
					delete(counts, k)
				}
			}
			tab = edit.done()
			requireTable(t, was, before)
			requireTable(t, counts, tab)
		}
	}
}

func requireTable(t *testing.T, want map[tableKey]uint32, got *table) {
	t.Helper()
	entries := 0
	for i := range got.shards {
		used := 0
		if got.shards[i] == nil {
			continue
		}
		for k := range got.shards[i].slots {
			if got.shards[i].slots[k].count > 0 {
				used++
			}
		}
		require.Equal(t, used, got.shards[i].used)
		entries += used
	}
	require.Len(t, want, entries)
	for k, n := range want {
		e := got.find(k)
		require.NotNil(t, e, k)
		require.Equal(t, n, e.count)
		require.True(t, got.taken.has(k.words))
	}
}
