package control

import (
	"fmt"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/qos"
)

// Stay is a pod that a drain leaves on the node, and why.
type Stay struct {
	Pod    string
	Reason string
}

// AnnotationDrain marks a node that is being drained, for whoever has to go on
// with it.
const AnnotationDrain = "minicluster.orchcore/drain"

// Cordon closes a node to new pods, or opens it again. ok is false when it is so already.
func Cordon(n *Stored[api.Node], closed bool) (a Action, ok bool, err error) {
	marked := n.Object.Metadata.Annotations[AnnotationDrain] != ""
	if n.Object.Spec.Unschedulable == closed && marked == closed {
		return Action{}, false, nil
	}
	verb, value, mark := "uncordon", any(nil), any(nil)
	if closed {
		verb, value, mark = "cordon", true, "true"
	}
	a, err = Patched(verb, api.Title("Node", "", n.Object.Metadata.Name), n, api.Fields{
		"metadata": api.Fields{"annotations": api.Fields{AnnotationDrain: mark}},
		"spec":     api.Fields{"unschedulable": value},
	})
	return a, true, err
}

// Plan is what a drain does next: evictions to ask for now, pods whose budgets do
// not allow that yet, and pods that stay.
type Plan struct {
	Actions []Action
	Evicted int // pods in Actions
	Wait    []Stay
	Stay    []Stay
}

// Drain evicts what can be made again elsewhere from a node, as kubectl drain does
// with --ignore-daemonsets: static pods belong to the kubelet, daemon pods would
// come back to the same node, and a pod that nobody manages would be lost. Each
// eviction is charged to the pod's budget in the transaction that asks for it.
func Drain(view *View, node string, now time.Time) (*Plan, error) {
	plan := &Plan{}
	charges := map[string]*charge{}
	for p := range view.Pods.All() {
		if p.Object.Spec.NodeName != node || p.Object.Metadata.Deleting() {
			continue
		}
		name := p.Object.Metadata.Namespace + "/" + p.Object.Metadata.Name
		if reason := staysBecause(view, &p.Object); reason != "" {
			plan.Stay = append(plan.Stay, Stay{Pod: name, Reason: reason})
			continue
		}
		a, err := DeletePod("evict", p, now)
		if err != nil {
			return nil, fmt.Errorf("drain %s: %w", node, err)
		}
		switch c, why, err := allow(view, p, charges, now); {
		case err != nil:
			return nil, fmt.Errorf("drain %s: %w", node, err)
		case why != "":
			plan.Wait = append(plan.Wait, Stay{Pod: name, Reason: why})
			continue
		case c != nil:
			c.evictions = append(c.evictions, a.Writes...)
		default:
			plan.Actions = append(plan.Actions, a)
		}
		plan.Evicted++
	}
	for _, key := range sortedKeys(charges) {
		a, err := charges[key].action()
		if err != nil {
			return nil, fmt.Errorf("drain %s: %w", node, err)
		}
		if len(a.Writes) > 1 {
			plan.Actions = append(plan.Actions, a)
		}
	}
	return plan, nil
}

// Movable counts, by node, the pods that a drain would evict sooner or later.
func Movable(view *View) map[string]int {
	out := map[string]int{}
	for p := range view.Pods.All() {
		if p.Object.Spec.NodeName != "" && !p.Object.Metadata.Deleting() && staysBecause(view, &p.Object) == "" {
			out[p.Object.Spec.NodeName]++
		}
	}
	return out
}

// charge gathers the evictions under one budget.
type charge struct {
	stored    *Stored[api.PodDisruptionBudget]
	before    qos.BudgetStatus
	budget    *qos.Budget
	evictions []Write
}

// action is the evictions and the budget that has paid for them, together.
func (c *charge) action() (Action, error) {
	a, _, err := budgetStatus("evict", c.stored, &c.before, &c.budget.Status)
	a.Writes = append(a.Writes, c.evictions...)
	return a, err
}

// allow asks the budgets that cover a pod. It returns the charge to add the eviction
// to, or why the pod may not go now, or neither if no budget minds.
func allow(view *View, p *Stored[api.Pod], charges map[string]*charge, now time.Time) (c *charge, why string, err error) {
	pod, err := decodeWire[qos.Pod](p.Key, p.Raw)
	if err != nil {
		return nil, "", err
	}
	var covering []*qos.Budget
	for b := range view.Budgets.All() {
		if !covers(&b.Object, &p.Object) {
			continue
		}
		if c = charges[b.Key]; c == nil {
			budget, err := decodeWire[qos.Budget](b.Key, b.Raw)
			if err != nil {
				return nil, "", err
			}
			c = &charge{stored: b, before: budget.Status, budget: budget}
			charges[b.Key] = c
		}
		covering = append(covering, c.budget)
	}
	charged, err := qos.Evict(pod, covering, now)
	switch {
	case err != nil:
		return nil, err.Error(), nil
	case charged == nil:
		return nil, "", nil
	}
	c.budget = charged
	return c, "", nil
}

func staysBecause(view *View, p *api.Pod) string {
	if p.Finished() {
		return ""
	}
	if p.Static() {
		return "static pod, run by the kubelet itself"
	}
	ref := p.Metadata.Controller()
	if ref == nil {
		return "no controller would make it again"
	}
	owner, ok := api.KindOf(ref.APIVersion, ref.Kind)
	if ok && owner == api.DaemonSets {
		return "daemon set pod"
	}
	if !ok || !managed(view, owner, p) {
		return fmt.Sprintf("its controller %s is not in this cluster", api.Title(ref.Kind, "", ref.Name))
	}
	return ""
}

// managed reports whether the controller that a pod names exists.
func managed(view *View, kind api.Kind, p *api.Pod) bool {
	ref := p.Metadata.Controller()
	key := kind.Key(p.Metadata.Namespace, ref.Name)
	switch kind {
	case api.ReplicaSets:
		o := view.ReplicaSets[key]
		return o != nil && p.Metadata.ControlledBy(kind, &o.Object.Metadata)
	case api.StatefulSets:
		o := view.StatefulSets[key]
		return o != nil && p.Metadata.ControlledBy(kind, &o.Object.Metadata)
	case api.DaemonSets:
		o := view.DaemonSets[key]
		return o != nil && p.Metadata.ControlledBy(kind, &o.Object.Metadata)
	}
	return false
}
