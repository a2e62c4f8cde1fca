package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/node"
	"github.com/orchcore/orchcore/examples/minicluster/viewtest"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var pace = node.Pace{Start: time.Second, ProbeSecond: time.Second, Stop: 3 * time.Second}

const nodeA = `
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {podCIDR: 10.128.0.0/29}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}], conditions: [{type: Ready, status: "True"}]}
`

func bound(name, spec string) string {
	return "\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: shop}\nspec: {nodeName: a, " + spec + "}\n"
}

const plain = "containers: [{name: c}]"

// step runs the fleet at a time and commits what it does; it returns the verbs.
func step(t *testing.T, f *node.Fleet, view *control.View, at time.Duration) (verbs []string, recheck time.Duration) {
	t.Helper()
	actions, recheck, err := f.Reconcile(view, now.Add(at))
	require.NoError(t, err)
	for _, a := range actions {
		verbs = append(verbs, a.Verb)
	}
	viewtest.Commit(t, view, actions)
	return verbs, recheck
}

func TestKubeletStartsPods(t *testing.T) {
	view := viewtest.New(t, nodeA+bound("p", plain)+bound("probed", "containers: [{name: c, readinessProbe: {initialDelaySeconds: 5}}]")+bound("host", "hostNetwork: true, "+plain))
	f := &node.Fleet{Pace: pace}
	verbs, recheck := step(t, f, view, 0)
	require.Empty(t, verbs, "starting takes time")
	require.True(t, recheck >= time.Second && recheck < 2*time.Second, "%v", recheck)
	verbs, _ = step(t, f, view, 2*time.Second)
	require.ElementsMatch(t, []string{"ready", "start", "ready"}, verbs)
	p := view.Pods["/registry/pods/shop/p"].Object
	require.Equal(t, api.PodRunning, p.Status.Phase)
	require.True(t, p.Ready())
	require.Equal(t, "172.18.0.2", p.Status.HostIP)
	require.Equal(t, "172.18.0.2", view.Pods["/registry/pods/shop/host"].Object.Status.PodIP)
	probed := "/registry/pods/shop/probed"
	require.False(t, view.Pods[probed].Object.Ready())
	step(t, f, view, 3*time.Second)
	verbs, _ = step(t, f, view, 7*time.Second)
	require.Empty(t, verbs)
	verbs, _ = step(t, f, view, 8*time.Second)
	require.Equal(t, []string{"ready"}, verbs)
	require.True(t, view.Pods[probed].Object.Ready())
	require.NotEqual(t, p.Status.PodIP, view.Pods[probed].Object.Status.PodIP)
	verbs, recheck = step(t, f, view, time.Minute)
	require.Empty(t, verbs)
	require.Zero(t, recheck)
}

func TestKubeletStopsPods(t *testing.T) {
	view := viewtest.New(t, nodeA+bound("p", plain))
	f := &node.Fleet{Pace: pace}
	a, err := control.DeletePod("delete", view.Pods["/registry/pods/shop/p"], now)
	require.NoError(t, err)
	viewtest.Commit(t, view, []control.Action{a})
	step(t, f, view, 0)
	verbs, _ := step(t, f, view, 2*time.Second)
	require.Empty(t, verbs)
	verbs, _ = step(t, f, view, 3*time.Second)
	require.Equal(t, []string{"remove"}, verbs)
	require.Empty(t, view.Pods)
}

// What a dump says about pods and nodes that live elsewhere stays as it is.
func TestKubeletLeavesDumpsAlone(t *testing.T) {
	view := viewtest.New(t, nodeA+`
---
apiVersion: v1
kind: Pod
metadata: {name: crashing, namespace: shop}
spec: {nodeName: a, containers: [{name: c}]}
status: {phase: Running, conditions: [{type: Ready, status: "False", reason: ContainersNotReady}]}
---
apiVersion: v1
kind: Pod
metadata: {name: done, namespace: shop}
spec: {nodeName: a, containers: [{name: c}]}
status: {phase: Succeeded}
---
apiVersion: v1
kind: Pod
metadata: {name: far, namespace: shop}
spec: {nodeName: unknown, containers: [{name: c}]}
---
apiVersion: v1
kind: Node
metadata: {name: b}
status: {conditions: [{type: Ready, status: Unknown}]}
---
apiVersion: v1
kind: Pod
metadata: {name: lost, namespace: shop}
spec: {nodeName: b, containers: [{name: c}]}
`)
	f := &node.Fleet{Pace: pace}
	for _, at := range []time.Duration{0, time.Hour} {
		verbs, _ := step(t, f, view, at)
		require.Empty(t, verbs)
	}
}

func TestNodesRegister(t *testing.T) {
	view := viewtest.New(t, "apiVersion: v1\nkind: Node\nmetadata: {name: new}\n---"+nodeA)
	f := &node.Fleet{Pace: pace}
	verbs, _ := step(t, f, view, 0)
	require.Equal(t, []string{"register"}, verbs)
	require.True(t, view.Nodes["/registry/nodes/new"].Object.Ready())
	verbs, _ = step(t, f, view, 0)
	require.Empty(t, verbs)
}

// A range of eight addresses has five for pods; the sixth pod waits and says why,
// until one of the others is gone.
func TestAddressesRunOut(t *testing.T) {
	var text strings.Builder
	text.WriteString(nodeA)
	for i := range 6 {
		text.WriteString(bound(fmt.Sprintf("p%d", i), plain))
	}
	view := viewtest.New(t, text.String())
	f := &node.Fleet{Pace: pace}
	step(t, f, view, 0)
	step(t, f, view, 2*time.Second)
	seen := map[string]bool{}
	waiting := ""
	for p := range view.Pods.All() {
		if p.Object.Status.PodIP == "" {
			waiting = p.Key
			require.Contains(t, p.Object.Status.Message, "10.128.0.0/29 is used up")
			continue
		}
		require.False(t, seen[p.Object.Status.PodIP], "%s twice", p.Object.Status.PodIP)
		seen[p.Object.Status.PodIP] = true
	}
	require.Len(t, seen, 5)
	require.NotEmpty(t, waiting)
	step(t, f, view, 3*time.Second)
	verbs, _ := step(t, f, view, 5*time.Second)
	require.Empty(t, verbs, "said once is enough")
	viewtest.Write(t, view, control.Write{Key: "/registry/pods/shop/p0"})
	step(t, f, view, 10*time.Second)
	require.NotEmpty(t, view.Pods[waiting].Object.Status.PodIP)
}

func TestHeartbeats(t *testing.T) {
	view := viewtest.New(t, nodeA+"---\napiVersion: v1\nkind: Node\nmetadata: {name: dead}\nstatus: {conditions: [{type: Ready, status: Unknown}]}\n")
	h := &node.Heartbeats{Period: 10 * time.Second}
	beat := func(at time.Duration) (int, time.Duration) {
		actions, recheck, err := h.Reconcile(view, now.Add(at))
		require.NoError(t, err)
		viewtest.Commit(t, view, actions)
		return len(actions), recheck
	}
	n, _ := beat(0)
	require.Equal(t, 1, n)
	require.Len(t, view.Leases, 1, "a node that is not ready has no kubelet to send heartbeats")
	n, recheck := beat(4 * time.Second)
	require.Zero(t, n)
	require.Equal(t, 6*time.Second, recheck)
	n, _ = beat(10 * time.Second)
	require.Equal(t, 1, n)
	n, _ = beat(-time.Hour)
	require.Equal(t, 1, n, "a clock that was set back does not silence a node")
}

func TestProxiesCompileForEveryNode(t *testing.T) {
	view := viewtest.New(t, nodeA+`
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, clusterIP: 10.96.0.9, ports: [{name: http, port: 80, nodePort: 30080, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.128.0.2]}, {addresses: [10.128.0.3]}]
ports: [{name: http, port: 8080, protocol: TCP}]
`)
	p := &node.Proxies{}
	actions, _, err := p.Reconcile(view, now)
	require.NoError(t, err)
	require.Empty(t, actions)
	require.Equal(t, 1, p.Compiles())
	compiler, err := node.NewCompiler(view)
	require.NoError(t, err)
	for name, rules := range compiler.All() {
		require.Equal(t, "a", name)
		n := node.CountRules(rules)
		text := string(rules.AppendIPTables(nil))
		require.Equal(t, strings.Count(text, "\n-A "), n.IPTablesRules)
		require.Equal(t, strings.Count(text, "\n:"), n.IPTablesChains)
		require.Equal(t, strings.Count(string(rules.AppendNFT(nil)), "\nadd rule "), n.NFTRules)
		require.GreaterOrEqual(t, n.NFTElements, 5, "an address, two maps, two endpoints")
	}
	require.NoError(t, compiler.Err())
}
