package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/viewtest"
	"github.com/orchcore/orchcore/raftstore"
)

func newScheduler(t *testing.T) *control.Scheduler {
	t.Helper()
	s, err := control.NewScheduler(0, nil)
	require.NoError(t, err)
	return s
}

func room(name, cpu string) string {
	return "\n---\napiVersion: v1\nkind: Node\nmetadata: {name: " + name + "}\nstatus: {allocatable: {cpu: \"" + cpu + "\", memory: 8Gi, pods: \"10\"}}\n"
}

func pending(name, cpu string, more ...string) string {
	return "\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: shop, uid: u-" + name + "}\nspec: {containers: [{name: c, resources: {requests: {cpu: " + cpu + "}}}]" + strings.Join(more, "") + "}\n"
}

// decide runs the scheduler once, commits what it wants, and tells it so.
func decide(t *testing.T, s *control.Scheduler, view *control.View) []control.Action {
	t.Helper()
	actions := reconcile(t, s, view)
	var results []control.Result
	for _, a := range actions {
		viewtest.Commit(t, view, []control.Action{a})
		results = append(results, control.Result{Action: a, Revision: view.Revision})
	}
	s.Settle(results)
	return actions
}

func nodeOf(view *control.View, name string) string {
	return view.Pods["/registry/pods/shop/"+name].Object.Spec.NodeName
}

func condition(view *control.View, name string) *api.Condition {
	return api.ConditionOf(view.Pods["/registry/pods/shop/"+name].Object.Status.Conditions, api.PodScheduled)
}

func TestSchedulerBindsAndSaysWhy(t *testing.T) {
	view := viewtest.New(t, room("a", "4")[5:]+room("b", "2")+pending("p", "1")+pending("q", "9"))
	s := newScheduler(t)
	decide(t, s, view)
	require.Equal(t, "a", nodeOf(view, "p"))
	require.Contains(t, view.Pods["/registry/pods/shop/p"].Object.Metadata.Annotations[control.AnnotationPlacement], "best of the 2 nodes that fit: ")
	require.Equal(t, api.True, condition(view, "p").Status)
	require.Empty(t, nodeOf(view, "q"))
	require.Equal(t, "Unschedulable", condition(view, "q").Reason)
	require.Contains(t, condition(view, "q").Message, "0/2 nodes are available: 2 Insufficient cpu.")
	decide(t, s, view)
	require.Empty(t, decide(t, s, view), "nothing changes, nothing is written")

	viewtest.Add(t, view, room("c", "16")[5:])
	decide(t, s, view)
	require.Equal(t, "c", nodeOf(view, "q"), "a new node makes it fit")
}

func TestSchedulerPlacesTheImportantFirst(t *testing.T) {
	view := viewtest.New(t, room("a", "1")[5:]+pending("a-late", "1", ", priority: 5, preemptionPolicy: Never")+pending("z-first", "1", ", priority: 9"))
	s := newScheduler(t)
	decide(t, s, view)
	require.Equal(t, "a", nodeOf(view, "z-first"))
	require.Empty(t, nodeOf(view, "a-late"))
}

func TestSchedulerNeverOvercommits(t *testing.T) {
	text := room("a", "3")[5:] + room("b", "3")
	for i := range 12 {
		text += pending(fmt.Sprintf("p%02d", i), "1")
	}
	view := viewtest.New(t, text)
	s := newScheduler(t)
	for range 5 {
		decide(t, s, view)
	}
	used := map[string]int{}
	for p := range view.Pods.All() {
		used[p.Object.Spec.NodeName]++
	}
	require.Equal(t, map[string]int{"a": 3, "b": 3, "": 6}, used)
}

// A bind that failed is undone; the room it had taken is there for others.
func TestSchedulerForgetsBindsThatFailed(t *testing.T) {
	view := viewtest.New(t, room("a", "1")[5:]+pending("p", "1"))
	s := newScheduler(t)
	actions := reconcile(t, s, view)
	require.Len(t, actions, 1)
	s.Settle([]control.Result{{Action: actions[0], Err: fmt.Errorf("x: %w", control.ErrConflict)}})
	viewtest.Write(t, view, control.Write{Key: "/registry/pods/shop/p"})
	viewtest.Add(t, view, pending("q", "1")[5:])
	decide(t, s, view)
	require.Equal(t, "a", nodeOf(view, "q"))
}

// A bind whose outcome is unknown may still happen: its room stays taken until a
// write to the pod has made that impossible.
func TestSchedulerResolvesUnknownOutcomes(t *testing.T) {
	view := viewtest.New(t, room("a", "1")[5:]+pending("p", "1"))
	s := newScheduler(t)
	binds := reconcile(t, s, view)
	require.Len(t, binds, 1)
	s.Settle([]control.Result{{Action: binds[0], Err: fmt.Errorf("x: %w", raftstore.ErrUnknownOutcome)}})
	viewtest.Add(t, view, pending("q", "1")[5:])
	actions := reconcile(t, s, view)
	verbs := map[string]bool{}
	for _, a := range actions {
		verbs[a.Verb] = true
	}
	require.Equal(t, map[string]bool{"retry": true, "reject": true}, verbs, "p is touched, q finds no room")
	viewtest.Commit(t, view, actions)
	require.NotEqual(t, binds[0].Writes[0].Revision, view.Pods["/registry/pods/shop/p"].Revision, "the old bind can happen no more")
	decide(t, s, view)
	require.Equal(t, "a", nodeOf(view, "p")+nodeOf(view, "q"), "one of the two")

	// And if it did happen, it counts.
	view = viewtest.New(t, room("a", "1")[5:]+pending("p", "1"))
	s = newScheduler(t)
	binds = reconcile(t, s, view)
	s.Settle([]control.Result{{Action: binds[0], Err: raftstore.ErrUnknownOutcome}})
	viewtest.Commit(t, view, binds)
	viewtest.Add(t, view, pending("q", "1")[5:])
	decide(t, s, view)
	require.Equal(t, "a", nodeOf(view, "p"))
	require.Empty(t, nodeOf(view, "q"))
}

func TestSchedulerPreempts(t *testing.T) {
	view := viewtest.New(t, room("a", "4")[5:]+"\n---"+strings.Replace(web, "replicas: 3", "replicas: 1", 1))
	controllers := []control.Controller{&control.Deployments{}, &control.ReplicaSets{}}
	rest(t, view, controllers...)
	small := podKeys(view)[0]
	setPod(t, view, small, api.Fields{"spec": api.Fields{"nodeName": "a", "priority": 1, "containers": []any{
		api.Fields{"name": "c", "resources": api.Fields{"requests": api.Fields{"cpu": "3"}}},
	}}, "status": api.Fields{"phase": "Running"}})
	viewtest.Add(t, view, pending("big", "3", ", priority: 100")[5:])
	s := newScheduler(t)
	decide(t, s, view)
	require.True(t, view.Pods[small].Object.Metadata.Deleting())
	require.Contains(t, string(view.Pods["/registry/pods/shop/big"].Raw), `"nominatedNodeName":"a"`)
	decide(t, s, view)
	viewtest.Write(t, view, control.Write{Key: small})
	decide(t, s, view)
	require.Equal(t, "a", nodeOf(view, "big"))
}

func TestSchedulerDoesNotPreemptWhatNobodyMakesAgain(t *testing.T) {
	view := viewtest.New(t, room("a", "4")[5:]+pending("bare", "3", ", nodeName: a, priority: 1")+pending("big", "3", ", priority: 100"))
	s := newScheduler(t)
	decide(t, s, view)
	decide(t, s, view)
	require.False(t, view.Pods["/registry/pods/shop/bare"].Object.Metadata.Deleting())
	require.NotEmpty(t, condition(view, "big").Message)
}

func TestSchedulerExplainsWhatItCannotDo(t *testing.T) {
	view := viewtest.New(t, room("a", "4")[5:]+
		pending("claim", "1", ", volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]")+
		pending("gated", "1", ", schedulingGates: [{name: example.com/wait}]")+
		pending("foreign", "1", ", schedulerName: other"))
	s := newScheduler(t)
	decide(t, s, view)
	for name, want := range map[string]string{"claim": `persistentvolumeclaim "c" not found`, "gated": "waiting for scheduling gates: [example.com/wait]", "foreign": `"other"`} {
		require.Empty(t, nodeOf(view, name))
		require.NotNil(t, condition(view, name), name)
		require.Contains(t, condition(view, name).Message, want)
	}
	decide(t, s, view)
	require.Empty(t, decide(t, s, view))
}

func TestSchedulerWaitsUntilPodsAreGathered(t *testing.T) {
	s, err := control.NewScheduler(time.Second, nil)
	require.NoError(t, err)
	view := viewtest.New(t, room("a", "4")[5:]+pending("p", "1"))
	actions, recheck, err := s.Reconcile(view, now)
	require.NoError(t, err)
	require.Empty(t, actions)
	require.Equal(t, time.Second, recheck)
	viewtest.Add(t, view, pending("q", "1")[5:])
	_, recheck, err = s.Reconcile(view, now.Add(900*time.Millisecond))
	require.NoError(t, err)
	require.Equal(t, time.Second, recheck, "another pod begins the time anew")
	actions, _, err = s.Reconcile(view, now.Add(1900*time.Millisecond))
	require.NoError(t, err)
	require.Len(t, actions, 2)
}

// A scheduler that has lost the lead without knowing binds nothing.
func TestFenceStopsAnOldScheduler(t *testing.T) {
	kv := newMemKV()
	ctx := t.Context()
	fence := func(who string) *control.Write {
		r, err := kv.Put(ctx, raftstore.PutRequest{Key: []byte("/registry/leases/fence"), Value: []byte(who)})
		require.NoError(t, err)
		return &control.Write{Key: "/registry/leases/fence", Revision: r.Revision}
	}
	for name, text := range map[string]string{"nodes/a": room("a", "4"), "pods/shop/p": pending("p", "1")} {
		view := viewtest.New(t, text[5:])
		c := control.Put("create", name, "/registry/"+name, 0, raw(t, view, "/registry/"+name))
		_, err := control.Commit(ctx, kv, c)
		require.NoError(t, err)
	}
	view, err := control.Snapshot(ctx, kv)
	require.NoError(t, err)
	old, err := control.NewScheduler(0, fence("old"))
	require.NoError(t, err)
	late := reconcile(t, old, view)
	require.Len(t, late, 1)
	fence("new")
	_, err = control.Commit(ctx, kv, late[0])
	require.True(t, errors.Is(err, control.ErrConflict), "%v", err)
}

func raw(t *testing.T, view *control.View, key string) []byte {
	t.Helper()
	if p := view.Pods[key]; p != nil {
		return p.Raw
	}
	return view.Nodes[key].Raw
}
