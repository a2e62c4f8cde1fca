package scheduler

import "slices"

// nomination is a pending pod for which room is being made on a node.
type nomination struct {
	info *PodInfo
	node string
	turn int // order of nominations
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
	if node == "" {
		return &InputError{Object: p.object(), Field: "status.nominatedNodeName", Want: "a node name"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pods[p.key] != nil {
		return inputError(p, "metadata.name", pod.Name, ErrExists)
	}
	if len(pod.Spec.SchedulingGates) > 0 {
		delete(c.nominated, p.key)
		return nil
	}
	c.turns++
	c.nominated[p.key] = nomination{p, node, c.turns}
	return nil
}

// Unnominate ends a nomination, if there is one.
func (c *Cache) Unnominate(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nominated, podKey{orDefault(namespace), name})
}

// nominatedTo returns the pods nominated to a node, in order of nomination.
func (c *Cache) nominatedTo(node string) []nomination {
	var list []nomination
	for _, n := range c.nominated {
		if n.node == node {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b nomination) int { return a.turn - b.turn })
	return list
}

// withNominated returns a copy of cycle and node that has the pods nominated
// to the node which are at least as important as this one, or nil if there are
// none.
func (c *Cycle) withNominated(n *NodeInfo) (*Cycle, *NodeInfo) {
	if len(c.cache.nominated) == 0 {
		return nil, nil
	}
	var with *Cycle
	var node *NodeInfo
	for _, nom := range c.cache.nominatedTo(n.Name) {
		if nom.info.Priority < c.Pod.Priority || nom.info.key == c.Pod.key {
			continue
		}
		if with == nil {
			with, node = c.fork(), n.clone()
		}
		with.addPod(nom.info, node)
	}
	return with, node
}
