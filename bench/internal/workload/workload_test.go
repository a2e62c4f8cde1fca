package workload

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

func TestSameSeedSameBytes(t *testing.T) {
	for name, make := range map[string]func(seed uint64) []byte{
		"cluster": func(seed uint64) []byte {
			return NewCluster(seeded(seed), ClusterConfig{Features: AllFeatures}).JSON()
		},
		"history": func(seed uint64) []byte {
			return NewHistory(seeded(seed), ClusterConfig{Features: AllFeatures}, 40).JSON()
		},
		"services": func(seed uint64) []byte { return NewServices(seeded(seed), 20).JSON() },
		"labels":   func(seed uint64) []byte { r := seeded(seed); return mustJSON([]any{Labels(r), Labels(r), Labels(r)}) },
		"text": func(seed uint64) []byte {
			r := seeded(seed)
			return []byte(SelectorText(r) + ";" + SelectorText(r) + ";" + SelectorText(r))
		},
		"selector": func(seed uint64) []byte {
			r := seeded(seed)
			return mustJSON([]any{LabelSelector(r), LabelSelector(r), LabelSelector(r)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, string(make(5)), string(make(5)))
			require.False(t, bytes.Equal(make(5), make(6)), "two seeds give the same bytes")
		})
	}
}

func TestClusterLaws(t *testing.T) {
	for seed := range uint64(50) {
		c := NewCluster(seeded(seed), ClusterConfig{Features: AllFeatures})
		require.Len(t, c.Nodes, 12)
		require.Len(t, c.Pods, 45)
		nodes := map[any]bool{}
		for _, n := range c.Nodes {
			name := n.child("metadata")["name"]
			require.False(t, nodes[name], "node %v twice", name)
			nodes[name] = true
		}
		pods := map[any]bool{}
		pending := 0
		for _, p := range c.Pods {
			name := p.child("metadata")["name"]
			require.False(t, pods[name], "pod %v twice", name)
			pods[name] = true
			if on := p.child("spec")["nodeName"]; on == nil {
				pending++
			} else {
				require.True(t, nodes[on], "pod %v on unknown node %v", name, on)
			}
		}
		require.Equal(t, 15, pending)
	}
}

// Each feature leaves one mark in the JSON, which is absent without it.
func TestFeaturesSwitchTheirFields(t *testing.T) {
	marks := map[Features]string{
		Taints: `"tolerations"`, NodeAffinity: `"nodeAffinity"`, Scalars: `"example.com/gpu"`,
		InitContainers: `"initContainers"`, Overhead: `"overhead"`, PodLevelResources: `"spec":{"containers":`,
		HostPorts: `"hostPort"`, Images: `"images"`, Gates: `"schedulingGates"`, Spread: `"topologySpreadConstraints"`,
		Owners: `"ownerReferences"`, PodAffinity: `"podAntiAffinity"`, Priorities: `"priority"`,
		Nominated: `"nominatedNodeName"`, Terminating: `"deletionTimestamp"`, Resize: `"containerStatuses"`, Volumes: `"persistentVolumeClaim"`,
	}
	require.Len(t, marks, len(featureNames))
	delete(marks, PodLevelResources) // no key of its own name: see below
	text := func(f Features) string {
		var b strings.Builder
		for seed := range uint64(20) {
			b.Write(NewCluster(seeded(seed), ClusterConfig{Features: f}).JSON())
		}
		return b.String()
	}
	none := text(0)
	for f, mark := range marks {
		require.NotContains(t, none, mark)
		require.Contains(t, text(f), mark, "feature %v", f)
	}
	podLevel := func(f Features) (n int) {
		for seed := range uint64(20) {
			for _, p := range NewCluster(seeded(seed), ClusterConfig{Features: f}).Pods {
				if p.child("spec")["resources"] != nil {
					n++
				}
			}
		}
		return n
	}
	require.Zero(t, podLevel(0))
	require.NotZero(t, podLevel(PodLevelResources))
}

func TestParseFeatures(t *testing.T) {
	for i := range featureNames {
		f, err := ParseFeatures(Features(1 << i).String())
		require.NoError(t, err)
		require.Equal(t, Features(1<<i), f)
	}
	for text, want := range map[string]Features{"": 0, "all": AllFeatures, "taints,spread": Taints | Spread} {
		f, err := ParseFeatures(text)
		require.NoError(t, err)
		require.Equal(t, want, f)
	}
	require.Equal(t, AllFeatures, Features(1)<<len(featureNames)-1)
	for _, text := range []string{"taint", "taints,", "all,taints"} {
		_, err := ParseFeatures(text)
		require.ErrorContains(t, err, "unknown feature")
	}
}

func TestNamedWorkloads(t *testing.T) {
	for _, name := range Names() {
		w, err := New(name, 50)
		require.NoError(t, err)
		c := w.Cluster(7)
		require.Len(t, c.Nodes, 50)
		require.Len(t, c.Pods, w.Placed+7)
		require.NotZero(t, w.Pending)
		again, err := New(name, 50)
		require.NoError(t, err)
		require.Equal(t, string(c.JSON()), string(again.Cluster(7).JSON()))
	}
	_, err := New("other", 50)
	require.ErrorContains(t, err, `unknown workload "other"`)
}

func TestPlainServices(t *testing.T) {
	s := NewPlainServices(300, 250)
	require.Len(t, s.Services, 300)
	require.Len(t, s.EndpointSlices, 900)
	addresses := map[any]bool{}
	for _, slice := range s.EndpointSlices {
		for _, e := range slice["endpoints"].(list) {
			addresses[e.(Object)["addresses"].(list)[0]] = true
		}
	}
	require.Len(t, addresses, 300*250, "two endpoints share an address")
	vips := map[any]bool{}
	for _, svc := range s.Services {
		vips[svc.child("spec")["clusterIP"]] = true
	}
	require.Len(t, vips, 300)
}

// What is made must survive encoding as it is: no channel, NaN or invalid UTF-8.
func TestJSONIsValid(t *testing.T) {
	for seed := range uint64(20) {
		require.True(t, json.Valid(NewCluster(seeded(seed), ClusterConfig{Features: AllFeatures}).JSON()))
		require.True(t, json.Valid(NewServices(seeded(seed), 30).JSON()))
	}
}

func TestHistoryUsesEveryOp(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(5) {
		for _, e := range NewHistory(seeded(seed), ClusterConfig{Features: AllFeatures}, 100).Events {
			seen[e.Op]++
		}
	}
	for _, op := range []string{OpAddNode, OpUpdateNode, OpRemoveNode, OpAddPod, OpUpdatePod, OpRemovePod, OpConfirm, OpDecide,
		OpSetNamespace, OpSetService, OpRemoveService} {
		require.NotZero(t, seen[op], op)
	}
	require.Len(t, seen, 11)
}

func TestSpoilChangesACluster(t *testing.T) {
	changed := 0
	for seed := range uint64(50) {
		config := ClusterConfig{Features: AllFeatures}
		c := NewCluster(seeded(seed), config)
		Spoil(seeded(seed), c)
		require.True(t, json.Valid(c.JSON()))
		again := NewCluster(seeded(seed), config)
		if string(c.JSON()) != string(again.JSON()) {
			changed++
		}
		Spoil(seeded(seed), again)
		require.Equal(t, string(c.JSON()), string(again.JSON()))
	}
	require.Greater(t, changed, 40)
}

// Every odd value is reached: its member occurs in some cluster.
func TestSpoilKnowsItsMembers(t *testing.T) {
	found := map[string]bool{}
	for seed := range uint64(30) {
		c := NewCluster(seeded(seed), ClusterConfig{Features: AllFeatures})
		for _, objects := range [][]Object{c.Nodes, c.Pods, c.Services, c.PDBs} {
			for _, o := range objects {
				for _, s := range appendSites(nil, o) {
					found[s.key] = true
				}
			}
		}
	}
	for key := range odd {
		require.True(t, found[key], key)
	}
}
