package proxyrules

import (
	"encoding/binary"
	"slices"
)

// Maglev spreads hashes over backends so that each gets an equal share, and
// so that a backend which comes or goes moves few of the others' hashes: about
// its own share, and a few percent more. Equal backends give equal tables, on
// every machine. (Eisenbud et al., Maglev, NSDI 2016, §3.4)
type Maglev struct {
	backends []Backend
	slots    []uint32 // index of a backend
}

// maglevPrimes are table sizes; a table has at least 100 slots a backend, so
// that shares differ by at most 1 %.
var maglevPrimes = [...]int{251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071, 262139, 524287, 1048573}

const maglevSlotsPerBackend = 100

// NewMaglev builds the table for a list of backends, O(slots). Beyond 10,000
// backends the table stops growing and shares get less even.
func NewMaglev(backends []Backend) *Maglev {
	m := &Maglev{backends: backends}
	if len(backends) == 0 {
		return m
	}
	i, _ := slices.BinarySearch(maglevPrimes[:], maglevSlotsPerBackend*len(backends))
	size := maglevPrimes[min(i, len(maglevPrimes)-1)]
	m.slots = make([]uint32, size)
	type turn struct{ next, skip uint64 }
	turns := make([]turn, len(backends))
	for i := range backends {
		h1, h2 := hashAddress(&backends[i])
		turns[i] = turn{h1 % uint64(size), h2%uint64(size-1) + 1}
	}
	// Each backend in turn takes the next slot of its own order that is free.
	for filled := 0; ; {
		for i := range turns {
			t := &turns[i]
			for m.slots[t.next] != 0 {
				t.next = (t.next + t.skip) % uint64(size)
			}
			m.slots[t.next] = uint32(i + 1)
			if filled++; filled == size {
				return m
			}
		}
	}
}

// Pick returns the backend of a hash; nil when there is none at all.
func (m *Maglev) Pick(hash uint64) *Backend {
	if len(m.slots) == 0 {
		return nil
	}
	return &m.backends[m.slots[hash%uint64(len(m.slots))]-1]
}

// LookupMaglev is Lookup with the backend chosen by a hash of the flow and
// not at random: any node that has the same backends chooses the same. With
// ClientIP affinity the hash is of the source address alone. The table of a
// service port is built when first needed.
func (r *RuleSet) LookupMaglev(f *Flow) Decision {
	w := r.ways(f)
	if len(w.list) == 0 {
		return w.end
	}
	kept := &w.policy.maglevCluster
	if len(w.policy.Local) > 0 && &w.list[0] == &w.policy.Local[0] && len(w.list) == len(w.policy.Local) {
		kept = &w.policy.maglevLocal
	}
	m := kept.Load()
	if m == nil {
		m = NewMaglev(w.list)
		kept.Store(m)
	}
	b := m.Pick(f.hash(w.policy.Affinity > 0))
	return r.deliver(f, wordsOf(f.Source.Addr()), w.policy, b, w.mark)
}

// hash of a flow, or of its source alone.
func (f *Flow) hash(sourceOnly bool) uint64 {
	src := wordsOf(f.Source.Addr())
	h := mix(mix(0, src.hi), src.lo)
	if sourceOnly {
		return h
	}
	dst := wordsOf(f.Destination.Addr())
	h = mix(mix(h, dst.hi), dst.lo)
	return mix(h, uint64(f.Protocol)<<32|uint64(f.Source.Port())<<16|uint64(f.Destination.Port()))
}

// hashAddress gives two independent hashes of a backend.
func hashAddress(b *Backend) (uint64, uint64) {
	raw := b.Address.Addr().As16()
	h := mix(mix(uint64(b.Address.Port()), binary.BigEndian.Uint64(raw[:8])), binary.BigEndian.Uint64(raw[8:]))
	return h, mix(h, 1)
}

// mix adds a word to a hash. (splitmix64's finalizer)
func mix(h, word uint64) uint64 {
	h = (h ^ word) + 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
