package scheduler

import (
	"errors"
	"slices"
	"sync"
)

// Cache is what the scheduler knows of the cluster: nodes, the pods on them,
// and the pods it has placed itself but whose binding is not confirmed yet.
//
//	          Assume             Confirm, AddPod
//	(absent) ───────► assumed ──────────────────► bound
//	   ▲ │               │                        │ ▲ │
//	   │ │               │ Forget                 │ └─┘ UpdatePod
//	   │ └── AddPod ─────┼───────────────────────►│
//	   └─────────────────┴────────────────────────┘ RemovePod
//
// An assumed pod counts on its node exactly like a bound one and does not
// expire. A call that returns an error has changed nothing.
//
// Objects given to the Cache belong to it: they must not be changed
// afterwards. All methods may be called from several goroutines.
type Cache struct {
	config CacheConfig

	mu sync.RWMutex
	// nodes and pods by name; in a fork what differs from its base, nil being
	// what is gone. They are read through node and pod.
	nodes map[string]*NodeInfo
	pods  map[podKey]*podState
	order nodeOrder
	// list is order as it was dealt out for the last decision, and at the
	// place in it by slot; stale says that nodes have come, gone or moved
	// since.
	list  []*NodeInfo
	at    []int32
	stale bool
	// dirty are the nodes whose images are older than their last change.
	dirty []*NodeInfo
	// slots is one more than the highest number given to a node; freed are
	// those to be given again.
	slots   int32
	freed   []int32
	changes changeLog
	shapes  shapes
	// states are not used yet.
	states []podState
	objects

	// latest is what Snapshot returned last.
	latest *Snapshot
	// fork is what makes this the Cache of a Fork; nil otherwise.
	fork *overlay
}

// CacheConfig says how a Cache treats its input. The zero value is strict.
type CacheConfig struct {
	// HoldUnknownNodes accepts pods on nodes that were never added, as the
	// upstream cache does. Such pods count once the node is added. Off, they
	// are refused with ErrUnknownNode.
	HoldUnknownNodes bool
	// Unvalidated accepts field values that an API server would refuse, such
	// as unknown operators, and treats them as upstream's scheduler would.
	Unvalidated bool
}

// podState is a pod in the Cache, immutable.
type podState struct {
	info    *PodInfo
	node    string
	assumed bool
	// reserved is what was decided about the claims of an assumed pod; nil
	// when nothing was.
	reserved *reservation
}

// NewCache returns an empty Cache.
func NewCache(config CacheConfig) *Cache {
	return &Cache{
		config: config,
		nodes:  make(map[string]*NodeInfo),
		pods:   make(map[podKey]*podState),
	}
}

// node returns a node, nil if it is not known. Its Node is nil while only pods
// on it are.
func (c *Cache) node(name string) *NodeInfo {
	n, ok := c.nodes[name]
	if !ok && c.fork != nil {
		return c.fork.base.node(name)
	}
	return n
}

// setNode puts a new node, or the copy of one, into its place.
func (c *Cache) setNode(n *NodeInfo) {
	if c.fork != nil {
		c.fork.noteNode(c, n.Name)
	}
	c.nodes[n.Name] = n
}

// own returns the node in a form that may be changed. Only the nodes of a fork
// have another one, so that n must not be used any more.
func (c *Cache) own(n *NodeInfo) *NodeInfo {
	if c.fork == nil || n.epoch == c.fork.epoch {
		return n
	}
	return c.fork.ownNode(c, n)
}

// AddNode adds a node. Pods that are known on it already count from now on.
func (c *Cache) AddNode(node *Node) error {
	if err := c.checkNode(node); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addNode(node)
}

func (c *Cache) addNode(node *Node) error {
	n := c.node(node.Name)
	switch {
	case n == nil:
		n = c.newNode(node.Name)
	case n.Node != nil:
		return &InputError{Object: "node " + node.Name, Field: "metadata.name", Value: node.Name, Err: ErrExists}
	}
	n = c.own(n)
	n.setNode(node)
	c.addImages(n)
	c.order.add(zoneKey(node.Labels), n.Name)
	c.listChanged()
	c.redefined(n)
	return nil
}

// newNode makes room for a node. It keeps its slot until it is dropped.
func (c *Cache) newNode(name string) *NodeInfo {
	n := &NodeInfo{Name: name, slot: c.slots}
	// Room for the first pods, so that placing them allocates nothing.
	room := make([]*PodInfo, 24)
	n.Pods, n.WithAffinity, n.WithAntiAffinity = room[:0:16], room[16:16:20], room[20:20:24]
	if last := len(c.freed) - 1; last >= 0 {
		n.slot, c.freed = c.freed[last], c.freed[:last]
	} else {
		c.slots++
	}
	c.setNode(n)
	return n
}

// listChanged records that nodes have come, gone or moved in the order.
func (c *Cache) listChanged() {
	c.stale = true
	c.changes.mark(&c.changes.nodeList)
}

// touched records that the pods on a node have changed.
func (c *Cache) touched(n *NodeInfo) {
	c.changes.node(n)
	c.soil(n)
}

// redefined records that the Node object of a node has changed.
func (c *Cache) redefined(n *NodeInfo) {
	c.changes.redefined(n)
	c.soil(n)
}

// soil has the images of a node refreshed before the next decision.
func (c *Cache) soil(n *NodeInfo) {
	if !n.dirty {
		n.dirty = true
		c.dirty = append(c.dirty, n)
	}
}

// UpdateNode replaces a node that was added before. A node that has moved to
// another zone goes to the end of that zone.
func (c *Cache) UpdateNode(node *Node) error {
	if err := c.checkNode(node); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.updateNode(node)
}

func (c *Cache) updateNode(node *Node) error {
	n := c.node(node.Name)
	if n == nil || n.Node == nil {
		return unknownNode(node.Name)
	}
	n = c.own(n)
	if from, to := zoneKey(n.Node.Labels), zoneKey(node.Labels); from != to {
		c.order.remove(from, n.Name)
		c.order.add(to, n.Name)
		c.listChanged()
	}
	c.dropImages(n)
	n.setNode(node)
	c.addImages(n)
	c.redefined(n)
	return nil
}

// RemoveNode removes a node. Pods that are still on it are kept aside until
// they are removed or the node comes back.
func (c *Cache) RemoveNode(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.removeNode(name)
}

func (c *Cache) removeNode(name string) error {
	n := c.node(name)
	if n == nil || n.Node == nil {
		return unknownNode(name)
	}
	n = c.own(n)
	c.order.remove(zoneKey(n.Node.Labels), n.Name)
	c.listChanged()
	c.dropImages(n)
	n.Node = nil
	c.redefined(n)
	c.dropIfEmpty(n)
	return nil
}

// dropIfEmpty forgets a removed node once its last pod is gone.
func (c *Cache) dropIfEmpty(n *NodeInfo) {
	if n.Node != nil || len(n.Pods) > 0 {
		return
	}
	if c.fork != nil {
		c.fork.noteNode(c, n.Name)
		c.nodes[n.Name] = nil
	} else {
		delete(c.nodes, n.Name)
	}
	c.freed = append(slices.Clip(c.freed), n.slot)
}

// Len returns the number of nodes, and of pods on them or assumed.
func (c *Cache) Len() (nodes, pods int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.fork != nil {
		return c.order.len(), c.fork.pods
	}
	return c.order.len(), len(c.pods)
}

// Nodes returns the names of all nodes in the order in which the next decision
// scans them.
func (c *Cache) Nodes() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var names []string
	for _, n := range c.scanOrder() {
		names = append(names, n.Name)
	}
	return names
}

// refresh brings the node list and what nodes know of images up to date, as
// upstream's snapshot does at the start of a cycle. The lock is held.
func (c *Cache) refresh() []*NodeInfo {
	if c.stale {
		if c.fork != nil {
			c.fork.noteList(c)
		}
		c.list, c.stale = c.scanOrder(), false
		c.at = make([]int32, c.slots)
		for i, n := range c.list {
			c.at[n.slot] = int32(i)
		}
	}
	if len(c.dirty) == 0 {
		return c.list
	}
	for _, n := range c.dirty {
		if c.fork != nil {
			if n = c.node(n.Name); n == nil {
				continue
			}
			n = c.own(n)
		}
		if n.Node != nil {
			c.refreshImages(n)
		}
		n.dirty = false
	}
	if c.fork != nil {
		c.dirty = nil // not this one's own
		return c.list
	}
	clear(c.dirty)
	c.dirty = c.dirty[:0]
	return c.list
}

// scanOrder returns the nodes in order. As long as they are the same nodes as
// at the last decision they keep that order, even if one has moved to another
// zone or was removed and added again: upstream deals the order anew only when
// its snapshot gains or loses a node (kube-scheduler 1.36).
func (c *Cache) scanOrder() []*NodeInfo {
	if !c.stale {
		return c.list
	}
	dealt := make([]*NodeInfo, 0, c.order.len())
	for name := range c.order.all() {
		dealt = append(dealt, c.node(name))
	}
	if len(dealt) != len(c.list) {
		return dealt
	}
	kept := make([]*NodeInfo, len(c.list))
	for i, old := range c.list {
		n := c.node(old.Name)
		if n == nil || n.Node == nil {
			return dealt
		}
		kept[i] = n
	}
	return kept
}

func (c *Cache) checkNode(node *Node) error {
	if node == nil {
		return errors.New("node is nil")
	}
	if node.Name == "" {
		return &InputError{Object: "node", Field: "metadata.name", Want: "a name"}
	}
	if c.config.Unvalidated {
		return nil
	}
	return ValidateNode(node)
}

func unknownNode(name string) error {
	return &InputError{Object: "node " + name, Field: "metadata.name", Value: name, Err: ErrUnknownNode}
}
