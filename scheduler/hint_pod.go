package scheduler

import (
	"errors"
	"slices"
)

// Events: a pod frees resources, or a node comes or grows.
func (pl *nodeResourcesFit) Events() []EventHint {
	return []EventHint{
		{EventPod, EventDelete | EventPodScaleDown, hintFreed},
		{EventNode, EventAdd | EventNodeAllocatable, hintFits},
	}
}

// hintFreed answers yes to the deletion of any pod that had room on a node, and
// to a shrunk pod that needs less of something that this one wants.
func hintFreed(p *PodInfo, e *Event) (bool, error) {
	switch {
	case e.OldPod == nil:
		return true, errWrongObject
	case e.NewPod == nil:
		return e.OldPod.placed(), nil
	case p.same(e.NewPod):
		return true, nil
	case e.NewPod.Pod.Spec.NodeName == "":
		return false, nil
	}
	return anyMore(&p.requested, &e.OldPod.requested, &e.NewPod.requested), nil
}

// anyMore says that a has more than b of something that want asks for.
func anyMore(want, a, b *Resources) bool {
	if want.CPUMilli != 0 && a.CPUMilli > b.CPUMilli ||
		want.MemoryBytes != 0 && a.MemoryBytes > b.MemoryBytes ||
		want.EphemeralBytes != 0 && a.EphemeralBytes > b.EphemeralBytes {
		return true
	}
	return slices.ContainsFunc(want.Scalars, func(s Scalar) bool {
		return s.Value != 0 && a.Scalar(s.Name) > b.Scalar(s.Name)
	})
}

// hintFits answers yes when the empty node has room for the pod, and more of
// what it wants than before. Resources that the profile ignores count here
// (kube-scheduler 1.36).
func hintFits(p *PodInfo, e *Event) (bool, error) {
	if e.NewNode == nil {
		return true, errWrongObject
	}
	v := (&nodeResourcesFit{}).Filter(&Cycle{Pod: p}, e.NewNode)
	if v.Code != Success {
		return false, nil
	}
	if e.OldNode == nil {
		return true, nil
	}
	old, now := &e.OldNode.Allocatable, &e.NewNode.Allocatable
	return now.Pods > old.Pods || anyMore(&p.Request, now, old), nil
}

// Events: a pod gives a host port back, or a node comes.
func (nodePorts) Events() []EventHint {
	return []EventHint{
		{EventPod, EventDelete, hintPortFreed},
		{EventNode, EventAdd, nil},
	}
}

func hintPortFreed(p *PodInfo, e *Event) (bool, error) {
	if e.OldPod == nil {
		return true, errWrongObject
	}
	if !e.OldPod.placed() {
		return false, nil
	}
	taken := make(map[hostPort]struct{}, len(e.OldPod.hostPorts))
	for _, port := range e.OldPod.hostPorts {
		taken[port] = struct{}{}
	}
	return slices.ContainsFunc(p.hostPorts, func(want hostPort) bool { return portTaken(taken, want) }), nil
}

// Events: a pod comes that this one wants to be near, goes that it wants to be
// away from or that kept it away, or changes its labels; a node joins a domain.
func (pl *interPodAffinity) Events() []EventHint {
	return []EventHint{
		{EventPod, EventAdd | EventPodLabel | EventDelete, hintNeighbour},
		{EventNode, EventAdd | EventNodeLabel, hintDomain},
	}
}

// ownTerms returns the required terms of a pod. Namespace selectors are held
// against no labels, as upstream's hints do.
func ownTerms(p *PodInfo) (near, far []affinityTerm, err error) {
	a := p.Pod.Spec.Affinity
	if a == nil {
		return nil, nil, nil
	}
	lost := a.PodAffinity != nil && len(a.PodAffinity.Required) != len(p.required) ||
		a.PodAntiAffinity != nil && len(a.PodAntiAffinity.Required) != len(p.requiredAnti)
	if lost {
		return nil, nil, errors.Join(errNoTerms, p.affinityErr)
	}
	return p.required, p.requiredAnti, nil
}

func hintNeighbour(p *PodInfo, e *Event) (bool, error) {
	old, now := e.OldPod, e.NewPod
	if old == nil && now == nil {
		return true, errWrongObject
	}
	if old != nil && now != nil && p.same(now) {
		return true, nil
	}
	if now != nil && !now.placed() || old != nil && !old.placed() {
		return false, nil
	}
	near, far, err := ownTerms(p)
	if err != nil {
		return true, err
	}
	switch {
	case old != nil && now != nil:
		return !matchesAll(near, old) && matchesAll(near, now) ||
			matchesAll(far, old) && !matchesAll(far, now), nil
	case now != nil:
		return matchesAll(near, now), nil
	case matchesAll(far, old):
		return true, nil
	}
	_, theirs, err := ownTerms(old)
	if err != nil {
		return true, err
	}
	return matchesAll(theirs, p), nil
}

// hintDomain answers yes when a node comes into a domain of an affinity term or
// moves between domains, or leaves one of an anti-affinity term. Any new node
// may do for anti-affinity.
func hintDomain(p *PodInfo, e *Event) (bool, error) {
	if e.NewNode == nil {
		return true, errWrongObject
	}
	near, far, err := ownTerms(p)
	if err != nil {
		return true, err
	}
	for i := range near {
		to, is := e.NewNode.Labels.Lookup(near[i].key)
		if e.OldNode == nil {
			if is {
				return true, nil
			}
			continue
		}
		from, was := e.OldNode.Labels.Lookup(near[i].key)
		if is && (!was || from != to) {
			return true, nil
		}
	}
	for i := range far {
		if e.OldNode == nil {
			return true, nil
		}
		to, is := e.NewNode.Labels.Lookup(far[i].key)
		from, was := e.OldNode.Labels.Lookup(far[i].key)
		if was && (!is || from != to) {
			return true, nil
		}
	}
	return false, nil
}

// Events: a pod that counts comes, goes or changes its labels; a node joins,
// leaves or moves between domains, or has other taints; the pod gets a
// toleration.
func (pl *topologySpread) Events() []EventHint {
	return []EventHint{
		{EventPod, EventAdd | EventPodLabel | EventPodToleration | EventDelete, pl.hintPod},
		{EventNode, EventAdd | EventDelete | EventNodeLabel | EventNodeTaint, pl.hintNode},
	}
}

// hardConstraints returns the constraints that can have rejected the pod.
func (pl *topologySpread) hardConstraints(p *PodInfo, e *Event) ([]spreadConstraint, error) {
	return pl.constraints(&Cycle{Pod: p, cache: e.cache}, nil, doNotSchedule)
}

func (pl *topologySpread) hintPod(p *PodInfo, e *Event) (bool, error) {
	old, now := e.OldPod, e.NewPod
	if old == nil && now == nil {
		return true, errWrongObject
	}
	counts := func(q *PodInfo) bool { return q.same(p) || q.placed() && q.Namespace == p.Namespace }
	if now != nil && !counts(now) || old != nil && !counts(old) {
		return false, nil
	}
	hard, err := pl.hardConstraints(p, e)
	if err != nil {
		return true, err
	}
	if old != nil && now != nil {
		return hintSpreadUpdate(p, old, now, hard), nil
	}
	one := now
	if one == nil {
		one = old
	}
	return slices.ContainsFunc(hard, func(sc spreadConstraint) bool { return sc.pods.Matches(one.Labels) }), nil
}

func hintSpreadUpdate(p, old, now *PodInfo, hard []spreadConstraint) bool {
	honors := func(sc spreadConstraint) bool { return sc.honorTaints }
	if p.same(now) && !slices.EqualFunc(old.Pod.Spec.Tolerations, now.Pod.Spec.Tolerations, equalTolerations) &&
		slices.ContainsFunc(hard, honors) {
		return true
	}
	return slices.ContainsFunc(hard, func(sc spreadConstraint) bool {
		return sc.pods.Matches(old.Labels) != sc.pods.Matches(now.Labels)
	})
}

func equalTolerations(a, b Toleration) bool {
	x, y := a.TolerationSeconds, b.TolerationSeconds
	a.TolerationSeconds, b.TolerationSeconds = nil, nil
	return a == b && (x == nil) == (y == nil) && (x == nil || *x == *y)
}

func (pl *topologySpread) hintNode(p *PodInfo, e *Event) (bool, error) {
	old, now := e.OldNode, e.NewNode
	if old == nil && now == nil {
		return true, errWrongObject
	}
	hard, err := pl.hardConstraints(p, e)
	if err != nil {
		return true, err
	}
	was, is := old != nil && hasKeys(old, hard), now != nil && hasKeys(now, hard)
	if old == nil || now == nil || was != is {
		return was || is, nil
	}
	moved := slices.ContainsFunc(hard, func(sc spreadConstraint) bool {
		from, _ := old.Labels.Lookup(sc.key)
		to, _ := now.Labels.Lookup(sc.key)
		return from != to
	})
	return is && (moved || !slices.Equal(old.Node.Spec.Taints, now.Node.Spec.Taints)), nil
}

// errNoTerms stands in where terms are lost without a reason.
var errNoTerms = errors.New("affinity terms cannot be read")
