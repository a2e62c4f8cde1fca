package apply_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/apply"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/load"
	"github.com/orchcore/orchcore/examples/minicluster/manifests"
	"github.com/orchcore/orchcore/examples/minicluster/viewtest"
)

var config = apply.Config{Seed: 1, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}

// objects loads a YAML stream.
func objects(t *testing.T, text string) []load.Object {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	in, err := load.Paths([]string{path}, nil)
	require.NoError(t, err)
	return in.Objects
}

// applied brings a stream into a view and returns the plan.
func applied(t *testing.T, view *control.View, text string) *apply.Plan {
	t.Helper()
	plan, err := apply.New(view, objects(t, text), config)
	require.NoError(t, err)
	for _, stage := range plan.Stages {
		viewtest.Commit(t, view, stage)
	}
	return plan
}

func TestApplyingTwiceChangesNothing(t *testing.T) {
	in, err := load.FS(manifests.Files, "shop")
	require.NoError(t, err)
	view := control.NewView()
	first, err := apply.New(view, in.Objects, config)
	require.NoError(t, err)
	again, err := apply.New(view, in.Objects, config)
	require.NoError(t, err)
	require.Equal(t, first, again, "a plan depends on its inputs alone")
	for _, stage := range first.Stages {
		viewtest.Commit(t, view, stage)
	}
	second, err := apply.New(view, in.Objects, config)
	require.NoError(t, err)
	require.Empty(t, second.Stages)
	require.Equal(t, first.Created, second.Unchanged)
}

// What was written before a crash is not written again by the next attempt.
func TestAPlanGoesOnWhereAnotherEnded(t *testing.T) {
	in, err := load.FS(manifests.Files, "shop")
	require.NoError(t, err)
	whole := control.NewView()
	plan, err := apply.New(whole, in.Objects, config)
	require.NoError(t, err)
	var all []control.Action
	for _, stage := range plan.Stages {
		all = append(all, stage...)
	}
	viewtest.Commit(t, whole, all)
	for cut := 0; cut <= len(all); cut += 7 {
		view := control.NewView()
		viewtest.Commit(t, view, all[:cut])
		rest, err := apply.New(view, in.Objects, config)
		require.NoError(t, err)
		for _, stage := range rest.Stages {
			viewtest.Commit(t, view, stage)
		}
		require.Len(t, view.Services, len(whole.Services))
		for s := range view.Services.All() {
			require.Equal(t, string(whole.Services[s.Key].Raw), string(s.Raw), "cut at %d", cut)
		}
		for n := range view.Nodes.All() {
			require.Equal(t, string(whole.Nodes[n.Key].Raw), string(n.Raw), "cut at %d", cut)
		}
	}
}

func TestAChangedManifestKeepsWhatTheClusterHasSet(t *testing.T) {
	view := control.NewView()
	const before = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: one, labels: {app: web}}
spec: {containers: [{name: c, image: c:1}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {allocatable: {cpu: "2"}}
`
	applied(t, view, before)
	service := view.Services["/registry/services/default/web"]
	require.NotEmpty(t, service.Object.Spec.ClusterIP)
	require.NotZero(t, service.Object.Spec.Ports[0].NodePort)
	podKey, nodeKey := "/registry/pods/default/one", "/registry/nodes/n1"
	bound, err := control.Patched("bind", "", view.Pods[podKey], api.Fields{
		"spec": api.Fields{"nodeName": "n1"}, "status": api.Fields{"podIP": "10.128.0.2"},
	})
	require.NoError(t, err)
	ready, err := control.Patched("register", "", view.Nodes[nodeKey], api.Fields{
		"spec":   api.Fields{"unschedulable": true},
		"status": api.Fields{"conditions": []api.Condition{{Type: "Ready", Status: "True"}}},
	})
	require.NoError(t, err)
	viewtest.Commit(t, view, []control.Action{bound, ready})

	plan := applied(t, view, strings.NewReplacer("app: web}}", "app: web, v: two}}", "c:1", "c:2", `cpu: "2"`, `cpu: "4"`, "selector: {app: web}", "selector: {app: api}").Replace(before))
	require.Equal(t, map[string]int{"Service": 1, "Pod": 1, "Node": 1}, plan.Changed)
	changed := view.Services["/registry/services/default/web"].Object
	require.Equal(t, service.Object.Spec.ClusterIP, changed.Spec.ClusterIP)
	require.Equal(t, service.Object.Spec.Ports[0].NodePort, changed.Spec.Ports[0].NodePort)
	require.Equal(t, service.Object.Metadata.UID, changed.Metadata.UID)
	require.Equal(t, map[string]string{"app": "api"}, changed.Spec.Selector)
	require.EqualValues(t, 2, changed.Metadata.Generation)
	pod := view.Pods[podKey].Object
	require.Equal(t, "n1", pod.Spec.NodeName)
	require.Equal(t, "10.128.0.2", pod.Status.PodIP)
	require.Equal(t, "c:2", pod.Spec.Containers[0].Image)
	node := view.Nodes[nodeKey].Object
	require.True(t, node.Spec.Unschedulable)
	require.True(t, node.Ready())
	cpu := node.Status.Allocatable["cpu"]
	require.Equal(t, "4", cpu.String(), "what a node offers comes from its manifest")
}

func TestAddressesAreGivenOutOnce(t *testing.T) {
	var text strings.Builder
	for i := range 300 {
		text.WriteString(strings.ReplaceAll("---\napiVersion: v1\nkind: Service\nmetadata: {name: s@}\nspec: {type: NodePort, ports: [{port: 80}, {name: b, port: 81}]}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: n@}\n", "@", jsonNumber(i)))
	}
	text2 := strings.ReplaceAll(text.String(), "[{port: 80}", "[{name: a, port: 80}")
	view := control.NewView()
	applied(t, view, text2)
	seen := map[any]string{}
	note := func(what any, who string) {
		require.NotEmpty(t, what)
		require.Empty(t, seen[what], "%v of %s", what, who)
		seen[what] = who
	}
	for s := range view.Services.All() {
		note(s.Object.Spec.ClusterIP, s.Key)
		for _, p := range s.Object.Spec.Ports {
			note(p.NodePort, s.Key)
		}
	}
	for n := range view.Nodes.All() {
		note(n.Object.InternalIP(), n.Key)
		note(n.Object.Spec.PodCIDR, n.Key)
	}
}

func jsonNumber(i int) string {
	text, _ := json.Marshal(i)
	return string(text)
}

func TestConflictsBetweenObjects(t *testing.T) {
	view := control.NewView()
	applied(t, view, "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: NodePort, clusterIP: 10.96.0.7, ports: [{port: 80, nodePort: 30007}]}\n")
	for text, want := range map[string]string{
		"clusterIP: 10.96.0.7, ports: [{port: 80}]":                    "spec.clusterIP: \"10.96.0.7\": want an address that is free; default/a has it",
		"type: NodePort, ports: [{port: 80, nodePort: 30007}]":         "spec.ports[0].nodePort: 30007: want a port that is free; default/a has it",
		"type: NodePort, ports: [{port: 80, nodePort: 29999}]":         "spec.ports[0].nodePort: 29999: want 30000 to 32767",
		"clusterIP: 10.96.0.1, ports: [{port: 80}]":                    "(API server) has it",
		"type: LoadBalancer, ports: [{name: a, port: 1, nodePort: 1}]": "want 30000 to 32767",
	} {
		_, err := apply.New(view, objects(t, "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {"+text+"}\n"), config)
		require.ErrorContains(t, err, want)
		var e *load.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "Service default/b", e.Object)
	}
}

// Pods of a dump belong to their replica set once that is in the store: a pod that
// it has replaced since must not come back.
func TestPodsAreNotMadeAgainBehindTheirOwner(t *testing.T) {
	const dump = `
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, uid: u1}
spec: {replicas: 1, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1-x, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: u1, controller: true}]}
spec: {nodeName: n1, containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec: {nodeName: n1, containers: [{name: c}]}
`
	view := control.NewView()
	plan := applied(t, view, dump)
	require.Equal(t, 2, plan.Created["Pod"])
	for _, key := range []string{"/registry/pods/default/web-1-x", "/registry/pods/default/bare"} {
		viewtest.Write(t, view, control.Write{Key: key})
	}
	plan = applied(t, view, dump)
	require.Equal(t, map[string]int{"Pod": 1}, plan.Created, "the bare pod alone")
	require.NotContains(t, view.Pods, "/registry/pods/default/web-1-x")
}

func TestNotes(t *testing.T) {
	plan := applied(t, control.NewView(), `
apiVersion: v1
kind: Service
metadata: {name: lb}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec: {ipFamilies: [IPv6], ports: [{port: 80}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDR: blotted}
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {priorityClassName: unheard-of, containers: [{name: c}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c}]}}
  volumeClaimTemplates: [{metadata: {name: data}}]
`)
	all := strings.Join(plan.Notes, "\n")
	for _, want := range []string{
		"Service default/lb: type LoadBalancer", "Service default/six: ipFamilies", `Node n1: spec.podCIDR "blotted"`,
		"Node n1: status.allocatable is missing", `Pod default/p: priorityClassName "unheard-of"`,
		"StatefulSet default/db: volumeClaimTemplates",
	} {
		require.Contains(t, all, want)
	}
}

func TestPodsAreAdmitted(t *testing.T) {
	view := control.NewView()
	applied(t, view, `
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 77
preemptionPolicy: Never
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  priorityClassName: high
  tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]
  containers: [{name: c, resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}}]
`)
	p := view.Pods["/registry/pods/default/p"].Object
	require.EqualValues(t, 77, *p.Spec.Priority)
	requests := p.Spec.Containers[0].Resources.Requests
	cpu, memory := requests["cpu"], requests["memory"]
	require.Equal(t, "500m", cpu.String())
	require.Equal(t, "1Gi", memory.String(), "from the limit")
	require.Len(t, p.Spec.Tolerations, 2)
	require.EqualValues(t, 5, *p.Spec.Tolerations[0].TolerationSeconds, "the pod's own wish stays")
	require.EqualValues(t, 300, *p.Spec.Tolerations[1].TolerationSeconds)
	require.Equal(t, api.PodPending, p.Status.Phase)
	require.NotNil(t, view.Namespaces["/registry/namespaces/default"])
}
