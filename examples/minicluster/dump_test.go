package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
)

// dump prints every object of a cluster as kubectl get -o json would have got it
// from a cluster that knows nothing of this program.
func dump(t *testing.T, view *control.View) []byte {
	t.Helper()
	var items []api.Fields
	add := func(raw []byte) {
		tree, err := api.Tree(raw)
		require.NoError(t, err)
		meta := tree["metadata"].(api.Fields)
		notes, _ := meta["annotations"].(api.Fields)
		for name := range notes {
			if strings.HasPrefix(name, "minicluster.orchcore/") {
				delete(notes, name)
			}
		}
		meta["resourceVersion"] = "12345"
		items = append(items, tree)
	}
	for o := range view.Nodes.All() {
		add(o.Raw)
	}
	for o := range view.Services.All() {
		add(o.Raw)
	}
	for o := range view.Slices.All() {
		add(o.Raw)
	}
	for o := range view.Deployments.All() {
		add(o.Raw)
	}
	for o := range view.ReplicaSets.All() {
		add(o.Raw)
	}
	for o := range view.DaemonSets.All() {
		add(o.Raw)
	}
	for o := range view.StatefulSets.All() {
		add(o.Raw)
	}
	for o := range view.Pods.All() {
		add(o.Raw)
	}
	text, err := json.Marshal(api.Fields{"apiVersion": "v1", "kind": "List", "items": items})
	require.NoError(t, err)
	return text
}

// A dump of a whole cluster comes to life as it was: the same pods on the same
// nodes, nothing made anew; and its controllers go on working.
func TestDumpOfACluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second, file := filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "dump.json")
	status, out, errs := inProcess("-data", first, "-faults=false")
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	before := stored(t, first)
	require.NoError(t, os.WriteFile(file, dump(t, before), 0o600))

	status, out, errs = inProcess("-data", second, "-f", file, "-faults=false")
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	require.Contains(t, out, "at rest")
	require.NotContains(t, out, "pods made")
	require.NotContains(t, out, "endpoint slices made")
	after := stored(t, second)
	require.Len(t, after.Pods, len(before.Pods))
	require.Len(t, after.ReplicaSets, len(before.ReplicaSets))
	require.Len(t, after.Slices, len(before.Slices))
	for p := range before.Pods.All() {
		require.Equal(t, p.Object.Spec.NodeName, after.Pods[p.Key].Object.Spec.NodeName, p.Key)
		require.Equal(t, p.Object.Metadata.UID, after.Pods[p.Key].Object.Metadata.UID, p.Key)
		require.Equal(t, p.Object.Status.PodIP, after.Pods[p.Key].Object.Status.PodIP, p.Key)
	}
	for s := range before.Services.All() {
		require.Equal(t, s.Object.Spec.ClusterIP, after.Services[s.Key].Object.Spec.ClusterIP)
	}

	status, out, errs = inProcess("-data", second, "-f", file)
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	require.Contains(t, out, "in its place: pod shop/")
}
