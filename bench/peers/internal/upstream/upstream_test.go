package upstream

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/orchcore/orchcore/bench/internal/workload"
)

func scheduler1(t *testing.T) *Scheduler {
	t.Helper()
	s, err := New(Config{Percent: 100, Parallelism: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func load(t *testing.T, s *Scheduler, data []byte) []*v1.Pod {
	t.Helper()
	c, err := DecodeCluster(data)
	if err != nil {
		t.Fatal(err)
	}
	pending, err := s.Load(c)
	if err != nil {
		t.Fatal(err)
	}
	return pending
}

// decideAll decides about all pending pods of a cluster and places them.
func decideAll(t *testing.T, s *Scheduler, data []byte) []string {
	t.Helper()
	var out []string
	for _, p := range load(t, s, data) {
		d, err := s.Decide(p)
		if err != nil {
			t.Fatal(err)
		}
		if d.Node != "" {
			if err := s.Place(p, d.Node); err != nil {
				t.Fatal(err)
			}
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

func mixed(seed uint64) []byte {
	return workload.NewCluster(rand.New(rand.NewPCG(seed, 0)), workload.ClusterConfig{Features: workload.AllFeatures}).JSON()
}

// A scheduler that has seen other clusters must decide like a new one.
func TestLoadLeavesNothingBehind(t *testing.T) {
	used := scheduler1(t)
	for seed := range uint64(6) {
		decideAll(t, used, mixed(seed))
		got, want := decideAll(t, used, mixed(100+seed)), decideAll(t, scheduler1(t), mixed(100+seed))
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("seed %d, pod %d: a used scheduler says\n%s\na new one\n%s", seed, i, got[i], want[i])
			}
		}
	}
}

const threeNodes = `{"nodes":[
	{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"1","memory":"1Gi","pods":"10"}}},
	{"metadata":{"name":"b"},"status":{"allocatable":{"cpu":"4","memory":"4Gi","pods":"10"}}},
	{"metadata":{"name":"c"},"spec":{"unschedulable":true},"status":{"allocatable":{"cpu":"4","memory":"4Gi","pods":"10"}}}],
	"pods":[
	{"metadata":{"name":"low","namespace":"default"},"spec":{"nodeName":"b","containers":[{"name":"c","resources":{"requests":{"cpu":"3"}}}]}},
	{"metadata":{"name":"fits","namespace":"default"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"500m"}}}]}},
	{"metadata":{"name":"big","namespace":"default"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"8"}}}]}},
	{"metadata":{"name":"vip","namespace":"default"},"spec":{"priority":5,"containers":[{"name":"c","resources":{"requests":{"cpu":"2"}}}]}}]}`

func TestDecide(t *testing.T) {
	s := scheduler1(t)
	pods := load(t, s, []byte(threeNodes))
	var ds []*Decision
	for _, p := range pods {
		d, err := s.Decide(p)
		if err != nil {
			t.Fatal(err)
		}
		ds = append(ds, d)
	}
	fits, big, vip := ds[0], ds[1], ds[2]
	if !slices.Equal(fits.Feasible, []string{"a", "b"}) || fits.Node != "a" || len(fits.Scores["b"]) == 0 {
		t.Errorf("fits: %+v", fits)
	}
	if got := fits.Rejected["c"]; got.Plugin != "NodeUnschedulable" || got.Code != "UnschedulableAndUnresolvable" {
		t.Errorf("fits on c: %+v", got)
	}
	want := "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu."
	if big.FitError != want || !strings.HasPrefix(big.Preemption.FitError, want+" no new claims to deallocate, preemption: 0/3 nodes are available:") {
		t.Errorf("big: %q, %+v", big.FitError, big.Preemption)
	}
	if p := vip.Preemption; p == nil || len(p.Candidates) != 1 || p.Candidates[0].Node != "b" ||
		!slices.Equal(p.Candidates[0].Victims, []string{"default/low"}) || !slices.Equal(p.Picked, []string{"b"}) {
		t.Errorf("vip: %+v", vip.Preemption)
	}
}

func TestDecodeClusterRefuses(t *testing.T) {
	if _, err := DecodeCluster([]byte(`{"nodes":[{"metadata":{"name":7}}]}`)); err == nil {
		t.Error("no error")
	}
}

func BenchmarkDecide(b *testing.B) {
	s, err := New(Config{Percent: 100, Parallelism: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c, err := DecodeCluster(mixed(1))
	if err != nil {
		b.Fatal(err)
	}
	decisions := 0
	for b.Loop() {
		pending, err := s.Load(c)
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range pending {
			if _, err := s.Decide(p); err != nil {
				b.Fatal(err)
			}
			decisions++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(decisions), "µs/decision")
}
