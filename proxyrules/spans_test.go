package proxyrules

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// crowded makes a policy that wishes to lie at base in one map that all such
// policies wish for. Hashes of real names hardly ever meet like this.
func crowded(t *testing.T, n *node, i int, base uint32, backends int) *Policy {
	t.Helper()
	s := Service{Metadata: ObjectMeta{Namespace: "t", Name: fmt.Sprintf("svc-%03d", i)}}
	s.Spec.ClusterIP = fmt.Sprintf("172.30.0.%d", i+1)
	s.Spec.Ports = []ServicePort{{Port: 80}}
	list, err := n.policies(&s, &arena{}, &notices{})
	require.Nil(t, err)
	p := list[0]
	slice := &parsedSlice{name: "s", ports: []parsedPort{{"", TCP, 80}}}
	for k := range backends {
		slice.endpoints = append(slice.endpoints, parsedEndpoint{addr: netip.AddrFrom4([4]byte{10, byte(i), byte(k >> 8), byte(k)}), ready: true})
	}
	p.join([]*parsedSlice{slice}, n, &arena{})
	p.sum[10] = 7
	binary.BigEndian.PutUint32(p.sum[11:], base)
	return p
}

// Lists that wish for the same place get places of their own, which follow
// from what is there and not from how it came to be there; and updates move
// those that were moved.
func TestSpansThatMeet(t *testing.T) {
	n, err := (&Config{NodeName: "node-a"}).compile()
	require.NoError(t, err)
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 0))
		current := &RuleSet{node: n, table: newTable(), spans: new(spanTable)}
		have := map[int]*Policy{}
		texts := []string{string(current.AppendNFT(nil))}
		for range 30 {
			i := rng.IntN(8)
			ch := change{old: have[i]}
			if ch.old == nil || rng.IntN(3) > 0 {
				base := uint32(100 + rng.IntN(20))
				if rng.IntN(4) == 0 {
					base = ^uint32(0) - uint32(rng.IntN(4)) // at the end of all numbers
				}
				if ch.old != nil {
					base = binary.BigEndian.Uint32(ch.old.sum[11:])
				}
				ch.new = crowded(t, n, i, base, 1+rng.IntN(9))
			}
			have[i] = ch.new
			next := current.after(n, nil, []change{ch})
			requireDisjoint(t, next.spans)
			texts = append(texts, string(Diff(current, next).AppendNFT(nil)))
			current = next

			fresh := &RuleSet{node: n, table: newTable(), spans: new(spanTable)}
			var all []change
			for k := range 8 {
				if have[k] != nil {
					all = append(all, change{new: have[k]})
				}
			}
			fresh.apply(all)
			require.Equal(t, string(fresh.AppendNFT(nil)), string(current.AppendNFT(nil)), "seed %d", seed)
		}
		updated, err := ParseNFT(texts...)
		require.NoError(t, err)
		whole, err := ParseNFT(string(current.AppendNFT(nil)))
		require.NoError(t, err)
		w, err := Equivalent(updated, whole, Environment{})
		require.NoError(t, err)
		require.Nil(t, w, "seed %d", seed)
	}
}

func requireDisjoint(t *testing.T, s *spanTable) {
	t.Helper()
	for i := range s.maps {
		taken := map[uint32]bool{}
		for _, q := range s.at(i) {
			for k := range q.span.n {
				require.False(t, taken[q.span.base+k], "two lists share index %d", q.span.base+k)
				require.LessOrEqual(t, q.span.base, ^uint32(0)-q.span.n)
				taken[q.span.base+k] = true
			}
		}
	}
}
