package scheduler

import (
	"errors"
	"sync"

	"github.com/orchcore/orchcore/selector"
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

	mu    sync.RWMutex
	nodes map[string]*NodeInfo
	pods  map[podKey]*podState
	order nodeOrder
	// list is order as it was dealt out for the last decision; stale says that
	// nodes have come, gone or moved since.
	list  []*NodeInfo
	stale bool
	// dirty are the nodes whose images are older than their last change.
	dirty []*NodeInfo
	// slots is one more than the highest number given to a node; freed are
	// those to be given again.
	slots   int32
	freed   []int32
	changes changeLog

	images     map[string]clusterImage
	namespaces map[string]selector.Labels
	owners     ownerIndex
	storage    storageIndex
	budgets    map[podKey]*disruptionBudget
	nominated  nominations
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

// podState is a pod in the Cache.
type podState struct {
	info    *PodInfo
	node    *NodeInfo
	assumed bool
	// reserved is what was decided about the claims of an assumed pod; nil
	// when nothing was.
	reserved *reservation
}

// NewCache returns an empty Cache.
func NewCache(config CacheConfig) *Cache {
	return &Cache{
		config:     config,
		nodes:      make(map[string]*NodeInfo),
		pods:       make(map[podKey]*podState),
		images:     make(map[string]clusterImage),
		namespaces: make(map[string]selector.Labels),
		budgets:    make(map[podKey]*disruptionBudget),
	}
}

// AddNode adds a node. Pods that are known on it already count from now on.
func (c *Cache) AddNode(node *Node) error {
	if err := c.checkNode(node); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[node.Name]
	if n != nil && n.Node != nil {
		return &InputError{Object: "node " + node.Name, Field: "metadata.name", Value: node.Name, Err: ErrExists}
	}
	if n == nil {
		n = c.newNode(node.Name)
	}
	n.setNode(node)
	c.addImages(n)
	c.order.add(zoneKey(node.Labels), n)
	c.listChanged()
	c.redefined(n)
	return nil
}

// newNode makes room for a node. It keeps its slot until it is dropped.
func (c *Cache) newNode(name string) *NodeInfo {
	n := &NodeInfo{Name: name, slot: c.slots}
	if last := len(c.freed) - 1; last >= 0 {
		n.slot, c.freed = c.freed[last], c.freed[:last]
	} else {
		c.slots++
	}
	c.nodes[name] = n
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
	n := c.nodes[node.Name]
	if n == nil || n.Node == nil {
		return &InputError{Object: "node " + node.Name, Field: "metadata.name", Value: node.Name, Err: ErrUnknownNode}
	}
	if from, to := zoneKey(n.Node.Labels), zoneKey(node.Labels); from != to {
		c.order.remove(from, n)
		c.order.add(to, n)
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
	n := c.nodes[name]
	if n == nil || n.Node == nil {
		return &InputError{Object: "node " + name, Field: "metadata.name", Value: name, Err: ErrUnknownNode}
	}
	c.order.remove(zoneKey(n.Node.Labels), n)
	c.listChanged()
	c.dropImages(n)
	n.Node = nil
	c.redefined(n)
	c.dropIfEmpty(n)
	return nil
}

// dropIfEmpty forgets a removed node once its last pod is gone.
func (c *Cache) dropIfEmpty(n *NodeInfo) {
	if n.Node == nil && len(n.Pods) == 0 {
		delete(c.nodes, n.Name)
		c.freed = append(c.freed, n.slot)
	}
}

// AddPod adds a pod that is bound to spec.nodeName. If the pod is assumed this
// confirms it, on the node that the object names. A pod whose phase is
// Succeeded or Failed uses nothing, and is dropped.
func (c *Cache) AddPod(pod *Pod) error {
	p, err := c.compileBound(pod)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.pods[p.key]
	if state != nil && !state.assumed {
		return inputError(p, "metadata.name", pod.Name, ErrExists)
	}
	return c.place(p, state)
}

// UpdatePod replaces a bound pod. When it has ended (phase Succeeded or
// Failed) the pod is dropped.
func (c *Cache) UpdatePod(pod *Pod) error {
	p, err := c.compileBound(pod)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.pods[p.key]
	if state == nil {
		if p.ended() {
			return nil
		}
		return inputError(p, "metadata.name", pod.Name, ErrUnknownPod)
	}
	if have := state.info.Pod.UID; have != pod.UID {
		return &InputError{Object: p.object(), Field: "metadata.uid", Value: pod.UID, Want: have, Err: ErrExists}
	}
	return c.place(p, state)
}

// place books a bound pod, in place of the state it had, if any.
func (c *Cache) place(p *PodInfo, had *podState) error {
	if p.ended() {
		if had != nil {
			c.drop(p.key, had)
		}
		return nil
	}
	n, err := c.nodeFor(p, p.Pod.Spec.NodeName)
	if err != nil {
		return err
	}
	if had != nil {
		had.node.removePod(had.info)
		c.touched(had.node)
	}
	n.addPod(p)
	c.touched(n)
	c.pods[p.key] = &podState{info: p, node: n}
	if had != nil && had.node != n {
		c.dropIfEmpty(had.node)
	}
	c.unnominate(p.key)
	return nil
}

// nodeFor finds the node that a pod names.
func (c *Cache) nodeFor(p *PodInfo, name string) (*NodeInfo, error) {
	n := c.nodes[name]
	if n == nil {
		if !c.config.HoldUnknownNodes {
			return nil, inputError(p, "spec.nodeName", name, ErrUnknownNode)
		}
		n = c.newNode(name)
	}
	return n, nil
}

// RemovePod removes a bound pod.
func (c *Cache) RemovePod(namespace, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := podKey{orDefault(namespace), name}
	state := c.pods[key]
	switch {
	case state == nil:
		return stateError(key, ErrUnknownPod)
	case state.assumed:
		return stateError(key, ErrAssumed)
	}
	c.drop(key, state)
	return nil
}

func (c *Cache) drop(key podKey, state *podState) {
	state.node.removePod(state.info)
	c.touched(state.node)
	delete(c.pods, key)
	c.dropIfEmpty(state.node)
}

// Assume books a pending pod on a node until Confirm, AddPod or Forget.
func (c *Cache) Assume(pod *Pod, node string) error {
	p, err := c.compile(pod)
	if err != nil {
		return err
	}
	return c.AssumePod(p, node)
}

// AssumePod is Assume for a pod that is compiled already.
func (c *Cache) AssumePod(p *PodInfo, node string) error {
	if want := p.Pod.Spec.NodeName; want != "" && want != node {
		return &InputError{Object: p.object(), Field: "spec.nodeName", Value: want, Want: node}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pods[p.key] != nil {
		return inputError(p, "metadata.name", p.Pod.Name, ErrExists)
	}
	n := c.nodes[node]
	if n == nil || n.Node == nil {
		return inputError(p, "spec.nodeName", node, ErrUnknownNode)
	}
	reserved := c.reserveVolumes(p, n)
	n.addPod(p)
	c.touched(n)
	c.pods[p.key] = &podState{info: p, node: n, assumed: true, reserved: reserved}
	c.unnominate(p.key)
	return nil
}

// Confirm turns an assumed pod into a bound one.
func (c *Cache) Confirm(namespace, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	state, err := c.assumed(podKey{orDefault(namespace), name})
	if err != nil {
		return err
	}
	// Booked anew, as AddPod does with the object that is observed: the two
	// must leave the same pod order and image counts behind.
	state.node.removePod(state.info)
	state.node.addPod(state.info)
	c.touched(state.node)
	state.assumed = false
	return nil
}

// Forget undoes Assume.
func (c *Cache) Forget(namespace, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := podKey{orDefault(namespace), name}
	state, err := c.assumed(key)
	if err != nil {
		return err
	}
	c.forget(key, state)
	return nil
}

func (c *Cache) forget(key podKey, state *podState) {
	c.releaseVolumes(state.reserved)
	c.drop(key, state)
}

func (c *Cache) assumed(key podKey) (*podState, error) {
	state := c.pods[key]
	switch {
	case state == nil:
		return nil, stateError(key, ErrUnknownPod)
	case !state.assumed:
		return nil, stateError(key, ErrNotAssumed)
	}
	return state, nil
}

// PodNode returns the node the pod is bound to or assumed on.
func (c *Cache) PodNode(namespace, name string) (node string, assumed, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	state := c.pods[podKey{orDefault(namespace), name}]
	if state == nil {
		return "", false, false
	}
	return state.node.Name, state.assumed, true
}

// Len returns the number of nodes, and of pods on them or assumed.
func (c *Cache) Len() (nodes, pods int) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, z := range c.order.zones {
		nodes += len(z.nodes)
	}
	return nodes, len(c.pods)
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
		c.list, c.stale = c.scanOrder(), false
		for i, n := range c.list {
			n.at = i
		}
	}
	for i, n := range c.dirty {
		if n.Node != nil {
			c.refreshImages(n)
		}
		n.dirty, c.dirty[i] = false, nil
	}
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
	dealt := c.order.appendTo(make([]*NodeInfo, 0, len(c.nodes)))
	if len(dealt) != len(c.list) {
		return dealt
	}
	kept := make([]*NodeInfo, len(c.list))
	for i, old := range c.list {
		n := c.nodes[old.Name]
		if n == nil || n.Node == nil {
			return dealt
		}
		kept[i] = n
	}
	return kept
}

// compile validates and compiles a pod.
func (c *Cache) compile(pod *Pod) (*PodInfo, error) {
	if pod == nil {
		return nil, errors.New("pod is nil")
	}
	if !c.config.Unvalidated {
		if err := ValidatePod(pod); err != nil {
			return nil, err
		}
	}
	return compilePod(pod)
}

func (c *Cache) compileBound(pod *Pod) (*PodInfo, error) {
	p, err := c.compile(pod)
	if err == nil && pod.Spec.NodeName == "" {
		err = &InputError{Object: p.object(), Field: "spec.nodeName", Want: "a node: the pod is not bound"}
	}
	return p, err
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

func inputError(p *PodInfo, field, value string, err error) error {
	return &InputError{Object: p.object(), Field: field, Value: value, Err: err}
}

func stateError(key podKey, err error) error {
	return &InputError{Object: "pod " + key.String(), Field: "metadata.name", Value: key.name, Err: err}
}

func orDefault(namespace string) string {
	if namespace == "" {
		return defaultNamespace
	}
	return namespace
}
