package scheduler

import (
	"errors"
	"maps"
	"slices"

	"github.com/orchcore/orchcore/qos/resource"
)

// EventResource is the kind of object that an Event is about.
type EventResource string

// The kinds of objects whose changes can make a pod schedulable. Objects of
// other kinds may be used by plugins of the user's own.
const (
	EventPod                   EventResource = "Pod"
	EventNode                  EventResource = "Node"
	EventPersistentVolume      EventResource = "PersistentVolume"
	EventPersistentVolumeClaim EventResource = "PersistentVolumeClaim"
	EventCSINode               EventResource = "storage.k8s.io/CSINode"
	EventCSIDriver             EventResource = "storage.k8s.io/CSIDriver"
	EventVolumeAttachment      EventResource = "storage.k8s.io/VolumeAttachment"
	EventCSIStorageCapacity    EventResource = "storage.k8s.io/CSIStorageCapacity"
	EventStorageClass          EventResource = "storage.k8s.io/StorageClass"
	EventPodGroup              EventResource = "scheduling.k8s.io/PodGroup"

	// What happens to pods is told apart by whether they have a node. Plugins
	// register for EventPod, which stands for both.
	eventAssignedPod    EventResource = "AssignedPod"
	eventUnscheduledPod EventResource = "UnschedulablePod"
	// eventAny with every action is the event that moves all pods.
	eventAny EventResource = "*"
)

// EventAction is what has happened to an object, one bit each. A plugin
// registers for a set of them.
type EventAction uint32

// The actions. An update is told by what has changed; EventUpdate, all update
// bits together, is an update that changed nothing which has a bit.
const (
	EventAdd EventAction = 1 << iota
	EventDelete
	EventNodeAllocatable
	EventNodeLabel
	EventNodeTaint // taints, or spec.unschedulable going off
	EventNodeCondition
	EventNodeAnnotation
	EventNodeFeature
	EventPodLabel
	EventPodScaleDown // a request has become smaller
	EventPodToleration
	EventPodGatesGone // the last scheduling gate was removed
	eventPodClaim     // generated resource claims, which are out of scope
	eventActionEnd

	EventUpdate = eventActionEnd - EventNodeAllocatable
	eventAll    = eventActionEnd - 1
)

var actionNames = [...]string{
	"Add", "Delete", "UpdateNodeAllocatable", "UpdateNodeLabel", "UpdateNodeTaint", "UpdateNodeCondition",
	"UpdateNodeAnnotation", "UpdateNodeDeclaredFeature", "UpdatePodLabel", "UpdatePodScaleDown",
	"UpdatePodToleration", "UpdatePodSchedulingGatesEliminated", "UpdatePodGeneratedResourceClaim",
}

// String returns upstream's name of a single action, of EventUpdate and of all
// actions together; "" for other sets.
func (a EventAction) String() string {
	switch a {
	case EventUpdate:
		return "Update"
	case eventAll:
		return "All"
	}
	for i, name := range actionNames {
		if a == 1<<i {
			return name
		}
	}
	return ""
}

// Event is a change in the cluster that may make pods schedulable which were
// rejected before. Make one with PodEvent, NodeEvent or ObjectEvent.
type Event struct {
	Resource EventResource
	Action   EventAction
	// OldPod and NewPod are the states of a pod before and after, OldNode and
	// NewNode those of a node, without its pods. An added object has no old
	// state, a deleted one no new state.
	OldPod, NewPod   *PodInfo
	OldNode, NewNode *NodeInfo
	// Old and New are the states of an object of another kind, such as
	// *PersistentVolumeClaim, nil where there is none.
	Old, New any
	// Only, unless nil, says which of the queued pods the event is for.
	Only func(p *PodInfo) bool

	label string // instead of resource and action
	cache *Cache // set by the queue, for hints that need more than the objects
}

// String returns upstream's label of the event, such as NodeUpdateNodeTaint.
func (e *Event) String() string {
	if e.label != "" {
		return e.label
	}
	return string(e.Resource) + e.Action.String()
}

// wildcard says that the event moves all pods, whatever rejected them.
func (e *Event) wildcard() bool { return e.Resource == eventAny && e.Action == eventAll }

// The labels of upstream's special events.
const (
	labelTimeout  = "UnschedulableTimeout"
	labelActivate = "ForceActivate"
)

// registered says that a plugin which registered for resource and actions
// wants to hear of the event: it must be as specific as what was registered, or
// more so. The comparison of the sets as numbers is upstream's.
func (e *Event) registered(resource EventResource, actions EventAction) bool {
	ofPods := e.Resource == eventAssignedPod || e.Resource == eventUnscheduledPod
	if resource != eventAny && resource != e.Resource && !(resource == EventPod && ofPods) {
		return false
	}
	return actions&e.Action != 0 && e.Action <= actions
}

// EventHint is what a plugin registers for: after one of these actions on such
// an object, pods that the plugin has rejected may be schedulable.
type EventHint struct {
	Resource EventResource
	Actions  EventAction
	// Hint says whether the event may help this pod; nil is always. It must
	// not call the Cache, the Scheduler or the Queue. An error counts as yes.
	Hint func(p *PodInfo, e *Event) (bool, error)
}

// EventRegistrar is a plugin that says which events can cure its rejections.
// Pods that it has rejected stay where they are until one of these events. A
// plugin without it hears of all events.
type EventRegistrar interface {
	Plugin
	Events() []EventHint
}

// PreEnqueuer has the first word: a pod that it rejects is gated, and does not
// even enter the queue until an event that the plugin registered for.
type PreEnqueuer interface {
	Plugin
	PreEnqueue(p *PodInfo) Status
}

// PodEvents returns the events that a change of a pod from old to new stands
// for; nil for old means that the pod was added, nil for new that it was
// deleted. Whether the pod has a node is read from the newest state.
func PodEvents(old, new *PodInfo) []Event {
	newest := new
	if newest == nil {
		newest = old
	}
	if newest == nil {
		return nil
	}
	resource := eventAssignedPod
	if newest.Pod.Spec.NodeName == "" {
		resource = eventUnscheduledPod
	}
	event := func(a EventAction) Event {
		return Event{Resource: resource, Action: a, OldPod: old, NewPod: new}
	}
	switch {
	case old == nil:
		return []Event{event(EventAdd)}
	case new == nil:
		return []Event{event(EventDelete)}
	}
	var events []Event
	for _, a := range podChanges(old, new) {
		events = append(events, event(a))
	}
	return events
}

// podChanges tells an update apart by what decisions read.
func podChanges(old, new *PodInfo) []EventAction {
	var list []EventAction
	add := func(changed bool, a EventAction) {
		if changed {
			list = append(list, a)
		}
	}
	before, after := &old.Pod.Spec, &new.Pod.Spec
	add(!maps.Equal(old.Pod.Labels, new.Pod.Labels), EventPodLabel)
	add(scaledDown(old, new), EventPodScaleDown)
	add(len(after.SchedulingGates) == 0 && len(before.SchedulingGates) != 0, EventPodGatesGone)
	// The API server lets tolerations only be added.
	add(len(after.Tolerations) != len(before.Tolerations), EventPodToleration)
	if len(list) == 0 {
		list = append(list, EventUpdate)
	}
	return list
}

// scaledDown says that the pod requests less of something than before.
func scaledDown(old, new *PodInfo) bool {
	form := requestForm{podLevel: true, status: true}
	before, after := podRequest(old.Pod, form), podRequest(new.Pod, form)
	for name, q := range before {
		now, ok := after[name]
		if !ok || q.MilliValue() > now.MilliValue() {
			return true
		}
	}
	return false
}

// NodeEvents returns the events that a change of a node stands for; nil for
// old means that it was added, nil for new that it was deleted. An update that
// cannot make a pod schedulable is no event.
func NodeEvents(old, new *Node) []Event {
	before, after := bareNode(old), bareNode(new)
	event := func(a EventAction) Event {
		return Event{Resource: EventNode, Action: a, OldNode: before, NewNode: after, Old: old, New: new}
	}
	switch {
	case old == nil && new == nil:
		return nil
	case old == nil:
		return []Event{event(EventAdd)}
	case new == nil:
		return []Event{event(EventDelete)}
	}
	var events []Event
	for _, a := range nodeChanges(old, new) {
		events = append(events, event(a))
	}
	return events
}

// nodeChanges tells an update apart, in upstream's order: a node that is
// uncordoned and loses a taint counts twice.
func nodeChanges(old, new *Node) []EventAction {
	var list []EventAction
	add := func(changed bool, a EventAction) {
		if changed {
			list = append(list, a)
		}
	}
	add(old.Spec.Unschedulable && !new.Spec.Unschedulable, EventNodeTaint)
	add(!equalLists(old.Status.Allocatable, new.Status.Allocatable), EventNodeAllocatable)
	add(!maps.Equal(old.Labels, new.Labels), EventNodeLabel)
	add(!slices.Equal(old.Spec.Taints, new.Spec.Taints), EventNodeTaint)
	add(!maps.Equal(conditionsOf(old), conditionsOf(new)), EventNodeCondition)
	add(!maps.Equal(old.Annotations, new.Annotations), EventNodeAnnotation)
	add(!slices.Equal(old.Status.DeclaredFeatures, new.Status.DeclaredFeatures), EventNodeFeature)
	return list
}

func conditionsOf(n *Node) map[string]string {
	m := make(map[string]string, len(n.Status.Conditions))
	for _, c := range n.Status.Conditions {
		m[c.Type] = c.Status
	}
	return m
}

func equalLists(a, b resource.List) bool {
	return maps.EqualFunc(a, b, func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
}

// bareNode compiles a node without pods.
func bareNode(node *Node) *NodeInfo {
	if node == nil {
		return nil
	}
	n := &NodeInfo{Name: node.Name}
	n.setNode(node)
	return n
}

// ObjectEvent returns the event that an object of another kind was added (old
// is nil), changed, or deleted (new is nil).
func ObjectEvent(kind EventResource, old, new any) Event {
	e := Event{Resource: kind, Action: EventUpdate, Old: old, New: new}
	switch {
	case old == nil:
		e.Action = EventAdd
	case new == nil:
		e.Action = EventDelete
	}
	return e
}

// errWrongObject is a hint's answer to an event with an object that it cannot
// read; the pod is tried again then.
var errWrongObject = errors.New("the event does not carry the object that its resource names")

// eventObjects returns the states of an object of type T.
func eventObjects[T any](e *Event) (old, new *T, err error) {
	var ok bool
	if e.Old != nil {
		if old, ok = e.Old.(*T); !ok {
			return nil, nil, errWrongObject
		}
	}
	if e.New != nil {
		if new, ok = e.New.(*T); !ok {
			return nil, nil, errWrongObject
		}
	}
	if old == nil && new == nil {
		return nil, nil, errWrongObject
	}
	return old, new, nil
}

// same says that two states are of one pod.
func (p *PodInfo) same(q *PodInfo) bool { return p.key == q.key && p.Pod.UID == q.Pod.UID }

// placed says that the pod takes room on a node: it runs there or is nominated.
func (p *PodInfo) placed() bool {
	return p.Pod.Spec.NodeName != "" || p.Pod.Status.NominatedNodeName != ""
}
