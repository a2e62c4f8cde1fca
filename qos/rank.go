package qos

import (
	"cmp"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
)

// parts says which parts of a pod's disk use count for a signal.
type parts struct{ rootfs, logs, localVolumes bool }

func (l Layout) parts(s Signal) parts {
	onImageFS := s == ImageFSAvailable || s == ImageFSInodesFree
	onNodeFS := s == NodeFSAvailable || s == NodeFSInodesFree
	switch {
	case !l.ImageFS:
		return parts{rootfs: true, logs: true, localVolumes: true}
	case !l.SplitImageFS:
		return parts{rootfs: !onNodeFS, logs: onNodeFS, localVolumes: onNodeFS}
	case onImageFS:
		return parts{} // images alone, which belong to no pod
	}
	return parts{rootfs: true, logs: true, localVolumes: true}
}

// A Key is a candidate's place in the order of eviction for one signal: the
// smaller key goes first.
//
// The kubelet compares, in this order: does the pod exceed its request, its
// priority, and by how much it exceeds the request; for processes, priority
// and their number. Pods without statistics come before all that depends on
// statistics. QoS class plays no part.
type Key struct {
	Unknown bool              // no statistics: goes first
	Exceeds bool              // uses more than it requests: goes first
	Prio    int32             // the lower goes first
	Excess  resource.Quantity // use less request, or processes; the larger goes first
	pid     bool
}

// KeyFor returns the candidate's key for a signal.
func (c *Candidate) KeyFor(s Signal, layout Layout) Key { return c.key(c.use(s, layout), s) }

// key returns the key for a use, from what is compiled from the spec.
func (c *Candidate) key(use resource.Quantity, s Signal) Key {
	k := Key{Unknown: !c.Known, Prio: c.priority}
	if s == PIDAvailable {
		k.pid, k.Excess = true, use
		return k
	}
	if !c.Known {
		return k
	}
	request, subtracted := c.EphemeralStorage, c.EphemeralStorage
	switch {
	case s == MemoryAvailable || s == AllocatableMemoryAvailable:
		request, subtracted = c.Memory, c.Memory
	case s.countsInodes():
		request = c.Inodes // but upstream subtracts the request for bytes
	}
	k.Exceeds = use.Cmp(request) > 0
	k.Excess = use.Sub(subtracted)
	return k
}

// use returns what counts of the statistics for a signal.
func (c *Candidate) use(s Signal, layout Layout) resource.Quantity {
	switch s {
	case MemoryAvailable, AllocatableMemoryAvailable:
		return c.WorkingSet
	case PIDAvailable:
		return processCount(c.Processes)
	}
	return c.diskUse(s, layout)
}

func processCount(n uint64) resource.Quantity {
	if n > 1<<62 {
		n = 1 << 62 // far beyond any pid limit
	}
	return resource.NewInt(int64(n))
}

func (c *Candidate) diskUse(s Signal, layout Layout) resource.Quantity {
	var total FSUsage
	counted := layout.parts(s)
	for _, part := range [...]struct {
		counts bool
		FSUsage
	}{{counted.rootfs, c.Rootfs}, {counted.logs, c.Logs}, {counted.localVolumes, c.LocalVolumes}} {
		if part.counts {
			total.Bytes = total.Bytes.Add(part.Bytes)
			total.Inodes = total.Inodes.Add(part.Inodes)
		}
	}
	if s.countsInodes() {
		return total.Inodes
	}
	return total.Bytes
}

// Compare returns -1 if k's pod goes before l's, 1 if after, 0 if the kubelet's
// rules leave it open. Both keys must be for the same signal.
func (k Key) Compare(l Key) int {
	if !k.pid {
		if order := compareTrueFirst(k.Unknown, l.Unknown); order != 0 {
			return order
		}
		if order := compareTrueFirst(k.Exceeds, l.Exceeds); order != 0 {
			return order
		}
	}
	if order := cmp.Compare(k.Prio, l.Prio); order != 0 {
		return order
	}
	if k.pid {
		if order := compareTrueFirst(k.Unknown, l.Unknown); order != 0 {
			return order
		}
	}
	return l.Excess.Cmp(k.Excess)
}

func compareTrueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// compareTie orders what the kubelet leaves to its unstable sort: the younger
// pod goes first, then by namespace, name and UID.
func compareTie(a, b *Pod) int {
	if order := b.Metadata.CreationTimestamp.Compare(a.Metadata.CreationTimestamp); order != 0 {
		return order
	}
	if order := strings.Compare(a.Metadata.Namespace, b.Metadata.Namespace); order != 0 {
		return order
	}
	if order := strings.Compare(a.Metadata.Name, b.Metadata.Name); order != 0 {
		return order
	}
	return strings.Compare(a.Metadata.UID, b.Metadata.UID)
}

// Rank returns the indexes of the candidates in the order in which they are to
// be evicted for the signal.
func Rank(candidates []Candidate, s Signal, layout Layout) []int {
	keys := make([]rankKey, len(candidates))
	for i := range candidates {
		keys[i] = newRankKey(candidates[i].KeyFor(s, layout), i)
	}
	return sorted(keys, compiled{candidates, s, layout})
}

// sorted returns the indexes of the keys in order. It asks who where keys are
// equal.
func sorted[R ranked](keys []rankKey, who R) []int {
	slices.SortFunc(keys, func(a, b rankKey) int {
		if order := a.compare(b); order != 0 {
			return order
		}
		return compareExactly(a, b, who)
	})
	order := make([]int, len(keys))
	for i := range keys {
		order[i] = int(keys[i].index)
	}
	return order
}

// First returns the index of the candidate that Rank would put first among
// those that are not critical, or -1. It takes one pass and no memory.
func First(candidates []Candidate, s Signal, layout Layout) int {
	best, who := rankKey{index: -1}, compiled{candidates, s, layout}
	for i := range candidates {
		if candidates[i].Critical {
			continue
		}
		key := newRankKey(candidates[i].KeyFor(s, layout), i)
		if best.index >= 0 {
			order := key.compare(best)
			if order == 0 {
				order = compareExactly(key, best, who)
			}
			if order > 0 {
				continue
			}
		}
		best = key
	}
	return int(best.index)
}

// A rankKey is a Key in two numbers: all that precedes the excess in one, and
// the excess in whole units. Rounding keeps the order, so that different
// rankKeys are in the order of their Keys; equal ones are compared exactly.
type rankKey struct {
	class   uint64
	excess  int64
	index   int32
	rounded bool // excess is not the whole truth
}

func newRankKey(k Key, index int) rankKey {
	prio := uint64(uint32(k.Prio) ^ 1<<31) // ordered like the signed number
	class := prio << 1
	if !k.Unknown {
		class |= 1
	}
	if !k.pid {
		class = prio
		if !k.Exceeds {
			class |= 1 << 32
		}
		if !k.Unknown {
			class |= 1 << 33
		}
	}
	excess := k.Excess.Value()
	return rankKey{class, excess, int32(index), k.Excess.CmpInt(excess) != 0}
}

func (k rankKey) compare(l rankKey) int {
	switch {
	case k.class < l.class:
		return -1
	case k.class > l.class:
		return 1
	case k.excess > l.excess:
		return -1
	case k.excess < l.excess:
		return 1
	}
	return 0
}

// ranked is what rankKeys with equal numbers are told apart by.
type ranked interface {
	pod(i int32) *Pod
	excess(i int32) resource.Quantity
}

type compiled struct {
	candidates []Candidate
	signal     Signal
	layout     Layout
}

func (c compiled) pod(i int32) *Pod { return c.candidates[i].Pod }

func (c compiled) excess(i int32) resource.Quantity {
	return c.candidates[i].KeyFor(c.signal, c.layout).Excess
}

// compareExactly orders what rankKeys with equal numbers stand for.
func compareExactly[R ranked](k, l rankKey, who R) int {
	if k.rounded || l.rounded {
		if order := who.excess(l.index).Cmp(who.excess(k.index)); order != 0 {
			return order
		}
	}
	if order := compareTie(who.pod(k.index), who.pod(l.index)); order != 0 {
		return order
	}
	return cmp.Compare(k.index, l.index)
}
