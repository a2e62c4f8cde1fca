package scheduler

import (
	"fmt"
	"time"
)

// Queue holds the pods that wait for a node, and says which one to try next.
//
//	      Add, Update                    Pop                     Done
//	(new) ───────────► active ─────────────────────► in flight ────────► (bound)
//	  │                 ▲  ▲                          │  ▲
//	  │ gated           │  │ Tick: backoff is over    │  │ Pop, when nothing
//	  │         Event:  │  │                          │  │ is active
//	  │         may fit │  └─────────── backoff ──────┼──┘ (rejected pods only)
//	  │         and no  │                 ▲  ▲        │
//	  │         backoff │   Event: may fit│  │ Failed │ by an error, or an event
//	  ▼                 │                 │  └────────┤ in flight may have helped
//	unschedulable ──────┴─────────────────┘           │
//	  ▲          Tick: after UnschedulableMax         │ Failed: rejected
//	  └───────────────────────────────────────────────┘
//
// Active pods are popped the most important first, then the one that has
// waited longest. A pod that was rejected waits in the unschedulable set until
// an event that one of the rejecting plugins registered for, and whose hint
// says that it may help; it then sits out the rest of its backoff. Backoff
// begins at one second and doubles with every rejection up to ten; pods that
// failed by an error count their errors instead. When nothing is active the
// pod whose backoff ends first is popped early, but not one that backs off
// because of an error, which protects the API server (KEP-5142), nor a member of
// a group.
//
// Pods that a PreEnqueuer rejects (scheduling gates, an incomplete gang,
// victims still being removed) are gated: in the unschedulable set, and moved
// only by events that the gating plugin registered for.
//
// A Queue has no clock: now is passed in. It must not be used by several
// goroutines at a time. It keeps the nominations of the Scheduler's Cache in
// step with the pods it holds.
type Queue struct {
	config    QueueConfig
	scheduler *Scheduler
	cache     *Cache

	pods          map[podKey]*QueuedPod // all but those in flight
	active        podHeap
	backoff       podHeap
	errorBackoff  podHeap
	unschedulable podList
	flights       flightLog
	hints         map[hintKey][]pluginHint
	preempting    map[podID]struct{}
	groups        groupIndex
	moves         []move // memory of moveAll

	sequence     uint64
	flushedAt    time.Time // backoff, last window
	sweptAt      time.Time // unschedulable
	onTransition func(p *QueuedPod, from, to QueuePlace)
}

// QueueConfig says how long pods wait. The zero value is upstream's default.
type QueueConfig struct {
	// BackoffInitial and BackoffMax bound how long a pod waits after its
	// attempts have failed. Zero means 1 s and 10 s; a negative BackoffMax
	// means no backoff at all.
	BackoffInitial time.Duration
	BackoffMax     time.Duration
	// UnschedulableMax is how long a rejected pod waits for an event before it
	// is tried anyway. Zero means 5 minutes.
	UnschedulableMax time.Duration
}

// QueuePlace is where a pod is in a Queue.
type QueuePlace uint8

// The places. A gated pod is in QueueUnschedulable; QueueErrorBackoff holds the
// pods that are not popped early.
const (
	QueueNowhere QueuePlace = iota
	QueueActive
	QueueBackoff
	QueueErrorBackoff
	QueueUnschedulable
	QueueInFlight
)

var placeNames = [...]string{"nowhere", "active", "backoff", "error backoff", "unschedulable", "in flight"}

// String returns the name of the place.
func (p QueuePlace) String() string {
	if int(p) < len(placeNames) {
		return placeNames[p]
	}
	return fmt.Sprintf("QueuePlace(%d)", uint8(p))
}

// QueuedPod is a pod with what the queue knows of its attempts.
type QueuedPod struct {
	// Pod is the pod as it was last seen.
	Pod *PodInfo
	// Since is when the pod entered the queue or came back to it.
	Since time.Time
	// FirstActive is when the pod could first be tried; zero before that.
	FirstActive time.Time
	// Attempts counts how often the pod was popped.
	Attempts int
	// Rejections counts attempts that ended because the pod did not fit,
	// Errors those that failed otherwise since it was last rejected.
	Rejections int
	Errors     int

	profile  *profile
	rejected pluginSet // that rejected it
	pending  pluginSet // of those, the ones that will say when to try again
	gate     int       // number of the gating plugin, plus 1
	until    time.Time // end of the backoff, once computed
	overdue  bool      // was moved because it had waited UnschedulableMax

	place    QueuePlace
	at       int    // position in the heap or list of its place
	sequence uint64 // breaks ties of Since
}

// RejectedBy returns the names of the plugins that rejected the pod when it was
// last tried, or gate it now.
func (p *QueuedPod) RejectedBy() []string {
	var names []string
	for i, pl := range p.profile.plugins {
		if (p.rejected | p.pending).has(i) {
			names = append(names, pl.Name())
		}
	}
	return names
}

// Gate returns the name of the plugin that keeps the pod out of the queue, ""
// when none does.
func (p *QueuedPod) Gate() string {
	if p.gate == 0 {
		return ""
	}
	return p.profile.plugins[p.gate-1].Name()
}

// Place returns where the pod is.
func (p *QueuedPod) Place() QueuePlace { return p.place }

// Overdue says that the pod is tried because it has waited too long, not
// because of an event. If it fits now a hint has failed to say so.
func (p *QueuedPod) Overdue() bool { return p.overdue }

// podID tells a pod from one of the same name that was made later.
type podID struct {
	podKey
	uid string
}

func (p *PodInfo) id() podID { return podID{p.key, p.Pod.UID} }

// NewQueue returns an empty queue for the pods of a Scheduler's profiles, or a
// *ConfigError.
func NewQueue(s *Scheduler, config QueueConfig) (*Queue, error) {
	if s == nil {
		return nil, configError("Scheduler", "", "a Scheduler")
	}
	for name, p := range s.profiles {
		if len(p.plugins) > pluginsMax {
			return nil, configError("Profiles["+name+"]", fmt.Sprint(len(p.plugins)), fmt.Sprintf("at most %d plugins", pluginsMax))
		}
	}
	for _, d := range [...]struct {
		field string
		value time.Duration
	}{{"BackoffInitial", config.BackoffInitial}, {"UnschedulableMax", config.UnschedulableMax}} {
		if d.value < 0 {
			return nil, configError(d.field, d.value.String(), "0 or more")
		}
	}
	if config.BackoffInitial == 0 {
		config.BackoffInitial = time.Second
	}
	if config.BackoffMax == 0 {
		config.BackoffMax = 10 * time.Second
	}
	if config.UnschedulableMax == 0 {
		config.UnschedulableMax = 5 * time.Minute
	}
	q := &Queue{
		config: config, scheduler: s, cache: s.config.Cache,
		pods:       make(map[podKey]*QueuedPod),
		hints:      make(map[hintKey][]pluginHint),
		preempting: make(map[podID]struct{}),
	}
	q.active.less = lessActive
	q.backoff.less = q.lessBackoff
	q.errorBackoff.less = q.lessBackoff
	return q, nil
}

// Add queues a pod that has no node. A pod of the same name that is queued
// already is replaced. The error is an *InputError when the pod is invalid, has
// a node, or is for another scheduler.
func (q *Queue) Add(pod *Pod, now time.Time) error {
	p, profile, err := q.compile(pod)
	if err != nil {
		return err
	}
	q.addPod(p, profile, now)
	return nil
}

// addPod is Add for a pod that is compiled already.
func (q *Queue) addPod(p *PodInfo, profile *profile, now time.Time) {
	q.groups.add(p)
	if f := q.flights.find(p.id()); f != nil {
		f.latest, f.gone = p, false
	}
	q.add(p, profile, now, eventUnscheduledAdd)
	if p.group != "" {
		q.Event(Event{Resource: eventUnscheduledPod, Action: EventAdd, NewPod: p}, now)
	}
}

func (q *Queue) add(p *PodInfo, profile *profile, now time.Time, why string) {
	q.sequence++
	entry := &QueuedPod{Pod: p, Since: now, profile: profile, sequence: q.sequence}
	q.toActive(entry, now, why)
}

// compile compiles a pod that is to be queued and finds its profile.
func (q *Queue) compile(pod *Pod) (*PodInfo, *profile, error) {
	p, err := q.cache.compile(pod)
	if err != nil {
		return nil, nil, err
	}
	if node := pod.Spec.NodeName; node != "" {
		return nil, nil, &InputError{Object: p.object(), Field: "spec.nodeName", Value: node, Want: "none: the pod has a node"}
	}
	profile, err := q.scheduler.profileNamed(p)
	return p, profile, err
}

// Update replaces a pod that has no node. A queued pod is moved if the change
// may have made it schedulable; the change of a pod in flight is looked at when
// that pod comes back. A pod that is not known is added.
func (q *Queue) Update(pod *Pod, now time.Time) error {
	p, profile, err := q.compile(pod)
	if err != nil {
		return err
	}
	q.updatePod(p, profile, now)
	return nil
}

// updatePod is Update for a pod that is compiled already.
func (q *Queue) updatePod(p *PodInfo, profile *profile, now time.Time) {
	q.groups.add(p)
	if f := q.flights.find(p.id()); f != nil {
		for _, e := range PodEvents(f.latest, p) {
			q.flights.record(&e)
		}
		f.latest, f.gone = p, false
		return
	}
	entry := q.pods[p.key]
	if entry == nil {
		q.add(p, profile, now, eventUnscheduledUpdate)
		return
	}
	old := entry.Pod
	entry.Pod, entry.profile = p, profile
	q.renominate(old, p)
	switch entry.place {
	case QueueActive:
		q.active.fix(entry)
	case QueueBackoff:
		q.backoff.fix(entry)
	case QueueErrorBackoff:
		q.errorBackoff.fix(entry)
	case QueueUnschedulable:
		q.reconsider(entry, old, now)
	}
}

// reconsider moves an unschedulable pod that has changed itself, if that may
// have made it schedulable.
func (q *Queue) reconsider(entry *QueuedPod, old *PodInfo, now time.Time) {
	for _, e := range PodEvents(old, entry.Pod) {
		how := q.worth(entry, &e)
		if to := q.requeue(entry, how, now, e.String()); to != QueueUnschedulable {
			return
		}
	}
}

// Delete forgets a pod, wherever it is. One in flight does not come back.
func (q *Queue) Delete(namespace, name string) {
	key := podKey{orDefault(namespace), name}
	q.groups.remove(key)
	q.dequeue(key)
}

// dequeue forgets a pod that needs no scheduling any more.
func (q *Queue) dequeue(key podKey) {
	q.cache.Unnominate(key.namespace, key.name)
	for _, f := range q.flights.named(key) {
		f.gone = true
	}
	if entry := q.pods[key]; entry != nil {
		q.take(entry)
	}
}

// Pop takes the pod to try next, or nil when there is none. It is in flight
// until Done or Failed.
func (q *Queue) Pop(now time.Time) *QueuedPod {
	for {
		entry := q.active.peek()
		if entry == nil {
			entry = q.backoff.peek()
		}
		if entry == nil {
			return nil
		}
		q.take(entry)
		if q.fly(entry) {
			return entry
		}
	}
}

// fly puts a pod that was taken out in flight. A pod of this identity that is
// in flight already makes the other one superfluous.
func (q *Queue) fly(entry *QueuedPod) bool {
	entry.Attempts++
	if !q.flights.begin(entry) {
		q.moved(entry, QueueNowhere)
		return false
	}
	q.moved(entry, QueueInFlight)
	return true
}

// PopClass takes the pod to try next and up to max-1 that follow it and differ
// from it in nothing but their names: the order of pods is that of Pop. It
// appends them to dst.
func (q *Queue) PopClass(dst []*QueuedPod, max int, now time.Time) []*QueuedPod {
	if max <= 0 {
		return dst
	}
	first := q.Pop(now)
	if first == nil {
		return dst
	}
	dst = append(dst, first)
	for n := 1; n < max; n++ {
		next := q.active.peek()
		if next == nil || !sameClass(first.Pod, next.Pod) {
			break
		}
		q.take(next)
		if q.fly(next) {
			dst = append(dst, next)
		}
	}
	return dst
}

// popNamed takes a certain pod out of the queue, as if an event had made it
// active and it were its turn. It returns nil when it is gated or not there.
func (q *Queue) popNamed(key podKey, now time.Time) *QueuedPod {
	q.activate(key, now)
	entry := q.pods[key]
	if entry == nil || entry.place != QueueActive {
		return nil
	}
	q.take(entry)
	if !q.fly(entry) {
		return nil
	}
	return entry
}

// Done ends the flight of a pod that needs no other attempt, or whose failure
// from now on is nothing that an event in flight could have cured.
func (q *Queue) Done(p *QueuedPod) {
	if p != nil {
		q.flights.end(p.Pod.id())
	}
}

// Len returns how many pods are at a place.
func (q *Queue) Len(place QueuePlace) int {
	switch place {
	case QueueActive:
		return len(q.active.pods)
	case QueueBackoff:
		return len(q.backoff.pods)
	case QueueErrorBackoff:
		return len(q.errorBackoff.pods)
	case QueueUnschedulable:
		return len(q.unschedulable)
	case QueueInFlight:
		return len(q.flights.byID)
	}
	return 0
}

// Place returns where the named pod is. A pod in flight that was made anew
// meanwhile is also queued; then it is the queued one that counts.
func (q *Queue) Place(namespace, name string) QueuePlace {
	key := podKey{orDefault(namespace), name}
	if entry := q.pods[key]; entry != nil {
		return entry.place
	}
	if len(q.flights.named(key)) > 0 {
		return QueueInFlight
	}
	return QueueNowhere
}

// Lookup returns the queued pod of the name, nil when there is none or it is in
// flight. It belongs to the queue.
func (q *Queue) Lookup(namespace, name string) *QueuedPod {
	return q.pods[podKey{orDefault(namespace), name}]
}

// InFlight returns the pods in flight as they were last seen, in the order in
// which they were popped.
func (q *Queue) InFlight() []*PodInfo {
	var list []*PodInfo
	for f := q.flights.oldest; f != nil; f = f.newer {
		list = append(list, f.latest)
	}
	return list
}

// take takes a pod out of its place.
func (q *Queue) take(entry *QueuedPod) {
	switch entry.place {
	case QueueActive:
		q.active.remove(entry)
	case QueueBackoff:
		q.backoff.remove(entry)
	case QueueErrorBackoff:
		q.errorBackoff.remove(entry)
	case QueueUnschedulable:
		q.unschedulable.remove(entry)
	}
	delete(q.pods, entry.Pod.key)
	q.moved(entry, QueueNowhere)
}

// put puts a pod that is nowhere at a place, instead of the pod of its name
// that may be there.
func (q *Queue) put(entry *QueuedPod, place QueuePlace) {
	if old := q.pods[entry.Pod.key]; old != nil {
		q.take(old)
	}
	q.pods[entry.Pod.key] = entry
	switch place {
	case QueueActive:
		q.active.add(entry)
	case QueueBackoff:
		q.backoff.add(entry)
	case QueueErrorBackoff:
		q.errorBackoff.add(entry)
	case QueueUnschedulable:
		q.unschedulable.add(entry)
	}
	q.moved(entry, place)
}

func (q *Queue) moved(entry *QueuedPod, to QueuePlace) {
	if q.onTransition != nil && entry.place != to {
		q.onTransition(entry, entry.place, to)
	}
	entry.place = to
}
