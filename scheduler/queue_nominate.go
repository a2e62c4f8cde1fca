package scheduler

// nominateByStatus makes the Cache agree with status.nominatedNodeName.
func (q *Queue) nominateByStatus(p *PodInfo) {
	node := p.Pod.Status.NominatedNodeName
	if node == "" {
		q.cache.Unnominate(p.Namespace, p.Pod.Name)
		return
	}
	// A pod that has a node by now needs no nomination.
	_ = q.cache.nominatePod(p, node)
}

// renominate carries a nomination over to a new state of the pod. One that its
// status has never mentioned is younger than the status, and stays.
func (q *Queue) renominate(old, p *PodInfo) {
	if old.Pod.Status.NominatedNodeName == "" && p.Pod.Status.NominatedNodeName == "" {
		if node, ok := q.cache.nominatedNode(p); ok {
			_ = q.cache.nominatePod(p, node)
			return
		}
	}
	q.nominateByStatus(p)
}

// nominatedNode returns where the pod is nominated.
func (c *Cache) nominatedNode(p *PodInfo) (node string, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	node, ok = c.nominated.node.m[p.key]
	return node, ok
}
