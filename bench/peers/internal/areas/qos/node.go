package qos

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/orchcore/orchcore/qos"
)

// nodeCase is pods and what they use, as JSON.
type nodeCase struct {
	Pods     []json.RawMessage `json:"pods"`
	Summary  json.RawMessage   `json:"summary"`
	Layout   qos.Layout        `json:"layout"`
	Capacity int64             `json:"capacity,omitempty"`
}

// node is a nodeCase for both sides.
type node struct {
	upstreamPods []*v1.Pod
	ourPods      []*qos.Pod
	upstream     statsapi.Summary
	ours         qos.Summary
}

func (c nodeCase) decode() (n node, err error) {
	for _, data := range c.Pods {
		u, o, err := decodePods(data)
		if err != nil {
			return n, err
		}
		n.upstreamPods, n.ourPods = append(n.upstreamPods, u), append(n.ourPods, o)
	}
	if len(c.Summary) == 0 {
		return n, nil
	}
	if err := json.Unmarshal(c.Summary, &n.upstream); err != nil {
		return n, err
	}
	return n, json.Unmarshal(c.Summary, &n.ours)
}

// stats is the kubelet's look-up of a pod's statistics.
func (n *node) stats() upstreamStats {
	byUID := map[string]statsapi.PodStats{}
	for _, s := range n.upstream.Pods {
		byUID[s.PodRef.UID] = s
	}
	return func(p *v1.Pod) (statsapi.PodStats, bool) {
		s, ok := byUID[string(p.UID)]
		return s, ok
	}
}

func names(pods []*v1.Pod) string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Name)
	}
	return strings.Join(out, " ")
}

func layout(r *rand.Rand) qos.Layout {
	return pick(r, qos.Layout{}, qos.Layout{ImageFS: true}, qos.Layout{ImageFS: true, SplitImageFS: true})
}

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// nodePod makes the i-th pod of a node.
func nodePod(r *rand.Rand, i int) tree {
	spec := tree{"containers": nodeContainers(r, "c", 1+r.IntN(2))}
	if r.IntN(4) == 0 {
		spec["initContainers"] = nodeContainers(r, "i", 1+r.IntN(2))
	}
	if r.IntN(8) == 0 {
		spec["resources"] = nodeRequirements(r)
	}
	if r.IntN(6) == 0 {
		spec["overhead"] = tree{"cpu": "10m", "memory": pick(r, "1Mi", "0"), "ephemeral-storage": "1Mi"}
	}
	if r.IntN(4) != 0 {
		spec["priority"] = pick(r, 0, 0, 10, 10, -5, 1000, 1999999999, 2000000000, 2000001000)
		spec["priorityClassName"] = pick(r, "", "high", "system-node-critical")
	}
	if r.IntN(3) == 0 {
		spec["terminationGracePeriodSeconds"] = pick(r, 0, 5, 30, 300)
	}
	if r.IntN(3) == 0 {
		spec["tolerations"] = []any{tree{"key": "node.kubernetes.io/memory-pressure", "operator": pick(r, "Exists", "", "Equal"), "effect": pick(r, "NoSchedule", "")}}
	}
	spec["volumes"] = nodeVolumes(r)
	meta := tree{"name": fmt.Sprintf("p%d", i), "namespace": pick(r, "a", "b"), "uid": fmt.Sprintf("u%d", i),
		"creationTimestamp": created.Add(time.Duration(r.IntN(1000)) * time.Second).Format(time.RFC3339)}
	if r.IntN(12) == 0 {
		meta["annotations"] = tree{pick(r, "kubernetes.io/config.source", "kubernetes.io/config.mirror", "other"): pick(r, "api", "file", "x")}
	}
	return tree{"metadata": meta, "spec": spec}
}

func nodeContainers(r *rand.Rand, prefix string, count int) []any {
	var out []any
	for i := range count {
		c := tree{"name": fmt.Sprint(prefix, i), "resources": nodeRequirements(r)}
		if prefix == "i" && r.IntN(2) == 0 {
			c["restartPolicy"] = "Always"
		}
		out = append(out, c)
	}
	return out
}

func nodeRequirements(r *rand.Rand) tree {
	requests, limits := tree{}, tree{}
	if r.IntN(4) != 0 {
		requests["memory"] = pick[any](r, "1Mi", "2Mi", "100k", "1500m", "0", "1Gi", "0.5Gi", 12345)
	}
	if r.IntN(3) != 0 {
		requests["cpu"] = pick[any](r, "10m", "1", "250m", "0", "1.5")
	}
	if r.IntN(3) == 0 {
		requests["ephemeral-storage"] = pick[any](r, "1Mi", "10k", "0", "3Gi")
	}
	switch r.IntN(3) {
	case 0:
		limits = requests
	case 1:
		limits["memory"] = pick[any](r, "1Gi", "2Gi", "0")
		limits["ephemeral-storage"] = pick[any](r, "1Gi", "20Ki", "0")
		limits["cpu"] = pick[any](r, "1", "2", "0")
	}
	return tree{"requests": requests, "limits": limits}
}

func nodeVolumes(r *rand.Rand) []any {
	var out []any
	for i := range r.IntN(4) {
		v := pick(r, tree{"hostPath": tree{"path": "/x"}}, tree{"emptyDir": tree{}}, tree{"emptyDir": tree{"medium": "Memory"}},
			tree{"emptyDir": tree{"sizeLimit": pick(r, "1Mi", "10Gi", "0")}}, tree{"configMap": tree{"name": "c"}},
			tree{"gitRepo": tree{"repository": "r"}}, tree{"secret": tree{}}, tree{"projected": tree{}})
		v["name"] = fmt.Sprintf("v%d", i)
		out = append(out, v)
	}
	return out
}

// podStats makes the statistics of the i-th pod; some of them are missing.
func podStats(r *rand.Rand, i int) tree {
	s := tree{"podRef": tree{"name": fmt.Sprintf("p%d", i), "uid": fmt.Sprintf("u%d", i)}}
	if r.IntN(8) != 0 {
		s["memory"] = memoryStats(r, "")
	}
	var containers, volumes []any
	for _, name := range []string{"c0", "c1", "i0"} {
		c := tree{"name": name}
		if r.IntN(4) != 0 {
			c["memory"] = memoryStats(r, "")
			c["rootfs"] = usedStats(r)
		}
		if r.IntN(4) != 0 {
			c["logs"] = usedStats(r)
		}
		containers = append(containers, c)
	}
	for v := range r.IntN(4) {
		u := usedStats(r)
		u["name"] = fmt.Sprintf("v%d", v)
		u["usedBytes"] = r.IntN(4 << 20) // upstream does not expect it to be missing here
		volumes = append(volumes, u)
	}
	s["containers"], s["volume"] = containers, volumes
	if r.IntN(4) != 0 {
		s["ephemeral-storage"] = usedStats(r)
	}
	if r.IntN(8) != 0 {
		s["process_stats"] = tree{"process_count": r.IntN(50)}
	}
	return s
}

func memoryStats(r *rand.Rand, at string) tree {
	m := tree{}
	if at != "" {
		m["time"] = at
	}
	if r.IntN(10) != 0 {
		m["workingSetBytes"] = pick(r, 0, r.IntN(5<<20), r.IntN(2<<30))
	}
	return m
}

func usedStats(r *rand.Rand) tree {
	s := tree{}
	if r.IntN(8) != 0 {
		s["usedBytes"] = pick(r, 0, r.IntN(1<<16), r.IntN(4<<20))
	}
	if r.IntN(8) != 0 {
		s["inodesUsed"] = r.IntN(1000)
	}
	return s
}

func raw(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// shrinkNode leaves out one pod, or one thing of a pod.
func shrinkNode(c nodeCase) iter.Seq[nodeCase] {
	return func(yield func(nodeCase) bool) {
		for i := range c.Pods {
			smaller := c
			smaller.Pods = slices.Delete(slices.Clone(c.Pods), i, i+1)
			if !yield(smaller) {
				return
			}
		}
		for i := range c.Pods {
			for p := range shrinkPod(podCase{c.Pods[i]}) {
				smaller := c
				smaller.Pods = slices.Clone(c.Pods)
				smaller.Pods[i] = p.Pod
				if !yield(smaller) {
					return
				}
			}
		}
		for s := range shrinkPod(podCase{c.Summary}) {
			smaller := c
			smaller.Summary = s.Pod
			if !yield(smaller) {
				return
			}
		}
	}
}
