package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ended brings a pod back whose binding was undone. What it had booked is free
// again, which is an event for the others.
func (l *Loop) ended(a *attempt, err error) {
	now := l.config.Clock.Now()
	freed := Event{Resource: eventAssignedPod, Action: EventDelete, OldPod: a.entry.Pod.on(a.binding.Node)}
	rejected := errors.As(err, new(*FitError)) && !isLate(err)
	l.mu.Lock()
	l.finish(a)
	if !rejected {
		l.queue.Event(freed, now)
	}
	back := l.comeBack(a.entry, a.latest, a.gone, err, now)
	if back {
		l.cache.Unnominate(a.entry.Pod.Namespace, a.entry.Pod.Pod.Name)
	}
	if rejected {
		// Not for the pod itself: it would be tried again at once.
		id := a.entry.Pod.id()
		freed.Only = func(p *PodInfo) bool { return p.id() != id }
		l.queue.Event(freed, now)
	}
	said := outcome(a.entry, err, "")
	l.mu.Unlock()
	l.poke()
	l.observe(said)
}

// isLate says that a binding was refused after Permit, which is an error and
// not a verdict about the pod (kube-scheduler 1.36).
func isLate(err error) bool {
	var bind *BindError
	return errors.As(err, &bind) && (bind.Stage == StagePreBind || bind.Stage == StageBind)
}

// on returns the pod as it would be on a node, for hints.
func (p *PodInfo) on(node string) *PodInfo {
	pod, info := *p.Pod, *p
	pod.Spec.NodeName = node
	info.Pod = &pod
	return &info
}

// comeBack hands a failed pod back to the queue; false when it is not wanted
// there any more. l.mu is held.
func (l *Loop) comeBack(entry *QueuedPod, latest *PodInfo, gone bool, err error, now time.Time) bool {
	if latest != nil {
		l.queue.refresh(entry, latest)
	}
	if gone {
		l.queue.Done(entry)
	} else {
		l.queue.Failed(entry, FailureOf(err), now)
	}
	there := l.queue.pods[entry.Pod.key]
	if there == nil {
		// Undoing has restored the nomination of a pod that is gone.
		l.cache.Unnominate(entry.Pod.Namespace, entry.Pod.Pod.Name)
	}
	return there == entry
}

// failed brings a pod back for which there is no node, and makes room for it if
// the decision says how.
func (l *Loop) failed(ctx context.Context, entry *QueuedPod, err error) {
	now := l.config.Clock.Now()
	nomination := l.nomination(err)
	l.mu.Lock()
	if nomination != nil {
		l.queue.HoldForVictims(entry.Pod)
	}
	back := l.comeBack(entry, nil, false, err, now)
	nominated := ""
	if back {
		nominated = l.nominate(entry, err, nomination)
	} else {
		l.queue.ReleaseFromVictims(entry.Pod)
	}
	p, said := entry.Pod, outcome(entry, err, nominated)
	l.mu.Unlock()
	l.observe(said)
	if back && nomination != nil {
		l.preempt(ctx, p, nomination)
	}
}

// nomination returns what preemption has decided, if it can be carried out.
func (l *Loop) nomination(err error) *Nomination {
	var fit *FitError
	if l.config.Evictor != nil && errors.As(err, &fit) {
		return fit.Nominated
	}
	return nil
}

// nominate records what a failed attempt means for the pod's nomination, and
// returns where it is nominated then. l.mu is held.
func (l *Loop) nominate(entry *QueuedPod, err error, nomination *Nomination) string {
	p := entry.Pod
	var fit *FitError
	switch {
	case nomination != nil:
		if l.cache.nominatePod(p, nomination.Node) == nil {
			return nomination.Node
		}
	case errors.As(err, &fit) && fit.Nominated == nil && !fit.unnominate && len(entry.profile.postFilters) > 0:
		// Preemption was not even tried, because earlier victims are still
		// going, say.
		l.queue.nominateByStatus(p)
		return p.Pod.Status.NominatedNodeName
	}
	l.cache.Unnominate(p.Namespace, p.Pod.Name)
	return ""
}

// outcome is what to tell of a failed attempt. The entry may be popped again as
// soon as l.mu is released, which is still held here.
func outcome(entry *QueuedPod, err error, nominated string) LoopEvent {
	kind := LoopFailed
	if errors.As(err, new(*FitError)) && !isLate(err) {
		kind = LoopRejected
	}
	return LoopEvent{Kind: kind, Pod: entry.Pod.Pod, Nominated: nominated, Err: err, Attempts: entry.Attempts}
}

// preempt removes the victims, beside the loop if it runs. Until that is done
// the pod is not tried again.
func (l *Loop) preempt(ctx context.Context, p *PodInfo, n *Nomination) {
	l.unnominateLess(p, n.Node)
	l.mu.Lock()
	running := l.running
	if running {
		l.helpers.Add(1)
	}
	l.mu.Unlock()
	if !running {
		l.evict(ctx, p, n)
		return
	}
	go func() {
		defer l.helpers.Done()
		l.evict(ctx, p, n)
	}()
}

// unnominateLess ends the nominations of less important pods to a node that is
// being made free for another pod, and lets them look for another place.
func (l *Loop) unnominateLess(p *PodInfo, node string) {
	var losers []*PodInfo
	l.cache.mu.RLock()
	for _, q := range l.cache.nominated.pods.get(node) {
		if q.Priority < p.Priority {
			losers = append(losers, q)
		}
	}
	l.cache.mu.RUnlock()
	for _, q := range losers {
		l.mu.Lock()
		l.cache.Unnominate(q.Namespace, q.Pod.Name)
		l.queue.Activate(l.config.Clock.Now(), q)
		l.mu.Unlock()
		l.observe(LoopEvent{Kind: LoopUnnominated, Pod: q.Pod, Node: node, By: p.Pod})
	}
}

// evict removes the victims. The last one is special: its end may be observed
// before the Evictor returns, and must not find the pod still held.
func (l *Loop) evict(ctx context.Context, p *PodInfo, n *Nomination) {
	var err error
	victims := l.victims(n)
	for i, v := range victims {
		if i == len(victims)-1 {
			l.mu.Lock()
			l.releases[v.key] = p
			l.mu.Unlock()
		}
		if err = l.evictOne(ctx, v, p, n.Node); err != nil {
			break
		}
	}
	l.mu.Lock()
	l.queue.ReleaseFromVictims(p)
	for _, v := range victims {
		if l.releases[v.key] == p {
			delete(l.releases, v.key)
		}
	}
	if err != nil || len(victims) == 0 {
		l.queue.Activate(l.config.Clock.Now(), p)
	}
	l.mu.Unlock()
	l.poke()
}

// victims returns the pods that a nomination names and that are still there.
func (l *Loop) victims(n *Nomination) []*PodInfo {
	var list []*PodInfo
	l.cache.mu.RLock()
	defer l.cache.mu.RUnlock()
	for _, name := range n.Victims {
		namespace, name, _ := strings.Cut(name, "/")
		if s := l.cache.pod(podKey{namespace, name}); s != nil && !s.info.terminating() {
			list = append(list, s.info)
		}
	}
	return list
}

// evictOne removes one victim. One that is not bound yet is taken back instead.
func (l *Loop) evictOne(ctx context.Context, v, by *PodInfo, node string) error {
	l.mu.Lock()
	var b *Binding
	if a := l.attempts[v.key]; a != nil {
		b = a.binding
	}
	l.mu.Unlock()
	if b != nil {
		if !errors.Is(b.Reject("DefaultPreemption", "preempted"), ErrEnded) {
			l.observe(LoopEvent{Kind: LoopEvicted, Pod: v.Pod, Node: node, By: by.Pod})
			return nil
		}
	}
	err := l.config.Evictor.Evict(ctx, v.Pod, by.Pod)
	l.observe(LoopEvent{Kind: LoopEvicted, Pod: v.Pod, Node: node, By: by.Pod, Err: err})
	return err
}

// released looks at a preemptor again whose last victim is on its way out. l.mu
// is held.
func (l *Loop) released(victim podKey) {
	if p := l.releases[victim]; p != nil {
		delete(l.releases, victim)
		l.queue.ReleaseFromVictims(p)
	}
}

// placeGroup tries the pods of a group: all are placed, or as many as make a
// gang, or none.
func (l *Loop) placeGroup(ctx context.Context, group []*QueuedPod, now time.Time) {
	group = slices.DeleteFunc(group, l.superfluous)
	if len(group) == 0 {
		return
	}
	key := group[0].Pod.groupKey()
	l.mu.Lock()
	known := l.queue.groups.groups[key]
	minCount := -1
	if known != nil && known.wire != nil {
		minCount = known.minCount()
	}
	l.mu.Unlock()
	trial := l.tryGroup(group, minCount, now)
	l.mu.Lock()
	placed := l.queue.placedMembers(key)
	l.mu.Unlock()
	if trial.fatal == nil && placed >= minCount && trial.count > 0 && !trial.preempts() {
		l.bindGroup(ctx, trial)
		return
	}
	l.undoGroup(ctx, trial, placed >= minCount)
}

// groupTrial is what became of the pods of a group, by their order.
type groupTrial struct {
	group    []*QueuedPod
	attempts []*attempt // nil: not placed
	errs     []error
	count    int   // of attempts
	fatal    error // ends the whole group's attempt
}

// preempts says that some of the pods have room only once victims are gone.
func (t *groupTrial) preempts() bool {
	for i, a := range t.attempts {
		if a != nil && t.errs[i] != nil {
			return true
		}
	}
	return false
}

// tryGroup books a node for each pod of the group that has one, one after the
// other. A pod that can make room for itself counts as placed where it would.
func (l *Loop) tryGroup(group []*QueuedPod, minCount int, now time.Time) *groupTrial {
	t := &groupTrial{group: group, attempts: make([]*attempt, len(group)), errs: make([]error, len(group))}
	if minCount < 0 {
		t.fatal = &groupError{Pod: group[0].Pod.Name(), Want: "its group " + group[0].Pod.groupKey().String() + ", which is gone"}
		return t
	}
	for i, entry := range group {
		if entry.profile != group[0].profile {
			t.fatal = &groupError{Pod: entry.Pod.Name(), Want: "the schedulerName of the rest of its group"}
			return t
		}
		placement, err := l.scheduler.SchedulePod(entry.Pod)
		t.errs[i] = err
		if err != nil {
			n := l.nomination(err)
			if !errors.As(err, new(*FitError)) && !errors.Is(err, ErrNoNodes) {
				t.fatal = err
				return t
			}
			if n == nil {
				continue
			}
			placement = Placement{Node: n.Node}
		}
		a, err := l.reserve(entry, placement, now)
		if err != nil {
			t.errs[i] = err
			if !errors.As(err, new(*FitError)) {
				t.fatal = err
				return t
			}
			continue
		}
		t.attempts[i] = a
		t.count++
	}
	return t
}

// groupError is why a pod cannot be placed with its group at all.
type groupError struct{ Pod, Want string }

func (e *groupError) Error() string { return "pod " + e.Pod + ": want " + e.Want }

// bindGroup goes on with the pods that have a node.
func (l *Loop) bindGroup(ctx context.Context, t *groupTrial) {
	for i, a := range t.attempts {
		if a != nil {
			l.admit(ctx, a)
		} else {
			l.failed(ctx, t.group[i], t.errs[i])
		}
	}
}

// undoGroup takes all pods back, the last first. If the group would fit once
// some victims are gone, those are removed, and every pod is nominated to its
// node meanwhile.
func (l *Loop) undoGroup(ctx context.Context, t *groupTrial, enough bool) {
	nodes := make([]string, len(t.group))
	for i, a := range slices.Backward(t.attempts) {
		if a == nil {
			continue
		}
		nodes[i] = a.binding.Node
		_ = a.binding.Cancel() // an error says that somebody has rejected it
		l.mu.Lock()
		l.finish(a)
		l.mu.Unlock()
	}
	waits := enough && t.fatal == nil && t.preempts()
	for i, entry := range t.group {
		err := t.errs[i]
		switch {
		case t.fatal != nil:
			err = fmt.Errorf("failed to schedule other pod from a pod group: %w", t.fatal)
		case waits && nodes[i] != "" && err == nil:
			l.holdPlace(entry, nodes[i])
			continue
		case nodes[i] != "" && !waits:
			err = ErrGangIncomplete
		}
		l.failed(ctx, entry, err)
	}
}

// holdPlace brings a pod of a gang back that waits for the others' victims.
func (l *Loop) holdPlace(entry *QueuedPod, node string) {
	l.mu.Lock()
	if l.comeBack(entry, nil, false, ErrGangPreempting, l.config.Clock.Now()) {
		_ = l.cache.nominatePod(entry.Pod, node)
	}
	said := outcome(entry, ErrGangPreempting, node)
	l.mu.Unlock()
	l.observe(said)
}
