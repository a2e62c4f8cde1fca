package scheduler

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
	"github.com/stretchr/testify/require"
)

var (
	engineEvents = flag.Int("engine.events", 40000, "events in the test that holds the engine against the plain form")
	engineSeed   = flag.Uint64("engine.seed", 1, "seed of that test")
)

// The engine decides like the plain form, whatever happens to the cluster
// between decisions: placement, counts, scores, errors, and where the next scan
// starts.
func TestEngineDecidesAsPlainForm(t *testing.T) {
	const perHistory = 400
	decisions, placed, byEngine, recalled := 0, 0, 0, 0
	for i := range uint64(max(*engineEvents/perHistory, 1)) {
		events := make([]uint64, perHistory)
		rng := rand.New(rand.NewPCG(*engineSeed, i))
		for j := range events {
			events[j] = rng.Uint64()
		}
		h := newHistory(*engineSeed<<20 + i)
		if err := h.play(events); err != nil {
			least := shrink(h.seed, events)
			again := newHistory(h.seed)
			again.log = true
			t.Fatalf("history %d: %v\n%d events are enough:\n%s", h.seed, err, len(least), again.tell(least))
		}
		decisions += h.decisions
		placed += h.placed
		byEngine += int(h.engine.engine.decided)
		recalled += int(h.engine.engine.recalled)
	}
	t.Logf("%d decisions, %d pods placed, %d of them by the engine, %d errors known", decisions, placed, byEngine, recalled)
	require.Greater(t, recalled, (decisions-placed)/20)
	require.Greater(t, byEngine, placed/2)
	require.Greater(t, placed, decisions/10)
	require.Less(t, placed, decisions)
}

// history is a cluster and its schedulers in a random configuration, to which
// random events happen. An event is a number that decides together with the
// state what happens, so that events can be left out.
type history struct {
	seed   uint64
	cache  *Cache
	engine *Scheduler
	plain  *Scheduler
	nodes  map[string]*Node
	pods   map[string]*Pod // bound
	waits  map[string]*Pod // assumed
	kinds  []*Pod          // templates that pods are made from
	maxed  int
	serial int
	log    bool
	story  []string

	decisions, placed int
}

func newHistory(seed uint64) *history {
	rng := rand.New(rand.NewPCG(seed, 77))
	h := &history{
		seed: seed, cache: NewCache(CacheConfig{HoldUnknownNodes: true}),
		nodes: map[string]*Node{}, pods: map[string]*Pod{}, waits: map[string]*Pod{}, maxed: oneOf(rng, 6, 20, 20, 70, 70, 150, 400),
	}
	config := Config{
		Cache: h.cache, TieBreak: TieBreak(rng.IntN(3)), Seed: seed,
		PercentageOfNodesToScore: oneOf(rng, 0, 0, Adaptive, 30),
		Profiles:                 []Profile{randomProfile(rng)},
	}
	var err error
	if h.engine, err = New(config); err != nil {
		panic(err)
	}
	config.Plain = true
	if h.plain, err = New(config); err != nil {
		panic(err)
	}
	for i := range 1 + rng.IntN(8) {
		h.kinds = append(h.kinds, richPod(rng, fmt.Sprintf("kind-%d", i)))
	}
	for i := range h.maxed / 2 {
		h.setNode(rng, fmt.Sprintf("n%d", i))
	}
	return h
}

func randomProfile(rng *rand.Rand) Profile {
	var p Profile
	if rng.IntN(2) == 0 {
		return p
	}
	p.Disabled = oneOf(rng, nil, []string{"TaintToleration"}, []string{"InterPodAffinity"}, []string{"NodeResourcesFit"},
		[]string{"PodTopologySpread", "NodeAffinity"}, []string{"ImageLocality", "DynamicResources", "NodePorts"})
	p.Weights = map[string]int64{"NodeResourcesFit": int64(1 + rng.IntN(5)), "InterPodAffinity": int64(1 + rng.IntN(5))}
	p.Fit.Strategy = oneOf(rng, LeastAllocated, MostAllocated, RequestedToCapacityRatio)
	p.Fit.Shape = []ShapePoint{{0, 2}, {50, 10}, {100, 0}}
	if rng.IntN(3) == 0 {
		p.Fit.Resources = []ResourceWeight{{"cpu", 2}, {"example.com/gpu", 5}}
		p.Balanced.Resources = []ResourceWeight{{"cpu", 1}, {"memory", 1}, {"example.com/gpu", 1}}
	}
	if rng.IntN(3) == 0 {
		p.Spread.Defaults = []TopologySpreadConstraint{
			{MaxSkew: 1, TopologyKey: LabelZone, WhenUnsatisfiable: scheduleAnyway},
			{MaxSkew: 3, TopologyKey: LabelHostname, WhenUnsatisfiable: doNotSchedule},
		}
	}
	p.InterPodAffinity.IgnoreExistingPreferred = rng.IntN(2) == 0
	p.InterPodAffinity.FixNamespaceSelector = rng.IntN(2) == 0
	if rng.IntN(3) == 0 {
		p.NodeAffinity.Added = &NodeAffinity{Preferred: []selector.PreferredSchedulingTerm{{Weight: 7, Preference: nodeTerm(rng)}}}
	}
	return p
}

func nodeTerm(rng *rand.Rand) selector.NodeSelectorTerm {
	r := selector.NodeSelectorRequirement{Key: "disk", Operator: oneOf(rng, "In", "NotIn"), Values: []string{oneOf(rng, "ssd", "hdd")}}
	if rng.IntN(3) == 0 {
		r = selector.NodeSelectorRequirement{Key: LabelZone, Operator: "Exists"}
	}
	term := selector.NodeSelectorTerm{MatchExpressions: []selector.NodeSelectorRequirement{r}}
	if rng.IntN(8) == 0 {
		term.MatchFields = []selector.NodeSelectorRequirement{{Key: "metadata.name", Operator: oneOf(rng, "In", "NotIn"), Values: []string{"n1"}}}
	}
	return term
}

// richPod is a randomPod that more features may matter for.
func richPod(rng *rand.Rand, name string) *Pod {
	p := randomPod(rng, name)
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &Affinity{}
	}
	sel := func() *selector.LabelSelector {
		switch rng.IntN(6) {
		case 0:
			return nil
		case 1:
			return &selector.LabelSelector{}
		}
		return &selector.LabelSelector{MatchLabels: map[string]string{"app": oneOf(rng, "web", "db")}}
	}
	key := func() string { return oneOf(rng, LabelHostname, LabelZone, LabelZone, "disk", "nobody") }
	if rng.IntN(4) == 0 {
		na := &NodeAffinity{}
		if rng.IntN(2) == 0 {
			na.Required = &selector.NodeSelector{NodeSelectorTerms: []selector.NodeSelectorTerm{nodeTerm(rng), nodeTerm(rng)}}
		}
		for range rng.IntN(3) {
			na.Preferred = append(na.Preferred, selector.PreferredSchedulingTerm{Weight: int32(1 + rng.IntN(100)), Preference: nodeTerm(rng)})
		}
		p.Spec.Affinity.NodeAffinity = na
	}
	term := func() PodAffinityTerm {
		t := PodAffinityTerm{LabelSelector: sel(), TopologyKey: key()}
		switch rng.IntN(6) {
		case 0:
			t.Namespaces = []string{"prod", "default"}
		case 1:
			t.NamespaceSelector = &selector.LabelSelector{MatchLabels: map[string]string{"team": "a"}}
		case 2:
			t.NamespaceSelector = &selector.LabelSelector{}
		}
		return t
	}
	if rng.IntN(4) == 0 {
		p.Spec.Affinity.PodAffinity = &PodAffinity{
			Preferred: []WeightedPodAffinityTerm{{Weight: int32(1 + rng.IntN(100)), PodAffinityTerm: term()}},
		}
		if rng.IntN(2) == 0 {
			p.Spec.Affinity.PodAffinity.Required = []PodAffinityTerm{term(), term()}
		}
	}
	if rng.IntN(5) == 0 {
		p.Spec.Affinity.PodAntiAffinity = &PodAffinity{
			Preferred: []WeightedPodAffinityTerm{{Weight: int32(1 + rng.IntN(100)), PodAffinityTerm: term()}},
			Required:  []PodAffinityTerm{term()},
		}
	}
	for range rng.IntN(4) - 1 {
		sc := TopologySpreadConstraint{
			MaxSkew: int32(1 + rng.IntN(3)), TopologyKey: key(), LabelSelector: sel(),
			WhenUnsatisfiable:  oneOf(rng, doNotSchedule, scheduleAnyway),
			NodeAffinityPolicy: oneOf[*string](rng, nil, ptr(policyHonor), ptr(policyIgnore)),
			NodeTaintsPolicy:   oneOf[*string](rng, nil, ptr(policyHonor), ptr(policyIgnore)),
			MatchLabelKeys:     oneOf(rng, nil, []string{"app"}),
		}
		if sc.LabelSelector == nil {
			sc.MatchLabelKeys = nil
		}
		if sc.WhenUnsatisfiable == doNotSchedule && rng.IntN(3) == 0 {
			sc.MinDomains = ptr(int32(1 + rng.IntN(4)))
		}
		if !slices.ContainsFunc(p.Spec.TopologySpreadConstraints, func(o TopologySpreadConstraint) bool {
			return o.TopologyKey == sc.TopologyKey && o.WhenUnsatisfiable == sc.WhenUnsatisfiable
		}) {
			p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, sc)
		}
	}
	if rng.IntN(3) == 0 {
		p.OwnerReferences = []OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "rs", UID: "rs", Controller: ptr(true)}}
	}
	if rng.IntN(6) == 0 {
		p.Spec.HostNetwork, p.Spec.HostUsers = true, ptr(false)
	}
	if rng.IntN(4) == 0 {
		p.Spec.Containers = append(p.Spec.Containers, Container{Name: "two", Image: "shop/db:v1"})
	}
	return p
}

func ptr[T any](v T) *T { return &v }

// play lets the events happen; the error is the first difference.
func (h *history) play(events []uint64) error {
	for i, e := range events {
		if err := h.event(rand.New(rand.NewPCG(h.seed, e))); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
	}
	return nil
}

// tell plays the events and returns what happened.
func (h *history) tell(events []uint64) string {
	err := h.play(events)
	return fmt.Sprintf("%s\n%v", joinLines(h.story), err)
}

func joinLines(lines []string) (out string) {
	for _, l := range lines {
		out += l + "\n"
	}
	return out
}

// shrink leaves out as many events as it can with the histories still
// differing.
func shrink(seed uint64, events []uint64) []uint64 {
	fails := func(events []uint64) bool { return newHistory(seed).play(events) != nil }
	for chunk := len(events) / 2; chunk > 0; {
		at, removed := 0, false
		for at < len(events) {
			less := slices.Concat(events[:at], events[min(at+chunk, len(events)):])
			if fails(less) {
				events, removed = less, true
			} else {
				at += chunk
			}
		}
		if !removed || chunk > len(events) {
			chunk /= 2
		}
	}
	return events
}

func (h *history) note(format string, args ...any) {
	if h.log {
		h.story = append(h.story, fmt.Sprintf(format, args...))
	}
}

// event does one thing to the cluster; a good half are decisions.
func (h *history) event(rng *rand.Rand) error {
	node := fmt.Sprintf("n%d", rng.IntN(h.maxed))
	switch rng.IntN(30) {
	case 0, 1:
		h.setNode(rng, node)
	case 2:
		h.tweakNode(rng)
	case 3:
		if h.nodes[node] != nil && rng.IntN(4) == 0 {
			h.note("remove %s", node)
			must(h.cache.RemoveNode(node))
			delete(h.nodes, node)
		}
	case 4, 5:
		p := h.newPod(rng)
		p.Spec.NodeName = node
		if rng.IntN(10) == 0 {
			now := time.Unix(1, 0)
			p.DeletionTimestamp = &now
		}
		h.note("add %s on %s", p.Name, node)
		must(h.cache.AddPod(p))
		h.pods[p.Name] = p
	case 6, 7, 8:
		if p := anyOf(rng, h.pods); p != nil {
			h.note("remove %s", p.Name)
			must(h.cache.RemovePod(p.Namespace, p.Name))
			delete(h.pods, p.Name)
		}
	case 9:
		if p := anyOf(rng, h.pods); p != nil {
			changed := *p
			changed.Labels = map[string]string{"app": oneOf(rng, "web", "db")}
			h.note("relabel %s %v", p.Name, changed.Labels)
			must(h.cache.UpdatePod(&changed))
			h.pods[p.Name] = &changed
		}
	case 10, 11:
		h.settle(rng)
	case 12:
		h.changeObject(rng)
	case 13:
		p := h.newPod(rng)
		if rng.IntN(4) == 0 {
			h.note("nominate %s to %s", p.Name, node)
			must(h.cache.Nominate(p, node))
		} else {
			for key := range h.cache.nominated.node.m {
				h.cache.Unnominate(key.namespace, key.name)
				break
			}
		}
	default:
		return h.decide(rng)
	}
	return nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func anyOf(rng *rand.Rand, m map[string]*Pod) *Pod {
	names := slices.Sorted(maps.Keys(m))
	if len(names) == 0 {
		return nil
	}
	return m[names[rng.IntN(len(names))]]
}

func (h *history) newPod(rng *rand.Rand) *Pod {
	h.serial++
	p := *h.kinds[rng.IntN(len(h.kinds))]
	if rng.IntN(10) == 0 {
		p = *richPod(rng, "")
	}
	p.Name = fmt.Sprintf("p%d", h.serial)
	p.UID = p.Name
	return &p
}

func (h *history) setNode(rng *rand.Rand, name string) {
	n := randomNode(rng, name)
	if rng.IntN(10) == 0 {
		n.Labels[LabelHostname] = "shared"
	}
	if rng.IntN(20) == 0 {
		n.Labels[LabelZone] = ""
	}
	if rng.IntN(2) == 0 {
		n.Spec.Taints = nil
	}
	if rng.IntN(3) == 0 {
		n.Status.DeclaredFeatures = []string{"UserNamespacesHostNetworkSupport"}
	}
	if rng.IntN(2) == 0 {
		n.Status.Allocatable["pods"] = resource.NewInt(100)
	}
	h.note("set %s %v taints %v", name, n.Labels, n.Spec.Taints)
	if h.nodes[name] == nil {
		must(h.cache.AddNode(n))
	} else {
		must(h.cache.UpdateNode(n))
	}
	h.nodes[name] = n
}

// tweakNode changes one thing about a node.
func (h *history) tweakNode(rng *rand.Rand) {
	names := slices.Sorted(maps.Keys(h.nodes))
	if len(names) == 0 {
		return
	}
	n := *h.nodes[names[rng.IntN(len(names))]]
	switch rng.IntN(5) {
	case 0:
		n.Spec.Unschedulable = !n.Spec.Unschedulable
	case 1:
		n.Spec.Taints = nil
	case 2:
		n.Labels = maps.Clone(n.Labels)
		n.Labels["disk"] = oneOf(rng, "ssd", "hdd", "")
	case 3:
		n.Status.Images = []ContainerImage{{Names: []string{"shop/db:v1"}, SizeBytes: int64(rng.IntN(900)) << 20}}
	case 4:
		n.Status.Allocatable = maps.Clone(n.Status.Allocatable)
		n.Status.Allocatable["cpu"] = resource.NewInt(int64(1 + rng.IntN(16)))
	}
	h.note("tweak %s: %+v", n.Name, n)
	must(h.cache.UpdateNode(&n))
	h.nodes[n.Name] = &n
}

// settle confirms or forgets an assumed pod.
func (h *history) settle(rng *rand.Rand) {
	p := anyOf(rng, h.waits)
	if p == nil {
		return
	}
	delete(h.waits, p.Name)
	if rng.IntN(3) == 0 {
		h.note("forget %s", p.Name)
		must(h.cache.Forget(p.Namespace, p.Name))
		return
	}
	h.note("confirm %s", p.Name)
	must(h.cache.Confirm(p.Namespace, p.Name))
	h.pods[p.Name] = p
}

func (h *history) changeObject(rng *rand.Rand) {
	meta := ObjectMeta{Name: oneOf(rng, "default", "prod"), Labels: map[string]string{"team": oneOf(rng, "a", "b")}}
	inside := ObjectMeta{Name: "rs", Namespace: oneOf(rng, "default", "prod")}
	app := map[string]string{"app": oneOf(rng, "web", "db")}
	kind := rng.IntN(6)
	h.note("object %d %v %v %v", kind, meta, inside, app)
	switch kind {
	case 0:
		must(h.cache.SetNamespace(&Namespace{ObjectMeta: meta}))
	case 1:
		h.cache.RemoveNamespace(meta.Name)
	case 2:
		s := &Service{ObjectMeta: inside}
		s.Spec.Selector = app
		must(h.cache.SetService(s))
	case 3:
		h.cache.RemoveService(inside.Namespace, inside.Name)
	case 4:
		rs := &ReplicaSet{ObjectMeta: inside}
		rs.Spec.Selector = &selector.LabelSelector{MatchLabels: app}
		must(h.cache.SetReplicaSet(rs))
	case 5:
		h.cache.RemoveReplicaSet(inside.Namespace, inside.Name)
	}
}

// decide asks both schedulers and assumes what they agree about, often.
func (h *history) decide(rng *rand.Rand) error {
	p := h.newPod(rng)
	if rng.IntN(10) == 0 {
		p.Status.NominatedNodeName = fmt.Sprintf("n%d", rng.IntN(h.maxed))
	}
	for {
		fits, err := h.decideOn(rng, p)
		if fits || err != nil || rng.IntN(3) > 0 {
			return err
		}
		h.serial++
		again := *p
		again.Name = fmt.Sprintf("p%d", h.serial)
		again.Status.NominatedNodeName = ""
		if rng.IntN(3) == 0 {
			again.Spec.Priority = ptr(int32(rng.IntN(3)))
		}
		p = &again
	}
}

func (h *history) decideOn(rng *rand.Rand, p *Pod) (fits bool, err error) {
	h.decisions++
	want, wantErr := h.plain.Schedule(p)
	got, err := h.engine.Schedule(p)
	h.note("decide %s (%s) %+v: %s, %v", p.Name, p.Labels, p.Spec, want.Node, wantErr)
	if h.log {
		h.note("    %+v", want)
	}
	var wantFit, fit *FitError
	switch {
	case !got.equal(&want):
		return false, fmt.Errorf("%s: engine %+v, plain form %+v", p.Name, got, want)
	case fmt.Sprint(err) != fmt.Sprint(wantErr):
		return false, fmt.Errorf("%s: engine %v, plain form %v", p.Name, err, wantErr)
	case h.plain.start != h.engine.start:
		return false, fmt.Errorf("%s: engine goes on at %d, plain form at %d", p.Name, h.engine.start, h.plain.start)
	case errors.As(err, &fit) && errors.As(wantErr, &wantFit) && !fit.equal(wantFit):
		return false, fmt.Errorf("%s: engine %+v, plain form %+v", p.Name, fit, wantFit)
	}
	if err != nil {
		return false, nil
	}
	h.placed++
	if rng.IntN(5) > 0 {
		must(h.cache.Assume(p, got.Node))
		bound := *p
		bound.Spec.NodeName = got.Node
		h.waits[p.Name] = &bound
	}
	return true, nil
}
