package load_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/load"
)

// read loads one file of the given name and text.
func read(t testing.TB, name, text string) (*load.Input, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return load.Paths([]string{path}, nil)
}

// deployment is a good manifest with one line to be replaced.
const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 3
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: web:1
        resources:
          requests: {cpu: 100m}
`

const service = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports:
  - port: 80
`

func TestGoodManifestsLoad(t *testing.T) {
	in, err := read(t, "good.yaml", "# a comment\n---\n"+deployment+"---\n\n---\n"+service+"...\n")
	require.NoError(t, err)
	require.Len(t, in.Objects, 2)
	require.Equal(t, "Service shop/web", in.Objects[1].Title())
	require.Equal(t, 2, in.Objects[1].Origin.Document)
}

// A mistake is reported by file, document, object, field, value and expectation.
func TestBrokenManifests(t *testing.T) {
	for _, c := range []struct {
		name, text           string
		document             int
		object, field, value string
		want                 string // part of the expectation
	}{
		{"replicas in quotes", strings.Replace(deployment, "replicas: 3", `replicas: "3"`, 1), 1, "Deployment shop/web", "spec.replicas", `"3"`, "want a number, not in quotes"},
		{"negative replicas", strings.Replace(deployment, "replicas: 3", "replicas: -3", 1), 1, "Deployment shop/web", "spec.replicas", "-3", "want 0 to"},
		{"too many replicas", strings.Replace(deployment, "replicas: 3", "replicas: 2000000000", 1), 1, "Deployment shop/web", "spec.replicas", "2000000000", "want 0 to"},
		{"replicas beyond 32 bits", strings.Replace(deployment, "replicas: 3", "replicas: 5000000000", 1), 1, "Deployment shop/web", "spec.replicas", "5000000000", "32 bits"},
		{"half a replica", strings.Replace(deployment, "replicas: 3", "replicas: 1.5", 1), 1, "Deployment shop/web", "spec.replicas", "1.5", "whole number"},
		{"field in wrong case", strings.Replace(deployment, "replicas: 3", "Replicas: 3", 1), 1, "Deployment shop/web", "spec.Replicas", "3", `want "replicas"`},
		{"bad quantity", strings.Replace(deployment, "cpu: 100m", "cpu: lots", 1), 1, "Deployment shop/web", "spec.template.spec.containers[0].resources.requests[cpu]", `"lots"`, "quantity"},
		{"negative quantity", strings.Replace(deployment, "cpu: 100m", "cpu: -1", 1), 1, "Deployment shop/web", "spec.template.spec.containers[0].resources.requests[cpu]", `"-1"`, "not negative"},
		{"request above limit", strings.Replace(deployment, "requests: {cpu: 100m}", "{requests: {cpu: 2}, limits: {cpu: 1}}", 1), 1, "Deployment shop/web", "spec.template.spec.containers[0].resources.requests[cpu]", `"2"`, "at most the limit"},
		{"containers is no list", strings.Replace(deployment, "      containers:\n      - name: web\n        image: web:1\n        resources:\n          requests: {cpu: 100m}\n", "      containers: web\n", 1), 1, "Deployment shop/web", "spec.template.spec.containers", `"web"`, "want a list"},
		{"no containers", strings.Replace(deployment, "      containers:\n      - name: web\n        image: web:1\n        resources:\n          requests: {cpu: 100m}\n", "      containers: []\n", 1), 1, "Deployment shop/web", "spec.template.spec.containers", "0", "at least one container"},
		{"name in capitals", strings.Replace(deployment, "name: web\n  namespace", "name: Web\n  namespace", 1), 1, "Deployment shop/Web", "metadata.name", `"Web"`, "lower-case"},
		{"name with a path", strings.Replace(deployment, "name: web\n  namespace", "name: ../web\n  namespace", 1), 1, "Deployment shop/../web", "metadata.name", `"../web"`, "lower-case"},
		{"namespace with a slash", strings.Replace(deployment, "namespace: shop", "namespace: a/b", 1), 1, "Deployment a/b/web", "metadata.namespace", `"a/b"`, "lower-case"},
		{"no name", strings.Replace(deployment, "  name: web\n  namespace", "  namespace", 1), 1, "Deployment shop/", "metadata.name", `""`, "lower-case"},
		{"no metadata", "apiVersion: v1\nkind: Pod\n", 1, "Pod", "metadata", "null", "want an object"},
		{"selector misses template", strings.Replace(deployment, "matchLabels: {app: web}", "matchLabels: {app: other}", 1), 1, "Deployment shop/web", "spec.template.metadata.labels", `{"app":"web"}`, "app=other"},
		{"no selector", strings.Replace(deployment, "  selector:\n    matchLabels: {app: web}\n", "", 1), 1, "Deployment shop/web", "spec.selector", "null", "not empty"},
		{"bad label value", strings.Replace(deployment, "      labels: {app: web}", "      labels: {app: web, note: a b}", 1), 1, "Deployment shop/web", "spec.template.metadata.labels[note]", `"a b"`, "label value"},
		{"label is a number", strings.Replace(deployment, "      labels: {app: web}", "      labels: {app: web, version: 3}", 1), 1, "Deployment shop/web", "spec.template.metadata.labels[version]", "3", "want a string"},
		{"bad toleration", strings.Replace(deployment, "      containers:", "      tolerations: [{key: a, operator: Like}]\n      containers:", 1), 1, "Deployment shop/web", "spec.template.spec.tolerations[0].operator", `"Like"`, "want one of"},
		{"bad spread", strings.Replace(deployment, "      containers:", "      topologySpreadConstraints: [{maxSkew: 0, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]\n      containers:", 1), 1, "Deployment shop/web", "spec.template.spec.topologySpreadConstraints[0].maxSkew", `"0"`, "1 or more"},
		{"spread of wrong type", strings.Replace(deployment, "      containers:", "      topologySpreadConstraints: {maxSkew: 1}\n      containers:", 1), 1, "Deployment shop/web", "spec.template.spec.topologySpreadConstraints", `{"maxSkew":1}`, "want a list"},
		{"bad surge", strings.Replace(deployment, "  replicas: 3", "  strategy: {rollingUpdate: {maxSurge: lots}}", 1), 1, "Deployment shop/web", "spec.strategy.rollingUpdate.maxSurge", `"lots"`, "percentage"},
		{"port out of range", strings.Replace(service, "port: 80", "port: 80000", 1), 1, "Service shop/web", "spec.ports[0].port", "80000", "1 to 65535"},
		{"no ports", strings.Replace(service, "  ports:\n  - port: 80\n", "", 1), 1, "Service shop/web", "spec.ports", "0", "at least one"},
		{"node port on a cluster IP", strings.Replace(service, "- port: 80", "- {port: 80, nodePort: 30000}", 1), 1, "Service shop/web", "spec.ports[0].nodePort", "30000", "want none"},
		{"bad cluster IP", strings.Replace(service, "  ports:", "  clusterIP: 10.96.0.300\n  ports:", 1), 1, "Service shop/web", "spec.clusterIP", `"10.96.0.300"`, "IP address"},
		{"bad protocol", strings.Replace(service, "- port: 80", "- {port: 80, protocol: HTTP}", 1), 1, "Service shop/web", "spec.ports[0].protocol", `"HTTP"`, "TCP, UDP or SCTP"},
		{"bad service type", strings.Replace(service, "  ports:", "  type: External\n  ports:", 1), 1, "Service shop/web", "spec.type", `"External"`, "want ClusterIP"},
		{"bad affinity mode", strings.Replace(service, "  ports:", "  sessionAffinity: Sticky\n  ports:", 1), 1, "Service shop/web", "spec.sessionAffinity", `"Sticky"`, "[None ClientIP]"},
		{"bad taint", "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {taints: [{key: x, effect: Never}]}\n", 1, "Node a", "spec.taints[0].effect", `"Never"`, "NoSchedule"},
		{"node in a namespace", "apiVersion: v1\nkind: Node\nmetadata: {name: a, namespace: b}\n", 1, "Node b/a", "metadata.namespace", `"b"`, "want none"},
		{"second document", deployment + "---\n" + strings.Replace(service, "port: 80", "port: none", 1), 2, "Service shop/web", "spec.ports[0].port", `"none"`, "want a number"},
		{"twice", deployment + "---\n" + deployment, 2, "Deployment shop/web", "metadata.name", `"web"`, "already in"},
		{"no kind", "metadata: {name: a}\napiVersion: v1\n", 1, "", "kind", "null", "want a name"},
		{"kind is a list", "apiVersion: v1\nkind: [Pod]\n", 1, "", "kind", `["Pod"]`, "want a name"},
		{"items is no list", "apiVersion: v1\nkind: List\nitems: {}\n", 1, "", "items", "{}", "want a list"},
		{"item is no object", "apiVersion: v1\nkind: List\nitems: [3]\n", 1, "", "", "3", "want an object"},
		{"a scalar", "hello\n", 1, "", "", "", "want an object"},
		{"a sequence", "- a\n- b\n", 1, "", "", "", "want an object"},
		{"tab", "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: a\n", 1, "", "", "", "not YAML"},
		{"key twice", strings.Replace(deployment, "replicas: 3", "replicas: 3\n  replicas: 4", 1), 1, "", "", "", "already set"},
		{"unclosed", "apiVersion: {v1\n", 1, "", "", "", "not YAML"},
		{"latin-1", "apiVersion: v1\nkind: Pod\nmetadata: {name: caf\xe9}\n", 0, "", "", "", "not UTF-8"},
		{"budget of both kinds", "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: a}\nspec: {minAvailable: 1, maxUnavailable: 1}\n", 1, "PodDisruptionBudget default/a", "spec.maxUnavailable", "1", "want none"},
		{"budget of lots", "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: a}\nspec: {minAvailable: lots}\n", 1, "PodDisruptionBudget default/a", "spec.minAvailable", `"lots"`, "percentage"},
		{"two controllers", "apiVersion: v1\nkind: Pod\nmetadata: {name: a, ownerReferences: [{kind: A, name: a, controller: true}, {kind: B, name: b, controller: true}]}\nspec: {containers: [{name: c}]}\n", 1, "Pod default/a", "metadata.ownerReferences[1].controller", "true", "one controller only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(t, "broken.yaml", c.text)
			var e *load.Error
			require.ErrorAs(t, err, &e)
			require.Contains(t, e.Origin.File, "broken.yaml")
			require.Equal(t, c.document, e.Origin.Document, "document in %v", e)
			require.Equal(t, c.object, e.Object, "object in %v", e)
			require.Equal(t, c.field, e.Field, "field in %v", e)
			require.Equal(t, c.value, e.Value, "value in %v", e)
			require.Contains(t, e.Want, c.want)
			require.NotContains(t, e.Error(), "\n")
		})
	}
}

func TestBrokenJSON(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"cut off", `{"apiVersion":"v1","kind":"List","items":[`, "not JSON near byte"},
		{"array", `[{"kind":"Pod"}]`, "want a JSON object"},
		{"in a list", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":{}}}]}`, "items[0]: Pod a: spec.containers: {}: want a list"},
		{"in a list of a list", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"A"}}]}]}`, "items[0].items[0]: Pod default/A"},
		{"huge exponent", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"1e4294967296"}}}]}}`, "requests[cpu]"},
		{"float replicas", `{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"a"},"spec":{"replicas":1e1}}`, "without exponent"},
	} {
		_, err := read(t, "x.json", c.text)
		require.ErrorContains(t, err, c.want, c.name)
	}
}

func TestListsAreFlattened(t *testing.T) {
	in, err := read(t, "x.json", `{"apiVersion":"v1","kind":"List","items":[
		{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}]},
		{"apiVersion":"v1","kind":"NodeList","items":[{"metadata":{"name":"n"}}]},
		{"apiVersion":"v1","kind":"ConfigMapList","items":[{"metadata":{"name":"c"}},{"metadata":{"name":"d"}}]},
		{"apiVersion":"v1","kind":"PodList","items":null}]}
		{"apiVersion":"example.com/v1","kind":"Thing"}`)
	require.NoError(t, err)
	require.Len(t, in.Objects, 2)
	require.Equal(t, map[string]int{"v1 ConfigMap": 2, "example.com/v1 Thing": 1}, in.Skipped)
	deep := strings.Repeat(`{"apiVersion":"v1","kind":"List","items":[`, 50) + strings.Repeat(`]}`, 50)
	_, err = read(t, "deep.json", deep)
	require.ErrorContains(t, err, "too deep")
}

// YAML that is small and means something huge, or nothing that ends.
func TestYAMLBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	long := "a: &a \"" + strings.Repeat("x", 1<<20) + "\"\nb: [" + strings.Repeat("*a, ", 1000) + "*a]\n"
	for name, text := range map[string]string{
		"billion laughs": laughs.String(),
		"long scalar":    long,
		"itself":         "a: &a [*a]\n",
		"no such anchor": "a: *b\nc: &c x\n",
		"deep":           strings.Repeat("[", 100_000) + "&a *a",
	} {
		_, err := read(t, "bomb.yaml", text)
		require.Error(t, err, name)
		require.Less(t, len(err.Error()), 1000, name)
	}
	in, err := read(t, "anchors.yaml", "x: &labels {app: web}\n"+strings.Replace(deployment, "matchLabels: {app: web}", "matchLabels: *labels", 1))
	require.NoError(t, err, "a few anchors are nothing bad")
	require.Len(t, in.Objects, 1)
}

func TestSizeLimits(t *testing.T) {
	_, err := read(t, "big.yaml", "a: \""+strings.Repeat("x", 9<<20)+"\"\n")
	require.ErrorContains(t, err, "want at most")
	_, err = read(t, "big.yaml", `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a","annotations":{"x":"`+strings.Repeat("x", 2<<20)+`"}}}`)
	require.ErrorContains(t, err, "want at most")
	_, err = load.Paths([]string{"-"}, zeros{})
	require.ErrorContains(t, err, "larger than")
}

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte(" "), len(p)))
	return len(p), nil
}

func TestDirectoriesAreReadRecursively(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	for name, text := range map[string]string{
		"a/one.yaml": deployment, "a/b/two.yml": service, "a/b/three.json": `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"x"}}`,
		"a/README.md": "not a manifest", "a/b/values.toml": "x = [",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	in, err := load.Paths([]string{dir}, nil)
	require.NoError(t, err)
	require.Len(t, in.Objects, 3)
	require.Equal(t, 3, in.Files)
	_, err = load.Paths([]string{filepath.Join(dir, "missing")}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = load.Paths([]string{dir, filepath.Join(dir, "a", "one.yaml")}, nil)
	require.ErrorContains(t, err, "already in", "the same object from two files")
}

// Whatever comes in, the loader returns objects or an error, and never panics.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(deployment))
	f.Add([]byte(service + "---\n" + deployment))
	f.Add([]byte(`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[{"name":"c"}]}}]}`))
	f.Add([]byte("a: &a [*a]\n---\n...\n%YAML 1.1\n---\n- b"))
	f.Add([]byte("apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {taints: [{key: x, effect: NoExecute}]}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		in, err := load.Paths([]string{"-"}, bytes.NewReader(text))
		if err != nil {
			var e *load.Error
			require.True(t, errors.As(err, &e), "%v", err)
			return
		}
		for i := range in.Objects {
			require.NotEmpty(t, in.Objects[i].Meta.Name)
		}
	})
}
