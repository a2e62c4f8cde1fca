package scheduler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Loop schedules the pods of a cluster: it is told what changes (SetPod,
// SetNode and so on, from a watch or from anywhere else), keeps Cache and Queue,
// and takes one pod after the other from the queue to its node:
//
//	Queue ─► Schedule ─► Reserve ─► Permit ─► (waits) ─► PreBind ─► Bind ─► Confirm
//	  ▲          │          │          │         │          │         │
//	  └──────────┴──────────┴──────────┴─────────┴──────────┴─────────┘
//	      Failed: everything undone in reverse, backoff, or an event's wait
//
// Decisions are made one at a time; bindings run beside them, BindingsMax at
// once. A pod that fits nowhere may preempt: it is nominated, and its victims
// are handed to the Evictor. Pods of a group are placed all or none.
//
// Several loops, each with a Cache of its own, may schedule one cluster: the
// Binder detects contradictions and returns ErrConflict; then the pod is
// forgotten, and tried again.
//
// Methods may be called from several goroutines. Neither Binder, Evictor and
// plugins nor Observe are called with a lock held. Errors of the methods are
// those of the Cache and the Queue: nothing has changed then.
type Loop struct {
	config    LoopConfig
	scheduler *Scheduler
	cache     *Cache
	wake      chan struct{} // has room for one: there may be something to do

	mu       sync.Mutex
	queue    *Queue
	attempts map[podKey]*attempt // pods with a node that are not bound yet
	settled  []*attempt          // of those, the ones that need not wait any more
	// expiry is the earliest end of a wait, zero when nobody waits.
	expiry time.Time
	// releases says whose victim is the last to be removed: once that is on its
	// way the preemptor may be looked at again.
	releases map[podKey]*PodInfo
	running  bool
	binds    chan *attempt // while Run runs
	helpers  sync.WaitGroup
}

// LoopConfig says what a Loop works with. Scheduler and Binder are required.
type LoopConfig struct {
	Scheduler *Scheduler
	Binder    Binder
	// Evictor removes the victims of preemption. Without one nothing is
	// preempted; LoopEvent.Err still says what could be.
	Evictor Evictor
	Queue   QueueConfig
	// Clock is the time; nil is the system's.
	Clock Clock
	// BindingsMax is how many bindings run at once, and how many more may wait
	// for their turn before decisions wait too. 0 means 16. More of them hide a
	// slower Binder, at a goroutine each.
	BindingsMax int
	// Refresh, unless nil, is called after an ErrConflict about a node. It
	// should bring what it knows of that node to the loop, which then tries the
	// pod again at once instead of after its backoff.
	Refresh func(ctx context.Context, node string) error
	// Observe, unless nil, is told what becomes of each attempt.
	Observe func(LoopEvent)
}

// bindingsMaxDefault is BindingsMax when it is 0.
const bindingsMaxDefault = 16

// Evictor removes a pod from the cluster to make room for a more important
// one: it should add the condition DisruptionTarget, reason
// PreemptionByScheduler, and delete the pod. It is the caller's.
type Evictor interface {
	Evict(ctx context.Context, victim, preemptor *Pod) error
}

// EvictorFunc is an Evictor that is a function.
type EvictorFunc func(ctx context.Context, victim, preemptor *Pod) error

// Evict calls the function.
func (f EvictorFunc) Evict(ctx context.Context, victim, preemptor *Pod) error {
	return f(ctx, victim, preemptor)
}

// LoopEventKind is what has become of an attempt.
type LoopEventKind uint8

// What may become of an attempt.
const (
	// LoopBound: the Binder has bound the pod to Node.
	LoopBound LoopEventKind = iota
	// LoopRejected: the pod does not fit; Err says why. Nominated is the
	// node that is being made free for it, "" when there is none.
	LoopRejected
	// LoopFailed: the attempt has failed by the error Err.
	LoopFailed
	// LoopEvicted: the pod was removed from Node in favour of By; Err is
	// set if the Evictor has failed.
	LoopEvicted
	// LoopUnnominated: a more important pod, By, takes the node for which
	// the pod was nominated.
	LoopUnnominated
)

// LoopEvent is what Observe is told.
type LoopEvent struct {
	Kind      LoopEventKind
	Pod       *Pod
	Node      string
	Nominated string
	By        *Pod
	Err       error
	Attempts  int
	Placement Placement // of a bound pod
}

// attempt is a pod that has a node and is not bound yet.
type attempt struct {
	entry     *QueuedPod
	binding   *Binding
	placement Placement
	state     attemptState
	err       error              // once settled
	latest    *PodInfo           // the pod as it was last seen
	gone      bool               // the pod was deleted
	cancel    context.CancelFunc // of PreBind and Bind
}

type attemptState uint8

const (
	attemptNew      attemptState = iota // Permit is being asked
	attemptWaiting                      // a Permitter lets it wait
	attemptSettled                      // it need not wait any more
	attemptBinding                      // PreBind or Bind may run
	attemptFinished                     // bound, or undone
)

// NewLoop returns a Loop that does nothing yet, or a *ConfigError.
func NewLoop(config LoopConfig) (*Loop, error) {
	switch {
	case config.Scheduler == nil:
		return nil, configError("Scheduler", "", "a Scheduler")
	case config.Binder == nil:
		return nil, configError("Binder", "", "a Binder")
	case config.BindingsMax < 0:
		return nil, configError("BindingsMax", fmt.Sprint(config.BindingsMax), "0 or more")
	}
	if config.BindingsMax == 0 {
		config.BindingsMax = bindingsMaxDefault
	}
	if config.Clock == nil {
		config.Clock = systemClock{}
	}
	q, err := NewQueue(config.Scheduler, config.Queue)
	if err != nil {
		return nil, err
	}
	return &Loop{
		config: config, scheduler: config.Scheduler, cache: config.Scheduler.config.Cache,
		wake: make(chan struct{}, 1), queue: q,
		attempts: make(map[podKey]*attempt), releases: make(map[podKey]*PodInfo),
	}, nil
}

// Run schedules until the context ends. Then it lets bindings that have begun
// come to an end (their context is over, too), takes back all others, and
// returns the context's error once no goroutine of its own is left. Pods that
// were taken back are queued: Run may be called again.
func (l *Loop) Run(ctx context.Context) error {
	if err := l.start(ctx); err != nil {
		return err
	}
	defer l.stop()
	for ctx.Err() == nil {
		next, worked := l.turn(ctx)
		if !worked {
			l.rest(ctx, next)
		}
	}
	return ctx.Err()
}

// Step does what is due now, in the goroutine of the caller, bindings and
// evictions included, and tries at most one pod or group. It says whether it
// has tried one, and when it wants to be called again at the latest. It is Run
// for simulations.
func (l *Loop) Step(ctx context.Context) (next time.Time, worked bool, err error) {
	l.mu.Lock()
	running := l.running
	l.mu.Unlock()
	if running {
		return time.Time{}, false, ErrRunning
	}
	next, worked = l.turn(ctx)
	return next, worked, nil
}

func (l *Loop) start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		return ErrRunning
	}
	l.running = true
	l.binds = make(chan *attempt, l.config.BindingsMax)
	for range l.config.BindingsMax {
		l.helpers.Add(1)
		go l.work(ctx, l.binds)
	}
	return nil
}

// work binds one pod after the other.
func (l *Loop) work(ctx context.Context, binds <-chan *attempt) {
	defer l.helpers.Done()
	for a := range binds {
		l.bind(ctx, a)
	}
}

// stop takes back who waits, and waits for who is bound.
func (l *Loop) stop() {
	close(l.binds)
	l.helpers.Wait()
	l.mu.Lock()
	var waiting []*attempt
	for _, a := range l.attempts {
		waiting = append(waiting, a)
	}
	l.mu.Unlock()
	for _, a := range byKey(waiting) {
		if a.binding.Cancel() == nil {
			l.ended(a, context.Canceled)
		}
	}
	l.mu.Lock()
	settled := l.settled
	l.settled = nil
	l.running, l.binds = false, nil
	l.mu.Unlock()
	for _, a := range settled {
		if a.err != nil {
			l.ended(a, a.err)
		}
	}
}

// rest sleeps until there may be something to do.
func (l *Loop) rest(ctx context.Context, next time.Time) {
	timer, stop := l.config.Clock.Timer(max(0, next.Sub(l.config.Clock.Now())))
	defer stop()
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-timer:
	}
}

func (l *Loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// turn does what is due and tries the next pod.
func (l *Loop) turn(ctx context.Context) (next time.Time, worked bool) {
	now := l.config.Clock.Now()
	l.expire(now)
	l.mu.Lock()
	settled := l.settled
	l.settled = nil
	l.mu.Unlock()
	for _, a := range settled {
		l.proceed(ctx, a)
	}
	l.mu.Lock()
	next = l.queue.Tick(now)
	if !l.expiry.IsZero() {
		next = earlier(next, l.expiry)
	}
	var group []*QueuedPod
	entry := l.queue.Pop(now)
	if entry != nil && entry.Pod.group != "" {
		group = l.queue.popGroup(entry, now)
	}
	l.mu.Unlock()
	switch {
	case entry == nil:
		return next, len(settled) > 0
	case group != nil:
		l.placeGroup(ctx, group, now)
	default:
		l.place(ctx, entry, now)
	}
	return next, true
}

// superfluous says that a popped pod needs no attempt: it is being deleted, or
// has a node already. It is done with then.
func (l *Loop) superfluous(entry *QueuedPod) bool {
	had, _ := l.holding(entry.Pod.key)
	placed := had != nil && had.same(entry.Pod)
	if !placed && !entry.Pod.terminating() {
		return false
	}
	l.mu.Lock()
	l.queue.Done(entry)
	l.mu.Unlock()
	return true
}

// place tries one pod.
func (l *Loop) place(ctx context.Context, entry *QueuedPod, now time.Time) {
	if l.superfluous(entry) {
		return
	}
	placement, err := l.scheduler.SchedulePod(entry.Pod)
	if err != nil {
		l.failed(ctx, entry, err)
		return
	}
	a, err := l.reserve(entry, placement, now)
	if err != nil {
		l.failed(ctx, entry, err)
		return
	}
	l.admit(ctx, a)
}

// reserve books the node for the pod and asks the Permitters.
func (l *Loop) reserve(entry *QueuedPod, placement Placement, now time.Time) (*attempt, error) {
	a := &attempt{entry: entry, placement: placement, latest: entry.Pod}
	l.mu.Lock()
	if f := l.queue.flights.find(entry.Pod.id()); f != nil {
		a.latest, a.gone = f.latest, f.gone // since it was popped
	}
	l.attempts[entry.Pod.key] = a
	l.mu.Unlock()
	b, err := l.scheduler.reserve(entry.Pod, placement.Node, now, func(err error) { l.settle(a, err) })
	l.mu.Lock()
	defer l.mu.Unlock()
	a.binding = b
	if err != nil {
		l.finish(a)
		return nil, err
	}
	return a, nil
}

// finish forgets an attempt. l.mu is held.
func (l *Loop) finish(a *attempt) {
	a.state = attemptFinished
	if l.attempts[a.entry.Pod.key] == a {
		delete(l.attempts, a.entry.Pod.key)
	}
}

// settle notes that a pod need not wait any more. It may be called from any
// goroutine, also while the Permitters are still asked.
func (l *Loop) settle(a *attempt, err error) {
	l.mu.Lock()
	switch a.state {
	case attemptNew:
		a.err = err
	case attemptWaiting:
		a.err = err
		a.state = attemptSettled
		l.settled = append(l.settled, a)
	}
	l.mu.Unlock()
	l.poke()
}

// admit lets an attempt go on, or wait.
func (l *Loop) admit(ctx context.Context, a *attempt) {
	deadline, waits := a.binding.Deadline()
	l.mu.Lock()
	if waits && a.err == nil && len(a.binding.Waiting()) > 0 {
		a.state = attemptWaiting
		if l.expiry.IsZero() || deadline.Before(l.expiry) {
			l.expiry = deadline
		}
		l.mu.Unlock()
		return
	}
	a.state = attemptSettled
	l.mu.Unlock()
	l.proceed(ctx, a)
}

// expire ends the waits that have lasted too long.
func (l *Loop) expire(now time.Time) {
	l.mu.Lock()
	if l.expiry.IsZero() || now.Before(l.expiry) {
		l.mu.Unlock()
		return
	}
	var waiting []*attempt
	for _, a := range l.attempts {
		if a.state == attemptWaiting {
			waiting = append(waiting, a)
		}
	}
	l.mu.Unlock()
	var next time.Time
	for _, a := range byKey(waiting) {
		if a.binding.Expire(now) != nil {
			continue // it has settled
		}
		if at, ok := a.binding.Deadline(); ok && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	l.mu.Lock()
	l.expiry = next
	l.mu.Unlock()
}

// proceed binds a pod that need not wait any more, or takes it back.
func (l *Loop) proceed(ctx context.Context, a *attempt) {
	if a.err != nil {
		_ = a.binding.Cancel() // unless it was rejected
		l.ended(a, a.err)
		return
	}
	l.mu.Lock()
	a.state = attemptBinding
	binds := l.binds
	l.mu.Unlock()
	if binds == nil {
		l.bind(ctx, a)
		return
	}
	select {
	case binds <- a:
	case <-ctx.Done():
		if a.binding.Cancel() == nil {
			l.ended(a, ctx.Err())
		}
	}
}

// bind takes a pod through PreBind and Bind.
func (l *Loop) bind(ctx context.Context, a *attempt) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	a.cancel = cancel
	// Whatever fails from now on no event in flight could have cured.
	l.queue.Done(a.entry)
	gone := a.gone
	l.mu.Unlock()
	if (gone || ctx.Err() != nil) && a.binding.Cancel() == nil {
		l.ended(a, context.Canceled)
		return
	}
	if err := a.binding.Bind(ctx, l.config.Binder); err != nil {
		if errors.Is(err, ErrConflict) {
			l.conflict(ctx, a, err)
			return
		}
		l.ended(a, err)
		return
	}
	l.mu.Lock()
	l.finish(a)
	l.mu.Unlock()
	l.observe(LoopEvent{Kind: LoopBound, Pod: a.entry.Pod.Pod, Node: a.binding.Node, Attempts: a.entry.Attempts, Placement: a.placement})
}

// conflict brings a pod back whose placement another scheduler has overtaken.
func (l *Loop) conflict(ctx context.Context, a *attempt, err error) {
	fresh := l.config.Refresh != nil && ctx.Err() == nil && l.config.Refresh(ctx, a.binding.Node) == nil
	l.ended(a, err)
	if fresh {
		l.mu.Lock()
		l.queue.activate(a.binding.Pod.key, l.config.Clock.Now())
		l.mu.Unlock()
		l.poke()
	}
}

func (l *Loop) observe(o LoopEvent) {
	if l.config.Observe != nil {
		l.config.Observe(o)
	}
}
