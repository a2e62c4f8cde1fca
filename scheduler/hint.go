package scheduler

// pluginHint is one registration of one plugin.
type pluginHint struct {
	plugin int // its number in the profile
	EventHint
}

// pluginSet is a set of plugins of one profile, by number. It has room for
// pluginsMax.
type pluginSet uint64

const pluginsMax = 64

func (s pluginSet) has(number int) bool { return s>>number&1 != 0 }

// registerHints notes which events a plugin wants to hear of. Only plugins that
// can reject a pod matter.
func (p *profile) registerHints(pl Plugin, number int) {
	if !canReject(pl) {
		return
	}
	r, ok := pl.(EventRegistrar)
	events := everyEvent()
	if ok {
		events = r.Events()
	}
	added, tainted := false, false
	for _, h := range events {
		p.hints = append(p.hints, pluginHint{number, h})
		if h.Resource == EventNode {
			added = added || h.Actions&EventAdd != 0
			tainted = tainted || h.Actions&EventNodeTaint != 0
		}
	}
	if added && !tainted {
		// kube-scheduler 1.36 registers changes of taints, without a hint, for
		// every plugin that hears of new nodes (kubernetes #109437).
		p.hints = append(p.hints, pluginHint{number, EventHint{Resource: EventNode, Actions: EventNodeTaint}})
	}
}

// canReject says that the plugin takes part where pods are rejected.
func canReject(pl Plugin) bool {
	switch pl.(type) {
	case PreEnqueuer, PreFilter, Filter, Reserver, Permitter:
		return true
	}
	return false
}

// everyEvent is what a plugin that registers for nothing hears of.
func everyEvent() []EventHint {
	var list []EventHint
	for _, r := range [...]EventResource{
		EventPod, EventNode, EventPersistentVolume, EventPersistentVolumeClaim, EventCSINode, EventCSIDriver,
		EventCSIStorageCapacity, EventStorageClass, EventVolumeAttachment, EventPodGroup,
	} {
		list = append(list, EventHint{Resource: r, Actions: eventAll})
	}
	return list
}

// number returns the number of a plugin by its name, or -1.
func (p *profile) number(name string) int {
	for i, pl := range p.plugins {
		if pl.Name() == name {
			return i
		}
	}
	return -1
}

// schedulingGates keeps pods out of the queue until their gates are gone
// (KEP-3521).
type schedulingGates struct{}

func (schedulingGates) Name() string { return "SchedulingGates" }

func (schedulingGates) PreEnqueue(p *PodInfo) Status {
	if e := gatedError(p); e != nil {
		return finally(e.Error())
	}
	return Status{}
}

func (schedulingGates) Events() []EventHint {
	return []EventHint{{EventPod, EventPodGatesGone, hintOwnUpdate}}
}

// hintOwnUpdate answers yes when it is the pod itself that has changed.
func hintOwnUpdate(p *PodInfo, e *Event) (bool, error) {
	if e.NewPod == nil {
		return true, errWrongObject
	}
	return p.same(e.NewPod), nil
}

// Dynamic resource allocation is out of scope: nothing is ever rejected.
func (dynamicResources) Events() []EventHint { return nil }

// PreEnqueue lets every pod pass: the queue knows whose victims are still being
// removed, and gates those in the plugin's name.
func (*defaultPreemption) PreEnqueue(*PodInfo) Status { return Status{} }

// Events lets a pod that waits for its victims be looked at again when a pod
// is deleted. The hint is for pods that only preemption holds: none, ever.
func (*defaultPreemption) Events() []EventHint {
	return []EventHint{{EventPod, EventDelete, func(*PodInfo, *Event) (bool, error) { return false, nil }}}
}

// waitingForVictims is upstream's verdict on a pod whose victims are still
// being removed.
func waitingForVictims() Status {
	return finally("waiting for the preemption for this pod to be finished")
}
