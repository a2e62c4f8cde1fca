package mvcc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Thousands of keys make a tree of several levels, which the model's few do
// not. A sorted slice is the plain twin; snapshots must stay as they were.
func TestTreeEqualsSlice(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 11))
			s := New()
			var keys [][]byte
			for i := range 6000 {
				key := binary.BigEndian.AppendUint32(nil, uint32(i))
				if seed%2 == 0 { // in order or not
					key = binary.BigEndian.AppendUint32(nil, r.Uint32N(1<<20))
				}
				mustPut(t, s, string(key), "")
				at, found := slices.BinarySearchFunc(keys, key, bytes.Compare)
				if !found {
					keys = slices.Insert(keys, at, key)
				}
			}
			checkInvariants(t, s)
			snapshot, then := s.Snapshot(), slices.Clone(keys)
			for len(keys) > 0 {
				i := r.IntN(len(keys))
				end := min(len(keys), i+r.IntN(40)+1)
				_, err := s.Delete(&DeleteRequest{Key: keys[i], End: append(bytes.Clone(keys[end-1]), 0)})
				require.NoError(t, err)
				keys = slices.Delete(keys, i, end)
				if r.IntN(4) == 0 {
					require.NoError(t, s.Compact(s.Revision()))
					s.Reclaim(r.IntN(500))
				}
				if r.IntN(20) == 0 {
					requireCounts(t, s.Snapshot(), keys, r)
				}
			}
			for s.Reclaim(1000) {
			}
			checkInvariants(t, s)
			requireCounts(t, snapshot, then, r)
			mustPut(t, s, "last", "")
			require.NoError(t, s.Compact(s.Revision())) // beyond the last tombstone
			for s.Reclaim(1000) {
			}
			require.Equal(t, 1, s.index.length)
		})
	}
}

// requireCounts compares ranges, their counts and limits with the slice.
func requireCounts(t *testing.T, sn *Snapshot, keys [][]byte, r *rand.Rand) {
	t.Helper()
	for range 20 {
		from := binary.BigEndian.AppendUint32(nil, r.Uint32N(1<<20))
		to := binary.BigEndian.AppendUint32(nil, r.Uint32N(1<<20))
		lo, _ := slices.BinarySearchFunc(keys, from, bytes.Compare)
		hi, _ := slices.BinarySearchFunc(keys, to, bytes.Compare)
		want := keys[lo:max(lo, hi)]
		limit := r.IntN(20) + 1
		got, err := sn.Range(&RangeOptions{Key: from, End: to, Limit: int64(limit)})
		require.NoError(t, err)
		require.EqualValues(t, len(want), got.Count)
		require.Len(t, got.KVs, min(limit, len(want)))
		require.Equal(t, len(want) > limit, got.More)
		for i, kv := range got.KVs {
			require.Equal(t, want[i], kv.Key)
		}
		count, err := sn.Range(&RangeOptions{Key: from, End: to, CountOnly: true})
		require.NoError(t, err)
		require.Equal(t, got.Count, count.Count)
	}
}

// Keys that differ late, in zeros only, in length only, or not within the bytes
// that a node keeps of them.
func TestTreeOfHostileKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 23))
	prefixes := []string{"", "\x00", strings.Repeat("p", 60), strings.Repeat("p", 64), strings.Repeat("p", 200), strings.Repeat("\xff", 80)}
	s := New()
	var keys [][]byte
	for range 8000 {
		key := []byte(prefixes[r.IntN(len(prefixes))])
		for range r.IntN(12) {
			key = append(key, "\x00\x01ab\xff"[r.IntN(5)])
		}
		if len(key) == 0 {
			continue
		}
		at, found := slices.BinarySearchFunc(keys, key, bytes.Compare)
		switch {
		case !found:
			keys = slices.Insert(keys, at, key)
			mustPut(t, s, string(key), "")
		case r.IntN(2) == 0:
			keys = slices.Delete(keys, at, at+1)
			_, err := s.Delete(&DeleteRequest{Key: key})
			require.NoError(t, err)
		}
		if r.IntN(500) == 0 {
			require.NoError(t, s.Compact(s.Revision()))
			settle(s)
			checkInvariants(t, s)
		}
	}
	require.Greater(t, len(keys), 3000)
	got, err := s.Range(&RangeOptions{Key: []byte{0}, End: []byte{0}})
	require.NoError(t, err)
	require.Len(t, got.KVs, len(keys))
	for i, key := range keys {
		require.Equal(t, key, got.KVs[i].Key)
		_, ok, err := s.Lookup(key, 0)
		require.NoError(t, err)
		require.True(t, ok)
		_, ok, err = s.Lookup(append(key, 0, 0, 0, 0, 0, 0, 0, 0, 7), 0)
		require.NoError(t, err)
		require.False(t, ok)
	}
	checkInvariants(t, s)
}

// Keys that arrive in order leave nodes nearly full: that is half of the
// index's memory.
func TestTreeFillsInOrder(t *testing.T) {
	s := New()
	const n = 20000
	for i := range n {
		mustPut(t, s, fmt.Sprintf("/registry/pods/default/pod-%06d", i), "")
	}
	nodes := countNodes(s.index.root)
	require.Less(t, nodes, n/nodeItemsMax*13/10, "%d nodes", nodes)
}

func countNodes(n *node) int {
	total := 1
	for _, c := range n.children {
		total += countNodes(c)
	}
	return total
}
