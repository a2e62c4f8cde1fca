package qos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkClassOf(b *testing.B) {
	full := list("cpu", "500m", "memory", "512Mi")
	half := list("cpu", "250m", "memory", "256Mi")
	for _, c := range []struct {
		name string
		pod  *Pod
		want Class
	}{
		{"class=BestEffort", podOf(container(nil, nil), container(nil, nil), container(nil, nil)), BestEffort},
		{"class=Burstable", podOf(container(half, full), container(half, full), container(half, full)), Burstable},
		{"class=Guaranteed", podOf(container(full, full), container(full, full), container(full, full)), Guaranteed},
	} {
		b.Run(c.name+"/containers=3", func(b *testing.B) {
			require.Equal(b, c.want, ClassOf(c.pod))
			b.ReportAllocs()
			for b.Loop() {
				ClassOf(c.pod)
			}
		})
	}
}

func BenchmarkRank(b *testing.B) {
	for _, pods := range []int{250, 10000} {
		candidates := manyCandidates(pods)
		for _, s := range []Signal{MemoryAvailable, NodeFSAvailable, PIDAvailable} {
			b.Run(fmt.Sprintf("signal=%v/pods=%d", s, pods), func(b *testing.B) {
				order := Rank(candidates, s, Layout{})
				for i := 1; i < len(order); i++ {
					require.LessOrEqual(b, candidates[order[i-1]].KeyFor(s, Layout{}).Compare(candidates[order[i]].KeyFor(s, Layout{})), 0)
				}
				b.ReportAllocs()
				for b.Loop() {
					Rank(candidates, s, Layout{})
				}
			})
			b.Run(fmt.Sprintf("signal=%v/pods=%d/first", s, pods), func(b *testing.B) {
				first := First(candidates, s, Layout{})
				for _, i := range Rank(candidates, s, Layout{}) {
					if !candidates[i].Critical {
						require.Equal(b, i, first)
						break
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					First(candidates, s, Layout{})
				}
			})
		}
	}
}

// manyCandidates makes pods with two containers, all of whose use is known.
func manyCandidates(pods int) []Candidate {
	r := rand.New(rand.NewPCG(2, 2))
	out := make([]Candidate, pods)
	for i := range out {
		n := func(limit int) *uint64 { v := uint64(r.IntN(limit)); return &v }
		fs := func() *FSStats { return &FSStats{UsedBytes: n(64 << 20), InodesUsed: n(1000)} }
		priority := []int32{0, 0, 0, 100, 1000}[r.IntN(5)]
		requests := list("memory", fmt.Sprintf("%dMi", 16+r.IntN(512)), "ephemeral-storage", fmt.Sprintf("%dMi", r.IntN(64)))
		p := podOf(container(requests, nil), container(requests, nil))
		p.Metadata, p.Spec.Priority = Metadata{Name: fmt.Sprint("p", i)}, &priority
		out[i] = Compile(p)
		out[i].Observe(&PodStats{Memory: &MemoryStats{WorkingSetBytes: n(1 << 30)}, Processes: &ProcessStats{Count: n(100)},
			Containers: []ContainerStats{{Rootfs: fs(), Logs: fs()}, {Rootfs: fs(), Logs: fs()}}})
	}
	return out
}

// BenchmarkFromPods counts all of the work between what an API server and a
// kubelet say and an answer. Pods and statistics come in different orders, as
// a kubelet's do.
func BenchmarkFromPods(b *testing.B) {
	const count = 10000
	pods, summary := manyPods(b, count)
	for _, s := range []Signal{MemoryAvailable, NodeFSAvailable} {
		b.Run(fmt.Sprintf("signal=%v/pods=%d", s, count), func(b *testing.B) {
			require.Equal(b, Rank(Candidates(pods, summary), s, Layout{})[0], First(Candidates(pods, summary), s, Layout{}))
			b.ReportAllocs()
			for b.Loop() {
				Rank(Candidates(pods, summary), s, Layout{})
			}
		})
		b.Run(fmt.Sprintf("signal=%v/pods=%d/once", s, count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				RankPods(pods, summary, s, Layout{})
			}
		})
		b.Run(fmt.Sprintf("signal=%v/pods=%d/first", s, count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				First(Candidates(pods, summary), s, Layout{})
			}
		})
	}
}

// manyPods makes pods with two containers, and statistics of all of them.
func manyPods(b *testing.B, count int) ([]*Pod, *Summary) {
	r := rand.New(rand.NewPCG(3, 3))
	var pods []*Pod
	var stats []string
	for i := range count {
		var containers, used []string
		for k := range 2 {
			containers = append(containers, fmt.Sprintf(`{"name": "c%d", "resources": {"requests": {"cpu": "100m", "memory": "%dMi", "ephemeral-storage": "%dMi"}}}`, k, 16+r.IntN(512), r.IntN(64)))
			used = append(used, fmt.Sprintf(`{"name": "c%d", "rootfs": {"usedBytes": %d}, "logs": {"usedBytes": %d}}`, k, r.IntN(64<<20), r.IntN(8<<20)))
		}
		uid := fmt.Sprintf("%08x-%04x-4e6d-8f2a-%012x", r.Uint32(), i, r.Uint32())
		p, err := DecodePod(fmt.Appendf(nil, `{"metadata": {"name": "p%d", "uid": %q}, "spec": {"priority": %d, "containers": [%s], "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {}}]}}`,
			i, uid, 100*r.IntN(3), strings.Join(containers, ",")))
		require.NoError(b, err)
		pods = append(pods, p)
		stats = append(stats, fmt.Sprintf(`{"podRef": {"uid": %q}, "memory": {"workingSetBytes": %d}, "containers": [%s], "volume": [{"name": "v", "usedBytes": %d}, {"name": "w", "usedBytes": 4096}]}`,
			uid, r.IntN(1<<30), strings.Join(used, ","), r.IntN(16<<20)))
	}
	r.Shuffle(count, func(i, j int) { stats[i], stats[j] = stats[j], stats[i] })
	var s Summary
	require.NoError(b, json.Unmarshal([]byte(`{"pods": [`+strings.Join(stats, ",")+`]}`), &s))
	return pods, &s
}

func BenchmarkCompile(b *testing.B) {
	full := list("cpu", "500m", "memory", "512Mi", "ephemeral-storage", "1Gi")
	p := podOf(container(full, full), container(full, full))
	require.Equal(b, "1Gi", Compile(p).Memory.String())
	b.ReportAllocs()
	for b.Loop() {
		Compile(p)
	}
}
