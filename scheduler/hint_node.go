package scheduler

import "slices"

// Events: a node comes, or is uncordoned, or the pod gets a toleration.
func (nodeUnschedulable) Events() []EventHint {
	return []EventHint{
		{EventNode, EventAdd | EventNodeTaint, hintUncordoned},
		{EventPod, EventPodToleration, hintToleratesCordon},
	}
}

func hintUncordoned(_ *PodInfo, e *Event) (bool, error) {
	if e.NewNode == nil {
		return true, errWrongObject
	}
	was := e.OldNode == nil || e.OldNode.Node.Spec.Unschedulable
	return was && !e.NewNode.Node.Spec.Unschedulable, nil
}

func hintToleratesCordon(p *PodInfo, e *Event) (bool, error) {
	if e.NewPod == nil {
		return true, errWrongObject
	}
	cordon := Taint{Key: TaintUnschedulable, Effect: NoSchedule}
	return p.same(e.NewPod) && tolerated(e.NewPod.Pod.Spec.Tolerations, &cordon), nil
}

// Events: a node comes.
func (nodeName) Events() []EventHint { return []EventHint{{EventNode, EventAdd, nil}} }

// Events: a node is or becomes one whose taints the pod tolerates, or the pod
// gets a toleration.
func (taintToleration) Events() []EventHint {
	return []EventHint{
		{EventNode, EventAdd | EventNodeTaint, hintTolerated},
		{EventPod, EventPodToleration, hintOwnUpdate},
	}
}

func hintTolerated(p *PodInfo, e *Event) (bool, error) {
	if e.NewNode == nil {
		return true, errWrongObject
	}
	tolerations := p.Pod.Spec.Tolerations
	was := e.OldNode != nil && untoleratedTaint(e.OldNode, tolerations) == nil
	return !was && untoleratedTaint(e.NewNode, tolerations) == nil, nil
}

// Events: a node matches that did not match before.
func (pl *nodeAffinity) Events() []EventHint {
	return []EventHint{{EventNode, EventAdd | EventNodeLabel, pl.hintNode}}
}

func (pl *nodeAffinity) hintNode(p *PodInfo, e *Event) (bool, error) {
	if e.NewNode == nil {
		return true, errWrongObject
	}
	if pl.added != nil && !pl.added.Matches(e.NewNode.Name, e.NewNode.Labels) {
		return false, nil
	}
	if !p.nodes.matches(e.NewNode) {
		return false, nil
	}
	return e.OldNode == nil || !p.nodes.matches(e.OldNode), nil
}

// Events: a node comes or declares other features, or the pod needs others.
func (declaredFeatures) Events() []EventHint {
	return []EventHint{
		{EventNode, EventAdd | EventNodeFeature, hintFeatures},
		{EventPod, EventUpdate, hintNeedsChanged},
	}
}

func hintFeatures(_ *PodInfo, e *Event) (bool, error) {
	if e.NewNode == nil {
		return true, errWrongObject
	}
	same := e.OldNode != nil &&
		slices.Equal(e.OldNode.Node.Status.DeclaredFeatures, e.NewNode.Node.Status.DeclaredFeatures)
	return !same, nil
}

func hintNeedsChanged(p *PodInfo, e *Event) (bool, error) {
	if e.NewPod == nil || e.OldPod == nil {
		return true, errWrongObject
	}
	return p.same(e.NewPod) && !slices.Equal(e.OldPod.features, e.NewPod.features), nil
}
