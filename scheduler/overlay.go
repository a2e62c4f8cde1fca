package scheduler

// overlay is what makes a Cache the Cache of a fork: it holds what differs from
// a base, and remembers what it has replaced.
type overlay struct {
	base *Snapshot
	// epoch is the present part of the fork's life. NodeInfos of other epochs
	// are held by the base or by the journal: they must not be changed.
	epoch uint64
	// pods is their number.
	pods    int
	journal []replaced
	// ownList: the list of nodes is not the base's.
	ownList bool
}

// replaced is an entry of the journal: what was there before.
type replaced struct {
	// list and at are what a new scan order has replaced.
	dealt   bool
	ownList bool
	list    []*NodeInfo
	at      []int32
	// node is the entry in Cache.nodes, if there was one.
	name string
	had  bool
	node *NodeInfo
	// state is the entry in Cache.pods, if name is "".
	key   podKey
	state *podState
}

// noteList records the scan order before a new one is dealt.
func (o *overlay) noteList(c *Cache) {
	o.journal = append(o.journal, replaced{dealt: true, ownList: o.ownList, list: c.list, at: c.at})
	o.ownList = true
}

// noteNode records the entry of a node before it is replaced.
func (o *overlay) noteNode(c *Cache, name string) {
	if c.nodes == nil {
		c.nodes = make(map[string]*NodeInfo)
	}
	n, had := c.nodes[name]
	o.journal = append(o.journal, replaced{name: name, node: n, had: had})
}

// notePod records the entry of a pod before it is replaced by state.
func (o *overlay) notePod(c *Cache, key podKey, state *podState) {
	if c.pods == nil {
		c.pods = make(map[podKey]*podState)
	}
	old, had := c.pods[key]
	o.journal = append(o.journal, replaced{key: key, state: old, had: had})
	if c.pod(key) != nil {
		o.pods--
	}
	if state != nil {
		o.pods++
	}
}

// ownNode replaces a node by a copy that may be changed.
func (o *overlay) ownNode(c *Cache, n *NodeInfo) *NodeInfo {
	own := n.clone()
	own.epoch = o.epoch
	c.setNode(own)
	o.list(c, own)
	return own
}

// list puts a copy of a node in its place in the scan order, if it has one.
func (o *overlay) list(c *Cache, n *NodeInfo) {
	if int(n.slot) >= len(c.at) {
		return
	}
	at := int(c.at[n.slot])
	if at >= len(c.list) || c.list[at].Name != n.Name {
		return
	}
	if !o.ownList {
		c.list, o.ownList = append([]*NodeInfo(nil), c.list...), true
	}
	c.list[at] = n
}

// rewind restores what the journal holds beyond a length, the latest first.
// Whoever follows the changes of the Cache hears of the nodes: each gets a new
// generation, in a copy since the one that is put back may be shared.
func (o *overlay) rewind(c *Cache, to int) {
	for i := len(o.journal) - 1; i >= to; i-- {
		r := &o.journal[i]
		switch {
		case r.dealt:
			c.list, c.at, o.ownList = r.list, r.at, r.ownList
		case r.name != "":
			o.restoreNode(c, r)
		case r.had:
			c.pods[r.key] = r.state
		default:
			delete(c.pods, r.key)
		}
		*r = replaced{}
	}
	o.journal = o.journal[:to]
}

func (o *overlay) restoreNode(c *Cache, r *replaced) {
	now := c.node(r.name)
	if r.had {
		c.nodes[r.name] = r.node
	} else {
		delete(c.nodes, r.name)
	}
	n := c.node(r.name)
	if n == nil {
		return
	}
	back := *n
	back.epoch = 0
	c.nodes[r.name] = &back
	if now != nil && now.Node == back.Node {
		c.changes.node(&back)
	} else {
		c.changes.redefined(&back)
	}
	o.list(c, &back)
}
