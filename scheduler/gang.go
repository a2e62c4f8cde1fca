package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// gangScheduling keeps the pods of a gang out of the queue until there are
// enough of them (KEP-4671). Queue and Loop, which know the members, do its
// work; the plugin is its name, and what can cure its rejections.
type gangScheduling struct{}

func (gangScheduling) Name() string { return "GangScheduling" }

// PreEnqueue lets every pod pass: the queue asks its own index of groups.
func (gangScheduling) PreEnqueue(*PodInfo) Status { return Status{} }

// Events: another pod of the group comes, or the group itself.
func (gangScheduling) Events() []EventHint {
	return []EventHint{
		{EventPod, EventAdd, hintMember},
		{EventPodGroup, EventAdd, hintGroup},
	}
}

func hintMember(p *PodInfo, e *Event) (bool, error) {
	if e.NewPod == nil {
		return true, errWrongObject
	}
	return p.group != "" && p.groupKey() == e.NewPod.groupKey(), nil
}

func hintGroup(p *PodInfo, e *Event) (bool, error) {
	_, group, err := eventObjects[PodGroup](e)
	if err != nil || group == nil {
		return true, errWrongObject
	}
	return p.group != "" && p.groupKey() == keyOf(&group.ObjectMeta), nil
}

// groupKey names the group of a pod that has one.
func (p *PodInfo) groupKey() podKey { return podKey{p.Namespace, p.group} }

// groupIndex knows the groups and which pods belong to them.
type groupIndex struct {
	groups map[podKey]*podGroup
	of     map[podKey]podKey // pod → group
}

// podGroup is a group, or the name of one that is still to come.
type podGroup struct {
	wire *PodGroup // nil: not seen yet
	// members are all pods that name the group: without a node, assumed, bound.
	members map[podKey]*PodInfo
}

// minCount is how many pods must be placed together; 0 when they need not be.
func (g *podGroup) minCount() int {
	if g.wire == nil || g.wire.Spec.SchedulingPolicy.Gang == nil {
		return 0
	}
	return int(g.wire.Spec.SchedulingPolicy.Gang.MinCount)
}

func (x *groupIndex) at(key podKey) *podGroup {
	g := x.groups[key]
	if g == nil {
		g = &podGroup{members: make(map[podKey]*PodInfo)}
		if x.groups == nil {
			x.groups, x.of = make(map[podKey]*podGroup), make(map[podKey]podKey)
		}
		x.groups[key] = g
	}
	return g
}

// add notes a pod, in place of an older state of it.
func (x *groupIndex) add(p *PodInfo) {
	if p.group == "" {
		return
	}
	if had, ok := x.of[p.key]; ok && had != p.groupKey() {
		x.remove(p.key)
	}
	x.at(p.groupKey()).members[p.key] = p
	x.of[p.key] = p.groupKey()
}

func (x *groupIndex) remove(pod podKey) {
	key, ok := x.of[pod]
	if !ok {
		return
	}
	delete(x.of, pod)
	g := x.groups[key]
	delete(g.members, pod)
	if g.wire == nil && len(g.members) == 0 {
		delete(x.groups, key)
	}
}

// observe keeps the members with a node up to date.
func (x *groupIndex) observe(e *Event) {
	if e.Resource != eventAssignedPod {
		return
	}
	if e.NewPod != nil {
		x.add(e.NewPod)
	} else if e.OldPod != nil {
		x.remove(e.OldPod.key)
	}
}

// gate says whether the pod may enter the queue.
func (x *groupIndex) gate(p *PodInfo) Status {
	if p.group == "" {
		return Status{}
	}
	g := x.groups[p.groupKey()]
	switch {
	case g == nil || g.wire == nil:
		return finally(fmt.Sprintf("waiting for pods's pod group %q to appear in scheduling queue", p.group))
	case len(g.members) < g.minCount():
		return finally("waiting for minCount pods from a gang to appear in scheduling queue")
	}
	return Status{}
}

// SetPodGroup adds or replaces a group. Pods that wait for it may enter the
// queue. Groups that ask for more than gang or basic scheduling are refused
// with an *InputError.
func (q *Queue) SetPodGroup(g *PodGroup, now time.Time) error {
	if err := validateGroup(g); err != nil {
		return err
	}
	entry := q.groups.at(keyOf(&g.ObjectMeta))
	fresh := entry.wire == nil
	entry.wire = g
	if fresh {
		q.Event(ObjectEvent(EventPodGroup, nil, g), now)
	}
	return nil
}

// RemovePodGroup removes a group, if it is there. Its pods are gated from now
// on, until a group of that name comes back.
func (q *Queue) RemovePodGroup(namespace, name string, now time.Time) {
	key := podKey{orDefault(namespace), name}
	g := q.groups.groups[key]
	if g == nil || g.wire == nil {
		return
	}
	old := g.wire
	g.wire = nil
	if len(g.members) == 0 {
		delete(q.groups.groups, key)
	}
	q.Event(ObjectEvent(EventPodGroup, old, nil), now)
}

func validateGroup(g *PodGroup) error {
	if g == nil || g.Name == "" {
		return nameMissing("podgroup")
	}
	object := "podgroup " + keyOf(&g.ObjectMeta).String()
	policy := &g.Spec.SchedulingPolicy
	switch {
	case (policy.Gang == nil) == (policy.Basic == nil):
		return &InputError{Object: object, Field: "spec.schedulingPolicy", Want: "one of gang and basic"}
	case policy.Gang != nil && policy.Gang.MinCount < 1:
		return &InputError{
			Object: object, Field: "spec.schedulingPolicy.gang.minCount",
			Value: fmt.Sprint(policy.Gang.MinCount), Want: "1 or more",
		}
	case g.Spec.SchedulingConstraints != nil:
		return &InputError{Object: object, Field: "spec.schedulingConstraints", Want: "none: placing a group by topology is not supported"}
	case len(g.Spec.ResourceClaims) > 0:
		return &InputError{Object: object, Field: "spec.resourceClaims", Want: "none: dynamic resource allocation is not supported"}
	case g.Spec.DisruptionMode != nil && *g.Spec.DisruptionMode != "Pod":
		return &InputError{Object: object, Field: "spec.disruptionMode", Want: "none: preempting whole groups is not supported"}
	}
	return nil
}

// popGroup takes all members of the popped pod's group that the queue holds.
// They come in the order in which they are to be placed: the most important
// first, then the one that could be tried first, then by name.
func (q *Queue) popGroup(first *QueuedPod, now time.Time) []*QueuedPod {
	list := []*QueuedPod{first}
	g := q.groups.groups[first.Pod.groupKey()]
	if g != nil {
		for _, key := range slices.SortedFunc(maps.Keys(g.members), cmpKey) {
			if key == first.Pod.key {
				continue
			}
			if entry := q.popNamed(key, now); entry != nil {
				list = append(list, entry)
			}
		}
	}
	slices.SortFunc(list, func(a, b *QueuedPod) int {
		return cmp.Or(
			cmp.Compare(b.Pod.Priority, a.Pod.Priority),
			a.FirstActive.Compare(b.FirstActive),
			cmpKey(a.Pod.key, b.Pod.key),
		)
	})
	return list
}

// placedMembers counts the members of a group that have a node, assumed or
// bound.
func (q *Queue) placedMembers(group podKey) int {
	g := q.groups.groups[group]
	if g == nil {
		return 0
	}
	count := 0
	for key := range g.members {
		if _, _, ok := q.cache.PodNode(key.namespace, key.name); ok {
			count++
		}
	}
	return count
}
