package scheduler

import (
	"errors"
	"fmt"
	"testing"

	"github.com/orchcore/orchcore/selector"
	"github.com/stretchr/testify/require"
)

func TestConfigErrors(t *testing.T) {
	weight := int32(101)
	bad := selector.NodeSelectorTerm{MatchExpressions: []selector.NodeSelectorRequirement{{Key: "k", Operator: "Near"}}}
	tests := []struct {
		config Config
		want   string
	}{
		{Config{}, `scheduler config: Cache: want a Cache`},
		{Config{PercentageOfNodesToScore: 101}, `scheduler config: PercentageOfNodesToScore: "101": want Adaptive or 0 to 100`},
		{Config{TieBreak: 9}, `scheduler config: TieBreak: "9": want TieUpstream, TieFirst or TieRandom`},
		{Config{Profiles: []Profile{{}, {}}}, `scheduler config: Profiles[1].SchedulerName: "default-scheduler": want a name of its own`},
		{Config{Profiles: []Profile{{Disabled: []string{"Nope"}}}}, `scheduler config: Disabled[0]: "Nope": want the name of a plugin`},
		{Config{Profiles: []Profile{{Weights: map[string]int64{"Nope": 1}}}}, `scheduler config: Weights: "Nope": want the name of a plugin`},
		{Config{Profiles: []Profile{{Weights: map[string]int64{"ImageLocality": 0}}}}, `scheduler config: Weights[ImageLocality]: "0": want 1 to 4294967296`},
		{Config{Profiles: []Profile{{Extra: []Plugin{nil}}}}, `scheduler config: Extra[0]: want a plugin`},
		{Config{Profiles: []Profile{{Extra: []Plugin{roleless("NodeName")}}}}, `scheduler config: Extra[0].Name: "NodeName": want a name of its own`},
		{Config{Profiles: []Profile{{Extra: []Plugin{roleless("Idle")}}}}, `scheduler config: Extra: "Idle": want a plugin with at least one role`},
		{Config{Profiles: []Profile{{Fit: FitArgs{Strategy: "Fancy"}}}}, `scheduler config: Fit.Strategy: "Fancy": want LeastAllocated, MostAllocated or RequestedToCapacityRatio`},
		{Config{Profiles: []Profile{{Fit: FitArgs{Strategy: RequestedToCapacityRatio}}}}, `scheduler config: Fit.Shape: want at least one point`},
		{Config{Profiles: []Profile{{Fit: FitArgs{Strategy: RequestedToCapacityRatio, Shape: []ShapePoint{{0, 0}, {0, 1}}}}}},
			`scheduler config: Fit.Shape[1].Utilization: "0": want more than the point before`},
		{Config{Profiles: []Profile{{Fit: FitArgs{Resources: []ResourceWeight{{"", 1}}}}}}, `scheduler config: Fit.Resources[0].Name: want a resource name`},
		{Config{Profiles: []Profile{{Balanced: BalancedArgs{Resources: []ResourceWeight{{"cpu", 101}}}}}}, `scheduler config: Balanced.Resources[0].Weight: "101": want 1 to 100`},
		{Config{Profiles: []Profile{{InterPodAffinity: InterPodAffinityArgs{HardWeight: &weight}}}}, `scheduler config: InterPodAffinity.HardWeight: "101": want 0 to 100`},
		{Config{Profiles: []Profile{{Preemption: PreemptionArgs{MinCandidatesPercent: 101}}}}, `scheduler config: Preemption.MinCandidatesPercent: "101": want 0 to 100`},
		{Config{Profiles: []Profile{{Preemption: PreemptionArgs{MinCandidates: -1}}}}, `scheduler config: Preemption.MinCandidates: "-1": want 0 or more`},
		{Config{Profiles: []Profile{{Spread: SpreadArgs{Defaults: []TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "z", WhenUnsatisfiable: "Never"}}}}}},
			`scheduler config: Spread.Defaults[0].whenUnsatisfiable: "Never": want one of [DoNotSchedule ScheduleAnyway]`},
		{Config{Profiles: []Profile{{NodeAffinity: NodeAffinityArgs{Added: &NodeAffinity{Required: &selector.NodeSelector{NodeSelectorTerms: []selector.NodeSelectorTerm{bad}}}}}}},
			`scheduler config: NodeAffinity.Added.Required: nodeSelectorTerms[0].matchExpressions[0].operator`},
	}
	for _, test := range tests {
		if test.want != tests[0].want {
			test.config.Cache = NewCache(CacheConfig{})
		}
		_, err := New(test.config)
		require.ErrorContains(t, err, test.want)
		var ce *ConfigError
		require.True(t, errors.As(err, &ce), test.want)
	}
}

// roleless is a plugin without a role.
type roleless string

func (n roleless) Name() string { return string(n) }

func TestProfiles(t *testing.T) {
	c := NewCache(CacheConfig{})
	for _, n := range []string{
		`{"metadata":{"name":"a","labels":{"disk":"ssd"}},"status":{"allocatable":{"cpu":"4","memory":"8Gi","pods":"9"}}}`,
		`{"metadata":{"name":"b"},"status":{"allocatable":{"cpu":"4","memory":"8Gi","pods":"9"}}}`,
	} {
		require.NoError(t, c.AddNode(decodeAs[Node](t, n)))
	}
	require.NoError(t, c.AddPod(decodeAs[Pod](t, `{"metadata":{"name":"old"},"spec":{"nodeName":"b",
		"containers":[{"name":"c","resources":{"requests":{"cpu":"2","memory":"4Gi"}}}]}}`)))
	ssd := &NodeAffinity{Required: &selector.NodeSelector{NodeSelectorTerms: []selector.NodeSelectorTerm{{
		MatchExpressions: []selector.NodeSelectorRequirement{{Key: "disk", Operator: "In", Values: []string{"ssd"}}},
	}}}}
	s, err := New(Config{Cache: c, Profiles: []Profile{
		{},
		{SchedulerName: "packing", Fit: FitArgs{Strategy: MostAllocated}},
		{SchedulerName: "ssd-only", NodeAffinity: NodeAffinityArgs{Added: ssd}},
		{SchedulerName: "blind", Disabled: []string{"NodeResourcesFit", "TaintToleration"}},
	}})
	require.NoError(t, err)
	pod := func(scheduler string) *Pod {
		return decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"schedulerName":"`+scheduler+`",
			"containers":[{"name":"c","resources":{"requests":{"cpu":"1","memory":"2Gi"}}}]}}`)
	}
	for scheduler, want := range map[string]string{"": "a", "default-scheduler": "a", "packing": "b", "ssd-only": "a"} {
		placement, err := s.Schedule(pod(scheduler))
		require.NoError(t, err)
		require.Equal(t, want, placement.Node, scheduler)
	}
	e, err := s.Explain(pod("ssd-only"))
	require.NoError(t, err)
	require.Equal(t, "node(s) didn't match scheduler-enforced node affinity", e.Nodes[1].Status.Message())

	e, err = s.Explain(pod("blind"))
	require.NoError(t, err)
	for _, p := range e.Nodes[0].Plugins {
		require.NotContains(t, []string{"NodeResourcesFit", "TaintToleration"}, p.Plugin)
	}
	_, err = s.Schedule(pod("unknown"))
	require.EqualError(t, err, `pod default/p: spec.schedulerName: "unknown": want the name of a profile`)
}

func TestStrategies(t *testing.T) {
	rate := func(args FitArgs, requested int64) int64 {
		pl, err := newNodeResourcesFit(args)
		require.NoError(t, err)
		return pl.rate(requested, 1000)
	}
	shape := FitArgs{Strategy: RequestedToCapacityRatio, Shape: []ShapePoint{{20, 0}, {70, 10}, {100, 3}}}
	for _, test := range []struct {
		args      FitArgs
		requested int64
		want      int64
	}{
		{FitArgs{}, 0, 100}, {FitArgs{}, 333, 66}, {FitArgs{}, 1000, 0}, {FitArgs{}, 1001, 0},
		{FitArgs{Strategy: MostAllocated}, 333, 33}, {FitArgs{Strategy: MostAllocated}, 5000, 100},
		{shape, 0, 0}, {shape, 200, 0}, {shape, 450, 50}, {shape, 700, 100}, {shape, 710, 98}, {shape, 1000, 30}, {shape, 2000, 30},
	} {
		require.Equal(t, test.want, rate(test.args, test.requested), "%+v", test)
	}
}

// vetoing rejects in every role, to show that each verdict is heard.
type vetoing struct {
	pre, filter Status
	tracked     *[]string
}

func (vetoing) Name() string { return "Vetoing" }

func (v vetoing) PreFilter(*Cycle) (map[string]bool, Status) { return nil, v.pre }

func (v vetoing) Filter(*Cycle, *NodeInfo) Status { return v.filter }

func (v vetoing) AddPod(_ *Cycle, p *PodInfo, n *NodeInfo) {
	*v.tracked = append(*v.tracked, "+"+p.Name()+"@"+n.Name)
}

func (v vetoing) RemovePod(_ *Cycle, p *PodInfo, n *NodeInfo) {
	*v.tracked = append(*v.tracked, "-"+p.Name()+"@"+n.Name)
}

func TestPluginsOfOnesOwn(t *testing.T) {
	c := NewCache(CacheConfig{})
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"1","pods":"9"}}}`)))
	require.NoError(t, c.AddPod(decodeAs[Pod](t, `{"metadata":{"name":"low"},"spec":{"nodeName":"a","containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`)))
	pod := decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"priority":5,"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`)
	small := decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}]}}`)
	why := Status{Code: Unschedulable, Details: []string{"moon is full"}}
	boom := errors.New("boom")
	tests := []struct {
		name   string
		plugin vetoing
		pod    *Pod
		want   string
	}{
		{"filter", vetoing{filter: why}, small,
			"0/1 nodes are available: 1 moon is full. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."},
		{"prefilter", vetoing{pre: why}, small,
			"0/1 nodes are available: moon is full. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."},
		{"failed filter", vetoing{filter: Status{Code: Failed, Err: boom}}, small, `running "Vetoing" filter plugin: boom`},
		{"failed prefilter", vetoing{pre: Status{Code: Failed, Err: boom}}, small, `running PreFilter plugin "Vetoing": boom`},
		{"skipped", vetoing{pre: Status{Code: Skip}, filter: why}, small, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.plugin.tracked = new([]string)
			s, err := New(Config{Cache: c, Profiles: []Profile{{Extra: []Plugin{test.plugin}}}})
			require.NoError(t, err)
			_, err = s.Schedule(test.pod)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, test.want)
		})
	}
	tracked := new([]string)
	s, err := New(Config{Cache: c, Profiles: []Profile{{Extra: []Plugin{vetoing{tracked: tracked}}}}})
	require.NoError(t, err)
	_, err = s.Schedule(pod)
	var fit *FitError
	require.ErrorAs(t, err, &fit)
	require.Equal(t, &Nomination{Node: "a", Victims: []string{"default/low"}}, fit.Nominated)
	require.Equal(t, []string{"-default/low@a", "+default/low@a", "-default/low@a"}, *tracked)
}

// A bounded search for preemption ends early, and draws where it begins.
func TestPreemptionSample(t *testing.T) {
	c := NewCache(CacheConfig{})
	for i := range 40 {
		node := fmt.Sprintf("n%02d", i)
		require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"`+node+`"},"status":{"allocatable":{"cpu":"1","pods":"9"}}}`)))
		require.NoError(t, c.AddPod(decodeAs[Pod](t, fmt.Sprintf(
			`{"metadata":{"name":"low%02d"},"spec":{"nodeName":%q,"priority":%d,"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`, i, node, 100-i))))
	}
	pod := decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"priority":500,"containers":[{"name":"c","resources":{"requests":{"cpu":"1"}}}]}}`)
	nominate := func(args PreemptionArgs, seed uint64) string {
		s, err := New(Config{Cache: c, Seed: seed, Profiles: []Profile{{Preemption: args}}})
		require.NoError(t, err)
		_, err = s.Schedule(pod)
		var fit *FitError
		require.ErrorAs(t, err, &fit)
		return fit.Nominated.Node
	}
	require.Equal(t, "n39", nominate(PreemptionArgs{}, 1), "the least important victim of all")
	seen := make(map[string]bool)
	for seed := range uint64(20) {
		node := nominate(PreemptionArgs{MinCandidatesPercent: 10, MinCandidates: 1}, seed)
		require.Equal(t, node, nominate(PreemptionArgs{MinCandidatesPercent: 10, MinCandidates: 1}, seed))
		seen[node] = true
	}
	require.Greater(t, len(seen), 3)
}

// counting keeps a count in the cycle that AddPod and RemovePod follow, and
// narrows the nodes.
type counting struct {
	only map[string]bool
	seen *[]int
}

type countKey struct{}

type count struct{ n int }

func (c *count) CloneState() any { return &count{c.n} }

func (counting) Name() string { return "Counting" }

func (p counting) PreFilter(c *Cycle) (map[string]bool, Status) {
	c.Store(countKey{}, &count{})
	return p.only, Status{}
}

func (p counting) Filter(c *Cycle, _ *NodeInfo) Status {
	*p.seen = append(*p.seen, c.Load(countKey{}).(*count).n)
	return Status{}
}

func (counting) AddPod(c *Cycle, _ *PodInfo, _ *NodeInfo)    { c.Load(countKey{}).(*count).n++ }
func (counting) RemovePod(c *Cycle, _ *PodInfo, _ *NodeInfo) { c.Load(countKey{}).(*count).n-- }

// What a plugin keeps in the cycle is cloned for each simulated node.
func TestCycleState(t *testing.T) {
	c := NewCache(CacheConfig{})
	for _, name := range []string{"a", "b"} {
		require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"`+name+`"},"status":{"allocatable":{"pods":"9"}}}`)))
		require.NoError(t, c.Nominate(decodeAs[Pod](t, `{"metadata":{"name":"vip-`+name+`"},"spec":{"priority":9}}`), name))
	}
	pod := decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c"}]}}`)
	run := func(only map[string]bool) ([]int, error) {
		seen := new([]int)
		s, err := New(Config{Cache: c, Profiles: []Profile{{Extra: []Plugin{counting{only, seen}}}}})
		require.NoError(t, err)
		_, err = s.Schedule(pod)
		return *seen, err
	}
	seen, err := run(nil)
	require.NoError(t, err)
	require.Equal(t, []int{1, 0, 1, 0}, seen, "each node with its nominated pod, and without")

	seen, err = run(map[string]bool{"b": true})
	require.NoError(t, err)
	require.Equal(t, []int{1, 0}, seen)

	_, err = run(map[string]bool{})
	var fit *FitError
	require.ErrorAs(t, err, &fit)
	require.Equal(t, "0/2 nodes are available: node(s) didn't satisfy plugin Counting.", fit.FilterText())

	pod = decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
		{"matchFields":[{"key":"metadata.name","operator":"In","values":["a"]}]}]}}},"containers":[{"name":"c"}]}}`)
	_, err = run(map[string]bool{"b": true})
	require.ErrorAs(t, err, &fit)
	require.Equal(t, "0/2 nodes are available: node(s) didn't satisfy plugin(s) [Counting NodeAffinity] simultaneously.", fit.FilterText())
}

// Terms that cannot be parsed reach the scheduler only unvalidated.
func TestUnparsableAffinity(t *testing.T) {
	c := NewCache(CacheConfig{Unvalidated: true})
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"a"},"status":{"allocatable":{"pods":"9"}}}`)))
	const bad = `{"topologyKey":"z","labelSelector":{"matchExpressions":[{"key":"k","operator":"Near"}]}}`
	pod := decodeAs[Pod](t, `{"metadata":{"name":"p"},"spec":{"affinity":{
		"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[`+bad+`]},
		"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"podAffinityTerm":`+bad+`}]}}}}`)
	_, err := newScheduler(t, c).Schedule(pod)
	var fit *FitError
	require.ErrorAs(t, err, &fit)
	require.Equal(t, `0/1 nodes are available: parsing pod: [requiredAffinityTerms: "Near" is not a valid label selector operator, preferredAntiAffinityTerms: "Near" is not a valid label selector operator].`,
		fit.FilterText())
	require.Error(t, ValidatePod(pod))
}
