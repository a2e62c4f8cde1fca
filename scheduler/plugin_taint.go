package scheduler

// taintToleration keeps pods off nodes whose taints they do not tolerate, and
// prefers nodes with few PreferNoSchedule taints.
type taintToleration struct{}

func (taintToleration) Name() string { return "TaintToleration" }

func (taintToleration) Filter(c *Cycle, n *NodeInfo) Status {
	if untoleratedTaint(n, c.Pod.Pod.Spec.Tolerations) != nil {
		return RejectFinally(ReasonTaint)
	}
	return Status{}
}

func (taintToleration) Score(c *Cycle, n *NodeInfo) int64 {
	var count int64
	for i := range n.Node.Spec.Taints {
		t := &n.Node.Spec.Taints[i]
		if t.Effect == PreferNoSchedule && !softlyTolerated(c.Pod.Pod.Spec.Tolerations, t) {
			count++
		}
	}
	return count
}

func (taintToleration) Normalize(_ *Cycle, _ []*NodeInfo, scores []int64) {
	normalize(scores, true)
}

// untoleratedTaint returns the first taint that keeps pods with these
// tolerations off the node, or nil.
func untoleratedTaint(n *NodeInfo, tolerations []Toleration) *Taint {
	for i := range n.Node.Spec.Taints {
		t := &n.Node.Spec.Taints[i]
		if (t.Effect == NoSchedule || t.Effect == NoExecute) && !tolerated(tolerations, t) {
			return t
		}
	}
	return nil
}

func tolerated(tolerations []Toleration, t *Taint) bool {
	for i := range tolerations {
		if tolerations[i].Tolerates(t) {
			return true
		}
	}
	return false
}

// softlyTolerated counts only tolerations for the effect PreferNoSchedule or
// for every effect.
func softlyTolerated(tolerations []Toleration, t *Taint) bool {
	for i := range tolerations {
		tol := &tolerations[i]
		if (tol.Effect == "" || tol.Effect == PreferNoSchedule) && tol.Tolerates(t) {
			return true
		}
	}
	return false
}

// Tolerates says that the toleration covers the taint. An empty effect or key
// covers every one. The operators Lt and Gt never match: they are behind an
// alpha gate that is off in kube-scheduler 1.36.
func (t *Toleration) Tolerates(taint *Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect {
		return false
	}
	if t.Key != "" && t.Key != taint.Key {
		return false
	}
	switch t.Operator {
	case "", "Equal":
		return t.Value == taint.Value
	case "Exists":
		return true
	}
	return false
}
