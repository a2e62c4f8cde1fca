package main

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
)

// stored reads a data directory the way the command itself would.
func stored(t *testing.T, dir string) *control.View {
	t.Helper()
	m, err := openMembers(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, m.close()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, _, err = m.leader(ctx)
	require.NoError(t, err)
	view, err := control.Snapshot(ctx, m.endpoints.Client(0))
	require.NoError(t, err)
	return view
}

// history is what must not change from one start to the next.
type history struct {
	uids       map[string]string // of objects, by key
	nodes      map[string]string // of pods, by UID
	clusterIPs map[string]string
	revision   int64
}

// follow checks a state against everything seen before, and remembers it. strict
// says that no pod may have gone, either.
func (h *history) follow(t *testing.T, view *control.View, strict bool) {
	t.Helper()
	require.GreaterOrEqual(t, view.Revision, h.revision, "the store has not gone back")
	h.revision = view.Revision
	same := func(key, uid string) {
		if old, ok := h.uids[key]; ok {
			require.Equal(t, old, uid, "%s was made twice", key)
		}
		h.uids[key] = uid
	}
	for d := range view.Deployments.All() {
		same(d.Key, d.Object.Metadata.UID)
	}
	for n := range view.Nodes.All() {
		same(n.Key, n.Object.Metadata.UID)
	}
	for s := range view.Services.All() {
		same(s.Key, s.Object.Metadata.UID)
		if old, ok := h.clusterIPs[s.Key]; ok {
			require.Equal(t, old, s.Object.Spec.ClusterIP, "address of %s", s.Key)
		}
		h.clusterIPs[s.Key] = s.Object.Spec.ClusterIP
	}
	seen := map[string]bool{}
	for p := range view.Pods.All() {
		uid, node := p.Object.Metadata.UID, p.Object.Spec.NodeName
		seen[uid] = true
		if old := h.nodes[uid]; old != "" {
			require.Equal(t, old, node, "node of %s", p.Key)
		}
		h.nodes[uid] = node
	}
	if !strict {
		return
	}
	for uid, node := range h.nodes {
		require.True(t, seen[uid], "a pod on node %q is gone", node)
	}
	for rs := range view.ReplicaSets.All() {
		made, err := strconv.Atoi(rs.Object.Metadata.Annotations[control.AnnotationPodsCreated])
		if err != nil {
			made = 0
		}
		have := 0
		for p := range view.Pods.All() {
			if p.Object.Metadata.ControlledBy(api.ReplicaSets, &rs.Object.Metadata) {
				have++
			}
		}
		require.Equal(t, have, made, "pods of %s and how many it counted", rs.Key)
		require.LessOrEqual(t, have, api.Count(rs.Object.Spec.Replicas), rs.Key)
	}
}

// TestKill9 kills the process at random moments and starts it again with the same
// flags: it goes on where it was, makes nothing twice, and moves no pod.
func TestKill9(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	random := rand.New(rand.NewPCG(9, 9))
	h := &history{uids: map[string]string{}, nodes: map[string]string{}, clusterIPs: map[string]string{}}
	kill := func(after time.Duration, args ...string) {
		cmd, out := child(t, append([]string{"-data", dir}, args...)...)
		time.Sleep(after)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		// On a fast machine it may have come to its end before.
		require.Contains(t, []int{-1, exitOK}, cmd.ProcessState.ExitCode(), out.String())
	}
	for range 5 {
		kill(50*time.Millisecond+time.Duration(random.IntN(550))*time.Millisecond, "-faults=false")
		h.follow(t, stored(t, dir), true)
	}
	status, out, errs := inProcess("-data", dir, "-faults=false")
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	h.follow(t, stored(t, dir), true)
	for range 3 {
		kill(800*time.Millisecond + time.Duration(random.IntN(1500))*time.Millisecond)
		h.follow(t, stored(t, dir), false)
	}
	status, out, errs = inProcess("-data", dir)
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	require.NotContains(t, out, "created:")
	h.follow(t, stored(t, dir), false)
}

// A run that was killed while it drained a node leaves the node closed; the next
// one opens it, or drains it to the end.
func TestKilledWhileDraining(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	status, out, errs := inProcess("-data", dir, "-faults=false")
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	cordon := func(name string) {
		m, err := openMembers(dir)
		require.NoError(t, err)
		defer func() { require.NoError(t, m.close()) }()
		client := m.endpoints.Client(0)
		view, err := control.Snapshot(t.Context(), client)
		require.NoError(t, err)
		a, ok, err := control.Cordon(view.Nodes[api.Nodes.Key("", name)], true)
		require.NoError(t, err)
		require.True(t, ok)
		_, err = control.Commit(t.Context(), client, a)
		require.NoError(t, err)
	}
	cordon("general-c1")
	status, out, errs = inProcess("-data", dir, "-faults=false")
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	require.Contains(t, out, "uncordon node general-c1, which an earlier run was draining")
	cordon("general-c2")
	status, out, errs = inProcess("-data", dir)
	require.Equal(t, exitOK, status, "%s\n%s", errs, out)
	require.Contains(t, out, "cordon node general-c2 and drain it")
	for n := range stored(t, dir).Nodes.All() {
		require.False(t, n.Object.Spec.Unschedulable, n.Key)
	}
}
