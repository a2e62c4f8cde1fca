package control

import (
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// TaintEviction ends pods on nodes with NoExecute taints: at once if a pod does
// not tolerate one of them, otherwise when the shortest of the tolerations that it
// uses has run out.
type TaintEviction struct{}

// Name implements Controller.
func (c *TaintEviction) Name() string { return "tainteviction" }

// Kinds implements Controller.
func (c *TaintEviction) Kinds() []api.Kind { return []api.Kind{api.Nodes, api.Pods} }

// Reconcile implements Controller.
func (c *TaintEviction) Reconcile(view *View, now time.Time) ([]Action, time.Duration, error) {
	var actions []Action
	var recheck time.Duration
	for p := range view.Pods.All() {
		n := view.Nodes[api.Nodes.Key("", p.Object.Spec.NodeName)]
		if n == nil || !p.Object.Active() || p.Object.Static() {
			continue
		}
		due, ever := evictionTime(&p.Object, &n.Object)
		if !ever {
			continue
		}
		if wait := due.Sub(now); wait > 0 {
			if recheck == 0 || wait < recheck {
				recheck = wait
			}
			continue
		}
		a, err := DeletePod("evict", p, now)
		if err != nil {
			return nil, 0, err
		}
		actions = append(actions, a)
	}
	return actions, recheck, nil
}

// evictionTime says when the node's taints end a pod; ever is false when they do not.
func evictionTime(p *api.Pod, n *api.Node) (due time.Time, ever bool) {
	for i := range n.Spec.Taints {
		taint := &n.Spec.Taints[i]
		if taint.Effect != api.NoExecute {
			continue
		}
		shortest, used := time.Duration(-1), false
		for j := range p.Spec.Tolerations {
			t := &p.Spec.Tolerations[j]
			if !t.Tolerates(taint) {
				continue
			}
			used = true
			if t.TolerationSeconds != nil {
				d := time.Duration(max(0, *t.TolerationSeconds)) * time.Second
				if shortest < 0 || d < shortest {
					shortest = d
				}
			}
		}
		switch end := taint.TimeAdded.Add(shortest); {
		case !used:
			return time.Time{}, true
		case shortest >= 0 && (!ever || end.Before(due)):
			due, ever = end, true
		}
	}
	return due, ever
}
