package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func runWith(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

func write(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "dump.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

const described = `
kind: Node
metadata: {name: n1}
status: {capacity: {cpu: "4", memory: 8Gi}}
---
kind: Pod
metadata: {name: big, namespace: a, uid: u1}
spec: {nodeName: n1, containers: [{name: c, resources: {requests: {memory: 1Gi}}}]}
---
kind: Pod
metadata: {name: small, namespace: a, uid: u2}
spec: {nodeName: n1, priority: 5, containers: [{name: c}]}
---
kind: Pod
metadata: {name: done, namespace: a, uid: u3}
spec: {nodeName: n1, containers: [{name: c}]}
status: {phase: Succeeded}
`

func TestDescribedNode(t *testing.T) {
	code, out, errText := runWith("-f", write(t, described), "-signal", "memory.available")
	require.Zero(t, code, errText)
	require.Contains(t, out, "NODE n1: as described")
	require.Regexp(t, `a/big +Burstable +0 +1Gi +\? +2/1 +875`, out)
	require.Regexp(t, `(?s)1 +a/big .*2 +a/small`, out)
	require.NotContains(t, out, "a/done")
	require.NotContains(t, out, "pid.available")

	stats := write(t, `{"node":{"memory":{"availableBytes":52428800,"workingSetBytes":8537505792}},
		"pods":[{"podRef":{"uid":"u1"},"memory":{"workingSetBytes":1048576}},{"podRef":{"uid":"u2"},"memory":{"workingSetBytes":1048576}}]}`)
	code, out, errText = runWith("-f", write(t, described), "-stats", stats)
	require.Zero(t, code, errText)
	require.Regexp(t, `memory.available +8Gi`, out)
	require.Contains(t, out, "CROSSED: MemoryPressure")
	require.Contains(t, out, "A kubelet would now evict a/small. The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. ")
}

func TestErrors(t *testing.T) {
	for want, args := range map[string][]string{
		`unexpected argument "x"`:                            {"x"},
		"want -f too":                                        {"-node", "n1"},
		"-live goes with no other flag":                      {"-live", "-f", "x"},
		"unsupported eviction signal cpu":                    {"-signal", "cpu"},
		`"memory.available": want signal<amount`:             {"-hard", "memory.available"},
		`must be <= 100%: 200%`:                              {"-hard", "memory.available<200%"},
		"no such file":                                       {"-f", "/does/not/exist"},
		"no pods: want those of a node":                      {"-f", write(t, "kind: Node\nmetadata: {name: node1}\n")},
		`no pods on node "n2"`:                               {"-f", write(t, described), "-node", "n2"},
		`document 1, pod "p": spec.containers[0].resources.`: {"-f", write(t, "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{resources: {limits: {cpu: 1x}}}]}\n")},
		"did not find expected node":                         {"-f", write(t, "kind: [")},
	} {
		code, out, errText := runWith(args...)
		require.Equal(t, 2, code, args)
		require.Contains(t, errText, want)
		require.NotContains(t, out, "NODE")
	}
}

func TestThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can be measured")
	}
	code, out, errText := runWith()
	require.Zero(t, code, errText)
	require.Contains(t, out, "NODE this machine")
	require.Contains(t, out, "kube-system/etcd")
}

func TestRealDump(t *testing.T) {
	file := "../../../shared/data/openshift-insights-sample/nodes-pods.json"
	if _, err := os.Stat(file); err != nil {
		t.Skip("no sample of a real cluster: ", err)
	}
	code, out, errText := runWith("-f", file)
	require.Zero(t, code, errText)
	require.Contains(t, out, "no statistics")
}
