package mvcc

import (
	"bytes"
	"encoding/binary"
)

// node holds items in order, and beside each the eight bytes of its key that
// follow what all keys of the node begin with. Most comparisons end there,
// without a look into the arena, which the processor would have to wait for.
type node struct {
	generation uint64
	live       int // live keys below and in this node
	items      []item
	children   []*node // nil in a leaf
	skip       int     // length of the common prefix, as far as it is used
	prefix     [prefixMax]byte
	marks      [nodeItemsMax]uint64
}

// prefixMax makes a node fill an allocation of 640 bytes.
const prefixMax = 64

// find returns the index of the first item not below key.
func (n *node) find(d directory, key []byte) (int, bool) {
	head := key[:min(n.skip, len(key))]
	switch c := bytes.Compare(head, n.prefix[:n.skip]); {
	case c < 0: // also when the key ends within the prefix
		return 0, false
	case c > 0:
		return len(n.items), false
	}
	mark := markOf(key, n.skip)
	lo := n.firstMark(mark)
	if lo == len(n.items) || n.marks[lo] != mark {
		return lo, false
	}
	hi := len(n.items)
	if mark != 1<<64-1 {
		hi = n.firstMark(mark + 1)
	}
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := bytes.Compare(d.key(n.items[mid].key), key); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// firstMark returns the index of the first mark not below mark.
func (n *node) firstMark(mark uint64) int {
	lo, hi := 0, len(n.items)
	for lo < hi {
		if mid := int(uint(lo+hi) >> 1); n.marks[mid] < mark {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// markOf returns the eight bytes of a key behind a prefix, as a number that
// orders like them; what is missing is zero.
func markOf(key []byte, skip int) uint64 {
	if len(key) >= skip+8 {
		return binary.BigEndian.Uint64(key[skip:])
	}
	var tail [8]byte
	copy(tail[:], key[skip:])
	return binary.BigEndian.Uint64(tail[:])
}

// insert puts an item at its index. Between others it begins as they do; at
// an end it may shorten the prefix.
func (n *node) insert(d directory, i int, it item) {
	n.items = insertAt(n.items, i, it)
	key := d.key(it.key)
	if i == 0 || i == len(n.items)-1 {
		if len(n.items) == 1 || commonPrefix(key, n.prefix[:n.skip]) < n.skip {
			n.remark(d)
			return
		}
	}
	copy(n.marks[i+1:len(n.items)], n.marks[i:])
	n.marks[i] = markOf(key, n.skip)
}

// remove takes an item out. The prefix holds for the others as well.
func (n *node) remove(i int) {
	n.items = removeAt(n.items, i)
	copy(n.marks[i:], n.marks[i+1:])
}

// remark computes prefix and marks anew.
func (n *node) remark(d directory) {
	n.skip = 0
	if len(n.items) == 0 {
		return
	}
	first, last := d.key(n.items[0].key), d.key(n.items[len(n.items)-1].key)
	n.skip = min(commonPrefix(first, last), prefixMax)
	copy(n.prefix[:n.skip], first)
	for i := range n.items {
		n.marks[i] = markOf(d.key(n.items[i].key), n.skip)
	}
}

// commonPrefix returns how many bytes a and b have in common at the start.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// place is where an item was found; the zero place is nowhere.
type place struct {
	node  *node
	index int
}

// item returns the item at the place, or nil.
func (p place) item() *item {
	if p.node == nil {
		return nil
	}
	return &p.node.items[p.index]
}

// get finds the item of key.
func (n *node) get(d directory, key []byte) place {
	for n != nil {
		i, found := n.find(d, key)
		if found {
			return place{node: n, index: i}
		}
		if n.children == nil {
			break
		}
		n = n.children[i]
	}
	return place{}
}

// bound is the end of a range of keys.
type bound struct {
	key  []byte
	open bool // no end
}

func (b bound) excludes(key []byte) bool { return !b.open && bytes.Compare(key, b.key) >= 0 }

// ascend calls visit for the items of [from, to) in key order until it returns
// false or the end is reached. With liveOnly it passes over nodes without live
// keys.
func (n *node) ascend(d directory, from []byte, to bound, liveOnly bool, visit func(*item) bool) bool {
	if n == nil || liveOnly && n.live == 0 {
		return true
	}
	i, found := 0, false
	if from != nil {
		i, found = n.find(d, from)
	}
	if !found && n.children != nil && !n.children[i].ascend(d, from, to, liveOnly, visit) {
		return false
	}
	for ; i < len(n.items); i++ {
		if to.excludes(d.key(n.items[i].key)) || !visit(&n.items[i]) {
			return false
		}
		if n.children != nil && !n.children[i+1].ascend(d, nil, to, liveOnly, visit) {
			return false
		}
	}
	return true
}

// rank returns the number of live keys below key.
func (n *node) rank(d directory, key []byte) int {
	count := 0
	for n != nil {
		i, found := n.find(d, key)
		for j := range i {
			count += n.items[j].live()
		}
		if n.children == nil {
			return count
		}
		for j := range i {
			count += n.children[j].live
		}
		if found {
			return count + n.children[i].live
		}
		n = n.children[i]
	}
	return count
}

// count returns the number of live keys in [from, to).
func (n *node) count(d directory, from []byte, to bound) int {
	if n == nil || to.excludes(from) {
		return 0
	}
	total := n.live
	if !to.open {
		total = n.rank(d, to.key)
	}
	return total - n.rank(d, from)
}

func insertAt[T any](s []T, i int, v T) []T {
	var zero T
	s = append(s, zero)
	copy(s[i+1:], s[i:])
	s[i] = v
	return s
}

// removeAt clears what it leaves behind, so that no node stays reachable.
func removeAt[T any](s []T, i int) []T {
	var zero T
	copy(s[i:], s[i+1:])
	s[len(s)-1] = zero
	return s[:len(s)-1]
}
