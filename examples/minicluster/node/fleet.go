package node

import (
	"fmt"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
)

// Fleet is the kubelets of all nodes. Each pod's next step depends on the pod and
// its node alone, so one loop over all of them does what a loop per node would.
type Fleet struct {
	Pace Pace

	since map[string]mark // when a pod was first seen in its present state
}

type mark struct {
	revision int64
	at       time.Time
}

// Name implements control.Controller.
func (f *Fleet) Name() string { return "kubelet" }

// Kinds implements control.Controller.
func (f *Fleet) Kinds() []api.Kind { return []api.Kind{api.Nodes, api.Pods} }

// Reconcile implements control.Controller.
func (f *Fleet) Reconcile(view *control.View, now time.Time) ([]control.Action, time.Duration, error) {
	actions, err := f.register(view, now)
	if err != nil {
		return nil, 0, err
	}
	since := map[string]mark{}
	var recheck time.Duration
	var free *addresses
	for p := range view.Pods.All() {
		n := view.Nodes[api.Nodes.Key("", p.Object.Spec.NodeName)]
		if n == nil || !n.Object.Ready() {
			continue // nobody is there to do anything
		}
		todo, after := f.Pace.next(&p.Object)
		if todo == rest {
			continue
		}
		m, ok := f.since[p.Key]
		if !ok || m.revision != p.Revision {
			m = mark{p.Revision, now}
		}
		since[p.Key] = m
		if wait := m.at.Add(after).Sub(now); wait > 0 {
			if recheck == 0 || wait < recheck {
				recheck = wait
			}
			continue
		}
		if free == nil {
			free = newAddresses(view)
		}
		more, err := f.act(todo, p, n, free, now)
		if err != nil {
			return nil, 0, err
		}
		actions = append(actions, more...)
	}
	f.since = since
	return actions, recheck, nil
}

func (f *Fleet) act(todo step, p *control.Stored[api.Pod], n *control.Stored[api.Node], free *addresses, now time.Time) ([]control.Action, error) {
	title := api.Title("Pod", p.Object.Metadata.Namespace, p.Object.Metadata.Name)
	verb, patch := "ready", api.Fields{}
	switch todo {
	case remove:
		return []control.Action{control.Put("remove", title, p.Key, p.Revision, nil)}, nil
	case report:
		patch = probed(&p.Object, now)
	case start:
		ip, err := free.take(&p.Object, &n.Object)
		switch {
		case err == nil:
			patch = started(&p.Object, &n.Object, ip, now)
		case p.Object.Status.Message == err.Error():
			return nil, nil // said so already
		default:
			verb, patch = "fail", api.Fields{"status": api.Fields{"reason": "NetworkNotReady", "message": err.Error()}}
		}
		if probeDelaySeconds(&p.Object) >= 0 && verb == "ready" {
			verb = "start"
		}
	}
	a, err := control.Patched(verb, title, p, patch)
	return []control.Action{a}, err
}

// register reports nodes ready that say nothing about themselves. Nodes of a dump
// have conditions and keep them.
func (f *Fleet) register(view *control.View, now time.Time) ([]control.Action, error) {
	var actions []control.Action
	for n := range view.Nodes.All() {
		if api.ConditionOf(n.Object.Status.Conditions, api.Ready) != nil {
			continue
		}
		conditions := n.Object.Status.Conditions
		for _, kind := range []string{"MemoryPressure", "DiskPressure", "PIDPressure"} {
			if api.ConditionOf(conditions, kind) == nil {
				conditions = api.WithCondition(conditions, api.Condition{
					Type: kind, Status: api.False, LastTransitionTime: now.UTC().Truncate(time.Second),
				})
			}
		}
		conditions = api.WithCondition(conditions, api.Condition{
			Type: api.Ready, Status: api.True, Reason: "KubeletReady", LastTransitionTime: now.UTC().Truncate(time.Second),
		})
		a, err := control.Patched("register", api.Title("Node", "", n.Object.Metadata.Name), n,
			api.Fields{"status": api.Fields{"conditions": conditions}})
		if err != nil {
			return nil, fmt.Errorf("register: %w", err)
		}
		actions = append(actions, a)
	}
	return actions, nil
}
