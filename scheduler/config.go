package scheduler

import (
	"fmt"
	"slices"
)

// maxShapeScore is the best score of a ShapePoint.
const maxShapeScore = 10

// TieBreak says which of several nodes with the highest score is taken.
type TieBreak uint8

const (
	// TieUpstream takes the node that kube-scheduler 1.36 takes: the first
	// best one in pre-order of the binary heap over the feasible nodes.
	TieUpstream TieBreak = iota
	// TieFirst takes the lexicographically first name.
	TieFirst
	// TieRandom draws with Config.Seed.
	TieRandom
)

// Config says how a Scheduler decides. The zero value, with a Cache, is
// kube-scheduler's default profile looking at all nodes.
type Config struct {
	// Cache is what the scheduler knows of the cluster. Required.
	Cache *Cache
	// Profiles are chosen by the pod's schedulerName; none means the default
	// profile alone.
	Profiles []Profile
	// PercentageOfNodesToScore bounds how many feasible nodes are looked for,
	// of those there are. 0 means 100; Adaptive is upstream's default, which
	// goes down from 50 to 5 percent as clusters grow. Fewer than 100 nodes
	// are always all looked at.
	PercentageOfNodesToScore int
	// TieBreak chooses among the best nodes.
	TieBreak TieBreak
	// Plain decides with the plain form alone: every plugin looks at every node
	// for every pod. The decisions are the same, some hundred times slower on
	// big clusters; the engine's memory, up to 60 bytes per node and kind of
	// pod, is saved.
	Plain bool
	// Seed is for TieRandom and for the random start of a bounded search for
	// preemption.
	Seed uint64
}

// Adaptive as PercentageOfNodesToScore lowers the share of nodes with the size
// of the cluster, as upstream does by default.
const Adaptive = -1

// Profile is a set of plugins with their arguments and weights, for pods with
// one schedulerName. The zero value is the default profile.
type Profile struct {
	// SchedulerName is default-scheduler when empty.
	SchedulerName string
	// Disabled names built-in plugins that are left out.
	Disabled []string
	// Weights overrides the weights of scores, by plugin name.
	Weights map[string]int64
	// Extra are plugins of the user's own. They run after the built-in ones,
	// in this order; their scores weigh 1 unless Weights says otherwise.
	Extra []Plugin
	// PercentageOfNodesToScore overrides that of Config; 0 does not.
	PercentageOfNodesToScore int

	Fit              FitArgs
	Balanced         BalancedArgs
	NodeAffinity     NodeAffinityArgs
	InterPodAffinity InterPodAffinityArgs
	Spread           SpreadArgs
	Preemption       PreemptionArgs
}

// ConfigError says which field of a Config or Profile is wrong.
type ConfigError struct {
	Field string
	Value string
	Want  string
	Err   error
}

// Error names field, value and what was expected.
func (e *ConfigError) Error() string {
	s := "scheduler config: " + e.Field
	if e.Value != "" {
		s += fmt.Sprintf(": %q", e.Value)
	}
	if e.Want != "" {
		s += ": want " + e.Want
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause, if there is one.
func (e *ConfigError) Unwrap() error { return e.Err }

func configError(field, value, want string) error {
	return &ConfigError{Field: field, Value: value, Want: want}
}

func (c *Config) validate() error {
	if c.Cache == nil {
		return configError("Cache", "", "a Cache")
	}
	if err := checkPercentage("PercentageOfNodesToScore", c.PercentageOfNodesToScore); err != nil {
		return err
	}
	for i := range c.Profiles {
		field := fmt.Sprintf("Profiles[%d].PercentageOfNodesToScore", i)
		if err := checkPercentage(field, c.Profiles[i].PercentageOfNodesToScore); err != nil {
			return err
		}
	}
	if c.TieBreak > TieRandom {
		return configError("TieBreak", fmt.Sprint(c.TieBreak), "TieUpstream, TieFirst or TieRandom")
	}
	return nil
}

func checkPercentage(field string, p int) error {
	if p < Adaptive || p > 100 {
		return configError(field, fmt.Sprint(p), "Adaptive or 0 to 100")
	}
	return nil
}

// resourceWeights checks and completes a list of weighted resources.
func resourceWeights(field string, list []ResourceWeight) ([]ResourceWeight, error) {
	if list == nil {
		return []ResourceWeight{{"cpu", 1}, {"memory", 1}}, nil
	}
	if len(list) == 0 || len(list) > 8 {
		return nil, configError(field, fmt.Sprint(len(list)), "1 to 8 resources")
	}
	list = slices.Clone(list)
	for i := range list {
		r := &list[i]
		if r.Name == "" {
			return nil, configError(fmt.Sprintf("%s[%d].Name", field, i), "", "a resource name")
		}
		if r.Weight == 0 {
			r.Weight = 1
		}
		if r.Weight < 1 || r.Weight > 100 {
			return nil, configError(fmt.Sprintf("%s[%d].Weight", field, i), fmt.Sprint(r.Weight), "1 to 100")
		}
	}
	return list, nil
}

func checkShape(shape []ShapePoint) error {
	if len(shape) == 0 {
		return configError("Fit.Shape", "", "at least one point")
	}
	for i, p := range shape {
		field := fmt.Sprintf("Fit.Shape[%d]", i)
		switch {
		case p.Utilization < 0 || p.Utilization > 100:
			return configError(field+".Utilization", fmt.Sprint(p.Utilization), "0 to 100")
		case i > 0 && p.Utilization <= shape[i-1].Utilization:
			return configError(field+".Utilization", fmt.Sprint(p.Utilization), "more than the point before")
		case p.Score < 0 || p.Score > maxShapeScore:
			return configError(field+".Score", fmt.Sprint(p.Score), "0 to 10")
		}
	}
	return nil
}
