package scheduler

import (
	"errors"
	"time"
)

// SetPod tells the loop of a pod as it is now. One without a node is queued if
// its schedulerName is that of a profile, and otherwise ignored until somebody
// has bound it. One that has ended is as good as removed.
func (l *Loop) SetPod(pod *Pod) error {
	p, err := l.cache.compile(pod)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.poke()
	now := l.config.Clock.Now()
	if p.terminating() || p.ended() {
		l.released(p.key)
	}
	switch {
	case p.ended():
		l.removePod(p.key, now)
		return nil
	case pod.Spec.NodeName != "":
		return l.setBound(p, now)
	}
	l.setPending(p, now)
	return nil
}

// setBound books a pod that has a node.
func (l *Loop) setBound(p *PodInfo, now time.Time) error {
	l.cache.mu.Lock()
	had := l.cache.pod(p.key)
	if had != nil && !had.assumed && had.info.Pod.UID != p.Pod.UID {
		// The pod was removed and made anew, and nobody said so.
		l.cache.mu.Unlock()
		l.removePod(p.key, now)
		return l.setBound(p, now)
	}
	var err error
	if had == nil || had.assumed {
		err = l.cache.addPod(p)
	} else {
		err = l.cache.updatePod(p)
	}
	l.cache.mu.Unlock()
	if err != nil {
		return err
	}
	l.queue.dequeue(p.key)
	var old *PodInfo
	if had != nil && had.info.Pod.Spec.NodeName != "" {
		old = had.info
	}
	// Before, the pod was unknown or had no node: to others it is new.
	for _, e := range PodEvents(old, p) {
		l.queue.Event(e, now)
	}
	return nil
}

// setPending queues a pod that has no node, or notes that it has changed.
func (l *Loop) setPending(p *PodInfo, now time.Time) {
	profile, err := l.scheduler.profileNamed(p)
	if err != nil {
		return // not ours
	}
	a := l.attempts[p.key]
	had, _ := l.holding(p.key)
	if had != nil && had.same(p) {
		// It has a node: what happens to it now matters if it loses that.
		if a != nil {
			l.observeAssumed(a, p, now)
		}
		return
	}
	old := l.known(p.key)
	if had != nil || a != nil && !a.latest.same(p) || old != nil && !old.same(p) {
		l.removePod(p.key, now) // made anew, and nobody said so
		old = nil
	}
	if old == nil {
		l.queue.addPod(p, profile, now)
		return
	}
	l.queue.updatePod(p, profile, now)
	l.renominated(old, p, now)
}

// holding returns the pod of the name that has a node in the Cache, and whether
// it is only assumed there.
func (l *Loop) holding(key podKey) (p *PodInfo, assumed bool) {
	l.cache.mu.RLock()
	defer l.cache.mu.RUnlock()
	if s := l.cache.pod(key); s != nil {
		return s.info, s.assumed
	}
	return nil, false
}

// observeAssumed notes the change of a pod that is assumed. When its deletion
// has begun it gives back what it holds.
func (l *Loop) observeAssumed(a *attempt, p *PodInfo, now time.Time) {
	first := p.terminating() && !a.latest.terminating()
	a.latest = p
	if f := l.queue.flights.find(p.id()); f != nil {
		f.latest = p
	}
	if first {
		l.takeBack(a, now)
	}
}

// known returns the state of a pod without a node, if the queue has it.
func (l *Loop) known(key podKey) *PodInfo {
	if entry := l.queue.pods[key]; entry != nil {
		return entry.Pod
	}
	for _, f := range l.queue.flights.named(key) {
		if !f.gone {
			return f.latest
		}
	}
	return nil
}

// renominated tells pods that are no more important that a nomination has
// ended: the room that it held is free. new is nil when the pod is gone.
func (l *Loop) renominated(old, new *PodInfo, now time.Time) {
	was := old.Pod.Status.NominatedNodeName
	if was == "" || new != nil && new.Pod.Status.NominatedNodeName == was {
		return
	}
	l.queue.Event(Event{
		Resource: eventAssignedPod, Action: EventDelete, OldPod: old,
		Only: func(p *PodInfo) bool { return p.Priority <= old.Priority },
	}, now)
}

// RemovePod tells the loop that a pod is gone. It does nothing for one that it
// does not know.
func (l *Loop) RemovePod(namespace, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.poke()
	key := podKey{orDefault(namespace), name}
	l.released(key)
	l.removePod(key, l.config.Clock.Now())
}

func (l *Loop) removePod(key podKey, now time.Time) {
	pending := l.known(key)
	l.queue.Delete(key.namespace, key.name)
	if a := l.attempts[key]; a != nil {
		a.gone = true
		l.takeBack(a, now)
	}
	l.cache.mu.Lock()
	state := l.cache.pod(key)
	bound := state != nil && !state.assumed
	if bound {
		l.cache.drop(key, state)
	}
	l.cache.mu.Unlock()
	switch {
	case bound:
		old := state.info
		if old.Pod.Spec.NodeName == "" {
			old = old.on(state.node)
		}
		l.queue.Event(Event{Resource: eventAssignedPod, Action: EventDelete, OldPod: old}, now)
	case pending != nil:
		l.renominated(pending, nil, now)
	}
}

// takeBack frees at once what a pod holds that is being deleted before it is
// bound. One that waits is rejected; a binding under way will fail, since the
// API server knows the pod no more. l.mu is held.
func (l *Loop) takeBack(a *attempt, now time.Time) {
	switch {
	case a.binding == nil:
		return // the Permitters are being asked; the Binder will find out
	case a.state == attemptWaiting:
		// The loop takes it back: Unreserve is not called with a lock held.
		a.state, a.err = attemptSettled, errRemoved
		l.settled = append(l.settled, a)
		return
	case a.cancel != nil:
		a.cancel()
	}
	if l.cache.Forget(a.entry.Pod.Namespace, a.entry.Pod.Pod.Name) == nil {
		l.queue.Event(Event{Resource: eventAssignedPod, Action: EventDelete, OldPod: a.entry.Pod.on(a.binding.Node)}, now)
	}
}

// errRemoved is why a waiting pod is not bound.
var errRemoved = errors.New("the pod is being removed")

// SetNode tells the loop of a node as it is now.
func (l *Loop) SetNode(node *Node) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.poke()
	var old *Node
	if node != nil {
		old = l.node(node.Name)
	}
	var err error
	if old == nil {
		err = l.cache.AddNode(node)
	} else {
		err = l.cache.UpdateNode(node)
	}
	if err != nil {
		return err
	}
	for _, e := range NodeEvents(old, node) {
		l.queue.Event(e, l.config.Clock.Now())
	}
	return nil
}

func (l *Loop) node(name string) *Node {
	l.cache.mu.RLock()
	defer l.cache.mu.RUnlock()
	if n := l.cache.node(name); n != nil {
		return n.Node
	}
	return nil
}

// RemoveNode tells the loop that a node is gone. It does nothing for one that
// it does not know.
func (l *Loop) RemoveNode(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.poke()
	old := l.node(name)
	if old == nil || l.cache.RemoveNode(name) != nil {
		return
	}
	for _, e := range NodeEvents(old, nil) {
		l.queue.Event(e, l.config.Clock.Now())
	}
}

// SetPodGroup tells the loop of a pod group; see Queue.SetPodGroup.
func (l *Loop) SetPodGroup(g *PodGroup) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.poke()
	return l.queue.SetPodGroup(g, l.config.Clock.Now())
}

// RemovePodGroup tells the loop that a pod group is gone.
func (l *Loop) RemovePodGroup(namespace, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.poke()
	l.queue.RemovePodGroup(namespace, name, l.config.Clock.Now())
}

// Changed tells the loop of a change that it has no method for: the objects
// that plugins look up (services, claims, storage classes and so on) are set in
// the Cache, and what waits for them is told here. old and new are as for
// ObjectEvent.
func (l *Loop) Changed(kind EventResource, old, new any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.poke()
	l.queue.Event(ObjectEvent(kind, old, new), l.config.Clock.Now())
}

// Activate tries a pending pod again, whatever it waits for.
func (l *Loop) Activate(namespace, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.poke()
	if p := l.known(podKey{orDefault(namespace), name}); p != nil {
		l.queue.Activate(l.config.Clock.Now(), p)
	}
}

// Len returns how many pods are at a place of the queue.
func (l *Loop) Len(place QueuePlace) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.Len(place)
}

// Place returns where a pod is in the queue.
func (l *Loop) Place(namespace, name string) QueuePlace {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queue.Place(namespace, name)
}
