package scheduler

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// list is what kubectl get -o json prints.
type list struct {
	Items []json.RawMessage `json:"items"`
}

// loadDump reads real objects, or skips when they are not there.
func loadDump(t *testing.T, path string) (nodes []*Node, pods []*Pod) {
	text, err := os.ReadFile("../../shared/data/" + path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no %s beside the repository: real objects are not tested", path)
	}
	require.NoError(t, err)
	var l list
	if text[0] == '[' {
		require.NoError(t, json.Unmarshal(text, &l.Items))
	} else {
		require.NoError(t, json.Unmarshal(text, &l))
	}
	for _, item := range l.Items {
		var kind struct{ Kind string }
		require.NoError(t, json.Unmarshal(item, &kind))
		switch kind.Kind {
		case "Node":
			nodes = append(nodes, decodeAs[Node](t, string(item)))
		case "Pod":
			pods = append(pods, decodeAs[Pod](t, string(item)))
		}
	}
	return nodes, pods
}

func TestRealCluster(t *testing.T) {
	nodes, pods := loadDump(t, "openshift-insights-sample/nodes-pods.json")
	require.Len(t, nodes, 2)
	require.Len(t, pods, 32)
	c := NewCache(CacheConfig{HoldUnknownNodes: true})
	for _, n := range nodes {
		require.NoError(t, c.AddNode(n))
	}
	var pending []*Pod
	for _, p := range pods {
		if p.Spec.NodeName == "" {
			pending = append(pending, p)
			continue
		}
		require.NoError(t, c.AddPod(p))
	}
	s := newScheduler(t, c)
	for _, p := range pending {
		_, err := s.Schedule(p)
		var fit *FitError
		if err != nil {
			require.ErrorAs(t, err, &fit)
		}
	}
}

func TestRealNodes(t *testing.T) {
	nodes, _ := loadDump(t, "troubleshoot/nodes-7-mixed.json")
	require.Len(t, nodes, 7)
	c := NewCache(CacheConfig{})
	for _, n := range nodes {
		require.NoError(t, c.AddNode(n))
		require.NotEmpty(t, n.Labels)
		require.Positive(t, c.nodes[n.Name].Allocatable.CPUMilli)
	}
}

func TestDecodeErrors(t *testing.T) {
	for object, want := range map[string]string{
		`{"spec":{"priority":"high"}}`:                                      "spec.priority",
		`{"spec":{"containers":[{"resources":{"requests":{"cpu":"1x"}}}]}}`: "1x",
		`{"spec":{"topologySpreadConstraints":[{"maxSkew":99999999999}]}}`:  "maxSkew",
		`{"metadata":{"labels":{"a":1}}}`:                                   "labels",
		`{"metadata":{"deletionTimestamp":"yesterday"}}`:                    "yesterday",
		`{"spec":{"affinity":{"podAffinity":[]}}}`:                          "podAffinity",
	} {
		var p Pod
		err := json.Unmarshal([]byte(object), &p)
		require.ErrorContains(t, err, want, object)
	}
}
