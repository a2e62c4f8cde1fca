package qos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/qos/resource"
)

var rewrite = flag.Bool("rewrite", false, "write what was decided into testdata")

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// scenario is a node that the commands of a testdata file work on.
type scenario struct {
	t       *testing.T
	evictor *Evictor
	pods    []*Pod
	stats   map[string]*PodStats
	now     time.Time
}

func TestEvictorScenarios(t *testing.T) {
	const file = "testdata/evictor.txt"
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	s := &scenario{t: t}
	var out strings.Builder
	blocks := strings.Split(string(text), "\n\n")
	for i, block := range blocks {
		commands, want, isTest := strings.Cut(block, "\n----\n")
		got := ""
		if isTest {
			for line := range strings.Lines(commands) {
				got += s.run(strings.TrimSpace(line))
			}
			if !*rewrite {
				require.Equal(t, strings.TrimRight(want, "\n"), strings.TrimRight(got, "\n"), commands)
			}
			block = commands + "\n----\n" + strings.TrimRight(got, "\n")
		}
		out.WriteString(strings.TrimRight(block, "\n"))
		if i < len(blocks)-1 {
			out.WriteString("\n\n")
		}
	}
	if *rewrite {
		require.NoError(t, os.WriteFile(file, []byte(out.String()+"\n"), 0o644))
	}
}

func (s *scenario) run(line string) string {
	command, rest, _ := strings.Cut(line, " ")
	args := map[string]string{}
	for _, field := range strings.Fields(rest) {
		name, value, _ := strings.Cut(field, "=")
		args[name] = value
	}
	switch command {
	case "node":
		s.node(args)
	case "pod":
		s.pod(args)
	case "pass":
		return s.pass(args)
	default:
		s.t.Fatalf("unknown command %q", line)
	}
	return ""
}

func (s *scenario) node(args map[string]string) {
	settings := func(text string) map[string]string {
		out := map[string]string{}
		for _, pair := range strings.Split(text, ",") {
			if name, value, ok := strings.Cut(pair, ":"); ok {
				out[name] = value
			}
		}
		return out
	}
	thresholds, err := EvictionSettings{Hard: settings(args["hard"]), Soft: settings(args["soft"]),
		SoftGracePeriod: settings(args["grace"]), MinimumReclaim: settings(args["reclaim"])}.Thresholds()
	require.NoError(s.t, err)
	s.evictor, err = NewEvictor(EvictorConfig{Thresholds: thresholds, MaxPodGracePeriodSeconds: s.number(args["maxgrace"])})
	require.NoError(s.t, err)
	s.pods, s.stats, s.now = nil, map[string]*PodStats{}, epoch
}

func (s *scenario) number(text string) int64 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(s.t, err)
	return n
}

func bytesOf(text string) *uint64 {
	n := uint64(resource.MustParse(text).Value())
	return &n
}

func (s *scenario) pod(args map[string]string) {
	priority := int32(s.number(args["priority"]))
	p := &Pod{Metadata: Metadata{Name: args["name"], Namespace: "default", UID: args["name"]},
		Spec: PodSpec{Priority: &priority, Containers: []Container{container(list("memory", args["request"]), nil)}}}
	p.Spec.Containers[0].Name = "c"
	if grace := args["terminates"]; grace != "" {
		n := s.number(grace)
		p.Spec.TerminationGracePeriodSeconds = &n
	}
	s.pods = append(s.pods, p)
	if args["use"] == "none" {
		return
	}
	processes := uint64(s.number(args["processes"]))
	stats := &PodStats{PodRef: PodReference{UID: args["name"]}, Memory: &MemoryStats{WorkingSetBytes: bytesOf(args["use"])},
		Processes: &ProcessStats{Count: &processes}}
	if disk := args["disk"]; disk != "" {
		stats.Containers = []ContainerStats{{Name: "c", Rootfs: &FSStats{UsedBytes: bytesOf(disk)}, Logs: &FSStats{UsedBytes: bytesOf("0")}}}
	}
	s.stats[args["name"]] = stats
}

func (s *scenario) pass(args map[string]string) string {
	after, err := time.ParseDuration(args["after"])
	require.NoError(s.t, err)
	s.now = s.now.Add(after)
	measured := s.now
	if args["measured"] != "" {
		at, err := time.ParseDuration(args["measured"])
		require.NoError(s.t, err)
		measured = epoch.Add(at)
	}
	observe := func(nodefs string) Observations {
		var o Observations
		for signal, text := range map[Signal]string{MemoryAvailable: args["memory"], NodeFSAvailable: nodefs, PIDAvailable: args["pids"]} {
			if available, capacity, ok := strings.Cut(text, "/"); ok {
				o.Set(signal, Observation{resource.MustParse(capacity), resource.MustParse(available), measured})
			}
		}
		return o
	}
	var candidates []Candidate
	for _, p := range s.pods {
		c := Compile(p)
		c.Observe(s.stats[p.Metadata.UID])
		candidates = append(candidates, c)
	}
	d := s.evictor.Step(s.now, observe(args["nodefs"]), candidates)
	var parts []string
	if len(d.Conditions) > 0 {
		parts = append(parts, fmt.Sprint("conditions ", d.Conditions))
	}
	if len(d.Reclaim) > 0 {
		parts = append(parts, fmt.Sprint("reclaim ", d.Reclaim))
		if d = s.evictor.Reclaimed(observe(args["reclaimed"]), candidates); len(d.Evict) == 0 {
			parts = append(parts, "enough")
		}
	}
	for _, e := range d.Evict {
		parts = append(parts, fmt.Sprintf("evict %s/%s within %ds: %s", e.Pod.Metadata.Namespace, e.Pod.Metadata.Name, e.GracePeriodSeconds, e.Message))
	}
	if len(parts) == 0 {
		parts = []string{"quiet"}
	}
	return "pass: " + strings.Join(parts, "; ") + "\n"
}

// randomCandidates makes pods with statistics, some without, some critical.
func randomCandidates(r *rand.Rand, count int) []Candidate {
	out := make([]Candidate, count)
	for i := range out {
		priority := []int32{-1, 0, 0, 10, 1000, SystemCriticalPriority}[r.IntN(6)]
		p := &Pod{Metadata: Metadata{Name: fmt.Sprint("p", i), UID: fmt.Sprint("u", i), CreationTimestamp: epoch.Add(time.Duration(r.IntN(3)) * time.Hour)},
			Spec: PodSpec{Priority: &priority, Containers: []Container{container(list("memory", fmt.Sprintf("%dm", r.IntN(8)*500), "ephemeral-storage", fmt.Sprint(r.IntN(4))), nil)}}}
		out[i] = Compile(p)
		if r.IntN(8) == 0 {
			continue
		}
		n := func() *uint64 { v := uint64(r.IntN(6)); return &v }
		fs := func() *FSStats { return &FSStats{UsedBytes: n(), InodesUsed: n()} }
		out[i].Observe(&PodStats{Memory: &MemoryStats{WorkingSetBytes: n()}, Processes: &ProcessStats{Count: n()},
			Containers: []ContainerStats{{Rootfs: fs(), Logs: fs()}}})
	}
	return out
}

func randomLayout(r *rand.Rand) Layout {
	return []Layout{{}, {ImageFS: true}, {ImageFS: true, SplitImageFS: true}}[r.IntN(3)]
}

// The order is total and transitive, equals the order by plain keys, and First
// is its first evictable pod.
func TestRankIsTotal(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	for range 2000 {
		candidates, signal, layout := randomCandidates(r, 1+r.IntN(12)), Signal(r.IntN(int(signalCount))), randomLayout(r)
		order := Rank(candidates, signal, layout)
		require.Len(t, order, len(candidates))
		seen := map[int]bool{}
		first := -1
		for place, i := range order {
			require.False(t, seen[i])
			seen[i] = true
			if first < 0 && !candidates[i].Critical {
				first = i
			}
			for _, j := range order[place+1:] { // every later one, not just the next: transitive
				a, b := candidates[i].KeyFor(signal, layout), candidates[j].KeyFor(signal, layout)
				require.LessOrEqual(t, a.Compare(b), 0, "%v: %+v before %+v", signal, a, b)
				require.Equal(t, a.Compare(b), -b.Compare(a))
				if a.Compare(b) == 0 {
					require.Negative(t, compareTie(candidates[i].Pod, candidates[j].Pod))
				}
			}
		}
		require.Equal(t, first, First(candidates, signal, layout))
	}
}

// RankPods and FirstPod are Rank and First of Candidates: also for pods that
// have no statistics or share a UID, and statistics that share one or are
// nobody's.
func TestRankPodsIsRank(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	for range 500 {
		made := randomCandidates(r, r.IntN(2*blockPods+2))
		var pods []*Pod
		var s Summary
		uids := len(made) + r.IntN(3) - r.IntN(2)
		for i, c := range made {
			pods = append(pods, c.Pod)
			if c.Pod.Spec.Volumes = []Volume{{Name: "v", EmptyDir: &EmptyDirVolume{}}}; r.IntN(100) == 0 {
				c.Pod.Metadata.UID = "u0"
			}
			if i%16 == 0 {
				c.Pod.Metadata.CreationTimestamp = epoch
			}
			if c.stats == nil {
				continue
			}
			stats := *c.stats
			stats.PodRef.UID = fmt.Sprint("u", r.IntN(max(uids, 1)))
			stats.Volumes = []VolumeStats{{Name: "v", FSStats: FSStats{UsedBytes: new(uint64)}}, {Name: "v", FSStats: *stats.Containers[0].Logs}}
			s.Pods = append(s.Pods, stats)
		}
		for _, signal := range Signals() {
			layout := randomLayout(r)
			candidates := Candidates(pods, &s)
			require.Equal(t, Rank(candidates, signal, layout), RankPods(pods, &s, signal, layout))
			require.Equal(t, First(candidates, signal, layout), FirstPod(pods, &s, signal, layout))
		}
	}
}

// Raising a pod's priority never makes it leave earlier.
func TestPriorityProtects(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 5))
	place := func(order []int, i int) int {
		for at, j := range order {
			if i == j {
				return at
			}
		}
		return -1
	}
	for range 2000 {
		candidates, signal, layout := randomCandidates(r, 2+r.IntN(10)), Signal(r.IntN(int(signalCount))), randomLayout(r)
		i := r.IntN(len(candidates))
		before := place(Rank(candidates, signal, layout), i)
		candidates[i].priority += int32(r.IntN(2000))
		require.GreaterOrEqual(t, place(Rank(candidates, signal, layout), i), before)
	}
}

// Nobody is evicted without a threshold that is crossed, nor once all are
// resolved; never a critical pod; one at a time.
func TestEvictorLaws(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	evicted, withheld := 0, 0
	for range 500 {
		thresholds := []Threshold{{Signal: Signal(r.IntN(int(signalCount))), Value: Value{Quantity: resource.NewInt(50)}, MinReclaim: Value{Percentage: 0.1}}}
		if r.IntN(2) == 0 {
			thresholds[0].GracePeriod = 15 * time.Second
		}
		layout := randomLayout(r)
		e, err := NewEvictor(EvictorConfig{Thresholds: thresholds, Layout: layout})
		require.NoError(t, err)
		if len(e.Thresholds()) == 0 {
			continue // settings of containerfs are not honoured
		}
		now, since := epoch, time.Time{}
		for range 10 {
			now = now.Add(10 * time.Second)
			var o Observations
			available := int64(r.IntN(120))
			for _, s := range Signals() {
				o.Set(s, Observation{Capacity: resource.NewInt(200), Available: resource.NewInt(available)})
			}
			candidates := randomCandidates(r, r.IntN(6))
			d := e.Step(now, o, candidates)
			again := e.Reclaimed(o, candidates)
			if len(d.Reclaim) > 0 {
				d.Evict = again.Evict
			} else {
				require.Empty(t, again.Evict, "Reclaimed without Reclaim does nothing")
			}
			if available >= 70 {
				since = time.Time{}
			} else if since.IsZero() && available < 50 {
				since = now
			}
			require.LessOrEqual(t, len(d.Evict), 1)
			for _, x := range d.Evict {
				evicted++
				require.Less(t, available, int64(70), "above threshold and minimum reclaim")
				require.False(t, since.IsZero())
				require.GreaterOrEqual(t, now.Sub(since), thresholds[0].GracePeriod)
				require.False(t, IsCritical(x.Pod))
			}
			if available < 50 && len(d.Evict) == 0 {
				withheld++
			}
			if available < 50 {
				require.Contains(t, d.Conditions, thresholds[0].Signal.Condition())
			}
		}
	}
	require.NotZero(t, evicted)
	require.NotZero(t, withheld)
}

func TestEvictorConfigErrors(t *testing.T) {
	for want, config := range map[string]EvictorConfig{
		"signal 99: want one of the constants": {Thresholds: []Threshold{{Signal: 99}}},
		"grace period -1s: want at least 0":    {Thresholds: []Threshold{{GracePeriod: -time.Second}}},
		"MaxPodGracePeriodSeconds -1":          {MaxPodGracePeriodSeconds: -1},
		"SplitImageFS without ImageFS":         {Layout: Layout{SplitImageFS: true}},
	} {
		_, err := NewEvictor(config)
		require.ErrorContains(t, err, want)
	}
}

func TestStorageLimits(t *testing.T) {
	limit := resource.MustParse("1Mi")
	overVolume := podOf(container(nil, nil))
	overVolume.Spec.Volumes = []Volume{{Name: "v", EmptyDir: &EmptyDirVolume{SizeLimit: &limit}}}
	overPod := podOf(container(nil, list("ephemeral-storage", "1Mi")))
	overContainer := podOf(container(nil, list("ephemeral-storage", "1Mi")), container(nil, list("ephemeral-storage", "1Gi")))
	overContainer.Spec.Containers[0].Name = "c"
	critical := podOf(container(nil, list("ephemeral-storage", "1Mi")))
	critical.Metadata.Annotations = map[string]string{configMirrorAnnotation: ""}
	stats := &PodStats{EphemeralStorage: &FSStats{UsedBytes: bytesOf("2Mi")},
		Volumes:    []VolumeStats{{Name: "v", FSStats: FSStats{UsedBytes: bytesOf("2Mi")}}, {Name: "v"}},
		Containers: []ContainerStats{{Name: "c", Rootfs: &FSStats{UsedBytes: bytesOf("1Mi")}, Logs: &FSStats{UsedBytes: bytesOf("1")}}}}
	var candidates []Candidate
	for _, p := range []*Pod{overVolume, overPod, overContainer, critical, podOf(container(nil, nil))} {
		c := Compile(p)
		c.Observe(stats)
		candidates = append(candidates, c)
	}
	e, err := NewEvictor(EvictorConfig{})
	require.NoError(t, err)
	d := e.Step(epoch, Observations{}, candidates)
	require.Len(t, d.Evict, 3)
	for i, want := range []struct{ limit, message string }{
		{"emptydirfs.limit", `Usage of EmptyDir volume "v" exceeds the limit "1Mi". `},
		{"ephemeralpodfs.limit", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "},
		{"ephemeralcontainerfs.limit", `Container c exceeded its local ephemeral storage limit "1Mi". `},
	} {
		require.Equal(t, want.limit, d.Evict[i].Limit)
		require.Equal(t, want.message, d.Evict[i].Message)
		require.EqualValues(t, 1, d.Evict[i].GracePeriodSeconds)
	}
	e, err = NewEvictor(EvictorConfig{NoStorageLimits: true})
	require.NoError(t, err)
	require.Empty(t, e.Step(epoch, Observations{}, candidates).Evict)
}

func TestAdmit(t *testing.T) {
	bestEffort, burstable := podOf(container(nil, nil)), podOf(container(list("cpu", "1"), nil))
	tolerant := podOf(container(nil, nil))
	tolerant.Spec.Tolerations = []Toleration{{Key: "node.kubernetes.io/memory-pressure", Operator: "Exists"}}
	critical := podOf()
	priority := int32(SystemCriticalPriority)
	critical.Spec.Priority = &priority
	for _, c := range []struct {
		pod        *Pod
		conditions []Condition
		admitted   bool
		message    string
	}{
		{bestEffort, nil, true, ""},
		{bestEffort, []Condition{MemoryPressure}, false, "The node had condition: [MemoryPressure]. "},
		{tolerant, []Condition{MemoryPressure}, true, ""},
		{burstable, []Condition{MemoryPressure, MemoryPressure}, true, ""},
		{burstable, []Condition{DiskPressure, MemoryPressure}, false, "The node had condition: [MemoryPressure DiskPressure]. "},
		{critical, []Condition{DiskPressure, PIDPressure}, true, ""},
	} {
		admitted, message := Admit(c.pod, c.conditions)
		require.Equal(t, c.admitted, admitted)
		require.Equal(t, c.message, message)
	}
	require.Equal(t, []Taint{{Key: "node.kubernetes.io/disk-pressure", Effect: "NoSchedule"}}, Decision{Conditions: []Condition{DiskPressure}}.Taints())
}
