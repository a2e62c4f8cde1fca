package proxyrules

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestDirectSlotIsHalfACacheLine(t *testing.T) {
	require.EqualValues(t, 32, unsafe.Sizeof(directSlot{}))
}

func TestDirectKey(t *testing.T) {
	k := directKeyOf(netip.MustParseAddr("172.30.0.10"), 80, UDP)
	require.Equal(t, addressKey(netip.MustParseAddr("172.30.0.10"), portProtocol(80, UDP)), k.tableKey())
	require.NotZero(t, directKeyOf(netip.AddrFrom4([4]byte{}), 0, 0))
}

func TestHop(t *testing.T) {
	n := &node{watched: []wordRange{wordRangeOf(netip.MustParsePrefix("10.1.0.0/16"))}}
	for text, watched := range map[string]bool{"10.0.255.1:65535": false, "10.1.0.1:1": true, "255.0.0.1:80": false} {
		b := Backend{Address: netip.MustParseAddrPort(text)}
		h := n.hop(&b)
		require.Equal(t, b.Address, h.addrPort())
		require.Equal(t, watched, h&hopWatched != 0, text)
	}
}

// A direct table does what a map does, edit after edit, and what was made
// before stays as it was.
func TestDirectTableIsAMap(t *testing.T) {
	n := &node{family: IPv4}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0xd1))
		tab, want := &directTable{seed: rng.Uint64()}, map[directKey]*Policy{}
		keys := make([]directKey, 200+rng.IntN(3000))
		for i := range keys {
			keys[i] = directKeyOf(netip.AddrFrom4([4]byte{172, 30, byte(i >> 8), byte(i)}), uint16(rng.IntN(3)), TCP)
		}
		for range 40 {
			before, was := tab, map[directKey]*Policy{}
			for k, p := range want {
				was[k] = p
			}
			changes := map[directKey]directChange{}
			for range rng.IntN(60) {
				k := keys[rng.IntN(len(keys))]
				ch := directChange{key: k}
				delete(want, k)
				if rng.IntN(3) > 0 {
					ch.policy = randomPolicy(rng)
					want[k] = ch.policy
				}
				changes[k] = ch
			}
			var list []directChange
			for _, ch := range changes {
				list = append(list, ch)
			}
			tab = tab.edit(n, list)
			requireDirect(t, was, before, keys)
			requireDirect(t, want, tab, keys)
		}
	}
}

func randomPolicy(rng *rand.Rand) *Policy {
	p := &Policy{Cluster: make([]Backend, 1+rng.IntN(12))}
	for i := range p.Cluster {
		p.Cluster[i].Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(rng.IntN(256)), byte(rng.IntN(256))}), uint16(rng.IntN(1<<16)))
	}
	return p
}

func requireDirect(t *testing.T, want map[directKey]*Policy, got *directTable, keys []directKey) {
	t.Helper()
	for _, k := range keys {
		p := want[k]
		n := 1
		if p != nil {
			n = len(p.Cluster)
		}
		for i := range n {
			random := uint32((uint64(i)<<32 + uint64(n) - 1) / uint64(n))
			to, found := got.pick(k, random)
			if found != p || p != nil && to.addrPort() != p.Cluster[i].Address {
				t.Fatalf("key %x, backend %d of %d: %v, %v", k, i, n, to.addrPort(), found)
			}
		}
	}
}

// An address is near and maybe in the set when it was added; others hardly
// ever are.
func TestTakenSet(t *testing.T) {
	var s takenSet
	added := map[netip.Addr]bool{}
	rng := rand.New(rand.NewPCG(1, 0x7a))
	for range 1000 {
		a := randomAddr(rng)
		added[a] = true
		s.add(wordsOf(a))
	}
	doubts := 0
	for i := range 1 << 16 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 14), byte(i >> 6), byte(i << 2)})
		w := wordsOf(a)
		require.Equal(t, a.As4()[1] == 0, s.near(uint32(w.lo)))
		if s.maybe(w) && !added[a] {
			doubts++
		}
	}
	for a := range added {
		require.True(t, s.has(wordsOf(a)), a)
	}
	require.Less(t, doubts, 1000)
}
