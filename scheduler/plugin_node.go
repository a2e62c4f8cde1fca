package scheduler

// nodeUnschedulable keeps pods off cordoned nodes.
type nodeUnschedulable struct{}

func (nodeUnschedulable) Name() string { return "NodeUnschedulable" }

func (nodeUnschedulable) Filter(c *Cycle, n *NodeInfo) Status {
	if !n.Node.Spec.Unschedulable {
		return Status{}
	}
	cordon := Taint{Key: TaintUnschedulable, Effect: NoSchedule}
	if tolerated(c.Pod.Pod.Spec.Tolerations, &cordon) {
		return Status{}
	}
	return RejectFinally(ReasonNodeUnschedulable)
}

// nodeName keeps a pod that names its node to that node.
type nodeName struct{}

func (nodeName) Name() string { return "NodeName" }

func (nodeName) PreFilter(c *Cycle) (map[string]bool, Status) {
	if c.Pod.Pod.Spec.NodeName == "" {
		return nil, Status{Code: Skip}
	}
	return nil, Status{}
}

func (nodeName) Filter(c *Cycle, n *NodeInfo) Status {
	if c.Pod.Pod.Spec.NodeName != n.Name {
		return RejectFinally(ReasonNodeName)
	}
	return Status{}
}
