package scheduler

import (
	"context"
	"errors"
	"time"
)

// ended brings a pod back whose binding was undone. What it had booked is free
// again, which is an event for the others.
func (l *Loop) ended(a *attempt, err error) {
	now := l.config.Clock.Now()
	freed := Event{Resource: eventAssignedPod, Action: EventDelete, OldPod: a.entry.Pod.on(a.binding.Node)}
	rejected := errors.As(err, new(*FitError)) && !isLate(err)
	l.mu.Lock()
	if a.state == attemptFinished {
		l.mu.Unlock()
		return
	}
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
