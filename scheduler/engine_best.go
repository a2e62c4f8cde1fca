package scheduler

import (
	"iter"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// bitset is a set of positions.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) has(at int32) bool { return b[at>>6]>>(at&63)&1 != 0 }
func (b bitset) set(at int32)      { b[at>>6] |= 1 << (at & 63) }
func (b bitset) clear(at int32)    { b[at>>6] &^= 1 << (at & 63) }

// all yields the members in ascending order.
func (b bitset) all() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i, word := range b {
			for ; word != 0; word &= word - 1 {
				if !yield(int32(i<<6 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}

// first returns the lowest member, -1 when there is none.
func (b bitset) first() int32 {
	for at := range b.all() {
		return at
	}
	return -1
}

// appendFrom appends the members in ascending order from start on, once round,
// at most max of them.
func (b bitset) appendFrom(dst []int32, start, max int) []int32 {
	first := start >> 6
	for i := range len(b) + 1 {
		w := (first + i) % len(b)
		word := b[w]
		if i == 0 {
			word &= ^uint64(0) << (start & 63)
		} else if i == len(b) {
			word &= 1<<(start&63) - 1
		}
		for ; word != 0; word &= word - 1 {
			if max--; max < 0 {
				return dst
			}
			dst = append(dst, int32(w<<6+bits.TrailingZeros64(word)))
		}
	}
	return dst
}

// bestNodes finds the feasible nodes with the highest total. A total is the sum
// of what the node alone decides, its own part, and of what its group adds (see
// groups). Nodes are taken in blocks of 64; per block and group it keeps the
// highest own part and which nodes have it. After a placement one block is
// computed anew, and the best blocks of its groups are found again:
//
//	positions      0 ....... 63   64 ..... 127   128 ...
//	group 0  top        512            498           512
//	         mask    0b..0100       0b..0001      0b..1010
//	group 1  top        475              -           475
//	         mask    0b..0001              0      0b..0100
//
// Cost per decision: the own parts of the nodes in each block that has changed,
// n/64 comparisons for each group in these, and for the groups that have the
// best nodes.
type bestNodes struct {
	stride int      // room for groups
	top    []int64  // own parts, by block and group
	mask   []uint64 // by block and group
	// groupTop is the highest own part of each group, stale where groupSoiled.
	groupTop    []int64
	groupSoiled []bool
	// before counts the feasible nodes in the blocks before each.
	before []int32
	// soiled are the blocks that have changed.
	soiled bitset
	any    bool
	// The normalisers that own parts were computed with. Others make all blocks
	// stale.
	taintTop, affinityTop int64

	word []uint64 // of the present decision: the best nodes by block
}

func newBestNodes(n int) bestNodes {
	blocks := (n + 63) / 64
	b := bestNodes{before: make([]int32, blocks+1), soiled: newBitset(blocks), word: make([]uint64, blocks)}
	b.widen(1)
	return b
}

// widen makes room for more groups.
func (b *bestNodes) widen(groups int) {
	for b.stride < groups {
		b.stride = max(1, 8*b.stride)
	}
	b.top = make([]int64, len(b.word)*b.stride)
	b.mask = make([]uint64, len(b.word)*b.stride)
	b.groupTop, b.groupSoiled = make([]int64, b.stride), make([]bool, b.stride)
	for i := range b.top {
		b.top[i] = noTotal
	}
	for i := range b.groupTop {
		b.groupTop[i] = noTotal
	}
	b.soilAll()
}

func (b *bestNodes) soil(at int32) {
	b.soiled.set(at >> 6)
	b.any = true
}

func (b *bestNodes) soilAll() {
	for i := range b.soiled {
		b.soiled[i] = ^uint64(0)
	}
	b.any = true
}

// refreshBest computes what has changed.
func (k *class) refreshBest() {
	b := &k.best
	if b.stride < len(k.groups.keys) {
		b.widen(len(k.groups.keys))
	}
	if b.taintTop != k.taintTop.top || b.affinityTop != k.affinityTop.top {
		b.taintTop, b.affinityTop = k.taintTop.top, k.affinityTop.top
		b.soilAll()
	}
	if !b.any {
		return
	}
	for block := range b.soiled.all() {
		if int(block) == len(b.word) {
			break
		}
		k.refreshBlock(block)
	}
	clear(b.soiled)
	b.any = false
	for g, soiled := range b.groupSoiled {
		if soiled {
			b.groupTop[g], b.groupSoiled[g] = b.topOf(g), false
		}
	}
	for i, word := range k.fits {
		b.before[i+1] = b.before[i] + int32(bits.OnesCount64(word))
	}
}

func (b *bestNodes) topOf(g int) int64 {
	top := int64(noTotal)
	for i := g; i < len(b.top); i += b.stride {
		top = max(top, b.top[i])
	}
	return top
}

func (k *class) refreshBlock(block int32) {
	b := &k.best
	first := int(block) * b.stride
	top, mask := b.top[first:first+b.stride], b.mask[first:first+b.stride]
	for g := range top {
		if top[g] != noTotal {
			top[g], mask[g] = noTotal, 0
			b.groupSoiled[g] = true
		}
	}
	for word := k.fits[block]; word != 0; word &= word - 1 {
		bit := bits.TrailingZeros64(word)
		at := block<<6 + int32(bit)
		g := k.groups.of[at]
		switch own := k.ownPart(at); {
		case own > top[g]:
			top[g], mask[g] = own, 1<<bit
			b.groupSoiled[g] = true
		case own == top[g]:
			mask[g] |= 1 << bit
		}
	}
}

// noTotal is below every total.
const noTotal = math.MinInt64

// ranked is the feasible nodes of a class in the order of a scan from start,
// with those that have the highest total.
type ranked struct {
	*bestNodes
	fits  bitset
	start int32
	skip  int32 // feasible nodes before start
	nodes int32 // feasible nodes
	best  int64
}

// ranked finds the highest total, given what each group adds.
func (k *class) ranked(start int, added []int64) ranked {
	b := &k.best
	r := ranked{bestNodes: b, fits: k.fits, start: int32(start), nodes: int32(k.feasible), best: noTotal}
	r.skip = b.before[start>>6] + int32(bits.OnesCount64(k.fits[start>>6]&(1<<(start&63)-1)))
	for g, add := range added {
		if b.groupTop[g] != noTotal {
			r.best = max(r.best, b.groupTop[g]+add)
		}
	}
	clear(b.word)
	for g, add := range added {
		if b.groupTop[g] == noTotal || b.groupTop[g]+add != r.best {
			continue
		}
		for i := range b.word {
			if at := i*b.stride + g; b.top[at] == b.groupTop[g] {
				b.word[i] |= b.mask[at]
			}
		}
	}
	return r
}

// at returns the position of the feasible node with a rank.
func (r *ranked) at(rank int32) int32 {
	rank += r.skip
	if rank >= r.nodes {
		rank -= r.nodes
	}
	block, _ := slices.BinarySearch(r.before, rank+1)
	block--
	word := r.fits[block]
	for range rank - r.before[block] {
		word &= word - 1
	}
	return int32(block<<6 + bits.TrailingZeros64(word))
}

// rank is the inverse of at.
func (r *ranked) rank(at int32) int32 {
	rank := r.before[at>>6] + int32(bits.OnesCount64(r.fits[at>>6]&(1<<(at&63)-1))) - r.skip
	if rank < 0 {
		rank += r.nodes
	}
	return rank
}

// all yields the best nodes in scan order.
func (r *ranked) all(yield func(at int32) bool) {
	blocks := len(r.fits)
	for i := range blocks + 1 {
		block := (int(r.start)>>6 + i) % blocks
		word := r.word[block]
		if i == 0 {
			word &= ^uint64(0) << (r.start & 63)
		} else if i == blocks {
			word &= 1<<(r.start&63) - 1
		}
		for ; word != 0; word &= word - 1 {
			if !yield(int32(block<<6 + bits.TrailingZeros64(word))) {
				return
			}
		}
	}
}

// draw is scoreTable.draw.
func (r *ranked) draw(rng *rand.Rand) (at int32) {
	seen := 0
	for i := range r.all {
		if seen++; rng.IntN(seen) == 0 {
			at = i
		}
	}
	return at
}

// firstInHeap is firstInHeap: the best node that comes first in pre-order of
// the heap over the ranks. At one depth of a heap pre-order is the order of the
// ranks, so that only the first best node of each depth has to be compared.
func (r *ranked) firstInHeap() int32 {
	found, first := int32(-1), heapPlace{}
	for rank := int32(0); rank < r.nodes; {
		at := r.next(r.at(rank))
		if at < 0 {
			break
		}
		place := placeInHeap(r.rank(at))
		if found < 0 || place.before(first) {
			found, first = at, place
		}
		rank = 2<<place.depth - 1
	}
	return found
}

// heapPlace is the path from the root of a binary heap to an entry: the bits
// of its index plus one after the leading one, 0 to the left and 1 to the right,
// moved up to the top of the word. Pre-order is the order of the paths as
// texts: an entry before everything below it.
type heapPlace struct {
	path  uint32
	depth int
}

func placeInHeap(index int32) heapPlace {
	depth := bits.Len32(uint32(index+1)) - 1
	return heapPlace{uint32(index+1) << (31 - depth), depth}
}

func (p heapPlace) before(q heapPlace) bool {
	return p.path < q.path || p.path == q.path && p.depth < q.depth
}

// next returns the first best node from a position on in scan order, -1 when
// there is none.
func (r *ranked) next(from int32) int32 {
	end := int32(len(r.word) << 6)
	if from < r.start {
		return r.nextIn(from, r.start)
	}
	if at := r.nextIn(from, end); at >= 0 {
		return at
	}
	return r.nextIn(0, r.start)
}

// nextIn returns the first best node from a position on and before end.
func (r *ranked) nextIn(from, end int32) int32 {
	for block := from >> 6; block<<6 < end; block++ {
		word := r.word[block]
		if block == from>>6 {
			word &= ^uint64(0) << (from & 63)
		}
		if word != 0 {
			if at := block<<6 + int32(bits.TrailingZeros64(word)); at < end {
				return at
			}
			return -1
		}
	}
	return -1
}
