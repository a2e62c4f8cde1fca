package scheduler

import (
	"cmp"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
	"github.com/stretchr/testify/require"
)

// openbTraces are the pod lists, with what kube-scheduler v1.36.3 does with
// them, all nodes scored: the number of pods placed, and the hash of the node of
// each pod on a line of its own, an empty line for a pod that fits nowhere.
var openbTraces = []struct {
	pods   string
	placed int
	hash   string
}{
	{"openb_pod_list_default.csv", 7149, "3f7038bd8321087b1b0f785cefdc033193a36907c9e08290af2b1ff6e3f27d5c"},
	{"openb_pod_list_gpuspec33.csv", 7073, "1c15fa975b42724ec4cd46069802503c26cff1041d44e0e9cfc3779ff17e7e8d"},
}

// TestOpenbTrace places the pods of the openb trace (Alibaba's GPU cluster of
// 2023: 1,523 nodes, 8,152 pods) in the order of their arrival.
func TestOpenbTrace(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, trace := range openbTraces {
		t.Run("pods="+trace.pods, func(t *testing.T) {
			placed, hash := replayOpenb(t, trace.pods)
			require.Equal(t, trace.placed, placed)
			require.Equal(t, trace.hash, hash)
		})
	}
}

// replayOpenb places the pods one by one and hashes the nodes they go to.
func replayOpenb(t *testing.T, list string) (placed int, placements string) {
	c := NewCache(CacheConfig{})
	for _, row := range readCSV(t, "openb_node_list_all_node.csv") {
		n := &Node{ObjectMeta: ObjectMeta{Name: row["sn"], Labels: map[string]string{LabelHostname: row["sn"]}}}
		n.Status.Allocatable = openbAmounts(t, row["cpu_milli"], row["memory_mib"], row["gpu"])
		n.Status.Allocatable["pods"] = resource.NewInt(256)
		if row["model"] != "" {
			n.Labels["model"] = row["model"]
		}
		require.NoError(t, c.AddNode(n))
	}
	pods := readCSV(t, list)
	slices.SortStableFunc(pods, func(a, b map[string]string) int { return cmp.Compare(seconds(t, a), seconds(t, b)) })
	s := newScheduler(t, c)
	hash := sha256.New()
	for _, row := range pods {
		p := openbPod(t, row)
		placement, err := s.Schedule(p)
		var fit *FitError
		if !errors.As(err, &fit) {
			require.NoError(t, err)
			require.NoError(t, c.Assume(p, placement.Node))
			placed++
		}
		fmt.Fprintln(hash, placement.Node)
	}
	return placed, hex.EncodeToString(hash.Sum(nil))
}

func openbPod(t *testing.T, row map[string]string) *Pod {
	p := &Pod{ObjectMeta: ObjectMeta{Name: row["name"], UID: row["name"]}}
	c := Container{Name: "main"}
	c.Resources.Requests = openbAmounts(t, row["cpu_milli"], row["memory_mib"], row["num_gpu"])
	p.Spec.Containers = []Container{c}
	if models := row["gpu_spec"]; models != "" {
		in := selector.NodeSelectorRequirement{Key: "model", Operator: "In", Values: strings.Split(models, "|")}
		term := selector.NodeSelectorTerm{MatchExpressions: []selector.NodeSelectorRequirement{in}}
		p.Spec.Affinity = &Affinity{NodeAffinity: &NodeAffinity{
			Required: &selector.NodeSelector{NodeSelectorTerms: []selector.NodeSelectorTerm{term}},
		}}
	}
	return p
}

func openbAmounts(t *testing.T, cpuMilli, memoryMiB, gpus string) resource.List {
	list := resource.List{"cpu": parse(t, cpuMilli+"m"), "memory": parse(t, memoryMiB+"Mi")}
	if gpus != "" && gpus != "0" {
		list["nvidia.com/gpu"] = parse(t, gpus)
	}
	return list
}

func parse(t *testing.T, s string) resource.Quantity {
	q, err := resource.Parse(s)
	require.NoError(t, err)
	return q
}

func seconds(t *testing.T, row map[string]string) float64 {
	f, err := strconv.ParseFloat(row["creation_time"], 64)
	require.NoError(t, err)
	return f
}

// readCSV returns the rows by column, or skips when the trace is not there.
func readCSV(t *testing.T, name string) []map[string]string {
	f, err := os.Open("../../shared/data/openb/" + name)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no openb/%s beside the repository: the trace is not replayed", name)
	}
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	var out []map[string]string
	for _, row := range rows[1:] {
		m := make(map[string]string)
		for i, v := range row {
			m[rows[0][i]] = v
		}
		out = append(out, m)
	}
	return out
}
