package scheduler

import (
	"errors"
	"slices"
	"time"
)

// The labels under which a pod enters the active queue as one that was seen
// for the first time: its status then says where it is nominated.
const (
	eventUnscheduledAdd    = string(eventUnscheduledPod) + "Add"
	eventUnscheduledUpdate = string(eventUnscheduledPod) + "Update"
)

// requeueing is what to do with a pod after an event.
type requeueing uint8

const (
	stay         requeueing = iota
	afterBackoff            // once what is left of the backoff is over
	atOnce
)

type hintKey struct {
	profile  *profile
	resource EventResource
	action   EventAction
}

// interested returns the registrations of a profile that match an event.
func (q *Queue) interested(p *profile, e *Event) []pluginHint {
	key := hintKey{p, e.Resource, e.Action}
	list, ok := q.hints[key]
	if !ok {
		for _, h := range p.hints {
			if e.registered(h.Resource, h.Actions) {
				list = append(list, h)
			}
		}
		q.hints[key] = list
	}
	return list
}

// ofInterest says that some plugin of some profile registered for the event.
func (q *Queue) ofInterest(e *Event) bool {
	if e.wildcard() {
		return true
	}
	for _, p := range q.scheduler.profiles {
		if len(q.interested(p, e)) > 0 {
			return true
		}
	}
	return false
}

// worth asks the plugins that rejected a pod whether an event may help it.
func (q *Queue) worth(entry *QueuedPod, e *Event) requeueing {
	e.cache = q.cache
	q.cache.mu.RLock()
	defer q.cache.mu.RUnlock()
	return worth(entry, e, q.interested(entry.profile, e))
}

// worth is given the registrations that match the event. The Cache is locked.
func worth(entry *QueuedPod, e *Event, hints []pluginHint) requeueing {
	by := entry.rejected | entry.pending
	switch {
	case by == 0:
		return afterBackoff
	case e.wildcard():
		if e.NewPod != nil && !entry.Pod.same(e.NewPod) {
			return stay
		}
		return afterBackoff
	}
	how := stay
	for i := range hints {
		h := &hints[i]
		if !by.has(h.plugin) || !h.mayHelp(entry.Pod, e) {
			continue
		}
		if entry.pending.has(h.plugin) {
			return atOnce
		}
		how = afterBackoff
		if entry.pending == 0 {
			return how
		}
	}
	return how
}

// mayHelp asks the hint. One that fails counts as yes, so that the pod is not
// forgotten.
func (h *pluginHint) mayHelp(p *PodInfo, e *Event) bool {
	if h.Hint == nil {
		return true
	}
	yes, err := h.Hint(p, e)
	return yes || err != nil
}

// Event tells the queue what has changed in the cluster. Rejected pods that the
// change may help are moved; for pods in flight it is kept until they come
// back.
func (q *Queue) Event(e Event, now time.Time) {
	q.groups.observe(&e)
	if !q.ofInterest(&e) {
		return
	}
	q.moveAll(q.unschedulable, &e, now)
	q.flights.recordForAll(&e)
}

// moveAll moves those of the pods that the event may help. All are judged
// before one is moved: that changes the list, and needs the Cache.
func (q *Queue) moveAll(pods []*QueuedPod, e *Event, now time.Time) {
	if len(pods) == 0 {
		return
	}
	moves := q.judge(q.moves[:0], pods, e)
	for _, m := range moves {
		q.requeue(m.entry, m.how, now, e.String())
	}
	clear(moves)
	q.moves = moves
}

// move is what to do with a pod.
type move struct {
	entry *QueuedPod
	how   requeueing
}

// judge appends what is to be done with the pods that an event may help.
func (q *Queue) judge(dst []move, pods []*QueuedPod, e *Event) []move {
	e.cache = q.cache
	q.cache.mu.RLock()
	defer q.cache.mu.RUnlock()
	var of *profile
	var hints []pluginHint
	for _, entry := range pods {
		if entry.profile != of {
			of, hints = entry.profile, q.interested(entry.profile, e)
		}
		if e.Only != nil && !e.Only(entry.Pod) || entry.gate != 0 && !gateHears(entry, hints) {
			continue
		}
		if how := worth(entry, e, hints); how != stay {
			dst = append(dst, move{entry, how})
		}
	}
	return dst
}

// gateHears says that the plugin which gates the pod is among those that
// registered for the event.
func gateHears(entry *QueuedPod, hints []pluginHint) bool {
	return slices.ContainsFunc(hints, func(h pluginHint) bool { return h.plugin == entry.gate-1 })
}

// requeue puts a pod where an event, or the end of an attempt, sends it.
func (q *Queue) requeue(entry *QueuedPod, how requeueing, now time.Time, why string) QueuePlace {
	switch {
	case how == stay:
		if entry.place != QueueUnschedulable {
			q.put(entry, QueueUnschedulable)
		}
	case how == afterBackoff && q.backingOff(entry, now):
		q.toBackoff(entry)
	default:
		q.toActive(entry, now, why)
	}
	return entry.place
}

// toActive makes a pod active unless a plugin gates it: then it becomes, or
// stays, unschedulable. A gated pod does not replace one of its name that is
// active or backs off.
func (q *Queue) toActive(entry *QueuedPod, now time.Time, why string) bool {
	q.runGates(entry)
	if entry.gate != 0 {
		other := q.pods[entry.Pod.key]
		if other == nil || other.place == QueueUnschedulable {
			q.settle(entry, QueueUnschedulable)
		}
		return false
	}
	if entry.FirstActive.IsZero() {
		entry.FirstActive = now
	}
	q.settle(entry, QueueActive)
	if why == eventUnscheduledAdd || why == eventUnscheduledUpdate {
		q.nominateByStatus(entry.Pod)
	}
	return true
}

// toBackoff lets a pod sit out its backoff. The gates are asked now, since Pop
// may take the pod before the backoff is over.
func (q *Queue) toBackoff(entry *QueuedPod) {
	q.runGates(entry)
	switch {
	case entry.gate != 0:
		q.settle(entry, QueueUnschedulable)
	case entry.rejected|entry.pending == 0, entry.Pod.group != "":
		// Differs: kube-scheduler 1.36 lets Pop take rejected members of a group
		// early as well. One of them takes all others along, so that a group
		// that does not fit is tried without pause.
		q.settle(entry, QueueErrorBackoff)
	default:
		q.settle(entry, QueueBackoff)
	}
}

// settle moves a pod from where it is, if anywhere, to a place.
func (q *Queue) settle(entry *QueuedPod, place QueuePlace) {
	if entry.place == place && q.pods[entry.Pod.key] == entry {
		return
	}
	q.put(entry, place)
}

// runGates asks the PreEnqueuers, the one that gates the pod first: it is the
// likeliest to go on doing so.
func (q *Queue) runGates(entry *QueuedPod) {
	had := entry.gate
	if had != 0 {
		for _, g := range entry.profile.gates {
			if g.number == had-1 && q.gated(entry, g) {
				return
			}
		}
	}
	for _, g := range entry.profile.gates {
		if g.number != had-1 && q.gated(entry, g) {
			return
		}
	}
	entry.gate = 0
}

func (q *Queue) gated(entry *QueuedPod, g numbered[PreEnqueuer]) bool {
	var v Status
	switch pl := g.plugin.(type) {
	case *defaultPreemption:
		if _, ok := q.preempting[entry.Pod.id()]; ok {
			v = waitingForVictims()
		}
	case gangScheduling:
		v = q.groups.gate(entry.Pod)
	default:
		v = pl.PreEnqueue(entry.Pod)
	}
	if v.Code == Success {
		return false
	}
	entry.rejected |= 1 << g.number
	entry.gate = g.number + 1
	return true
}

// Failure is why an attempt to place a pod has failed.
type Failure struct {
	// Rejected names the plugins that rejected the pod; none means that the
	// attempt has failed by an error.
	Rejected []string
	// Pending names plugins that rejected the pod and will cause an event once
	// it can be placed. The pod then skips its backoff.
	Pending []string
}

// FailureOf returns what an error of Schedule, Reserve or Binding.Bind means
// for the queue. A *FitError, also that of a Reserver or Permitter, names the
// plugins that rejected; anything else is an error.
func FailureOf(err error) Failure {
	var bind *BindError
	if errors.As(err, &bind) && (bind.Stage == StagePreBind || bind.Stage == StageBind) {
		return Failure{}
	}
	var fit *FitError
	if errors.As(err, &fit) {
		return Failure{Rejected: fit.RejectedBy()}
	}
	return Failure{}
}

// Failed brings a popped pod back, which ends its flight if Done has not. A pod
// that was deleted meanwhile, or is queued anew, is dropped. It does nothing for
// a pod that is not popped.
func (q *Queue) Failed(entry *QueuedPod, why Failure, now time.Time) {
	if entry == nil || entry.place != QueueInFlight {
		return
	}
	defer q.Done(entry)
	f := q.flights.find(entry.Pod.id())
	if f != nil && f.gone || q.pods[entry.Pod.key] != nil {
		q.moved(entry, QueueNowhere)
		return
	}
	if f != nil {
		q.refresh(entry, f.latest)
	}
	entry.rejected = q.numbers(entry.profile, why.Rejected)
	entry.pending = q.numbers(entry.profile, why.Pending)
	entry.gate = 0
	if entry.rejected|entry.pending == 0 {
		entry.Errors++
	} else {
		entry.Rejections++
		entry.Errors = 0
	}
	entry.Since, entry.until, entry.overdue = now, time.Time{}, false
	q.sequence++
	entry.sequence = q.sequence
	q.moved(entry, QueueNowhere)
	q.requeue(entry, q.afterFlight(entry, f), now, "ScheduleAttemptFailure")
}

// refresh replaces the pod by its latest state.
func (q *Queue) refresh(entry *QueuedPod, latest *PodInfo) {
	entry.Pod = latest
	if p, err := q.scheduler.profileNamed(latest); err == nil {
		entry.profile = p
	}
}

// numbers finds the plugins by name. Names that the profile does not have count
// for nothing: no event could cure what they reject.
func (q *Queue) numbers(p *profile, names []string) pluginSet {
	var set pluginSet
	for _, name := range names {
		if i := p.number(name); i >= 0 {
			set |= 1 << i
		}
	}
	return set
}

// afterFlight says what to do with a pod that has failed, given the events that
// came while it was in flight.
func (q *Queue) afterFlight(entry *QueuedPod, f *flight) requeueing {
	// Members of a group are tried again by backoff alone (kube-scheduler 1.36).
	if entry.rejected|entry.pending == 0 || entry.Pod.group != "" || f == nil {
		return afterBackoff
	}
	events, complete := q.flights.since(f)
	how := stay
	if !complete {
		how = afterBackoff
	}
	for _, e := range events {
		switch q.worth(entry, e) {
		case atOnce:
			return atOnce
		case afterBackoff:
			how = afterBackoff
			if entry.pending == 0 {
				return how
			}
		}
	}
	return how
}

// Activate moves the named pods to the active queue, whatever rejected them and
// whatever their backoff. Pods in flight are tried again when they come back.
func (q *Queue) Activate(now time.Time, pods ...*PodInfo) {
	for _, p := range pods {
		if p == nil || q.activate(p.key, now) {
			continue
		}
		if q.flights.find(p.id()) != nil {
			q.flights.record(&Event{Resource: eventAny, Action: eventAll, label: labelActivate, NewPod: p})
		}
	}
}

func (q *Queue) activate(key podKey, now time.Time) bool {
	entry := q.pods[key]
	if entry == nil {
		return false
	}
	switch entry.place {
	case QueueUnschedulable:
		return q.toActive(entry, now, labelActivate)
	case QueueBackoff, QueueErrorBackoff:
		// The gates were asked when the pod began to back off.
		q.activateTaken(entry, now)
		return true
	}
	return false
}

func (q *Queue) activateTaken(entry *QueuedPod, now time.Time) {
	if entry.FirstActive.IsZero() {
		entry.FirstActive = now
	}
	q.settle(entry, QueueActive)
}

// HoldForVictims gates a pod until ReleaseFromVictims: it has made room for
// itself by preemption, and the victims are still being removed.
func (q *Queue) HoldForVictims(p *PodInfo) { q.preempting[p.id()] = struct{}{} }

// ReleaseFromVictims ends HoldForVictims. The pod is tried again with the next
// event that may help it, such as the deletion of a victim.
func (q *Queue) ReleaseFromVictims(p *PodInfo) { delete(q.preempting, p.id()) }
