package check_test

import (
	"iter"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/check"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/node"
	"github.com/orchcore/orchcore/examples/minicluster/viewtest"
	"github.com/orchcore/orchcore/proxyrules"
)

// sound is a small cluster in which every invariant holds.
const sound = `
apiVersion: v1
kind: Node
metadata: {name: a, uid: n1}
spec: {podCIDR: 10.128.0.0/24}
status: {allocatable: {cpu: "2", memory: 4Gi, pods: "10"}, addresses: [{type: InternalIP, address: 172.18.0.2}], conditions: [{type: Ready, status: "True"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, uid: d1}
spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, namespace: shop, uid: r1, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d1, controller: true}]}
spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1-x, namespace: shop, labels: {app: web}, annotations: {minicluster.orchcore/placement: why}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: r1, controller: true}]}
spec: {nodeName: a, containers: [{name: c, resources: {requests: {cpu: 800m}}, ports: [{name: http, containerPort: 8080, hostPort: 80}]}]}
status: {phase: Running, podIP: 10.128.0.2, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1-y, namespace: shop, labels: {app: web}, annotations: {minicluster.orchcore/placement: why}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: r1, controller: true}]}
spec: {nodeName: a, containers: [{name: c, resources: {requests: {cpu: 800m}}, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.128.0.3, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: shop, uid: s1}
spec: {selector: {matchLabels: {app: agent}}, template: {metadata: {labels: {app: agent}}, spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: agent-a, namespace: shop, labels: {app: agent}, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: agent, uid: s1, controller: true}]}
spec: {nodeName: a, containers: [{name: c}]}
status: {phase: Running, podIP: 10.128.0.4, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop, uid: t1}
spec: {replicas: 2, selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: shop, labels: {app: db}, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, uid: t1, controller: true}]}
spec: {containers: [{name: c}]}
status: {phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: no room}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, clusterIP: 10.96.0.9, selector: {app: web}, ports: [{name: http, port: 80, nodePort: 30080, protocol: TCP, targetPort: http}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.128.0.2], nodeName: a}, {addresses: [10.128.0.3], nodeName: a}]
ports: [{name: http, port: 8080, protocol: TCP}]
`

// state is the state to check for a view, with the rules that follow from it.
func state(t *testing.T, view *control.View) *check.State {
	t.Helper()
	compiler, err := node.NewCompiler(view)
	require.NoError(t, err)
	return &check.State{
		View: view, Rules: compiler.All(),
		Members:      []check.Member{{ID: 1, Revision: 9, Hash: 7}, {ID: 2, Revision: 9, Hash: 7}, {ID: 3, Revision: 9, Hash: 7}},
		Bound:        map[string]string{"/registry/pods/shop/agent-a": "a"},
		Acknowledged: []string{"/registry/x"}, Found: []string{"/registry/x"},
	}
}

func TestASoundClusterPasses(t *testing.T) {
	report := check.Run(state(t, viewtest.New(t, sound)))
	require.Empty(t, report.Violations)
	require.Equal(t, []string{"StatefulSet shop/db: waits for pod db-0 before it makes the other 1"}, report.Notes)
	for _, invariant := range []string{check.Replicas, check.Placed, check.Capacity, check.Ports, check.Endpoints, check.Kept, check.Members} {
		require.Positive(t, report.Checked[invariant], invariant)
	}
}

// Each way to break a cluster is found, and named.
func TestBrokenClusters(t *testing.T) {
	replace := func(old, new string) func(*testing.T, *check.State) {
		return func(t *testing.T, s *check.State) {
			require.Contains(t, sound, old)
			*s = *state(t, viewtest.New(t, strings.Replace(sound, old, new, 1)))
		}
	}
	remove := func(key string) func(*testing.T, *check.State) {
		return func(t *testing.T, s *check.State) { viewtest.Write(t, s.View, control.Write{Key: key}) }
	}
	add := func(text string) func(*testing.T, *check.State) {
		return func(t *testing.T, s *check.State) { *s = *state(t, viewtest.New(t, sound+"---"+text)) }
	}
	const extra = "\napiVersion: v1\nkind: Pod\nmetadata: {name: NAME, namespace: shop, annotations: {minicluster.orchcore/placement: why}, ownerReferences: [{apiVersion: apps/v1, kind: KIND, name: OWNER, uid: UID, controller: true}]}\nspec: {nodeName: a, containers: [{name: c}]}\nstatus: {phase: Running}\n"
	pod := func(name, kind, owner, uid string) string {
		return strings.NewReplacer("NAME", name, "KIND", kind, "OWNER", owner, "UID", uid).Replace(extra)
	}
	for _, c := range []struct {
		name      string
		damage    func(*testing.T, *check.State)
		invariant string
		object    string
		detail    string
	}{
		{"replica lost", remove("/registry/pods/shop/web-1-x"), check.Replicas, "ReplicaSet shop/web-1", "1 pods, want 2"},
		{"replica twice", add(pod("web-1-z", "ReplicaSet", "web-1", "r1")), check.Replicas, "Deployment shop/web", "3 pods in its replica sets, want 2"},
		{"daemon lost", remove("/registry/pods/shop/agent-a"), check.Replicas, "DaemonSet shop/agent", "no pod for node a"},
		{"daemon twice", add(pod("agent-b", "DaemonSet", "agent", "s1")), check.Replicas, "DaemonSet shop/agent", "2 pods for node a"},
		{"daemon where it must not be", replace("spec: {podCIDR: 10.128.0.0/24}", "spec: {podCIDR: 10.128.0.0/24, taints: [{key: x, effect: NoExecute}]}"), check.Replicas, "DaemonSet shop/agent", "does not suit"},
		{"ordinal lost", remove("/registry/pods/shop/db-0"), check.Replicas, "StatefulSet shop/db", "db-0 is missing"},
		{"ordinal beyond", add(pod("db-7", "StatefulSet", "db", "t1")), check.Replicas, "StatefulSet shop/db", "db-7 is not one of its 2"},
		{"no node and no reason", replace("message: no room", "message: ''"), check.Placed, "Pod shop/db-0", "nothing says why"},
		{"bound to nowhere", replace("spec: {nodeName: a, containers: [{name: c, resources: {requests: {cpu: 800m}}, ports: [{name: http, containerPort: 8080}]}]}", "spec: {nodeName: zz, containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}"), check.Placed, "Pod shop/web-1-y", "node zz, which does not exist"},
		{"never started", replace("status: {phase: Running, podIP: 10.128.0.4", "status: {phase: Pending, podIP: 10.128.0.4"), check.Placed, "Pod shop/agent-a", "does not run"},
		{"too little cpu", replace("cpu: \"2\", memory", "cpu: \"1\", memory"), check.Capacity, "Node a", "its pods request 1600m cpu, allocatable is 1"},
		{"too many pods", replace("pods: \"10\"", "pods: \"2\""), check.Capacity, "Node a", "its pods request 3 pods, allocatable is 2"},
		{"resource the node lacks", replace("requests: {cpu: 800m}}, ports: [{name: http, containerPort: 8080}]", "requests: {example.com/gpu: 1}}, ports: [{name: http, containerPort: 8080}]"), check.Capacity, "Node a", "1 example.com/gpu, allocatable is 0"},
		{"host port twice", replace("ports: [{name: http, containerPort: 8080}]", "ports: [{name: http, containerPort: 8080, hostPort: 80}]"), check.Ports, "Pod shop/web-1-y", "TCP 80 on node a is held by Pod shop/web-1-x"},
		{"endpoint missing", replace("{addresses: [10.128.0.2], nodeName: a}, ", ""), check.Endpoints, "Service shop/web port 80", "no node sends traffic to Pod shop/web-1-x at 10.128.0.2:8080"},
		{"endpoint too many", replace("endpoints: [", "endpoints: [{addresses: [10.128.0.99]}, "), check.Endpoints, "Service shop/web port 80", "10.128.0.99:8080, which is no ready pod"},
		{"wrong port", replace("ports: [{name: http, port: 8080, protocol: TCP}]", "ports: [{name: http, port: 8081, protocol: TCP}]"), check.Endpoints, "Service shop/web port 80 by node port", "which is no ready pod"},
		{"no rules at all", func(_ *testing.T, s *check.State) { s.Rules = none() }, check.Endpoints, "Service shop/web port 80", "no node sends traffic"},
		{"pod of the input gone", func(_ *testing.T, s *check.State) { s.Bound["/registry/pods/shop/old"] = "a" }, check.Kept, "Pod shop/old", "came with the input on node a and is gone"},
		{"pod of the input moved", func(_ *testing.T, s *check.State) { s.Bound["/registry/pods/shop/agent-a"] = "b" }, check.Kept, "Pod shop/agent-a", `is on "a" now`},
		{"write lost", func(_ *testing.T, s *check.State) { s.Found = nil }, check.Kept, "/registry/x", "acknowledged"},
		{"member behind", func(_ *testing.T, s *check.State) { s.Members[2].Revision = 8 }, check.Members, "member 3", "at revision 8, member 1 at 9"},
		{"member differs", func(_ *testing.T, s *check.State) { s.Members[1].Hash = 8 }, check.Members, "member 2", "state hash 0000000000000008 at revision 9, member 1 has 0000000000000007"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := state(t, viewtest.New(t, sound))
			c.damage(t, s)
			report := check.Run(s)
			found := false
			for _, v := range report.Violations {
				found = found || v.Invariant == c.invariant && v.Object == c.object && strings.Contains(v.Detail, c.detail)
			}
			require.True(t, found, "%v", report.Violations)
		})
	}
}

func none() iter.Seq2[string, *proxyrules.RuleSet] {
	return maps.All(map[string]*proxyrules.RuleSet{})
}

// What came with the input is not this cluster's doing: it is noted, not blamed.
func TestWhatCameWithTheInput(t *testing.T) {
	const came = `
apiVersion: v1
kind: Node
metadata: {name: a}
status: {allocatable: {cpu: "1", pods: "10"}, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: big, namespace: shop}
spec: {nodeName: a, containers: [{name: c, resources: {requests: {cpu: 2}}}]}
status: {phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: far, namespace: shop}
spec: {nodeName: unknown, containers: [{name: c}]}
`
	report := check.Run(state(t, viewtest.New(t, came)))
	require.Len(t, report.Violations, 1, "the bound pod of the sound state: %v", report.Violations)
	require.Equal(t, []string{
		"Node a: its pods came with the input and ask for 2 cpu of 1",
		"Pod shop/far came on node unknown, which is not in the input: it cannot be checked for room",
	}, report.Notes)
}

func TestEvictedPodsMayBeGone(t *testing.T) {
	s := state(t, viewtest.New(t, sound))
	s.Bound = map[string]string{"/registry/pods/shop/old": "a"}
	s.Evicted = map[string]bool{"/registry/pods/shop/old": true}
	require.Empty(t, check.Run(s).Violations)
}
