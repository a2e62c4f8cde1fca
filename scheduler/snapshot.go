package scheduler

import "slices"

// Snapshot is the cluster as a Cache knew it at one moment. It never changes:
// the Cache goes on, and what-if questions are asked of Forks. A Snapshot may be
// used from several goroutines.
//
//	Cache ──Snapshot──► Snapshot ──Fork──► Fork ──Commit──► Cache
//	  │ changes             ▲                │ Mark, Revert
//	  ▼                     │                ▼
//	next Snapshot: copies   └── read ─── what differs
//	what has changed since
type Snapshot struct {
	engines frozenEngines
	cache   *Cache
	// changes is the change log of the Cache, without its ring.
	changes changeLog
	// infos are copies of the nodes by slot, nil where there is none; slot has
	// their slots by name.
	infos []*NodeInfo
	slot  map[string]int32
	pods  podTable

	// As in Cache, but for the NodeInfos, which are those of infos.
	order nodeOrder
	list  []*NodeInfo
	at    []int32
	stale bool
	dirty []*NodeInfo
	slots int32
	freed []int32
	objects
}

// node returns a node, nil if it is not known.
func (s *Snapshot) node(name string) *NodeInfo {
	if slot, ok := s.slot[name]; ok {
		return s.infos[slot]
	}
	return nil
}

// Snapshot returns the cluster as it is now. The first one copies all nodes;
// later ones copy the nodes that have changed since the last, and a pointer per
// node and per 16 pods. If nothing has changed it is the same Snapshot.
func (c *Cache) Snapshot() *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latest == nil || !c.latest.current(c) {
		c.latest = c.capture(c.latest)
	}
	return c.latest
}

// current says that nothing has changed. Decisions deal the scan order and
// refresh images, which is no change of the cluster but one of the Snapshot.
func (s *Snapshot) current(c *Cache) bool {
	return s.changes.clock == c.changes.clock && s.stale == c.stale && (len(c.dirty) > 0 || len(s.dirty) == 0)
}

// capture makes a Snapshot, sharing with prev what has not changed since.
func (c *Cache) capture(prev *Snapshot) *Snapshot {
	all := prev == nil || prev.changes.nodeList != c.changes.nodeList || prev.slots != c.slots
	if prev == nil {
		prev = new(Snapshot)
	}
	s := &Snapshot{
		cache: c, changes: c.changes, slot: prev.slot,
		infos: make([]*NodeInfo, c.slots),
		order: c.order.share(), at: c.at, stale: c.stale,
		slots: c.slots, freed: slices.Clip(c.freed), objects: c.objects.share(),
	}
	s.changes.ring, s.changes.floor = nil, s.changes.written
	copy(s.infos, prev.infos)
	pods := prev.pods.edit(len(c.pods))
	var changed []*NodeInfo
	if all || len(c.nodes) != len(prev.slot) {
		changed = s.captureAll(c, pods)
	} else {
		changed = s.captureChanged(c, prev, pods)
	}
	s.pods = pods.podTable
	s.captureList(c, prev, changed)
	for _, n := range c.dirty {
		if have := s.node(n.Name); have != nil {
			s.dirty = append(s.dirty, have)
		}
	}
	return s
}

// captureAll copies every node that has changed, without knowing which have,
// and returns the copies.
func (s *Snapshot) captureAll(c *Cache, pods *podEdit) (changed []*NodeInfo) {
	for slot, n := range s.infos {
		if n == nil {
			continue
		}
		if now := c.nodes[n.Name]; now == nil || now.slot != n.slot {
			dropGone(c, n, pods)
			s.infos[slot] = nil
		}
	}
	s.slot = make(map[string]int32, len(c.nodes))
	for name, n := range c.nodes {
		s.slot[name] = n.slot
		changed = s.captureNode(c, n, pods, changed)
	}
	return changed
}

// captureChanged copies the nodes that the change log names or, where that does
// not reach back, those that have a new generation. The nodes are the same as
// before, and all of them are in their slots.
func (s *Snapshot) captureChanged(c *Cache, prev *Snapshot, pods *podEdit) (changed []*NodeInfo) {
	first, end, ok := c.changes.since(prev.changes.written)
	if !ok {
		for _, n := range c.nodes {
			changed = s.captureNode(c, n, pods, changed)
		}
		return changed
	}
	for i := first; i < end; i++ {
		if had := s.infos[c.changes.at(i)]; had != nil {
			changed = s.captureNode(c, c.nodes[had.Name], pods, changed)
		}
	}
	for _, had := range prev.dirty { // their images may be fresh now
		changed = s.captureNode(c, c.nodes[had.Name], pods, changed)
	}
	return changed
}

// captureNode copies a node, if it has changed.
func (s *Snapshot) captureNode(c *Cache, n *NodeInfo, pods *podEdit, changed []*NodeInfo) []*NodeInfo {
	had := s.infos[n.slot]
	if had != nil && had.generation == n.generation && had.dirty == n.dirty {
		return changed
	}
	if had != nil {
		dropGone(c, had, pods)
	}
	for _, p := range n.Pods {
		if state := c.pods[p.key]; pods.get(p.key) != state {
			pods.put(state)
		}
	}
	s.infos[n.slot] = n.clone()
	return append(changed, s.infos[n.slot])
}

// dropGone drops the pods that were on a node and are nowhere any more. Those
// that have moved are put in their place when the other node is copied.
func dropGone(c *Cache, n *NodeInfo, pods *podEdit) {
	for _, p := range n.Pods {
		if c.pods[p.key] == nil {
			pods.drop(p.key)
		}
	}
}

// captureList copies the scan order of the last decision. Nodes that are gone
// since then stand in it by name.
func (s *Snapshot) captureList(c *Cache, prev *Snapshot, changed []*NodeInfo) {
	if len(prev.at) > 0 && len(c.at) == len(prev.at) && &c.at[0] == &prev.at[0] && len(prev.list) == len(c.list) {
		s.list = slices.Clone(prev.list)
		for _, n := range changed {
			if int(n.slot) < len(s.at) && int(s.at[n.slot]) < len(s.list) && s.list[s.at[n.slot]].Name == n.Name {
				s.list[s.at[n.slot]] = n
			}
		}
		return
	}
	s.list = make([]*NodeInfo, len(c.list))
	for i, n := range c.list {
		if s.list[i] = s.node(n.Name); s.list[i] == nil {
			s.list[i] = &NodeInfo{Name: n.Name, slot: n.slot}
		}
	}
}

// Len returns the number of nodes, and of pods on them or assumed.
func (s *Snapshot) Len() (nodes, pods int) { return s.order.len(), s.pods.len }
