package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Binder tells the cluster which node a pod has, as a POST to pods/binding
// does. It is the caller's.
type Binder interface {
	Bind(ctx context.Context, pod *Pod, node string) error
}

// BinderFunc is a Binder that is a function.
type BinderFunc func(ctx context.Context, pod *Pod, node string) error

// Bind calls the function.
func (f BinderFunc) Bind(ctx context.Context, pod *Pod, node string) error { return f(ctx, pod, node) }

// permitTimeoutMax bounds how long a Permitter may let a pod wait.
const permitTimeoutMax = 15 * time.Minute

// Stage is a step of a binding.
type Stage string

// The steps of a binding, in their order.
const (
	StageReserve Stage = "Reserve"
	StagePermit  Stage = "Permit"
	StagePreBind Stage = "PreBind"
	StageBind    Stage = "Bind"
)

// ErrWaiting is returned by Binding.Bind while a Permitter lets the pod wait.
var ErrWaiting = errors.New("pod waits for permission")

// ErrEnded is returned by the methods of a Binding that is over.
var ErrEnded = errors.New("binding has ended")

// BindError says which step of a binding failed. Everything done before is
// undone.
type BindError struct {
	Pod    string // namespace/name
	Node   string
	Stage  Stage
	Plugin string // DefaultBinder when it was the caller's Binder
	Status Status
}

// Error names the step and the cause; it is upstream's text.
func (e *BindError) Error() string {
	if e.Status.Rejected() {
		return e.fit().Error()
	}
	return fmt.Sprintf("running %s plugin %q: %v", e.Stage, e.Plugin, e.Status.Err)
}

// Unwrap returns the cause; when a plugin rejected, a *FitError about the one
// node that there was.
func (e *BindError) Unwrap() error {
	if e.Status.Rejected() {
		return e.fit()
	}
	return e.Status.Err
}

func (e *BindError) fit() *FitError {
	out := &FitError{Pod: e.Pod, NumNodes: 1, Absent: notLookedAt}
	out.rejected.add(&NodeInfo{Name: e.Node}, e.Plugin, e.Status)
	return out
}

// Binding takes one pod from its placement to its node:
//
//	Reserve ──► Permit ──► (waiting) ──► PreBind ──► Bind ──► Confirm
//	   │           │           │            │          │
//	   └───────────┴───────────┴────────────┴──────────┴──► Unreserve, Forget
//
// It has no clock and no goroutine: time is passed in, and whoever runs a queue
// of pods asks Deadline and calls Expire. All methods may be called from
// several goroutines; plugins are called without any lock of the Cache or the
// Scheduler held.
type Binding struct {
	// Pod and Node are what is bound.
	Pod  *PodInfo
	Node string

	cache   *Cache
	profile *profile
	// nomination is what Assume ended, to be restored.
	nomination nominatedPlace

	mu      sync.Mutex
	values  map[any]any
	waiting map[string]wait // by plugin
	state   bindingState

	// settled, unless nil, hears when the pod need not wait any more: allowed
	// by all, or rejected with the error. It is called without a lock, once.
	settled func(error)
}

type wait struct {
	until   time.Time
	timeout time.Duration
}

type bindingState uint8

const (
	bindingOpen bindingState = iota
	bindingBusy              // PreBind or Bind runs
	bindingOver
)

// Reserve begins to bind a pod to the node that Schedule found: the pod is
// assumed in the Cache, the Reservers book, and the Permitters are asked. On
// failure all is undone and the error is a *BindError, or that of Cache.Assume.
func (s *Scheduler) Reserve(pod *Pod, node string, now time.Time) (*Binding, error) {
	p, err := s.config.Cache.compile(pod)
	if err != nil {
		return nil, err
	}
	return s.reserve(p, node, now, nil)
}

// reserve is Reserve for a pod that is compiled already, with somebody who
// hears when the pod need not wait any more.
func (s *Scheduler) reserve(p *PodInfo, node string, now time.Time, settled func(error)) (*Binding, error) {
	cache := s.config.Cache
	profile, err := s.profileOf(p)
	if err != nil {
		return nil, err
	}
	b := &Binding{Pod: p, Node: node, cache: cache, profile: profile, settled: settled}
	if b.nomination, err = cache.assumeNominated(p, node); err != nil {
		return nil, err
	}
	if err := b.reserve(); err != nil {
		b.undo()
		return nil, err
	}
	if err := b.permit(now); err != nil {
		b.undo()
		return nil, err
	}
	return b, nil
}

func (b *Binding) reserve() error {
	for _, pl := range b.profile.reservers {
		if v := pl.plugin.Reserve(b); v.Code != Success {
			return b.failed(StageReserve, pl.plugin.Name(), v)
		}
	}
	return nil
}

// permit asks all Permitters, also after one wants to wait: another may still
// reject.
func (b *Binding) permit(now time.Time) error {
	for _, pl := range b.profile.permitters {
		v, timeout := pl.plugin.Permit(b)
		switch v.Code {
		case Success:
		case Wait:
			timeout = max(0, min(timeout, permitTimeoutMax))
			b.mu.Lock()
			if b.waiting == nil {
				b.waiting = make(map[string]wait)
			}
			b.waiting[pl.plugin.Name()] = wait{now.Add(timeout), timeout}
			b.mu.Unlock()
		default:
			return b.failed(StagePermit, pl.plugin.Name(), v)
		}
	}
	return nil
}

// Store keeps a value for the rest of the binding.
func (b *Binding) Store(key, value any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.values == nil {
		b.values = make(map[any]any)
	}
	b.values[key] = value
}

// Load returns the value kept under key, or nil.
func (b *Binding) Load(key any) any {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.values[key]
}

// Waiting returns the names of the plugins that let the pod wait, sorted.
func (b *Binding) Waiting() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.waiting))
}

// Deadline returns when Expire will end the binding, if the pod waits.
func (b *Binding) Deadline() (at time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, at = b.firstWait()
	return at, !at.IsZero()
}

// firstWait returns the plugin whose patience ends first.
func (b *Binding) firstWait() (plugin string, at time.Time) {
	for _, name := range slices.Sorted(maps.Keys(b.waiting)) {
		if w := b.waiting[name]; at.IsZero() || w.until.Before(at) {
			plugin, at = name, w.until
		}
	}
	return plugin, at
}

// Allow ends the wait for one plugin. The pod may be bound when none is left.
func (b *Binding) Allow(plugin string) {
	b.mu.Lock()
	_, waited := b.waiting[plugin]
	delete(b.waiting, plugin)
	free := waited && len(b.waiting) == 0 && b.state == bindingOpen
	b.mu.Unlock()
	if free && b.settled != nil {
		b.settled(nil)
	}
}

// Reject ends the binding of a waiting pod in the name of a plugin. It returns
// the *BindError, or ErrEnded when the pod does not wait any more.
func (b *Binding) Reject(plugin, message string) error {
	b.mu.Lock()
	if b.state != bindingOpen || len(b.waiting) == 0 {
		b.mu.Unlock()
		return ErrEnded
	}
	b.state = bindingOver
	b.mu.Unlock()
	b.undo()
	err := b.failed(StagePermit, plugin, Status{Code: Unschedulable, Details: []string{message}})
	if b.settled != nil {
		b.settled(err)
	}
	return err
}

// Expire ends the binding of a pod that has waited too long, and returns the
// *BindError then. Before that time, and if the pod does not wait, it returns
// nil.
func (b *Binding) Expire(now time.Time) error {
	b.mu.Lock()
	plugin, at := b.firstWait()
	timeout := b.waiting[plugin].timeout
	over := b.state != bindingOpen || at.IsZero() || now.Before(at)
	b.mu.Unlock()
	if over {
		return nil
	}
	return b.Reject(plugin, fmt.Sprintf("rejected due to timeout after waiting %v at plugin %v", timeout, plugin))
}

// Bind runs the PreBinders and binds the pod, by the first PluginBinder that
// does not skip or else by binder, and confirms it in the Cache. On failure all
// is undone and the error is a *BindError. ErrWaiting changes nothing.
func (b *Binding) Bind(ctx context.Context, binder Binder) error {
	b.mu.Lock()
	switch {
	case b.state != bindingOpen:
		b.mu.Unlock()
		return ErrEnded
	case len(b.waiting) > 0:
		b.mu.Unlock()
		return ErrWaiting
	}
	b.state = bindingBusy
	b.mu.Unlock()
	err := b.bind(ctx, binder)
	b.mu.Lock()
	b.state = bindingOver
	b.mu.Unlock()
	if err != nil {
		b.undo()
		return err
	}
	err = b.cache.Confirm(b.Pod.Namespace, b.Pod.Pod.Name)
	if errors.Is(err, ErrNotAssumed) || errors.Is(err, ErrUnknownPod) {
		return nil // the watch was faster: it has confirmed, or removed, the pod
	}
	return err
}

func (b *Binding) bind(ctx context.Context, binder Binder) error {
	for _, pl := range b.profile.preBinders {
		if v := pl.plugin.PreBind(ctx, b); v.Code != Success {
			return b.failed(StagePreBind, pl.plugin.Name(), v)
		}
	}
	for _, pl := range b.profile.binders {
		switch v := pl.plugin.Bind(ctx, b); v.Code {
		case Success:
			return nil
		case Skip:
		default:
			return b.failed(StageBind, pl.plugin.Name(), v)
		}
	}
	err := errors.New("no Binder and no plugin binds the pod")
	if binder != nil {
		err = binder.Bind(ctx, b.Pod.Pod, b.Node)
	}
	if err != nil {
		return b.failed(StageBind, "DefaultBinder", Status{Code: Failed, Err: err})
	}
	return nil
}

// Cancel undoes a binding that is not under way, and returns ErrEnded if it is
// or is over.
func (b *Binding) Cancel() error {
	b.mu.Lock()
	if b.state != bindingOpen {
		b.mu.Unlock()
		return ErrEnded
	}
	b.state = bindingOver
	b.mu.Unlock()
	b.undo()
	return nil
}

// undo gives back what was booked, in reverse order.
func (b *Binding) undo() {
	for _, pl := range slices.Backward(b.profile.reservers) {
		pl.plugin.Unreserve(b)
	}
	b.cache.forgetNominated(b.Pod, b.nomination)
}

// failed makes the error; codes that have no meaning at the stage are faults of
// the plugin.
func (b *Binding) failed(stage Stage, plugin string, v Status) error {
	if !v.Rejected() && (v.Code != Failed || v.Err == nil) {
		v = Status{Code: Failed, Err: fmt.Errorf("unexpected status %v", v.Code)}
	}
	return &BindError{Pod: b.Pod.Name(), Node: b.Node, Stage: stage, Plugin: plugin, Status: v}
}

// nominatedPlace is where a pod stood among the nominated ones.
type nominatedPlace struct {
	info *PodInfo // nil: it was not nominated
	node string
	at   int
}

// assumeNominated is AssumePod that remembers the nomination it ends.
func (c *Cache) assumeNominated(p *PodInfo, node string) (nominatedPlace, error) {
	var place nominatedPlace
	c.mu.RLock()
	if to, ok := c.nominated.node.m[p.key]; ok {
		at := slices.IndexFunc(c.nominated.pods.m[to], func(q *PodInfo) bool { return q.key == p.key })
		place = nominatedPlace{c.nominated.pods.m[to][at], to, at}
	}
	c.mu.RUnlock()
	return place, c.AssumePod(p, node)
}

// forgetNominated undoes assumeNominated. A pod that the watch has confirmed or
// removed meanwhile is left alone.
func (c *Cache) forgetNominated(p *PodInfo, place nominatedPlace) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.pod(p.key)
	if state == nil || state.info != p || !state.assumed {
		return
	}
	c.forget(p.key, state)
	if _, again := c.nominated.node.m[p.key]; again || place.info == nil {
		return
	}
	c.nominated.node.put(p.key, place.node)
	pods := c.nominated.pods.m[place.node]
	c.nominated.pods.put(place.node, slices.Insert(slices.Clip(pods), min(place.at, len(pods)), place.info))
}
