package qos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	evictionapi "k8s.io/kubernetes/pkg/kubelet/eviction/api"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

// rankSuite compares the order of eviction for every signal, up to the ties
// that upstream's unstable sort leaves open.
func rankSuite() compare.Suite {
	return &compare.Cases[nodeCase]{
		Parts:    []string{"rank/memory", "rank/disk", "rank/inodes", "rank/pid"},
		Generate: rankCase,
		Compare:  compareRank,
		Shrink:   shrinkNode,
	}
}

func rankCase(r *rand.Rand) nodeCase {
	c := nodeCase{Layout: layout(r)}
	var stats []any
	for i := range 1 + r.IntN(12) {
		c.Pods = append(c.Pods, raw(nodePod(r, i)))
		if r.IntN(10) != 0 {
			stats = append(stats, podStats(r, i))
		}
	}
	c.Summary = raw(tree{"pods": stats})
	return c
}

func compareRank(c nodeCase, rec *compare.Record) {
	n, err := c.decode()
	if err != nil {
		rec.Text("rank/memory", "decodes", err.Error())
		return
	}
	ranks := buildSignalToRankFunc(c.Layout.ImageFS, c.Layout.SplitImageFS)
	stats := n.stats()
	candidates := qos.Candidates(n.ourPods, &n.ours)
	for _, signal := range qos.Signals() {
		part := map[string]string{"memory": "rank/memory", "ephemeral-storage": "rank/disk", "inodes": "rank/inodes", "pids": "rank/pid"}[signal.Resource()]
		rank := ranks[evictionapi.Signal(signal.String())]
		ours := qos.Rank(candidates, signal, c.Layout)
		rec.Check(part, true, nil)
		if problem := orderProblem(n.upstreamPods, candidates, ours, signal, c.Layout, rank, stats); problem != "" {
			ordered := slices.Clone(n.upstreamPods)
			rank(ordered, stats)
			rec.Text(part, fmt.Sprintf("%v: %s", signal, names(ordered)), fmt.Sprintf("%s: %s", namesOf(candidates, ours), problem))
		}
		if once := qos.RankPods(n.ourPods, &n.ours, signal, c.Layout); !slices.Equal(ours, once) {
			rec.Text(part, namesOf(candidates, ours), "RankPods: "+namesOf(candidates, once))
		}
		first := qos.First(candidates, signal, c.Layout)
		if once := qos.FirstPod(n.ourPods, &n.ours, signal, c.Layout); first != once {
			rec.Text(part, fmt.Sprint("First: ", first), fmt.Sprint("FirstPod: ", once))
		}
		want := slices.IndexFunc(ours, func(i int) bool { return !candidates[i].Critical })
		if want >= 0 && ours[want] != first || want < 0 && first >= 0 {
			rec.Text(part, fmt.Sprint("first by the full order: ", want), fmt.Sprint("First: ", first))
		}
	}
}

// orderProblem asks upstream about each pair of neighbours in our order. Its
// sort of two pods is stable, so that sorting them in both orders tells less,
// greater and equal apart.
func orderProblem(pods []*v1.Pod, candidates []qos.Candidate, ours []int, signal qos.Signal, layout qos.Layout, rank upstreamRank, stats upstreamStats) string {
	for k := 1; k < len(ours); k++ {
		a, b := ours[k-1], ours[k]
		forwards, backwards := []*v1.Pod{pods[a], pods[b]}, []*v1.Pod{pods[b], pods[a]}
		rank(forwards, stats)
		rank(backwards, stats)
		want := 0
		switch {
		case forwards[0] != pods[a]:
			want = 1
		case backwards[0] == pods[a]:
			want = -1
		}
		if got := candidates[a].KeyFor(signal, layout).Compare(candidates[b].KeyFor(signal, layout)); got != want {
			return fmt.Sprintf("%s against %s: upstream %d, ours %d", pods[a].Name, pods[b].Name, want, got)
		}
	}
	return ""
}

func namesOf(candidates []qos.Candidate, order []int) string {
	var out []string
	for _, i := range order {
		out = append(out, candidates[i].Pod.Metadata.Name)
	}
	return strings.Join(out, " ")
}
