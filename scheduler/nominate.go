package scheduler

import "slices"

// nominations are pending pods for which room is being made on a node.
type nominations struct {
	node table[podKey, string]     // where each pod is nominated to
	pods table[string, []*PodInfo] // by node, in order of nomination; the lists are immutable
}

func (n *nominations) add(p *PodInfo, node string) {
	n.drop(p.key)
	n.node.put(p.key, node)
	n.pods.put(node, append(slices.Clip(n.pods.get(node)), p))
}

// drop says whether there was a nomination to end.
func (n *nominations) drop(key podKey) bool {
	node, ok := n.node.m[key]
	if !ok {
		return false
	}
	n.node.drop(key)
	rest := slices.DeleteFunc(slices.Clone(n.pods.get(node)), func(p *PodInfo) bool { return p.key == key })
	if len(rest) == 0 {
		n.pods.drop(node)
		return true
	}
	n.pods.put(node, rest)
	return true
}

// Nominate records that a pending pod is to run on node once its victims are
// gone (status.nominatedNodeName). Less important pods will not take its room.
// A second call moves the nomination; Assume, AddPod and Unnominate end it. A
// pod with scheduling gates reserves no room (kube-scheduler 1.36): nothing is
// recorded for it.
func (c *Cache) Nominate(pod *Pod, node string) error {
	p, err := c.compile(pod)
	if err != nil {
		return err
	}
	return c.nominatePod(p, node)
}

// nominatePod is Nominate for a pod that is compiled already.
func (c *Cache) nominatePod(p *PodInfo, node string) error {
	if node == "" {
		return &InputError{Object: p.object(), Field: "status.nominatedNodeName", Want: "a node name"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pod(p.key) != nil {
		return inputError(p, "metadata.name", p.Pod.Name, ErrExists)
	}
	if len(p.Pod.Spec.SchedulingGates) > 0 {
		c.unnominate(p.key)
		return nil
	}
	c.nominated.add(p, node)
	c.changes.mark(&c.changes.nominated)
	return nil
}

// Unnominate ends a nomination, if there is one.
func (c *Cache) Unnominate(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unnominate(podKey{orDefault(namespace), name})
}

func (c *Cache) unnominate(key podKey) {
	if c.nominated.drop(key) {
		c.changes.mark(&c.changes.nominated)
	}
}

// withNominated returns a copy of cycle and node that has the pods nominated
// to the node which are at least as important as this one, or nil if there are
// none.
func (c *Cycle) withNominated(n *NodeInfo) (*Cycle, *NodeInfo) {
	if len(c.cache.nominated.pods.m) == 0 {
		return nil, nil
	}
	var with *Cycle
	var node *NodeInfo
	for _, p := range c.cache.nominated.pods.m[n.Name] {
		if p.Priority < c.Pod.Priority || p.key == c.Pod.key {
			continue
		}
		if with == nil {
			with, node = c.fork(), n.clone()
		}
		with.addPod(p, node)
	}
	return with, node
}
