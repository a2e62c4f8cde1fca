package qos

import (
	"encoding/json"
	"testing"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

// equalUnderTwo is a node short of pids and of its file system, both acted on
// at once, with two pods that rank equal in processes but not in disk use, and
// a third that never goes first.
func equalUnderTwo() evictorCase {
	pod := func(name string, priority int) json.RawMessage {
		return raw(tree{"metadata": tree{"name": name, "namespace": "a", "uid": name, "creationTimestamp": "2026-01-02T03:00:00Z"},
			"spec": tree{"priority": priority, "containers": []any{tree{"name": "c"}}}})
	}
	stats := func(name string, bytes int) tree {
		return tree{"podRef": tree{"name": name, "namespace": "a", "uid": name}, "process_stats": tree{"process_count": 42},
			"containers": []any{tree{"name": "c", "rootfs": tree{"usedBytes": bytes}}}}
	}
	fs := tree{"availableBytes": 50, "capacityBytes": 1000}
	summary := raw(tree{
		"node": tree{"fs": fs, "runtime": tree{"imageFs": fs, "containerFs": fs}, "rlimit": tree{"maxpid": 1000, "curproc": 950}},
		"pods": []any{stats("less", 10), stats("more", 20), stats("high", 30)}})
	return evictorCase{
		Settings:   settingsCase{Hard: map[string]string{"nodefs.available": "20%", "pid.available": "10%"}},
		Transition: 1, NoLimits: true,
		Pods:   []json.RawMessage{pod("less", 10), pod("more", 10), pod("high", 11)},
		Passes: []passCase{{AfterSeconds: 1, Summary: summary, Reclaimed: summary}},
	}
}

func TestOutcomesThatUpstreamMayHave(t *testing.T) {
	const (
		disk = " grace 1: Evicted The node was low on resource: ephemeral-storage. Threshold quantity: 200, available: 50. " +
			"Container c was using "
		consumption = ", request is 0, has larger consumption of ephemeral-storage. "
		pids        = " grace 1: Evicted The node was low on resource: pids. Threshold quantity: 100, available: 50. "
	)
	both := equalUnderTwo()
	waiting := equalUnderTwo() // the threshold of pids is crossed, but not yet for its grace period
	waiting.Settings = settingsCase{Hard: map[string]string{"nodefs.available": "20%"},
		Soft: map[string]string{"pid.available": "10%"}, Grace: map[string]string{"pid.available": "1m"}}
	memory := equalUnderTwo() // goes before all others, on both sides
	memory.Settings = settingsCase{Hard: map[string]string{"memory.available": "100", "pid.available": "10%"}}
	var s tree
	if err := json.Unmarshal(memory.Passes[0].Summary, &s); err != nil {
		t.Fatal(err)
	}
	s["node"].(map[string]any)["memory"] = tree{"availableBytes": 50, "workingSetBytes": 950}
	memory.Passes[0].Summary = raw(s)

	for _, tc := range []struct {
		name       string
		c          evictorCase
		upstream   string
		order, tie bool
	}{
		{"other threshold, first of the equals", both, "less" + pids, true, false},
		{"other threshold, last of the equals", both, "more" + pids, true, false},
		{"other threshold, not equal", both, "high" + pids, false, false},
		{"same threshold, not equal", both, "less" + disk + "10" + consumption, false, false},
		{"other message", both, "more grace 1: Evicted The node was low on resource: pids. Threshold quantity: 101, available: 50. ", false, false},
		{"other grace", both, "more grace 0: Evicted The node was low on resource: pids. Threshold quantity: 100, available: 50. ", false, false},
		{"nobody", both, "", false, false},
		{"within its grace period", waiting, "less grace 0: Evicted The node was low on resource: pids. Threshold quantity: 100, available: 50. ", false, false},
		{"memory goes first", memory, "less" + pids, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := compare.Disagreement{Part: "evictor/evict", Upstream: "pass 0: " + tc.upstream}
			if order, tie := isOtherOrder(tc.c, d), isTie(tc.c, d); order != tc.order || tie != tc.tie {
				t.Errorf("order %v, tie %v; want %v, %v", order, tie, tc.order, tc.tie)
			}
		})
	}
	r, ok := both.replay(0, false)
	if !ok || r.decision.Resolving.Signal != qos.NodeFSAvailable || len(r.choices) != 3 {
		t.Errorf("replayed %+v, %v: want nodefs resolved, and it, containerfs and pids to choose from", r, ok)
	}
	if r, ok = memory.replay(0, false); !ok || r.decision.Resolving == nil || len(r.choices) != 1 {
		t.Errorf("replayed %+v, %v: want memory alone to choose from", r, ok)
	}
}

// TestTie: equals under the one threshold crossed.
func TestTie(t *testing.T) {
	c := equalUnderTwo()
	c.Settings.Hard = map[string]string{"pid.available": "10%"}
	const pids = " grace 1: Evicted The node was low on resource: pids. Threshold quantity: 100, available: 50. "
	for name, want := range map[string]bool{"less": true, "more": true, "high": false} {
		d := compare.Disagreement{Part: "evictor/evict", Upstream: "pass 0: " + name + pids}
		if isTie(c, d) != want || isOtherOrder(c, d) {
			t.Errorf("%s: tie %v, order %v; want %v, false", name, isTie(c, d), isOtherOrder(c, d), want)
		}
	}
}
