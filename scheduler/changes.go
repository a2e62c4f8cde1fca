package scheduler

// changeLog numbers the mutations of a Cache, so that whatever is derived from
// the Cache can find out what has to be derived anew. Writing it costs a few
// stores per mutation whether or not somebody reads. Readers keep a cursor;
// there may be any number of them.
//
//	clock        one up at every mutation of anything
//	NodeInfo     generation: the clock at the node's last change
//	             redefined: the clock at the last change of its Node object
//	ring         slots of the nodes that changed, newest at written-1
//
// Invariant: a reader whose cursor is at most len(ring) behind written, and not
// behind floor, finds in the ring every node that changed since. Others must
// compare generations.
type changeLog struct {
	clock   uint64
	ring    []int32 // a power of two long
	written uint64  // node changes so far
	floor   uint64  // the first that is in the ring at all

	// The clock at the last change of what is not a node: which nodes there
	// are and in what order, namespaces, services and owners, everything about
	// storage, budgets, nominations.
	nodeList, namespaces, owners, storage, budgets, nominated uint64
}

const (
	changeRingMin = 64
	changeRingMax = 1 << 14
)

// node records that a node, or what runs on it, has changed.
func (l *changeLog) node(n *NodeInfo) {
	l.clock++
	n.generation = l.clock
	if at := int(l.written - l.floor); at >= len(l.ring) && len(l.ring) < changeRingMax {
		l.grow()
	}
	l.ring[l.written&uint64(len(l.ring)-1)] = n.slot
	l.written++
}

// grow doubles the ring. Each entry moves to where its number belongs.
func (l *changeLog) grow() {
	ring := make([]int32, max(changeRingMin, 2*len(l.ring)))
	if len(l.ring) > 0 {
		from := max(l.floor, l.written-min(l.written, uint64(len(l.ring))))
		for i := from; i < l.written; i++ {
			ring[i&uint64(len(ring)-1)] = l.ring[i&uint64(len(l.ring)-1)]
		}
	}
	l.ring = ring
}

// redefined records that the Node object has changed.
func (l *changeLog) redefined(n *NodeInfo) {
	l.node(n)
	n.redefined = l.clock
}

// mark records a change of what is not a node.
func (l *changeLog) mark(what *uint64) {
	l.clock++
	*what = l.clock
}

// since yields the slots of the nodes that changed after the cursor, the same
// slot as often as it changed; ok is false when the log does not reach back.
func (l *changeLog) since(cursor uint64) (first, end uint64, ok bool) {
	behind := l.written - cursor
	return cursor, l.written, behind == 0 || behind <= uint64(len(l.ring)) && cursor >= l.floor
}

// at returns entry i of the log.
func (l *changeLog) at(i uint64) int32 { return l.ring[i&uint64(len(l.ring)-1)] }
