package control

import (
	"slices"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// NodeLifecycle watches the nodes' heartbeats and keeps the taints that stand for
// their conditions. Heartbeat times are compared only with each other: a node is
// silent when this controller itself has seen no new heartbeat for the grace time,
// whatever the clocks say.
type NodeLifecycle struct {
	// Grace is the silence after which a node's state counts as unknown; zero
	// means 50 s, as in kube-controller-manager 1.36.
	Grace time.Duration

	seen map[string]heartbeat
}

type heartbeat struct {
	renewed time.Time // as the node wrote it
	at      time.Time // when it was first seen here
}

const (
	graceDefault = 50 * time.Second
	// leaseNamespace is where nodes keep their heartbeats.
	leaseNamespace = "kube-node-lease"
)

// Name implements Controller.
func (c *NodeLifecycle) Name() string { return "nodelifecycle" }

// Kinds implements Controller.
func (c *NodeLifecycle) Kinds() []api.Kind { return []api.Kind{api.Nodes, api.Leases} }

// Reconcile implements Controller.
func (c *NodeLifecycle) Reconcile(view *View, now time.Time) ([]Action, time.Duration, error) {
	grace := c.Grace
	if grace == 0 {
		grace = graceDefault
	}
	if c.seen == nil {
		c.seen = map[string]heartbeat{}
	}
	var actions []Action
	recheck := grace
	for n := range view.Nodes.All() {
		node := n.Object
		silence := c.silence(view, node.Metadata.Name, now)
		if silence >= grace && node.Ready() {
			node.Status.Conditions = api.WithCondition(node.Status.Conditions, api.Condition{
				Type: api.Ready, Status: api.Unknown, Reason: "NodeStatusUnknown",
				Message: "Kubelet stopped posting node status.", LastTransitionTime: now.UTC().Truncate(time.Second),
			})
			a, err := Patched("lose", api.Title("Node", "", node.Metadata.Name), n, api.Fields{
				"status": api.Fields{"conditions": node.Status.Conditions},
				"spec":   api.Fields{"taints": taintsFor(&node, now)},
			})
			if err != nil {
				return nil, 0, err
			}
			actions = append(actions, a)
			continue
		}
		if silence > 0 && silence < grace {
			recheck = min(recheck, grace-silence)
		}
		want := taintsFor(&node, now)
		if !slices.EqualFunc(want, node.Spec.Taints, func(a, b api.Taint) bool {
			return a.Key == b.Key && a.Value == b.Value && a.Effect == b.Effect
		}) {
			a, err := Patched("taint", api.Title("Node", "", node.Metadata.Name), n,
				api.Fields{"spec": api.Fields{"taints": want}})
			if err != nil {
				return nil, 0, err
			}
			actions = append(actions, a)
		}
	}
	return actions, recheck, nil
}

// silence is the time since a heartbeat of the node was first seen; 0 for nodes
// that never sent one.
func (c *NodeLifecycle) silence(view *View, node string, now time.Time) time.Duration {
	lease := view.Leases[api.Leases.Key(leaseNamespace, node)]
	if lease == nil {
		return 0
	}
	last, ok := c.seen[node]
	if !ok || !last.renewed.Equal(lease.Object.Spec.RenewTime) {
		c.seen[node] = heartbeat{renewed: lease.Object.Spec.RenewTime, at: now}
		return 0
	}
	return now.Sub(last.at)
}

// conditionTaints says which taint stands for which condition in which status.
var conditionTaints = []struct {
	condition, status, taint, effect string
}{
	{api.Ready, api.False, api.TaintNotReady, api.NoSchedule},
	{api.Ready, api.False, api.TaintNotReady, api.NoExecute},
	{api.Ready, api.Unknown, api.TaintUnreachable, api.NoSchedule},
	{api.Ready, api.Unknown, api.TaintUnreachable, api.NoExecute},
	{"MemoryPressure", api.True, "node.kubernetes.io/memory-pressure", api.NoSchedule},
	{"DiskPressure", api.True, "node.kubernetes.io/disk-pressure", api.NoSchedule},
	{"PIDPressure", api.True, "node.kubernetes.io/pid-pressure", api.NoSchedule},
	{"NetworkUnavailable", api.True, "node.kubernetes.io/network-unavailable", api.NoSchedule},
}

// taintsFor returns the taints that a node should have: those that others set, in
// their order, and those that its conditions and its being cordoned ask for.
func taintsFor(node *api.Node, now time.Time) []api.Taint {
	wanted := map[api.Taint]bool{}
	own := map[api.Taint]bool{}
	var order []api.Taint
	note := func(key, effect string, on bool) {
		t := api.Taint{Key: key, Effect: effect}
		own[t] = true
		if on && !wanted[t] {
			wanted[t] = true
			order = append(order, t)
		}
	}
	for _, row := range conditionTaints {
		c := api.ConditionOf(node.Status.Conditions, row.condition)
		note(row.taint, row.effect, c != nil && c.Status == row.status)
	}
	note(api.TaintUnschedulable, api.NoSchedule, node.Spec.Unschedulable)
	taints := []api.Taint{}
	for _, t := range node.Spec.Taints {
		plain := api.Taint{Key: t.Key, Effect: t.Effect}
		if own[plain] && !wanted[plain] {
			continue
		}
		delete(wanted, plain)
		taints = append(taints, t)
	}
	for _, t := range order {
		if wanted[t] {
			if t.Effect == api.NoExecute {
				t.TimeAdded = now.UTC().Truncate(time.Second)
			}
			taints = append(taints, t)
		}
	}
	return taints
}
