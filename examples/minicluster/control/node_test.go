package control_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/viewtest"
)

const readyNode = `
apiVersion: v1
kind: Node
metadata: {name: a}
status: {conditions: [{type: Ready, status: "True"}]}
`

// taints lists a node's taints as key:effect.
func taints(view *control.View) (out []string) {
	for _, t := range view.Nodes["/registry/nodes/a"].Object.Spec.Taints {
		out = append(out, t.Key+":"+t.Effect)
	}
	return out
}

func TestTaintsFollowConditions(t *testing.T) {
	c := &control.NodeLifecycle{}
	for _, row := range []struct {
		spec, conditions string
		want             []string
	}{
		{"{}", `{type: Ready, status: "True"}`, nil},
		{"{unschedulable: true}", `{type: Ready, status: "True"}`, []string{"node.kubernetes.io/unschedulable:NoSchedule"}},
		{"{}", `{type: Ready, status: "False"}`, []string{"node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"}},
		{"{}", `{type: Ready, status: Unknown}`, []string{"node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"}},
		{"{}", `{type: Ready, status: "True"}, {type: MemoryPressure, status: "True"}`, []string{"node.kubernetes.io/memory-pressure:NoSchedule"}},
		{"{taints: [{key: mine, effect: NoSchedule}, {key: node.kubernetes.io/not-ready, effect: NoSchedule}]}", `{type: Ready, status: "True"}`, []string{"mine:NoSchedule"}},
	} {
		view := viewtest.New(t, "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: "+row.spec+"\nstatus: {conditions: ["+row.conditions+"]}\n")
		rest(t, view, c)
		require.Equal(t, row.want, taints(view), row)
	}
}

func TestANodeThatFallsSilentIsLost(t *testing.T) {
	lease := func(renewed string) string {
		return "---\napiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: a, namespace: kube-node-lease}\nspec: {renewTime: \"" + renewed + "\"}\n"
	}
	view := viewtest.New(t, readyNode+lease("2020-01-01T00:00:00Z"))
	c := &control.NodeLifecycle{Grace: 40 * time.Second}
	at := func(seconds int) []control.Action {
		actions, recheck, err := c.Reconcile(view, now.Add(time.Duration(seconds)*time.Second))
		require.NoError(t, err)
		require.Positive(t, recheck)
		viewtest.Commit(t, view, actions)
		return actions
	}
	require.Empty(t, at(0), "an old time in the lease means nothing: clocks differ")
	require.Empty(t, at(39))
	viewtest.Add(t, view, lease("2020-01-01T00:00:10Z")[4:])
	require.Empty(t, at(40), "a new heartbeat begins a new grace time")
	require.Empty(t, at(79))
	require.Len(t, at(80), 1)
	require.Equal(t, api.Unknown, api.ConditionOf(view.Nodes["/registry/nodes/a"].Object.Status.Conditions, api.Ready).Status)
	require.Equal(t, []string{"node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"}, taints(view))
	require.Empty(t, at(81))
}

func TestANodeWithoutHeartbeatIsNotJudged(t *testing.T) {
	view := viewtest.New(t, readyNode)
	c := &control.NodeLifecycle{}
	rest(t, view, c)
	actions, _, err := c.Reconcile(view, now.Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, actions)
}

func TestTaintEviction(t *testing.T) {
	const node = `
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {taints: [{key: lost, effect: NoExecute, timeAdded: "2020-01-01T00:00:00Z"}, {key: other, effect: NoSchedule}]}
---
`
	for _, c := range []struct {
		name, tolerations string
		after             time.Duration // since the pod was first seen there; -1 is never
	}{
		{"not tolerated", "[]", 0},
		{"tolerated for ever", "[{key: lost, operator: Exists}]", -1},
		{"tolerated for a while", "[{key: lost, operator: Exists, tolerationSeconds: 60}]", time.Minute},
		{"the shortest counts", "[{key: lost, operator: Exists, tolerationSeconds: 60}, {operator: Exists, tolerationSeconds: 20}]", 20 * time.Second},
		{"a negative time is none", "[{key: lost, operator: Exists, tolerationSeconds: -5}]", 0},
		{"one that does not match does not count", "[{key: lost, operator: Exists}, {key: x, operator: Exists, tolerationSeconds: 1}]", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			view := viewtest.New(t, node+"apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\nspec: {nodeName: a, containers: [{name: c}], tolerations: "+c.tolerations+"}\n")
			e := &control.TaintEviction{}
			if c.after != 0 {
				actions, recheck, err := e.Reconcile(view, now)
				require.NoError(t, err)
				require.Empty(t, actions, "the taint is older, but this controller is not")
				require.Equal(t, max(0, c.after), recheck)
			}
			actions, _, err := e.Reconcile(view, now.Add(max(0, c.after)))
			require.NoError(t, err)
			if c.after < 0 {
				require.Empty(t, actions)
				return
			}
			require.Len(t, actions, 1)
			require.Equal(t, "evict", actions[0].Verb)
		})
	}
}

func TestStaticPodsAreNotEvicted(t *testing.T) {
	view := viewtest.New(t, `
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {taints: [{key: lost, effect: NoExecute}]}
---
apiVersion: v1
kind: Pod
metadata: {name: etcd-a, namespace: kube-system, ownerReferences: [{apiVersion: v1, kind: Node, name: a, controller: true}]}
spec: {nodeName: a, containers: [{name: c}]}
`)
	require.Empty(t, reconcile(t, &control.TaintEviction{}, view))
}

func TestDrain(t *testing.T) {
	view := viewtest.New(t, readyNode+"---"+agent+"---"+web)
	rest(t, view, &control.Deployments{}, &control.ReplicaSets{}, &control.DaemonSets{})
	for _, key := range podKeys(view) {
		setPod(t, view, key, ready("a"))
	}
	viewtest.Add(t, view, `
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: shop}
spec: {nodeName: a, containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: static, namespace: shop, annotations: {kubernetes.io/config.mirror: x}}
spec: {nodeName: a, containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: orphan, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: gone, uid: u, controller: true}]}
spec: {nodeName: a, containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: shop, ownerReferences: [{apiVersion: batch/v1, kind: Job, name: j, uid: u, controller: true}]}
spec: {nodeName: a, containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: done, namespace: shop}
spec: {nodeName: a, containers: [{name: c}]}
status: {phase: Succeeded}
---
apiVersion: v1
kind: Pod
metadata: {name: elsewhere, namespace: shop}
spec: {nodeName: b, containers: [{name: c}]}
`)
	plan, err := control.Drain(view, "a", now)
	require.NoError(t, err)
	require.Equal(t, 4, plan.Evicted, "the deployment's pods, and the one that is done")
	reasons := map[string]string{}
	for _, s := range plan.Stay {
		reasons[strings.Split(s.Pod, "/")[1]] = s.Reason
	}
	require.Len(t, reasons, 5)
	require.Contains(t, reasons["bare"], "no controller")
	require.Contains(t, reasons["static"], "static pod")
	require.Contains(t, reasons["orphan"], "ReplicaSet gone is not in this cluster")
	require.Contains(t, reasons["job"], "Job j is not in this cluster")
	viewtest.Commit(t, view, plan.Actions)
	plan, err = control.Drain(view, "a", now)
	require.NoError(t, err)
	require.Empty(t, plan.Actions, "asking once is enough")
}

func TestCordon(t *testing.T) {
	view := viewtest.New(t, readyNode)
	for _, closed := range []bool{true, false} {
		a, ok, err := control.Cordon(view.Nodes["/registry/nodes/a"], closed)
		require.NoError(t, err)
		require.True(t, ok)
		viewtest.Commit(t, view, []control.Action{a})
		require.Equal(t, closed, view.Nodes["/registry/nodes/a"].Object.Spec.Unschedulable)
		_, ok, err = control.Cordon(view.Nodes["/registry/nodes/a"], closed)
		require.NoError(t, err)
		require.False(t, ok, "it is so already")
	}
}

const budget = `
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: shop, uid: b1, generation: 1}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}
`

// Under a budget of one a drain takes pod after pod, each when the one before has
// been replaced, and says why it waits.
func TestDrainKeepsToBudgets(t *testing.T) {
	view := viewtest.New(t, readyNode+"---"+web+"---"+budget)
	controllers := []control.Controller{&control.Deployments{}, &control.ReplicaSets{}, &control.Disruption{}}
	rest(t, view, controllers...)
	for _, key := range podKeys(view) {
		setPod(t, view, key, ready("a"))
	}
	rest(t, view, controllers...)
	for moved := range 3 {
		plan, err := control.Drain(view, "a", now)
		require.NoError(t, err)
		require.Equal(t, 1, plan.Evicted)
		require.Len(t, plan.Actions, 1)
		require.Len(t, plan.Actions[0].Writes, 2, "the pod and the budget it is charged to, together")
		require.Len(t, plan.Wait, 2-moved)
		viewtest.Commit(t, view, plan.Actions)
		blocked, err := control.Drain(view, "a", now)
		require.NoError(t, err)
		require.Zero(t, blocked.Evicted)
		require.Len(t, blocked.Wait, 2-moved)
		for _, w := range blocked.Wait {
			require.Contains(t, w.Reason, "disruption budget")
		}
		for _, key := range podKeys(view) {
			if p := view.Pods[key]; p.Object.Metadata.Deleting() {
				viewtest.Write(t, view, control.Write{Key: key})
			}
		}
		rest(t, view, controllers...)
		for _, key := range podKeys(view) {
			if p := view.Pods[key]; p.Object.Spec.NodeName == "" {
				setPod(t, view, key, ready("b"))
			}
		}
		rest(t, view, controllers...)
	}
	plan, err := control.Drain(view, "a", now)
	require.NoError(t, err)
	require.Empty(t, plan.Actions)
	require.Empty(t, plan.Wait)
}

func TestBudgetsThatCannotBeComputedAllowNothing(t *testing.T) {
	view := viewtest.New(t, readyNode+"---"+budget+`
---
apiVersion: v1
kind: Pod
metadata: {name: orphan, namespace: shop, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: gone, uid: u, controller: true}]}
spec: {nodeName: a, containers: [{name: c}]}
status: {phase: Running, conditions: [{type: Ready, status: "True"}]}
`)
	rest(t, view, &control.Disruption{})
	raw := string(view.Budgets["/registry/poddisruptionbudgets/shop/web"].Raw)
	require.Contains(t, raw, "SyncFailed")
	require.Contains(t, raw, `"disruptionsAllowed":0`)
}
