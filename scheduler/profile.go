package scheduler

import (
	"fmt"
	"slices"
)

// profile is a Profile with its plugins sorted by what they do.
type profile struct {
	name        string
	percentage  int      // of nodes to score; 0 leaves it to Config
	plugins     []Plugin // a plugin's index here is its number
	preFilters  []numbered[PreFilter]
	filters     []numbered[Filter]
	trackers    []numbered[PodTracker]
	postFilters []numbered[PostFilter]
	preScores   []numbered[PreScore]
	scores      []scorer
	reservers   []numbered[Reserver]
	permitters  []numbered[Permitter]
	preBinders  []numbered[PreBinder]
	binders     []numbered[PluginBinder]
	parts       *parts // the same for the engine
	gates       []numbered[PreEnqueuer]
	hints       []pluginHint
}

// numbered is a plugin in one of its roles.
type numbered[P Plugin] struct {
	number int
	plugin P
}

type scorer struct {
	number     int
	plugin     Score
	normalizer Normalizer // nil when scores need no normalising
	weight     int64
}

// defaultWeights are the weights of kube-scheduler's default profile; scores
// that are not named weigh 1.
var defaultWeights = map[string]int64{
	"TaintToleration":   3,
	"NodeAffinity":      2,
	"PodTopologySpread": 2,
	"InterPodAffinity":  2,
	"DynamicResources":  2,
}

// builtin returns the plugins of the default profile in its order, which is
// the same at every extension point.
func builtin(p *Profile) ([]Plugin, error) {
	affinity, err := newNodeAffinity(p.NodeAffinity)
	if err != nil {
		return nil, err
	}
	fit, err := newNodeResourcesFit(p.Fit)
	if err != nil {
		return nil, err
	}
	spread, err := newTopologySpread(p.Spread)
	if err != nil {
		return nil, err
	}
	interPod, err := newInterPodAffinity(p.InterPodAffinity)
	if err != nil {
		return nil, err
	}
	preemption, err := newPreemption(p.Preemption)
	if err != nil {
		return nil, err
	}
	balanced, err := newBalancedAllocation(p.Balanced)
	if err != nil {
		return nil, err
	}
	return []Plugin{
		nodeUnschedulable{}, nodeName{}, taintToleration{}, affinity, nodePorts{}, fit,
		volumeRestrictions{}, nodeVolumeLimits{}, volumeBinding{}, volumeZone{}, spread, interPod, dynamicResources{}, preemption, balanced, imageLocality{}, declaredFeatures{},
		schedulingGates{}, gangScheduling{},
	}, nil
}

func compileProfile(config *Profile) (*profile, error) {
	all, err := builtin(config)
	if err != nil {
		return nil, err
	}
	if err := checkNames(config, all); err != nil {
		return nil, err
	}
	p := &profile{name: config.SchedulerName, percentage: config.PercentageOfNodesToScore}
	if p.name == "" {
		p.name = DefaultSchedulerName
	}
	for _, pl := range append(all, config.Extra...) {
		if slices.Contains(config.Disabled, pl.Name()) {
			continue
		}
		if err := p.enrol(pl, config.weight(pl.Name())); err != nil {
			return nil, err
		}
	}
	p.parts = partsOf(p)
	return p, nil
}

func (p *Profile) weight(name string) int64 {
	if w, ok := p.Weights[name]; ok {
		return w
	}
	if w, ok := defaultWeights[name]; ok {
		return w
	}
	return 1
}

// enrol puts a plugin into the list of each of its roles.
func (p *profile) enrol(pl Plugin, weight int64) error {
	number, roles := len(p.plugins), 0
	p.plugins = append(p.plugins, pl)
	roles += role(&p.preFilters, pl, number)
	roles += role(&p.filters, pl, number)
	roles += role(&p.trackers, pl, number)
	roles += role(&p.postFilters, pl, number)
	roles += role(&p.preScores, pl, number)
	roles += role(&p.reservers, pl, number)
	roles += role(&p.permitters, pl, number)
	roles += role(&p.preBinders, pl, number)
	roles += role(&p.binders, pl, number)
	roles += role(&p.gates, pl, number)
	if s, ok := pl.(Score); ok {
		normalizer, _ := pl.(Normalizer)
		p.scores = append(p.scores, scorer{number, s, normalizer, weight})
		roles++
	}
	if roles == 0 {
		return configError("Extra", pl.Name(), "a plugin with at least one role")
	}
	p.registerHints(pl, number)
	return nil
}

func role[P Plugin](list *[]numbered[P], pl Plugin, number int) int {
	typed, ok := pl.(P)
	if !ok {
		return 0
	}
	*list = append(*list, numbered[P]{number, typed})
	return 1
}

// checkNames refuses names that are used twice or that nobody has, and weights
// out of range.
func checkNames(config *Profile, all []Plugin) error {
	known := make(map[string]bool)
	for i, pl := range append(slices.Clone(all), config.Extra...) {
		switch {
		case pl == nil:
			return configError(fmt.Sprintf("Extra[%d]", i-len(all)), "", "a plugin")
		case pl.Name() == "" || known[pl.Name()]:
			return configError(fmt.Sprintf("Extra[%d].Name", i-len(all)), pl.Name(), "a name of its own")
		}
		known[pl.Name()] = true
	}
	for i, name := range config.Disabled {
		if !known[name] {
			return configError(fmt.Sprintf("Disabled[%d]", i), name, "the name of a plugin")
		}
	}
	for name, w := range config.Weights {
		if !known[name] {
			return configError("Weights", name, "the name of a plugin")
		}
		if w < 1 || w > maxWeight {
			return configError("Weights["+name+"]", fmt.Sprint(w), fmt.Sprintf("1 to %d", int64(maxWeight)))
		}
	}
	return nil
}

// maxWeight keeps totals far away from overflow.
const maxWeight = 1 << 32
