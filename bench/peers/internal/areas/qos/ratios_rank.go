package qos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	evictionapi "k8s.io/kubernetes/pkg/kubelet/eviction/api"

	v1 "k8s.io/api/core/v1"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/qos"
)

// rankRows measure the order of eviction of many pods. Upstream sorts pods by
// looking up statistics and adding up requests in each comparison. Ours
// compiles pods once, as an evictor does; rows "from-pods" count that too, and
// in rows "shuffled" the statistics are in another order than the pods, as a
// kubelet gives them: that is other memory to wait for.
func rankRows() []measure.Row {
	const pods = 10000
	return []measure.Row{
		rankRow(fmt.Sprintf("rank/memory/pods=%d/order", pods), pods, qos.MemoryAvailable, orderOnly),
		rankRow(fmt.Sprintf("rank/memory/pods=%d/first", pods), pods, qos.MemoryAvailable, firstOnly),
		rankRow(fmt.Sprintf("rank/disk/pods=%d/order", pods), pods, qos.NodeFSAvailable, orderOnly),
		rankRow(fmt.Sprintf("rank/disk/pods=%d/first", pods), pods, qos.NodeFSAvailable, firstOnly),
		rankRow(fmt.Sprintf("rank/memory/pods=%d/order/from-pods", pods), pods, qos.MemoryAvailable, fromPods),
		rankRow(fmt.Sprintf("rank/memory/pods=%d/first/from-pods", pods), pods, qos.MemoryAvailable, firstFromPods),
		rankRow(fmt.Sprintf("rank/disk/pods=%d/order/from-pods", pods), pods, qos.NodeFSAvailable, fromPods),
		rankRow(fmt.Sprintf("rank/disk/pods=%d/first/from-pods", pods), pods, qos.NodeFSAvailable, firstFromPods),
		rankRow(fmt.Sprintf("rank/memory/pods=%d/order/from-pods/shuffled", pods), pods, qos.MemoryAvailable, fromPods),
		rankRow(fmt.Sprintf("rank/disk/pods=%d/order/from-pods/shuffled", pods), pods, qos.NodeFSAvailable, fromPods),
		rankRow("rank/memory/pods=250/order", 250, qos.MemoryAvailable, orderOnly),
	}
}

// A rankKind says what is measured of our side.
type rankKind func(pods []*qos.Pod, s *qos.Summary, compiled []qos.Candidate, signal qos.Signal) []int

func orderOnly(_ []*qos.Pod, _ *qos.Summary, compiled []qos.Candidate, signal qos.Signal) []int {
	return qos.Rank(compiled, signal, qos.Layout{})
}

func firstOnly(_ []*qos.Pod, _ *qos.Summary, compiled []qos.Candidate, signal qos.Signal) []int {
	victim[0] = qos.First(compiled, signal, qos.Layout{})
	return victim[:]
}

// victim saves firstOnly an allocation that the library does not make.
var victim [1]int

func fromPods(pods []*qos.Pod, s *qos.Summary, _ []qos.Candidate, signal qos.Signal) []int {
	return qos.RankPods(pods, s, signal, qos.Layout{})
}

func firstFromPods(pods []*qos.Pod, s *qos.Summary, _ []qos.Candidate, signal qos.Signal) []int {
	victim[0] = qos.FirstPod(pods, s, signal, qos.Layout{})
	return victim[:]
}

func rankRow(name string, count int, signal qos.Signal, kind rankKind) measure.Row {
	return measure.Row{Name: name, Unit: "ns/op", Open: func() (*measure.Pair, error) {
		c, err := manyPods(count, strings.HasSuffix(name, "/shuffled"))
		if err != nil {
			return nil, err
		}
		n, err := c.decode()
		if err != nil {
			return nil, err
		}
		rank, stats := buildSignalToRankFunc(false, false)[evictionapi.Signal(signal.String())], n.stats()
		compiled := qos.Candidates(n.ourPods, &n.ours)
		var ours []int
		var peer []*v1.Pod
		return &measure.Pair{
			Ours: measure.Loop(func(loops int) {
				for range loops {
					ours = kind(n.ourPods, &n.ours, compiled, signal)
				}
			}),
			Peer: measure.Loop(func(loops int) {
				for range loops {
					peer = slices.Clone(n.upstreamPods)
					rank(peer, stats)
				}
			}),
			Check: func() error { return sameOrder(compiled, ours, peer, signal) },
		}, nil
	}}
}

// sameOrder asserts equal keys at each place, which ties may fill differently.
func sameOrder(compiled []qos.Candidate, ours []int, peer []*v1.Pod, signal qos.Signal) error {
	byUID := map[string]int{}
	for i := range compiled {
		byUID[compiled[i].Pod.Metadata.UID] = i
	}
	peer = slices.DeleteFunc(slices.Clone(peer), func(p *v1.Pod) bool { return len(ours) == 1 && compiled[byUID[string(p.UID)]].Critical })
	for place, i := range ours {
		a, b := compiled[i].KeyFor(signal, qos.Layout{}), compiled[byUID[string(peer[place].UID)]].KeyFor(signal, qos.Layout{})
		if a.Compare(b) != 0 {
			return fmt.Errorf("place %d: ours %s %+v, peer %s %+v", place, compiled[i].Pod.Metadata.Name, a, peer[place].Name, b)
		}
	}
	return nil
}

// manyPods makes plain pods: two containers with requests, an emptyDir and a
// configMap, all statistics there.
func manyPods(count int, shuffled bool) (nodeCase, error) {
	r := rand.New(rand.NewPCG(uint64(count), 1))
	var c nodeCase
	var stats []any
	for i := range count {
		var containers, used []any
		for k := range 2 {
			name := fmt.Sprint("c", k)
			containers = append(containers, tree{"name": name, "resources": tree{"requests": tree{"cpu": "100m",
				"memory": fmt.Sprintf("%dMi", 16+r.IntN(512)), "ephemeral-storage": fmt.Sprintf("%dMi", r.IntN(64))}}})
			used = append(used, tree{"name": name, "rootfs": tree{"usedBytes": r.IntN(64 << 20), "inodesUsed": r.IntN(1000)},
				"logs": tree{"usedBytes": r.IntN(8 << 20), "inodesUsed": r.IntN(10)}})
		}
		uid := fmt.Sprint("u", i)
		c.Pods = append(c.Pods, raw(tree{"metadata": tree{"name": fmt.Sprint("p", i), "namespace": "default", "uid": uid},
			"spec": tree{"priority": pick(r, 0, 0, 0, 100, 1000), "containers": containers,
				"volumes": []any{tree{"name": "v0", "emptyDir": tree{}}, tree{"name": "v1", "configMap": tree{"name": "c"}}}}}))
		stats = append(stats, tree{"podRef": tree{"uid": uid}, "memory": tree{"workingSetBytes": r.IntN(1 << 30)}, "containers": used,
			"volume":        []any{tree{"name": "v0", "usedBytes": r.IntN(16 << 20), "inodesUsed": r.IntN(100)}, tree{"name": "v1", "usedBytes": 4096, "inodesUsed": 3}},
			"process_stats": tree{"process_count": r.IntN(100)}})
	}
	if shuffled {
		r.Shuffle(count, func(i, j int) { stats[i], stats[j] = stats[j], stats[i] })
	}
	c.Summary = raw(tree{"pods": stats})
	return c, nil
}
