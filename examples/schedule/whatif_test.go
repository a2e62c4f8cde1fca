package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// manifest is a node with 4 CPUs, or a pod, by the fields of its spec.
func manifest(kind, name, annotations, spec string) string {
	status := ""
	if kind == "Node" {
		status = "\nstatus: {allocatable: {cpu: \"4\", pods: \"10\"}}"
	}
	return fmt.Sprintf("---\nkind: %s\napiVersion: v1\nmetadata: {name: %s, annotations: {%s}}\nspec: {%s}%s\n", kind, name, annotations, spec, status)
}

func asks(cpu string) string {
	return fmt.Sprintf(`containers: [{name: c, image: c, resources: {requests: {cpu: "%s"}}}]`, cpu)
}

func TestWhatIf(t *testing.T) {
	cluster := manifest("Node", "a", "", "") + manifest("Node", "b", "", "") +
		manifest("Pod", "small", "", asks("1")) + manifest("Pod", "huge", "", asks("16")) + manifest("Pod", "large", "", asks("6"))
	kinds := filepath.Join(t.TempDir(), "kinds.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(kinds, []byte(text), 0o600)) }
	write("kind: Node\nmetadata: {name: big, annotations: {price: \"7\"}}\nstatus: {allocatable: {cpu: \"8\", pods: \"10\"}}\n")
	code, out, log := runWith(t, []string{"-capacity", "default/small", "-shrink", "-pack", kinds}, cluster)
	require.Zero(t, code, log)
	require.Contains(t, out, "room for 7 more of that pod\n  3 on a\n  4 on b\n")
	require.Contains(t, out, "1 nodes can be emptied\n  b:\n")
	require.Contains(t, out, "a stays because of default/small")
	require.Contains(t, out, "1 new nodes for the pods that are not placed, for 7; at least 1, for 7\n  big-0 takes 1\n  default/huge: 0/2 nodes are available")

	for _, bad := range [][]string{{"-capacity", "nobody"}, {"-pack", "/does/not/exist"}} {
		code, _, log := runWith(t, bad, cluster)
		require.Equal(t, 2, code)
		require.NotEmpty(t, log)
	}
	write("kind: Node\nmetadata: {name: big, annotations: {price: cheap}}\n")
	code, _, log = runWith(t, []string{"-pack", kinds}, cluster)
	require.Equal(t, 2, code)
	require.Contains(t, log, `node big: metadata.annotations[price]: "cheap": want a number, 0 or more`)
}
