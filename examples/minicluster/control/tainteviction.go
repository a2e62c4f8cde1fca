package control

import (
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// TaintEviction ends pods on nodes with NoExecute taints: at once if a pod does
// not tolerate one of them, otherwise when the shortest of the tolerations that it
// uses has run out. As in Kubernetes the time counts from when this controller first
// saw the pod in that state, not from the taint's own time, so a restart gives
// everybody the whole time again.
type TaintEviction struct {
	since map[string]time.Time // by key of the pod
}

// Name implements Controller.
func (c *TaintEviction) Name() string { return "tainteviction" }

// Kinds implements Controller.
func (c *TaintEviction) Kinds() []api.Kind { return []api.Kind{api.Nodes, api.Pods} }

// Reconcile implements Controller.
func (c *TaintEviction) Reconcile(view *View, now time.Time) ([]Action, time.Duration, error) {
	var actions []Action
	var recheck time.Duration
	since := map[string]time.Time{}
	for p := range view.Pods.All() {
		n := view.Nodes[api.Nodes.Key("", p.Object.Spec.NodeName)]
		if n == nil || !p.Object.Active() || p.Object.Static() {
			continue
		}
		grace, ever := evictionGrace(&p.Object, &n.Object)
		if !ever {
			continue
		}
		start, seen := c.since[p.Key]
		if !seen {
			start = now
		}
		since[p.Key] = start
		if wait := start.Add(grace).Sub(now); wait > 0 {
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
	c.since = since
	return actions, recheck, nil
}

// evictionGrace says how long the node's taints let a pod stay; ever is false when
// they do not end it. Each taint must be tolerated: one that is not ends the pod at
// once, the others when the shortest toleration used has run out.
func evictionGrace(p *api.Pod, n *api.Node) (grace time.Duration, ever bool) {
	for i := range n.Spec.Taints {
		taint := &n.Spec.Taints[i]
		if taint.Effect != api.NoExecute {
			continue
		}
		used := false
		for j := range p.Spec.Tolerations {
			t := &p.Spec.Tolerations[j]
			if !t.Tolerates(taint) {
				continue
			}
			used = true
			if t.TolerationSeconds == nil {
				continue
			}
			if d := time.Duration(max(0, *t.TolerationSeconds)) * time.Second; !ever || d < grace {
				grace, ever = d, true
			}
		}
		if !used {
			return 0, true
		}
	}
	return grace, ever
}
