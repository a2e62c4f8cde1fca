package control_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/viewtest"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// reconcile runs a controller once.
func reconcile(t *testing.T, c control.Controller, view *control.View) []control.Action {
	t.Helper()
	actions, _, err := c.Reconcile(view, now)
	require.NoError(t, err)
	return actions
}

// rest runs controllers until none of them wants anything.
func rest(t *testing.T, view *control.View, controllers ...control.Controller) {
	t.Helper()
	for range 1000 {
		quiet := true
		for _, c := range controllers {
			actions := reconcile(t, c, view)
			viewtest.Commit(t, view, actions)
			quiet = quiet && len(actions) == 0
		}
		if quiet {
			return
		}
	}
	require.Fail(t, "the controllers never come to rest")
}

// setPod changes a pod's status as a kubelet or scheduler would.
func setPod(t *testing.T, view *control.View, key string, patch api.Fields) {
	t.Helper()
	a, err := control.Patched("test", key, view.Pods[key], patch)
	require.NoError(t, err)
	viewtest.Commit(t, view, []control.Action{a})
}

func ready(node string) api.Fields {
	return api.Fields{
		"spec":   api.Fields{"nodeName": node},
		"status": api.Fields{"phase": "Running", "conditions": []api.Condition{{Type: "Ready", Status: "True"}}},
	}
}

func podKeys(view *control.View) (keys []string) {
	for p := range view.Pods.All() {
		keys = append(keys, p.Key)
	}
	return keys
}

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, uid: d1, generation: 1}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "c:1"}]}
`

func TestDeploymentMakesAReplicaSetAndThatMakesPods(t *testing.T) {
	view := viewtest.New(t, web)
	rest(t, view, &control.Deployments{}, &control.ReplicaSets{Seed: 1})
	require.Len(t, view.ReplicaSets, 1)
	require.Len(t, view.Pods, 3)
	for rs := range view.ReplicaSets.All() {
		require.True(t, rs.Object.Metadata.ControlledBy(api.Deployments, &view.Deployments["/registry/deployments/shop/web"].Object.Metadata))
		require.Equal(t, "3", rs.Object.Metadata.Annotations[control.AnnotationPodsCreated])
		for p := range view.Pods.All() {
			require.True(t, p.Object.Metadata.ControlledBy(api.ReplicaSets, &rs.Object.Metadata))
			require.Equal(t, rs.Object.Spec.Selector.MatchLabels["pod-template-hash"], p.Object.Metadata.Labels["pod-template-hash"])
			require.Equal(t, "c:1", p.Object.Spec.Containers[0].Image)
		}
	}
	status := view.Deployments["/registry/deployments/shop/web"].Object.Status
	require.Equal(t, api.DeploymentStatus{ObservedGeneration: 1, Replicas: 3, UpdatedReplicas: 3}, status)

	other := viewtest.New(t, web)
	rest(t, other, &control.Deployments{}, &control.ReplicaSets{Seed: 1})
	require.Equal(t, podKeys(view), podKeys(other), "names depend on the seed and the input alone")
}

// A write whose outcome was not seen may be applied later, or twice decided: the
// count in the replica set lets only one of them through.
func TestPodsAreMadeOnceWhateverTheWritesOutcome(t *testing.T) {
	kv := newMemKV()
	view := viewtest.New(t, web)
	viewtest.Commit(t, view, reconcile(t, &control.Deployments{}, view))
	var rs *control.Stored[api.ReplicaSet]
	for rs = range view.ReplicaSets.All() {
	}
	created, err := control.Commit(t.Context(), kv, control.Put("", "", rs.Key, 0, rs.Raw))
	require.NoError(t, err)
	view.ReplicaSets[rs.Key] = &control.Stored[api.ReplicaSet]{Key: rs.Key, Revision: created, Raw: rs.Raw, Object: rs.Object}

	c := &control.ReplicaSets{Seed: 1}
	first := reconcile(t, c, view)
	second := reconcile(t, c, view) // the same decision, made before the first one shows
	require.Len(t, first, 1)
	_, err = control.Commit(t.Context(), kv, second[0])
	require.NoError(t, err)
	_, err = control.Commit(t.Context(), kv, first[0])
	require.ErrorIs(t, err, control.ErrConflict)
	after, err := control.Snapshot(t.Context(), kv)
	require.NoError(t, err)
	require.Len(t, after.Pods, 3)
}

func TestReplicaSetReplacesPodsThatEndAndRemovesTooMany(t *testing.T) {
	view := viewtest.New(t, web)
	controllers := []control.Controller{&control.Deployments{}, &control.ReplicaSets{Seed: 1}}
	rest(t, view, controllers...)
	keys := podKeys(view)
	setPod(t, view, keys[0], ready("a"))
	setPod(t, view, keys[1], ready("b"))
	setPod(t, view, keys[1], api.Fields{"metadata": api.Fields{"deletionTimestamp": now}})
	rest(t, view, controllers...)
	require.Len(t, view.Pods, 4, "one more for the one that is ending")
	viewtest.Write(t, view, control.Write{Key: keys[1]})
	rest(t, view, controllers...)
	require.Len(t, view.Pods, 3)

	viewtest.Add(t, view, strings.Replace(web, "replicas: 3", "replicas: 1", 1))
	rest(t, view, controllers...)
	require.Equal(t, []string{keys[0]}, podKeys(view), "the ready one stays")
}

func TestFinishedPodsAreReplaced(t *testing.T) {
	view := viewtest.New(t, web)
	controllers := []control.Controller{&control.Deployments{}, &control.ReplicaSets{}}
	rest(t, view, controllers...)
	setPod(t, view, podKeys(view)[0], api.Fields{"status": api.Fields{"phase": "Failed"}})
	rest(t, view, controllers...)
	require.Len(t, view.Pods, 4)
}

func TestManyPodsAreMadeInBatches(t *testing.T) {
	view := viewtest.New(t, strings.Replace(web, "replicas: 3", "replicas: 100", 1))
	viewtest.Commit(t, view, reconcile(t, &control.Deployments{}, view))
	actions := reconcile(t, &control.ReplicaSets{}, view)
	require.Len(t, actions, 1)
	require.Less(t, len(actions[0].Writes), 64, "a transaction stays within the store's limits")
	rest(t, view, &control.Deployments{}, &control.ReplicaSets{})
	require.Len(t, view.Pods, 100)
}

// While a deployment rolls from one template to another, at no time are there
// more pods, or fewer ready ones, than its strategy allows.
func TestRollingUpdateStaysWithinItsBounds(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 0))
		desired := 1 + random.IntN(9)
		surge, unavailable := random.IntN(3), random.IntN(3)
		if surge+unavailable == 0 {
			unavailable = 1
		}
		manifest := func(version int) string {
			return strings.NewReplacer("c:1", "c:"+strconv.Itoa(version), "replicas: 3", fmt.Sprintf(
				"replicas: %d\n  strategy: {rollingUpdate: {maxSurge: %d, maxUnavailable: %d}}", desired, surge, unavailable),
				"generation: 1", "generation: "+strconv.Itoa(version)).Replace(web)
		}
		view := viewtest.New(t, manifest(1))
		controllers := []control.Controller{&control.Deployments{}, &control.ReplicaSets{Seed: seed}}
		allReady := func() {
			for _, key := range podKeys(view) {
				if p := view.Pods[key]; !p.Object.Ready() && p.Object.Active() {
					setPod(t, view, key, ready("n"))
				}
			}
		}
		rest(t, view, controllers...)
		allReady()
		rest(t, view, controllers...)
		viewtest.Add(t, view, manifest(2))
		unchanged := view.Deployments["/registry/deployments/shop/web"]
		require.Equal(t, "c:2", unchanged.Object.Spec.Template.Spec.Containers[0].Image)
		for step := 0; ; step++ {
			require.Less(t, step, 2000, "seed %d: the update never ends", seed)
			c := controllers[random.IntN(2)]
			viewtest.Commit(t, view, reconcile(t, c, view))
			total, readyPods, fresh := 0, 0, 0
			for p := range view.Pods.All() {
				if p.Object.Active() {
					total++
					if p.Object.Ready() {
						readyPods++
					}
					if p.Object.Spec.Containers[0].Image == "c:2" {
						fresh++
					}
				}
			}
			require.LessOrEqual(t, total, desired+surge, "seed %d: too many pods", seed)
			require.GreaterOrEqual(t, readyPods, desired-unavailable, "seed %d: too few ready pods", seed)
			if fresh == desired && total == desired {
				break
			}
			// The kubelets: one pod gets ready or goes away now and then.
			keys := podKeys(view)
			key := keys[random.IntN(len(keys))]
			switch p := view.Pods[key]; {
			case p.Object.Metadata.Deleting():
				viewtest.Write(t, view, control.Write{Key: key})
			case !p.Object.Ready():
				setPod(t, view, key, ready("n"))
			}
		}
	}
}

func TestRecreateEndsAllOldPodsFirst(t *testing.T) {
	recreate := strings.Replace(web, "replicas: 3", "replicas: 3\n  strategy: {type: Recreate}", 1)
	view := viewtest.New(t, recreate)
	controllers := []control.Controller{&control.Deployments{}, &control.ReplicaSets{}}
	rest(t, view, controllers...)
	for _, key := range podKeys(view) {
		setPod(t, view, key, ready("n"))
	}
	viewtest.Add(t, view, strings.Replace(recreate, "c:1", "c:2", 1))
	rest(t, view, controllers...)
	require.Len(t, view.Pods, 3)
	for _, key := range podKeys(view) {
		require.True(t, view.Pods[key].Object.Metadata.Deleting())
		viewtest.Write(t, view, control.Write{Key: key})
	}
	rest(t, view, controllers...)
	require.Len(t, view.Pods, 3)
	for p := range view.Pods.All() {
		require.Equal(t, "c:2", p.Object.Spec.Containers[0].Image)
	}
}

// A dump has deployments with the replica sets that their own cluster made.
func TestDeploymentAdoptsTheReplicaSetOfADump(t *testing.T) {
	view := viewtest.New(t, web+`---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-5d4f, namespace: shop, uid: r1, labels: {app: web, pod-template-hash: 5d4f}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d1, controller: true}]}
spec:
  replicas: 3
  selector: {matchLabels: {app: web, pod-template-hash: 5d4f}}
  template:
    metadata: {labels: {pod-template-hash: 5d4f, app: web}}
    spec: {containers: [{image: "c:1", name: c}]}
`)
	rest(t, view, &control.Deployments{}, &control.ReplicaSets{})
	require.Len(t, view.ReplicaSets, 1)
	require.Len(t, view.Pods, 3)
}

const nodes = `
apiVersion: v1
kind: Node
metadata: {name: a, labels: {disk: ssd}}
---
apiVersion: v1
kind: Node
metadata: {name: b}
spec: {taints: [{key: dedicated, value: data, effect: NoSchedule}]}
---
apiVersion: v1
kind: Node
metadata: {name: c, labels: {disk: ssd}}
spec: {taints: [{key: broken, effect: NoExecute}]}
`

const agent = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: kube-system, uid: s1, generation: 1}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: c, image: "c:1"}]}
`

func daemonNodes(view *control.View) (nodes []string) {
	for p := range view.Pods.All() {
		if p.Object.Active() {
			nodes = append(nodes, control.DaemonNode(&p.Object))
		}
	}
	return nodes
}

func TestDaemonSetCoversTheNodesThatSuit(t *testing.T) {
	tolerating := func(text string) string {
		return strings.Replace(agent, "spec: {containers", "spec: {"+text+", containers", 1)
	}
	for _, c := range []struct {
		name, manifest string
		want           []string
	}{
		{"taints keep it off", agent, []string{"a"}},
		{"one taint tolerated", tolerating("tolerations: [{key: dedicated, value: data}]"), []string{"a", "b"}},
		{"everything tolerated", tolerating("tolerations: [{operator: Exists}]"), []string{"a", "b", "c"}},
		{"node selector", tolerating("nodeSelector: {disk: ssd}, tolerations: [{operator: Exists}]"), []string{"a", "c"}},
		{"affinity", tolerating("affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: DoesNotExist}]}]}}}, tolerations: [{operator: Exists}]"), []string{"b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			view := viewtest.New(t, nodes+"---"+c.manifest)
			rest(t, view, &control.DaemonSets{})
			require.ElementsMatch(t, c.want, daemonNodes(view))
			for p := range view.Pods.All() {
				require.Empty(t, p.Object.Spec.NodeName, "the scheduler binds it")
			}
		})
	}
}

func TestDaemonSetFollowsTheNodes(t *testing.T) {
	view := viewtest.New(t, nodes+"---"+agent)
	c := &control.DaemonSets{}
	rest(t, view, c)
	key := podKeys(view)[0]
	setPod(t, view, key, ready("a"))
	// A cordon and a NoSchedule taint leave the pod where it is.
	viewtest.Add(t, view, "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {unschedulable: true, taints: [{key: x, effect: NoSchedule}]}\n")
	rest(t, view, c)
	require.False(t, view.Pods[key].Object.Metadata.Deleting())
	// A NoExecute taint does not.
	viewtest.Add(t, view, "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {taints: [{key: x, effect: NoExecute}]}\n")
	rest(t, view, c)
	require.True(t, view.Pods[key].Object.Metadata.Deleting())
	// A new node gets a pod.
	viewtest.Add(t, view, "apiVersion: v1\nkind: Node\nmetadata: {name: d}\n")
	rest(t, view, c)
	require.Equal(t, []string{"d"}, daemonNodes(view))
}

func TestDaemonSetReplacesOldPodsOneByOne(t *testing.T) {
	view := viewtest.New(t, "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: b}\n---"+agent)
	c := &control.DaemonSets{}
	rest(t, view, c)
	for _, key := range podKeys(view) {
		setPod(t, view, key, ready(control.DaemonNode(&view.Pods[key].Object)))
	}
	viewtest.Add(t, view, strings.Replace(agent, "c:1", "c:2", 1))
	for range 2 {
		rest(t, view, c)
		var ending []string
		for p := range view.Pods.All() {
			if p.Object.Metadata.Deleting() {
				ending = append(ending, p.Key)
			}
		}
		require.Len(t, ending, 1, "one at a time")
		viewtest.Write(t, view, control.Write{Key: ending[0]})
		rest(t, view, c)
		for _, key := range podKeys(view) {
			if p := view.Pods[key]; !p.Object.Ready() && p.Object.Active() {
				setPod(t, view, key, ready(control.DaemonNode(&p.Object)))
			}
		}
	}
	for p := range view.Pods.All() {
		require.Equal(t, "c:2", p.Object.Spec.Containers[0].Image)
	}
}

const db = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop, uid: s1, generation: 1}
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: "c:1"}]}
`

func TestStatefulSetMakesPodsInOrder(t *testing.T) {
	view := viewtest.New(t, db)
	c := &control.StatefulSets{}
	for i := range 3 {
		rest(t, view, c)
		require.Len(t, view.Pods, i+1)
		setPod(t, view, fmt.Sprintf("/registry/pods/shop/db-%d", i), ready("n"))
	}
	rest(t, view, c)
	require.EqualValues(t, 3, view.StatefulSets["/registry/statefulsets/shop/db"].Object.Status.ReadyReplicas)

	// The same name comes back only when the old pod is gone.
	setPod(t, view, "/registry/pods/shop/db-1", api.Fields{"metadata": api.Fields{"deletionTimestamp": now}})
	uid := view.Pods["/registry/pods/shop/db-1"].Object.Metadata.UID
	rest(t, view, c)
	require.Len(t, view.Pods, 3)
	viewtest.Write(t, view, control.Write{Key: "/registry/pods/shop/db-1"})
	rest(t, view, c)
	require.NotEqual(t, uid, view.Pods["/registry/pods/shop/db-1"].Object.Metadata.UID)

	// It shrinks from the end, one by one.
	setPod(t, view, "/registry/pods/shop/db-1", ready("n"))
	viewtest.Add(t, view, strings.Replace(db, "replicas: 3", "replicas: 1", 1))
	viewtest.Commit(t, view, reconcile(t, c, view))
	require.True(t, view.Pods["/registry/pods/shop/db-2"].Object.Metadata.Deleting())
	require.False(t, view.Pods["/registry/pods/shop/db-1"].Object.Metadata.Deleting())
}

func TestParallelStatefulSet(t *testing.T) {
	view := viewtest.New(t, strings.Replace(db, "serviceName: db", "podManagementPolicy: Parallel", 1))
	rest(t, view, &control.StatefulSets{})
	require.Len(t, view.Pods, 3)
}

func TestOrdinal(t *testing.T) {
	for name, want := range map[string]int{"db-0": 0, "db-12": 12} {
		i, ok := control.Ordinal("db", name)
		require.True(t, ok)
		require.Equal(t, want, i)
	}
	for _, name := range []string{"db", "db-", "db-01", "db-x", "db-1-2", "dbx-1", "db--1", "db-+1"} {
		_, ok := control.Ordinal("db", name)
		require.False(t, ok, name)
	}
}
