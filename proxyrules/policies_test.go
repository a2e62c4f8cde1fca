package proxyrules

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A list does what a sorted map does, edit after edit; diff finds what edits
// did; and blocks stay within bounds.
func TestPolicyList(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0xb1))
		keys := 1 + rng.IntN(3000)
		list, want := policyList{}, map[PortKey]*Policy{}
		for range 30 {
			before, was := list, sortedPolicies(want)
			changes := map[PortKey]change{}
			for range 1 + rng.IntN(1+rng.IntN(keys)) {
				k := PortKey{Namespace: "n", Service: fmt.Sprint(rng.IntN(keys)), Protocol: TCP}
				ch := change{old: want[k]}
				if _, twice := changes[k]; twice {
					continue
				}
				if ch.old == nil || rng.IntN(2) > 0 {
					ch.new = &Policy{Key: k, Port: uint16(rng.IntN(3))}
				}
				changes[k] = ch
			}
			for k, ch := range changes {
				if delete(want, k); ch.new != nil {
					want[k] = ch.new
				}
			}
			sorted := slices.SortedFunc(maps.Values(changes), func(a, b change) int { return a.key().compare(b.key()) })
			list = list.edit(sorted)
			require.Equal(t, was, before.flat())
			require.Equal(t, sortedPolicies(want), list.flat())
			for _, b := range list.blocks {
				require.NotEmpty(t, b)
				require.LessOrEqual(t, len(b), 2*policyBlock)
			}
			differ := slices.DeleteFunc(sorted, func(ch change) bool { return ch.old != nil && ch.new != nil && ch.old.equal(ch.new) })
			require.ElementsMatch(t, differ, before.diff(list))
			require.True(t, slices.IsSortedFunc(before.diff(list), func(a, b change) int { return a.key().compare(b.key()) }))
			require.ElementsMatch(t, differ, newPolicyList(was).diff(newPolicyList(list.flat())), "other blocks")
		}
	}
}

func sortedPolicies(m map[PortKey]*Policy) []*Policy {
	var out []*Policy
	for _, p := range m {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Policy) int { return a.Key.compare(b.Key) })
	return out
}
