package scheduler

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/orchcore/orchcore/bench/internal/workload"
	"github.com/orchcore/orchcore/bench/peers/internal/compare"
)

// sharedData is where real inputs may be, beside the repository.
const sharedData = "../../../../../../shared/data"

func needFile(t *testing.T, path ...string) string {
	t.Helper()
	full := filepath.Join(append([]string{sharedData}, path...)...)
	if _, err := os.Stat(full); err != nil {
		t.Skipf("no real data here: %v", err)
	}
	return full
}

// agree decides all pending pods of one case on both sides.
func agree(t *testing.T, c clusterCase, suite func(*bench) compare.Suite, percent int) {
	t.Helper()
	cases := suite(&bench{percent: percent}).(*compare.Cases[clusterCase])
	cases.Corners = []clusterCase{c}
	for _, r := range compare.Run(compare.Area{Name: "real", Suites: []compare.Suite{cases}}, compare.Options{}) {
		t.Logf("%s: %d decisions, %d differences", r.Part, r.Cases, r.Differences)
		if r.Differences > 0 {
			t.Errorf("%s differs\nupstream: %s\nours:     %s", r.Part, r.Example.Upstream, r.Example.Ours)
		}
	}
}

// Two nodes and 32 pods of a real cluster: all pods are taken off and decided
// again.
func TestRealDump(t *testing.T) {
	data, err := os.ReadFile(needFile(t, "openshift-insights-sample", "nodes-pods.json"))
	if err != nil {
		t.Fatal(err)
	}
	agree(t, unplaced(t, data), decisions, 100)
}

// Seven real nodes of several clusters, with their labels, taints and images,
// under the pods of the dump.
func TestRealNodes(t *testing.T) {
	nodes, err := os.ReadFile(needFile(t, "troubleshoot", "nodes-7-mixed.json"))
	if err != nil {
		t.Fatal(err)
	}
	pods, err := os.ReadFile(needFile(t, "openshift-insights-sample", "nodes-pods.json"))
	if err != nil {
		t.Fatal(err)
	}
	agree(t, unplaced(t, nodes, pods), decisions, 100)
}

// The first pods of a GPU cluster's trace, in order of arrival, on all its 1523
// nodes; with upstream's default of looking at a part of them.
func TestOpenB(t *testing.T) {
	folder := filepath.Dir(needFile(t, "openb", workload.OpenBNodes))
	for _, pods := range []string{workload.OpenBPods, workload.OpenBSpec} {
		t.Run(pods, func(t *testing.T) {
			c, err := workload.OpenB(folder, pods)
			if err != nil {
				t.Fatal(err)
			}
			c.Pods = c.Pods[:200]
			agree(t, clusterCase{c.JSON()}, truncated, 0)
			c.Pods = c.Pods[:20]
			agree(t, clusterCase{c.JSON()}, decisions, 100)
		})
	}
}

// unplaced makes a case of Lists: the nodes of the first, the pods of all,
// without their nodes.
func unplaced(t *testing.T, lists ...[]byte) clusterCase {
	t.Helper()
	var c struct {
		Nodes []json.RawMessage `json:"nodes"`
		Pods  []any             `json:"pods"`
	}
	for i, data := range lists {
		var list struct {
			Items []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		for _, item := range list.Items {
			var object map[string]any
			if err := json.Unmarshal(item, &object); err != nil {
				t.Fatal(err)
			}
			switch object["kind"] {
			case "Node":
				if i == 0 {
					c.Nodes = append(c.Nodes, item)
				}
			case "Pod":
				delete(object["spec"].(map[string]any), "nodeName")
				delete(object, "status")
				c.Pods = append(c.Pods, object)
			}
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return clusterCase{text}
}
