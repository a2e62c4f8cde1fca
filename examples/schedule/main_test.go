package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runWith runs the command over the given texts, as files.
func runWith(t testing.TB, args []string, texts ...string) (code int, stdout, stderr string) {
	for i, text := range texts {
		name := filepath.Join(t.TempDir(), fmt.Sprintf("in%d.yaml", i))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		args = append(args, "-f", name)
	}
	var out, log bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &log)
	return code, out.String(), log.String()
}

// answered runs with -o json and indexes the pods by name.
func answered(t testing.TB, texts ...string) (report, map[string]podReport) {
	code, out, log := runWith(t, []string{"-o", "json"}, texts...)
	require.Zero(t, code, log)
	return parsed(t, out)
}

func parsed(t testing.TB, out string) (r report, pods map[string]podReport) {
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	pods = make(map[string]podReport)
	for _, p := range r.Pods {
		pods[p.Pod] = p
	}
	return r, pods
}

// The bundled shop shows all there is to show.
func TestShop(t *testing.T) {
	r, pods := answered(t)
	require.Equal(t, 5, r.Nodes)
	require.Equal(t, 2, r.Bound)
	require.Equal(t, 5, r.Pending)

	checkout := pods["shop/checkout-0"]
	require.Equal(t, "shop/checkout-0", r.Pods[0].Pod, "the most important pod comes first")
	require.Equal(t, &preemption{"a1", []string{"batch/report-1"}, 0}, checkout.Preemption)
	require.Equal(t, &nearest{"a1", []string{"needs 1500m cpu more"}}, checkout.Nearest)

	require.Equal(t, "c1", pods["shop/web-new-0"].Node)
	require.Equal(t, "b1", pods["shop/web-new-1"].Node)
	require.Contains(t, pods["shop/web-new-2"].Error, "2 node(s) didn't match pod topology spread constraints")
	require.Equal(t, &nearest{"a1", []string{"room is kept for shop/checkout-0"}}, pods["shop/web-new-2"].Nearest)
	require.Equal(t, &nearest{"gpu1", []string{"add toleration for dedicated=gpu:NoSchedule"}}, pods["batch/train-0"].Nearest)
	require.Equal(t, map[string]int{"b1": 1, "c1": 1}, r.Placed)

	code, text, _ := runWith(t, nil)
	require.Zero(t, code)
	for _, line := range []string{
		"5 nodes, 2 pods on them, 5 to place",
		"preemption: a1 makes room by removing batch/report-1",
		"smallest change: gpu1: add toleration for dedicated=gpu:NoSchedule",
		"  c1    463    300",
		"2 of 5 placed",
	} {
		require.Contains(t, text, line)
	}
}

const node = `apiVersion: v1
kind: Node
metadata: {name: n1}
status: {allocatable: {cpu: "8", memory: 8Gi, pods: "110"}}
---
`

const deployment = `# a workload
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, resources: {requests: {cpu: 100m}}}]}
`

// Pods that the dump shows already are not made again, whether or not their
// ReplicaSet is in the dump, and new ones join them.
func TestExpandCountsWhatIsThere(t *testing.T) {
	bound := `---
apiVersion: v1
kind: Pod
metadata:
  name: web-5d4f-0
  namespace: shop
  labels: {app: web, pod-template-hash: 5d4f}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d4f, uid: u, controller: true}]
spec: {nodeName: n1, containers: [{name: web}]}
`
	replicaSet := `---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-5d4f
  namespace: shop
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]
spec:
  replicas: 1
  selector: {matchLabels: {app: web, pod-template-hash: 5d4f}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web}]}}
`
	for _, dump := range []string{bound, bound + replicaSet} {
		r, pods := answered(t, node+dump, deployment)
		require.Equal(t, 1, r.Bound)
		require.Len(t, r.Pods, 2)
		require.Equal(t, "n1", pods["shop/web-5d4f-1"].Node)
		require.Equal(t, "n1", pods["shop/web-5d4f-2"].Node)
	}
}

// Each kind of workload stands for its pods.
func TestExpandKinds(t *testing.T) {
	spec := `template: {spec: {containers: [{name: c}]}}`
	for _, test := range []struct {
		kind, spec string
		want       int
	}{
		{"Deployment", spec, 1},
		{"Deployment", "replicas: 0, " + spec, 0},
		{"ReplicaSet", "replicas: 2, " + spec, 2},
		{"StatefulSet", "replicas: 3, " + spec, 3},
		{"ReplicationController", "replicas: 2, selector: {app: web}, " + spec, 2},
		{"DaemonSet", spec, 1},
		{"DaemonSet", "template: {spec: {nodeSelector: {no: node}, containers: [{name: c}]}}", 0},
		{"Job", spec, 1},
		{"Job", "parallelism: 4, " + spec, 4},
		{"Job", "parallelism: 4, completions: 2, " + spec, 2},
		{"Job", "completions: 9, " + spec, 1},
		{"Job", "parallelism: 4, suspend: true, " + spec, 0},
	} {
		r, _ := answered(t, node+"kind: "+test.kind+"\nmetadata: {name: w}\nspec: {"+test.spec+"}\n")
		require.Equal(t, test.want, r.Pending, "%s %s", test.kind, test.spec)
		require.Equal(t, test.want, r.Placed["n1"])
	}
}

// Bad input is refused with file, document, object, field, value and what was
// expected.
func TestBadInput(t *testing.T) {
	swap := func(old, new string) string {
		require.Contains(t, deployment, old)
		return strings.Replace(deployment, old, new, 1)
	}
	for _, test := range []struct{ name, text, want string }{
		{"quoted number", swap("replicas: 3", `replicas: "3"`), `document 1: Deployment shop/web: spec.replicas: "3": want a whole number of 32 bits`},
		{"too many", swap("replicas: 3", "replicas: 2000000000"), `document 1: Deployment shop/web: spec.replicas: 2000000000: want 0 to 50000`},
		{"negative", swap("replicas: 3", "replicas: -1"), `spec.replicas: -1: want 0 to 50000`},
		{"quantity", swap("cpu: 100m", "cpu: lots"), `Deployment shop/web: spec.template.spec.containers[0].resources.requests.cpu: "lots": `},
		{"negative quantity", swap("cpu: 100m", "cpu: -1"), `document 1: Deployment shop/web: pod shop/web-new-0: spec.containers[0].resources.requests[cpu]: "-1"`},
		{"containers", swap("containers: [{name: web, resources: {requests: {cpu: 100m}}}]", "containers: web"), `spec.template.spec.containers: "web": want a list`},
		{"no containers", swap("[{name: web, resources: {requests: {cpu: 100m}}}]", "[]"), `spec.template.spec.containers: []: want at least one container`},
		{"toleration", swap("spec: {containers", "spec: {tolerations: [{key: a, operator: Like}], containers"), `spec.tolerations[0].operator: "Like"`},
		{"label", swap("labels: {app: web}", "labels: {app: 3}"), `spec.template.metadata.labels.app: 3: want a string`},
		{"class", swap("spec: {containers", "spec: {priorityClassName: gold, containers"), `document 1: Deployment shop/web: pod shop/web-new-0: spec.priorityClassName: "gold": want the name of a PriorityClass`},
		{"twice", deployment + deployment[len("# a workload\n"):], `document 2: Deployment shop/web: metadata.name: "web": is in `},
		{"second document", deployment + "---\nkind: Pod\nmetadata: {name: p}\nspec: {priority: high}\n", `document 2: Pod default/p: spec.priority: "high": want a whole number of 32 bits`},
		{"no kind", "metadata: {name: a}\n", `document 1: kind: "": want the kind of a Kubernetes object`},
		{"no name", "kind: Pod\n", `document 1: Pod: metadata.name: "": want a name`},
		{"taint", "kind: Node\nmetadata: {name: a}\nspec: {taints: [{key: x, effect: Never}]}\n", `Node default/a: node a: spec.taints[0].effect: "Never"`},
		{"scalar", "hello\n", `document 1: "hello": want an object`},
		{"list", "- a\n", `document 1: ["a"]: want an object`},
		{"not YAML", "a: {b\n", `document 1: not YAML`},
		{"key twice", "kind: Pod\nkind: Pod\n", `document 1: not YAML`},
		{"not JSON", `{"kind": `, `document 1: `},
		{"item", `{"kind":"List","items":[{"kind":"Pod","metadata":{"name":"p"},"spec":{"hostNetwork":"yes"}}]}`, `document 1, items[0]: Pod default/p: spec.hostNetwork: "yes": want true or false`},
		{"typed list", `{"kind":"PodList","items":[{"metadata":{"name":"p","labels":[]}}]}`, `items[0]: metadata.labels: []: want an object`},
		{"deep", strings.Repeat(`{"kind":"List","items":[`, 9) + strings.Repeat("]}", 9), `lists in lists`},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, log := runWith(t, nil, node, test.text)
			require.Equal(t, 2, code, out)
			require.Contains(t, log, "in1.yaml: ")
			require.Contains(t, log, test.want)
			require.Empty(t, out)
			require.Equal(t, 1, strings.Count(log, "\n"))
		})
	}
}

func TestBadCommandLine(t *testing.T) {
	for _, args := range [][]string{{"-o", "xml"}, {"more"}, {"-rows", "-1"}, {"-nope"}, {"-f", "/does/not/exist"}} {
		code, out, log := runWith(t, args)
		require.Equal(t, 2, code, args)
		require.Empty(t, out)
		require.NotEmpty(t, log)
	}
	code, _, log := runWith(t, nil, deployment)
	require.Equal(t, 2, code)
	require.Contains(t, log, "no Node in the input")
}

// Pods that cannot be decided about are reported, and the rest go on.
func TestUndecided(t *testing.T) {
	_, pods := answered(t, node+`kind: Pod
metadata: {name: gated}
spec: {schedulingGates: [{name: wait}], containers: [{name: c}]}
---
kind: Pod
metadata: {name: claims}
spec: {resourceClaims: [{name: gpu}], containers: [{name: c}]}
---
kind: Pod
metadata: {name: foreign}
spec: {schedulerName: other, containers: [{name: c}]}
---
kind: Pod
metadata: {name: plain}
spec: {containers: [{name: c}]}
---
kind: ConfigMap
metadata: {name: other}
`)
	require.Equal(t, "waiting for scheduling gates: [wait]", pods["default/gated"].Error)
	require.Contains(t, pods["default/claims"].Error, "dynamic resource allocation is not supported")
	require.Contains(t, pods["default/foreign"].Error, `spec.schedulerName: "other"`)
	require.Equal(t, "n1", pods["default/plain"].Node)
}

// Names from the input do not drive the terminal.
func TestHostileNames(t *testing.T) {
	evil := func(kind string) string {
		return `{"kind":"` + kind + `","metadata":{"name":"\u001b[31mp\u0007\nx"},"spec":{"containers":[{"name":"c"}]}}`
	}
	code, out, log := runWith(t, nil, node, evil("Pod"))
	require.Zero(t, code, log)
	require.Contains(t, out, "[31mp")
	code, _, log = runWith(t, nil, node, evil("Pod"), evil("Pod"))
	require.Equal(t, 2, code)
	for _, text := range []string{out, log} {
		require.NotContains(t, text, "\x1b")
		require.NotContains(t, text, "\a")
		require.NotContains(t, text, "\nx")
	}
}

// Real dumps and manifests, when they are beside the repository.
func TestRealInputs(t *testing.T) {
	data := filepath.Join("..", "..", "..", "shared", "data")
	need := func(t *testing.T, name string) string {
		t.Helper()
		path := filepath.Join(data, name)
		if _, err := os.Stat(path); err != nil {
			t.Skipf("no %s beside the repository", name)
		}
		return path
	}
	t.Run("openshift", func(t *testing.T) {
		code, out, log := runWith(t, []string{"-o", "json", "-f", need(t, "openshift-insights-sample/nodes-pods.json")})
		require.Zero(t, code, log)
		r, _ := parsed(t, out)
		require.Equal(t, []int{2, 31, 1}, []int{r.Nodes, r.Bound, r.Pending})
		require.Equal(t, []string{"1 pods are on nodes that are not in the input"}, r.Notes)
	})
	t.Run("shop on real nodes", func(t *testing.T) {
		nodes := need(t, "troubleshoot/nodes-7-mixed.json")
		code, out, log := runWith(t, []string{"-o", "json", "-f", nodes, "-f", need(t, "manifests/microservices-demo/kubernetes-manifests.yaml")})
		require.Zero(t, code, log)
		r, _ := parsed(t, out)
		require.Equal(t, 7, r.Nodes)
		require.Equal(t, 12, r.Pending)
		placed := 0
		for _, p := range r.Pods {
			if p.Node != "" {
				placed++
			} else {
				require.NotEmpty(t, p.Error)
			}
		}
		require.Equal(t, 12, placed)
	})
	t.Run("kube-prometheus", func(t *testing.T) {
		args := []string{"-o", "json", "-f", need(t, "troubleshoot/nodes-7-mixed.json")}
		files, err := filepath.Glob(filepath.Join(need(t, "manifests/kube-prometheus"), "*.yaml"))
		require.NoError(t, err)
		for _, f := range files {
			args = append(args, "-f", f)
		}
		code, out, log := runWith(t, args)
		require.Zero(t, code, log)
		r, pods := parsed(t, out)
		require.NotEmpty(t, r.Pods)
		daemons := 0
		for name := range pods {
			if strings.HasPrefix(name, "monitoring/node-exporter-") {
				daemons++
				require.EqualValues(t, 2000000000, pods[name].Priority)
			}
		}
		require.Equal(t, 7, daemons, "one daemon for each node")
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(deployment))
	f.Add(shop)
	f.Add([]byte(`{"kind":"PodList","items":[{},{"metadata":{"name":"p"}}]}`))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := newInput()
		if in.read("base", []byte(node)) != nil || in.read("fuzz", data) != nil || in.expand() != nil {
			return
		}
		if len(in.pods) > 50 {
			return
		}
		if r, err := in.decide(); err == nil && r.Pending != len(r.Pods) {
			t.Fatalf("%d pods pending, %d reported", r.Pending, len(r.Pods))
		}
	})
}
