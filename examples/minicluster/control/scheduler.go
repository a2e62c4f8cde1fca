package control

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/scheduler"
)

// Scheduler binds pending pods to nodes. Package scheduler decides; this
// controller feeds it, writes the bindings, and says why a pod has no node.
type Scheduler struct {
	// Gather is how long the set of pending pods must have been the same before
	// they are placed, so that pods made at the same time compete in the order of
	// their importance and not of their arrival. Zero means no wait.
	Gather time.Duration
	// Fence, if set, is a key that only the present leader's writes may depend on:
	// a bind fails once another scheduler has taken the lead.
	Fence *Write

	mirror  *mirror
	decide  *scheduler.Scheduler
	assumed map[string]binding // by key of the pod
	failed  map[string]failure
	queue   string // what was pending last, and since when
	queued  time.Time
}

// binding is a pod that was assumed on a node and whose bind is not in view yet.
type binding struct {
	revision int64 // of the pod that the bind depends on
	settled  bool  // the bind has an outcome, or can have none any more
	unknown  bool  // the outcome was not seen
}

// failure is the last failed attempt to place a pod.
type failure struct {
	generation int64
	message    string
}

// NewScheduler returns a scheduler that knows nothing yet.
func NewScheduler(gather time.Duration, fence *Write) (*Scheduler, error) {
	m := newMirror()
	decide, err := scheduler.New(scheduler.Config{Cache: m.cache})
	if err != nil {
		return nil, err
	}
	return &Scheduler{
		Gather: gather, Fence: fence, mirror: m, decide: decide,
		assumed: map[string]binding{}, failed: map[string]failure{},
	}, nil
}

// Name implements Controller.
func (c *Scheduler) Name() string { return "scheduler" }

// Kinds implements Controller.
func (c *Scheduler) Kinds() []api.Kind {
	return []api.Kind{api.Nodes, api.Pods, api.Namespaces, api.Services, api.ReplicaSets, api.StatefulSets, api.Budgets}
}

// Reconcile implements Controller.
func (c *Scheduler) Reconcile(view *View, now time.Time) ([]Action, time.Duration, error) {
	if err := c.mirror.sync(view); err != nil {
		return nil, 0, err
	}
	actions, err := c.resolve(view)
	if err != nil {
		return nil, 0, err
	}
	pending := c.pending(view)
	if wait := c.gathering(pending, now); wait > 0 {
		return actions, wait, nil
	}
	batch, recheck := c.batch(pending)
	for _, p := range batch {
		more, err := c.place(view, p, now)
		if err != nil {
			return nil, 0, err
		}
		actions = append(actions, more...)
	}
	return actions, recheck, nil
}

// batchMax bounds the pods that are placed before their bindings are written, so
// that a large input shows progress, and a lost lead ends the work soon.
const batchMax = 256

// batch chooses which pods to try now: those that were never tried, and when there
// is none of these, those for which something has changed since.
func (c *Scheduler) batch(pending []*Stored[api.Pod]) (batch []*Stored[api.Pod], recheck time.Duration) {
	var again []*Stored[api.Pod]
	for _, p := range pending {
		f, tried := c.failed[p.Key]
		switch {
		case !tried:
			batch = append(batch, p)
		case f.generation != c.mirror.generation:
			again = append(again, p)
		}
	}
	if len(batch) == 0 {
		batch = again
	} else if len(again) > 0 {
		recheck = time.Millisecond
	}
	if len(batch) > batchMax {
		return batch[:batchMax], time.Millisecond
	}
	return batch, recheck
}

// resolve forgets assumptions that have come to nothing. A bind whose outcome is
// unknown could still be applied: its pod stays assumed until a write to it has
// made the old bind impossible.
func (c *Scheduler) resolve(view *View) ([]Action, error) {
	var actions []Action
	for _, key := range sortedKeys(c.assumed) {
		b, p := c.assumed[key], view.Pods[key]
		switch {
		case p != nil && p.Object.Spec.NodeName != "": // bound; the mirror has confirmed it
		case p != nil && p.Revision == b.revision && b.unknown:
			a, err := Patched("retry", podTitle(p), p, api.Fields{"metadata": api.Fields{"annotations": api.Fields{
				AnnotationPlacement: "outcome of a binding unknown",
			}}})
			if err != nil {
				return nil, err
			}
			a.Guard = c.Fence
			actions = append(actions, a)
			continue
		case p != nil && p.Revision == b.revision && !b.settled:
			continue
		default:
			_, namespace, name, _ := api.SplitKey(key)
			if err := c.mirror.cache.Forget(namespace, name); err != nil && !errors.Is(err, scheduler.ErrNotAssumed) && !errors.Is(err, scheduler.ErrUnknownPod) {
				return nil, err
			}
			c.mirror.generation++
		}
		delete(c.assumed, key)
	}
	for key := range c.failed {
		if view.Pods[key] == nil {
			delete(c.failed, key)
		}
	}
	return actions, nil
}

// pending are the pods that want a node, the most important first. Those that were
// gathered together count as equally old and go by name, so that the same input is
// placed the same way.
func (c *Scheduler) pending(view *View) []*Stored[api.Pod] {
	var out []*Stored[api.Pod]
	for p := range view.Pods.All() {
		_, assumed := c.assumed[p.Key]
		if p.Object.Spec.NodeName == "" && p.Object.Active() && !assumed {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b *Stored[api.Pod]) int {
		return cmp.Compare(priority(&b.Object), priority(&a.Object))
	})
	return out
}

func priority(p *api.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// gathering returns how long to wait for more pods.
func (c *Scheduler) gathering(pending []*Stored[api.Pod], now time.Time) time.Duration {
	var keys strings.Builder
	for _, p := range pending {
		keys.WriteString(p.Key + "\n")
	}
	if keys.String() != c.queue {
		c.queue, c.queued = keys.String(), now
	}
	return max(0, c.queued.Add(c.Gather).Sub(now))
}

func podTitle(p *Stored[api.Pod]) string {
	return api.Title("Pod", p.Object.Metadata.Namespace, p.Object.Metadata.Name)
}

// place tries one pod: a bind, or the reason why there is none.
func (c *Scheduler) place(view *View, p *Stored[api.Pod], now time.Time) ([]Action, error) {
	wire, err := decodeWire[scheduler.Pod](p.Key, p.Raw)
	if err != nil {
		return nil, err
	}
	placement, err := c.decide.Schedule(wire)
	if err == nil {
		err = c.mirror.cache.Assume(wire, placement.Node)
	}
	if err != nil {
		return c.reject(view, p, wire, err, now)
	}
	delete(c.failed, p.Key)
	c.assumed[p.Key] = binding{revision: p.Revision}
	a, err := Patched("bind", podTitle(p)+" to "+placement.Node, p, api.Fields{
		"metadata": api.Fields{"annotations": api.Fields{AnnotationPlacement: Why(placement)}},
		"spec":     api.Fields{"nodeName": placement.Node},
		"status": api.Fields{
			"nominatedNodeName": nil,
			"conditions": api.WithCondition(p.Object.Status.Conditions, api.Condition{
				Type: api.PodScheduled, Status: api.True, LastTransitionTime: now.UTC().Truncate(time.Second),
			}),
		},
	})
	a.Guard = c.Fence
	return []Action{a}, err
}

// Why explains a placement in one line.
func Why(p scheduler.Placement) string {
	if p.Feasible == 1 {
		return "the only node that fits"
	}
	var parts []string
	for _, s := range p.Plugins {
		if s.Weighted != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", s.Plugin, s.Weighted))
		}
	}
	return fmt.Sprintf("best of the %d nodes that fit: %d = %s", p.Feasible, p.Score, strings.Join(parts, " + "))
}

// reject writes why a pod has no node, and makes room for it if that helps.
func (c *Scheduler) reject(view *View, p *Stored[api.Pod], wire *scheduler.Pod, cause error, now time.Time) ([]Action, error) {
	reason, message := "SchedulerError", cause.Error()
	var fit *scheduler.FitError
	var gated *scheduler.GatedError
	var actions []Action
	var nominated any // null clears the field
	switch {
	case errors.As(cause, &fit):
		reason = "Unschedulable"
		var err error
		if actions, nominated, err = c.preempt(view, wire, fit.Nominated, now); err != nil {
			return nil, err
		}
	case errors.As(cause, &gated):
		reason = "SchedulingGated"
	case errors.Is(cause, scheduler.ErrNoNodes):
		reason = "Unschedulable"
	}
	c.failed[p.Key] = failure{c.mirror.generation, message}
	old := api.ConditionOf(p.Object.Status.Conditions, api.PodScheduled)
	if old != nil && old.Status == api.False && old.Reason == reason && old.Message == message && nominated == nil && wire.Status.NominatedNodeName == "" {
		return actions, nil
	}
	a, err := Patched("reject", podTitle(p), p, api.Fields{"status": api.Fields{
		"nominatedNodeName": nominated,
		"conditions": api.WithCondition(p.Object.Status.Conditions, api.Condition{
			Type: api.PodScheduled, Status: api.False, Reason: reason, Message: message,
			LastTransitionTime: now.UTC().Truncate(time.Second),
		}),
	}})
	a.Guard = c.Fence
	return append(actions, a), err
}

// preempt ends the victims of a nomination and returns the nominated node. Pods
// that nobody would make again are never victims here: then there is no
// nomination, the pod waits, and its message tells why.
func (c *Scheduler) preempt(view *View, wire *scheduler.Pod, n *scheduler.Nomination, now time.Time) ([]Action, any, error) {
	c.mirror.cache.Unnominate(wire.Namespace, wire.Name)
	if n == nil {
		return nil, nil, nil
	}
	var actions []Action
	for _, victim := range n.Victims {
		namespace, name, _ := strings.Cut(victim, "/")
		p := view.Pods[api.Pods.Key(namespace, name)]
		if p == nil || staysBecause(view, &p.Object) != "" {
			return nil, nil, nil
		}
		if p.Object.Metadata.Deleting() {
			continue // on its way out already
		}
		a, err := DeletePod("preempt", p, now)
		if err != nil {
			return nil, nil, err
		}
		a.Guard = c.Fence
		actions = append(actions, a)
	}
	return actions, n.Node, c.mirror.cache.Nominate(wire, n.Node)
}

// Settle implements Settler.
func (c *Scheduler) Settle(results []Result) {
	for _, r := range results {
		if r.Action.Verb != "bind" {
			continue
		}
		key := r.Action.Writes[0].Key
		b, ok := c.assumed[key]
		if !ok {
			continue
		}
		b.unknown = errors.Is(r.Err, raftstore.ErrUnknownOutcome)
		b.settled = r.Err != nil && !b.unknown
		c.assumed[key] = b
	}
}
