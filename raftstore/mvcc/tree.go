package mvcc

import "bytes"

// tree is a B-tree of items in key order with copy-on-write snapshots: a node
// belongs to the generation that made it, and is copied before a change when
// that is not the present one. A snapshot is the root, and costs one increment.
//
// github.com/google/btree is not used here because it compares items by a
// function of two items: a key to look for would have to be an item, and an
// item holds no pointers. Every node also counts its live keys, so that the
// size of a range is known without walking it.
type tree struct {
	root       *node
	generation uint64
	length     int
}

const (
	nodeItemsMax = 63
	nodeItemsMin = nodeItemsMax / 2
)

// item is what the index knows about one key. It holds no pointers.
//
// The newest version of the key is the record at newest, or the base when there is no
// such record any more. The base is the version that the key had before the start of the
// history; there is none if it did not exist then.
type item struct {
	// key is the entry of the base, or that of the oldest record or of a tombstone
	// before it. Either way the key's bytes are in it.
	key ref
	// head is the position of the newest record, above the flags.
	head uint64
}

const (
	// headLive says that the key exists at the latest revision.
	headLive = 1 << iota
	// headBase says that key is the entry of a base.
	headBase
	// headSole says that key is the entry of the newest record: to read it takes no look
	// into the history.
	headSole
	headFlags = iota
)

func (it *item) newest() uint64 { return it.head >> headFlags }
func (it *item) live() int      { return int(it.head & headLive) }
func (it *item) base() bool     { return it.head&headBase != 0 }
func (it *item) sole() bool     { return it.head&headSole != 0 }

func makeHead(position, flags uint64) uint64 { return position<<headFlags | flags }

// headIf returns flags if they are to be set.
func headIf(flags uint64, set bool) uint64 {
	if set {
		return flags
	}
	return 0
}

// snapshot freezes the present nodes and returns their root.
func (t *tree) snapshot() *node {
	t.generation++
	return t.root
}

func (t *tree) newNode(leaf bool) *node {
	n := &node{generation: t.generation, items: make([]item, 0, nodeItemsMax)}
	if !leaf {
		n.children = make([]*node, 0, nodeItemsMax+1)
	}
	return n
}

// own returns n if it may be changed in place, or a copy.
func (t *tree) own(n *node) *node {
	if n.generation == t.generation {
		return n
	}
	c := t.newNode(n.children == nil)
	c.live, c.skip, c.prefix, c.marks = n.live, n.skip, n.prefix, n.marks
	c.items = append(c.items, n.items...)
	c.children = append(c.children, n.children...)
	return c
}

func (t *tree) ownChild(n *node, i int) *node {
	c := t.own(n.children[i])
	n.children[i] = c
	return c
}

// replace stores the item of key, which get has found at a place. When no
// snapshot shares the node, and no count changes, that is a store in place.
func (t *tree) replace(d directory, key []byte, at place, it item) {
	if at.node != nil && at.node.generation == t.generation && at.item().live() == it.live() {
		*at.item() = it
		return
	}
	t.set(d, key, it)
}

// set stores the item of key, replacing the one that is there.
func (t *tree) set(d directory, key []byte, it item) {
	if t.root == nil {
		t.root = t.newNode(true)
	}
	t.root = t.own(t.root)
	if len(t.root.items) == nodeItemsMax {
		old := t.root
		t.root = t.newNode(false)
		t.root.live = old.live
		t.root.children = append(t.root.children, old)
		t.split(d, t.root, 0, key)
	}
	t.setIn(t.root, d, key, it)
}

// setIn stores below a node that is owned and not full, and returns by how
// many the live keys have changed.
func (t *tree) setIn(n *node, d directory, key []byte, it item) (delta int) {
	i, found := n.find(d, key)
	switch {
	case found:
	case n.children == nil:
		n.insert(d, i, it)
		n.live += it.live()
		t.length++
		return it.live()
	case len(n.children[i].items) == nodeItemsMax:
		t.split(d, n, i, key)
		return t.setIn(n, d, key, it)
	default:
		delta = t.setIn(t.ownChild(n, i), d, key, it)
		n.live += delta
		return delta
	}
	delta = it.live() - n.items[i].live()
	n.items[i] = it
	n.live += delta
	return delta
}

// split divides the full child i of n around one of its items, which moves up.
// Before an insertion at the child's end the left part stays nearly full: keys
// that arrive in order then leave full nodes behind. (Such a right part may be
// below the minimum, which removeFrom copes with.)
func (t *tree) split(d directory, n *node, i int, key []byte) {
	left := t.ownChild(n, i)
	at := nodeItemsMax / 2
	if bytes.Compare(key, d.key(left.items[nodeItemsMax-1].key)) > 0 {
		at = nodeItemsMax - nodeItemsMin/4 - 1
	}
	middle := left.items[at]
	right := t.newNode(left.children == nil)
	right.items = append(right.items, left.items[at+1:]...)
	left.items = left.items[:at]
	if left.children != nil {
		right.children = append(right.children, left.children[at+1:]...)
		clear(left.children[at+1:])
		left.children = left.children[:at+1]
	}
	right.recount()
	left.live -= right.live + middle.live()
	left.remark(d)
	right.remark(d)
	n.insert(d, i, middle)
	n.children = insertAt(n.children, i+1, right)
}

func (n *node) recount() {
	n.live = 0
	for i := range n.items {
		n.live += n.items[i].live()
	}
	for _, c := range n.children {
		n.live += c.live
	}
}

// remove deletes the item of key, which must be there.
func (t *tree) remove(d directory, key []byte) {
	t.root = t.own(t.root)
	t.removeFrom(t.root, d, key)
	t.length--
	if len(t.root.items) == 0 {
		if t.root.children == nil {
			t.root = nil
			return
		}
		t.root = t.root.children[0]
	}
}

// removeFrom takes the item of key, or the greatest one when key is nil, out of
// an owned node, which (the root apart) has more than the minimum of items.
func (t *tree) removeFrom(n *node, d directory, key []byte) item {
	i, found := len(n.items), false
	if key != nil {
		i, found = n.find(d, key)
	}
	if n.children == nil {
		if key == nil {
			i--
		}
		out := n.items[i]
		n.remove(i)
		n.live -= out.live()
		return out
	}
	if len(n.children[i].items) <= nodeItemsMin {
		t.refill(d, n, i)
		return t.removeFrom(n, d, key)
	}
	child := t.ownChild(n, i)
	var out item
	if found {
		out = n.items[i]
		n.items[i] = t.removeFrom(child, d, nil)
		n.remark(d)
	} else {
		out = t.removeFrom(child, d, key)
	}
	n.live -= out.live()
	return out
}

// refill gives child i of n more than the minimum of items: one from a
// neighbour, or all of a neighbour.
func (t *tree) refill(d directory, n *node, i int) {
	switch {
	case i > 0 && len(n.children[i-1].items) > nodeItemsMin:
		t.rotateRight(d, n, i)
	case i < len(n.items) && len(n.children[i+1].items) > nodeItemsMin:
		t.rotateLeft(d, n, i)
	case i < len(n.items):
		t.merge(d, n, i)
	default:
		t.merge(d, n, i-1)
	}
}

func (t *tree) rotateRight(d directory, n *node, i int) {
	left, child := t.ownChild(n, i-1), t.ownChild(n, i)
	down := n.items[i-1]
	last := len(left.items) - 1
	n.items[i-1] = left.items[last]
	left.items = left.items[:last]
	child.insert(d, 0, down)
	n.remark(d)
	left.live -= n.items[i-1].live()
	child.live += down.live()
	if left.children != nil {
		moved := left.children[last+1]
		left.children = removeAt(left.children, last+1)
		child.children = insertAt(child.children, 0, moved)
		left.live -= moved.live
		child.live += moved.live
	}
}

func (t *tree) rotateLeft(d directory, n *node, i int) {
	child, right := t.ownChild(n, i), t.ownChild(n, i+1)
	down := n.items[i]
	n.items[i] = right.items[0]
	right.remove(0)
	child.insert(d, len(child.items), down)
	n.remark(d)
	right.live -= n.items[i].live()
	child.live += down.live()
	if right.children != nil {
		moved := right.children[0]
		right.children = removeAt(right.children, 0)
		child.children = append(child.children, moved)
		right.live -= moved.live
		child.live += moved.live
	}
}

// merge joins children i and i+1 of n around the item between them.
func (t *tree) merge(d directory, n *node, i int) {
	left, right := t.ownChild(n, i), n.children[i+1]
	left.live += n.items[i].live() + right.live
	left.items = append(append(left.items, n.items[i]), right.items...)
	left.children = append(left.children, right.children...)
	left.remark(d)
	n.remove(i)
	n.children = removeAt(n.children, i+1)
}
