package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// childArgs, when set, makes the test binary run as the command itself.
const childArgs = "MINICLUSTER_TEST_ARGS"

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(childArgs); ok {
		var args []string
		if err := json.Unmarshal([]byte(text), &args); err != nil {
			os.Exit(99)
		}
		os.Exit(mainStatus(args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// child starts the command as a process of its own.
func child(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	text, err := json.Marshal(args)
	require.NoError(t, err)
	out := &bytes.Buffer{}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childArgs+"="+string(text))
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	return cmd, out
}

// inProcess runs the command in this process.
func inProcess(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = mainStatus(args, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

func TestShop(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	status, out, errs := inProcess("-data", dir)
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	for _, line := range []string{
		"created: 2 DaemonSet, 17 Deployment", "4 PodDisruptionBudget",
		"at rest", "57 pods on nodes, 57 of them ready, 1 without a node",
		"leader of the store at term", "crashes after", "is back and has caught up",
		"the leading scheduler, crashes", "cordon node", "is drained:", "daemon set pod", "Pods that were placed since", "in its place",
		"shop/warehouse-export-", "0/10 nodes are available: 2 node(s) had untolerated taint(s), 8 Insufficient cpu, 8 Insufficient memory.",
		"iptables", "nftables", "member 3: revision",
	} {
		require.Contains(t, out, line)
	}
	require.Equal(t, 7, strings.Count(out, "  holds "), out)
	require.NotContains(t, out, "BROKEN")

	status, out, errs = inProcess("-data", dir)
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	require.Contains(t, out, "found a cluster: 10 nodes, 58 pods, 57 of them on nodes")
	require.Contains(t, out, "unchanged: 2 DaemonSet, 17 Deployment")
	require.NotContains(t, out, "created:")
}

func TestRealInputs(t *testing.T) {
	const data = "../../../shared/data/"
	if _, err := os.Stat(data); err != nil {
		t.Skipf("no real inputs at %s: %v", data, err)
	}
	for _, c := range []struct {
		path  string
		lines []string
	}{
		{"manifests", []string{"skipped: 8 of unknown kind networking.k8s.io/v1 NetworkPolicy", "skipped: 1 of unknown kind monitoring.coreos.com/v1 Prometheus", "28 pods on nodes"}},
		{"manifests/kube-prometheus", []string{"1 DaemonSet, 5 Deployment", "10 default nodes"}},
		{"manifests/microservices-demo", []string{"12 pods on nodes, 12 of them ready, 0 without a node"}},
		{"openshift-insights-sample", []string{
			"32 pods on nodes", "stays: pod openshift-etcd/etcd-master-0.example.internal: static pod",
			"openshift-monitoring/alertmanager-main-0 came on node ip-10-0-134-121.us-east-2.compute.internal, which is not in the input",
			"openshift-ingress/router-default-7bbdcfcf9b-7xdln",
		}},
		{"troubleshoot/nodes-7-mixed.json", []string{"created: 7 Node", `spec.podCIDR "***HIDDEN***/25" is no IPv4 range`}},
	} {
		t.Run(c.path, func(t *testing.T) {
			t.Parallel()
			status, out, errs := inProcess("-f", data+c.path)
			require.Equal(t, exitOK, status, "%s\n%s", errs, out)
			for _, line := range c.lines {
				require.Contains(t, out, line)
			}
		})
	}
}

// A broken input is refused as a whole, before there is a store.
func TestBrokenInputStoresNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good := "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}\n"
	for _, c := range []struct{ name, path, want string }{
		{"type", write("type.yaml", good+"---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: \"3\"}\n"), `type.yaml: document 2 (line 5): Deployment web: spec.replicas: "3": want a number, not in quotes`},
		{"cluster IP taken", write("ip.yaml", good+"---\n"+strings.Replace(good, "name: a", "name: b", 1)), `ip.yaml: document 2 (line 5): Service default/b: spec.clusterIP: "10.96.0.7": want an address that is free; default/a has it`},
		{"node port out of range", write("port.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: NodePort, ports: [{port: 80, nodePort: 8080}]}\n"), "spec.ports[0].nodePort: 8080: want 30000 to 32767"},
		{"too many pods", write("many.yaml", manyDeployments(3, 9999)), "at most 20000 pods"},
		{"nothing known", write("none.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"), "no object of a kind that is known"},
		{"missing", filepath.Join(dir, "missing.yaml"), "no such file"},
	} {
		data := filepath.Join(dir, "data-"+strings.ReplaceAll(c.name, " ", "-"))
		status, out, errs := inProcess("-data", data, "-f", c.path)
		require.Equal(t, exitUsage, status, c.name)
		require.Contains(t, errs, c.want, c.name)
		require.Empty(t, out, c.name)
		require.NoDirExists(t, data, c.name)
	}
}

func manyDeployments(count, replicas int) string {
	var b strings.Builder
	for i := range count {
		name := string(rune('a' + i))
		b.WriteString(strings.NewReplacer("NAME", name, "REPLICAS", jsonOf(replicas)).Replace(`
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: c, image: c, resources: {requests: {cpu: 10m}}}]}
`))
	}
	return b.String()
}

func jsonOf(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"extra"}, `argument "extra"`},
		{[]string{"-schedulers", "0"}, "-schedulers 0"},
		{[]string{"-lease-duration", "1s", "-renew-deadline", "2s"}, "duration > deadline"},
		{[]string{"-nonsense"}, "flag provided but not defined"},
		{[]string{"-drain", "nowhere"}, "-drain nowhere: there is no such node"},
	} {
		status, _, errs := inProcess(c.args...)
		require.Equal(t, exitUsage, status, c.args)
		require.Contains(t, errs, c.want)
	}
	status, _, errs := inProcess("-h")
	require.Equal(t, exitOK, status)
	require.Contains(t, errs, "-lease-duration")
}

// The same input gives the same pods on the same nodes, whatever happened in
// between in which order.
func TestOtherManifestsOnOldData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "app.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write(manyDeployments(2, 3))
	status, out, errs := inProcess("-data", data, "-f", file, "-faults=false")
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	require.Contains(t, out, "6 pods on nodes, 6 of them ready")

	// One deployment changes its template and size, the other leaves the input.
	write(strings.ReplaceAll(manyDeployments(1, 5), "image: c", "image: d"))
	status, out, errs = inProcess("-data", data, "-f", file, "-faults=false")
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	require.Contains(t, out, "configured: 1 Deployment")
	require.Contains(t, out, "8 pods on nodes, 8 of them ready")
	require.Equal(t, 3, strings.Count(out, "default/b-"), "what left the input stays: %s", out)
}

func TestSignals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		signal syscall.Signal
		status int
	}{{syscall.SIGINT, exitInterrupted}, {syscall.SIGTERM, exitTerminated}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			cmd, out := child(t, "-data", data)
			time.Sleep(1500 * time.Millisecond)
			require.NoError(t, cmd.Process.Signal(c.signal))
			_ = cmd.Wait()
			require.Equal(t, c.status, cmd.ProcessState.ExitCode(), out.String())
			require.Contains(t, out.String(), "stopped: "+c.signal.String())
			status, text, errs := inProcess("-data", data, "-faults=false")
			require.Equal(t, exitOK, status, "%s\n%s", errs, text)
		})
	}
}

// Pods of the input that a taint drives out, that are one too many, or that a drain
// evicts have not been lost.
func TestPodsThatEndForAReason(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "in.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {taints: [{key: out, effect: NoExecute}]}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "20"}}
---
apiVersion: v1
kind: Node
metadata: {name: n2}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "20"}}
---
apiVersion: v1
kind: Pod
metadata: {name: p1}
spec: {nodeName: n1, containers: [{name: c, image: x}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: rs, uid: u1}
spec:
  replicas: 1
  selector: {matchLabels: {app: z}}
  template: {metadata: {labels: {app: z}}, spec: {containers: [{name: c, image: x}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: rs-a, labels: {app: z}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: rs, uid: u1, controller: true}]}
spec: {nodeName: n2, containers: [{name: c, image: x}]}
---
apiVersion: v1
kind: Pod
metadata: {name: rs-b, labels: {app: z}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: rs, uid: u1, controller: true}]}
spec: {nodeName: n2, containers: [{name: c, image: x}]}
`), 0o600))
	status, out, errs := inProcess("-f", file, "-drain", "n2")
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	for _, line := range []string{"1 driven out by taints", "1 pods too many", "node n2 is drained: 1 pods evicted", "1 node(s) were unschedulable"} {
		require.Contains(t, out, line)
	}
}
