package qos

import (
	"fmt"
	"math/rand/v2"
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

func BenchmarkCompile(b *testing.B) {
	full := list("cpu", "500m", "memory", "512Mi", "ephemeral-storage", "1Gi")
	p := podOf(container(full, full), container(full, full))
	require.Equal(b, "1Gi", Compile(p).Memory.String())
	b.ReportAllocs()
	for b.Loop() {
		Compile(p)
	}
}
