package control

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/selector"
)

// Disruption keeps the status of every budget: how many of its pods may be evicted
// now. Package qos does the arithmetic; evictions are charged in Drain.
type Disruption struct{}

// Name implements Controller.
func (c *Disruption) Name() string { return "disruption" }

// Kinds implements Controller.
func (c *Disruption) Kinds() []api.Kind {
	return []api.Kind{api.Budgets, api.Pods, api.ReplicaSets, api.Deployments, api.StatefulSets}
}

// Reconcile implements Controller.
func (c *Disruption) Reconcile(view *View, now time.Time) ([]Action, time.Duration, error) {
	var actions []Action
	var recheck time.Duration
	for b := range view.Budgets.All() {
		budget, covered, err := covered(view, b)
		if err != nil {
			return nil, 0, err
		}
		status, failed := budget.Sync(covered, func(ref qos.OwnerReference) (int32, bool) {
			return wanted(view, b.Object.Metadata.Namespace, ref)
		}, now)
		status.Conditions = []qos.BudgetCondition{allowedCondition(&status, failed)}
		if len(status.DisruptedPods) > 0 {
			recheck = qos.DeletionTimeout // evictions that came to nothing count until then
		}
		a, changed, err := budgetStatus("allow", b, &budget.Status, &status)
		if err != nil {
			return nil, 0, err
		}
		if changed {
			actions = append(actions, a)
		}
	}
	return actions, recheck, nil
}

// covered decodes a budget and the pods that it is about.
func covered(view *View, b *Stored[api.PodDisruptionBudget]) (*qos.Budget, []*qos.Pod, error) {
	budget := &qos.Budget{}
	if err := json.Unmarshal(b.Raw, budget); err != nil {
		return nil, nil, fmt.Errorf("object %s: %w", b.Key, err)
	}
	var pods []*qos.Pod
	for p := range view.Pods.All() {
		if !covers(&b.Object, &p.Object) {
			continue
		}
		pod, err := decodeWire[qos.Pod](p.Key, p.Raw)
		if err != nil {
			return nil, nil, err
		}
		pods = append(pods, pod)
	}
	return budget, pods, nil
}

// covers reports whether a budget is about a pod.
func covers(b *api.PodDisruptionBudget, p *api.Pod) bool {
	if b.Metadata.Namespace != p.Metadata.Namespace {
		return false
	}
	s, err := selector.Compile(b.Spec.Selector)
	return err == nil && s.MatchesMap(p.Metadata.Labels)
}

// wanted is the number of pods that a pod's controller, or that one's deployment,
// asks for.
func wanted(view *View, namespace string, ref qos.OwnerReference) (int32, bool) {
	switch ref.Kind {
	case api.ReplicaSets.Name:
		rs := view.ReplicaSets[api.ReplicaSets.Key(namespace, ref.Name)]
		if rs == nil {
			return 0, false
		}
		if owner := rs.Object.Metadata.Controller(); owner != nil && owner.Kind == api.Deployments.Name {
			if d := view.Deployments[api.Deployments.Key(namespace, owner.Name)]; d != nil {
				return int32(api.Count(d.Object.Spec.Replicas)), true
			}
		}
		return int32(api.Count(rs.Object.Spec.Replicas)), true
	case api.StatefulSets.Name:
		if s := view.StatefulSets[api.StatefulSets.Key(namespace, ref.Name)]; s != nil {
			return int32(api.Count(s.Object.Spec.Replicas)), true
		}
	}
	return 0, false
}

// allowedCondition says in words what the numbers say.
func allowedCondition(s *qos.BudgetStatus, failed error) qos.BudgetCondition {
	c := qos.BudgetCondition{Type: "DisruptionAllowed", Status: api.True, Reason: "SufficientPods"}
	switch {
	case failed != nil:
		c.Status, c.Reason, c.Message = api.False, "SyncFailed", failed.Error()
	case s.DisruptionsAllowed == 0:
		c.Status, c.Reason = api.False, "InsufficientPods"
	}
	return c
}

// budgetStatus is the action that writes a budget's status, if that differs. The
// status is replaced as a whole: pods that are gone must leave its map.
func budgetStatus(verb string, b *Stored[api.PodDisruptionBudget], have, want *qos.BudgetStatus) (a Action, changed bool, err error) {
	before, err := json.Marshal(have)
	if err != nil {
		return Action{}, false, err
	}
	after, err := json.Marshal(want)
	if err != nil || string(before) == string(after) {
		return Action{}, false, err
	}
	tree, err := api.Tree(b.Raw)
	if err != nil {
		return Action{}, false, err
	}
	tree["status"] = want
	value, err := json.Marshal(tree)
	m := &b.Object.Metadata
	return Put(verb, api.Title(api.Budgets.Name, m.Namespace, m.Name), b.Key, b.Revision, value), true, err
}
