package scheduler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/orchcore/orchcore/selector"
)

// Cycle is one attempt to place one pod. Plugins read the fields and may keep
// values of their own with Store.
type Cycle struct {
	Pod *PodInfo
	// Nodes are all nodes of the cluster in scan order.
	Nodes []*NodeInfo

	cache   *Cache
	profile *profile
	rng     *rand.Rand
	// skipFilter and skipScore say, by plugin number, which plugins have
	// nothing to do with the pod.
	skipFilter []bool
	skipScore  []bool
	// filters are the plugins that are left to run on each node.
	filters []numbered[Filter]

	preferred selector.Preferred
	spread    spreadState
	interPod  interPodState
	volumes   volumeState
	values    map[any]any
	// reachedClaims: PreFilter went as far as DynamicResources.
	reachedClaims bool

	// candidates is what the engine knows about preemption; nil otherwise.
	candidates *candidateTable

	// Memory of the dry runs of preemption.
	pool    []*PodInfo
	scratch *NodeInfo
}

// Store keeps a value for the rest of the cycle. The key should have a type of
// the plugin's own. If AddPod or RemovePod change the value it should be a
// StateCloner.
func (c *Cycle) Store(key, value any) {
	if c.values == nil {
		c.values = make(map[any]any)
	}
	c.values[key] = value
}

// Load returns the value kept under key, or nil.
func (c *Cycle) Load(key any) any { return c.values[key] }

// NamespaceLabels returns the labels of a namespace; ok is false when it is
// not known.
func (c *Cycle) NamespaceLabels(name string) (labels selector.Labels, ok bool) {
	labels, ok = c.cache.namespaces.m[name]
	return labels, ok
}

// begin readies the cycle for a pod.
func (c *Cycle) begin(s *Scheduler, p *profile, pod *PodInfo, nodes []*NodeInfo) {
	n := len(p.plugins)
	*c = Cycle{
		Pod: pod, Nodes: nodes, cache: s.config.Cache, profile: p, rng: s.rng,
		skipFilter: slices.Grow(c.skipFilter[:0], n)[:n],
		skipScore:  slices.Grow(c.skipScore[:0], n)[:n],
		filters:    c.filters[:0],
		pool:       c.pool, scratch: c.scratch,
		spread:   c.spread.reset(),
		interPod: c.interPod.reset(),
	}
	clear(c.skipFilter)
	clear(c.skipScore)
}

// fork returns a copy on which pods can be added and removed.
func (c *Cycle) fork() *Cycle {
	f := *c
	f.spread = c.spread.clone()
	f.interPod = c.interPod.clone()
	f.values = maps.Clone(c.values)
	for k, v := range f.values {
		if v, ok := v.(StateCloner); ok {
			f.values[k] = v.CloneState()
		}
	}
	return &f
}

// narrowing is the outcome of all PreFilter plugins together.
type narrowing struct {
	only    map[string]bool // nil: all nodes
	by      []string        // the plugins that narrowed, sorted
	verdict Status
	plugin  string // of the verdict
}

// preFilter runs the PreFilter plugins. UnschedulableAndUnresolvable and
// errors end it at once; after Unschedulable the others still run, since
// preemption needs what they compute.
func (c *Cycle) preFilter() narrowing {
	var out narrowing
	for _, pl := range c.profile.preFilters {
		only, v := pl.plugin.PreFilter(c)
		name := pl.plugin.Name()
		switch v.Code {
		case Skip:
			c.skipFilter[pl.number] = true
			continue
		case Unschedulable:
			out.verdict, out.plugin = v, name
			continue
		case UnschedulableAndUnresolvable:
			return narrowing{verdict: v, plugin: name}
		case Failed:
			v.Err = fmt.Errorf("running PreFilter plugin %q: %w", name, v.Err)
			return narrowing{verdict: v, plugin: name}
		}
		if only == nil {
			continue
		}
		out.by = append(out.by, name)
		out.only = intersect(out.only, only)
		if len(out.only) == 0 {
			slices.Sort(out.by)
			return narrowing{by: out.by, verdict: emptyNarrowing(out.by), plugin: name}
		}
	}
	slices.Sort(out.by)
	for _, pl := range c.profile.filters {
		if !c.skipFilter[pl.number] {
			c.filters = append(c.filters, pl)
		}
	}
	return out
}

func intersect(a, b map[string]bool) map[string]bool {
	both := make(map[string]bool)
	for name := range b {
		if a == nil || a[name] {
			both[name] = true
		}
	}
	return both
}

func emptyNarrowing(by []string) Status {
	text := fmt.Sprintf("node(s) didn't satisfy plugin(s) %v simultaneously", by)
	if len(by) == 1 {
		text = "node(s) didn't satisfy plugin " + by[0]
	}
	return Status{Code: UnschedulableAndUnresolvable, Details: []string{text}}
}

// filter runs the Filter plugins on one node until one rejects. Pods that are
// nominated to the node and are no less important than this one must not lose
// their room: with such pods all plugins run twice, with and without them.
func (c *Cycle) filter(n *NodeInfo) (Status, string) {
	if with, node := c.withNominated(n); with != nil {
		if v, name := with.filterOnce(node); v.Code != Success {
			return v, name
		}
	}
	return c.filterOnce(n)
}

func (c *Cycle) filterOnce(n *NodeInfo) (Status, string) {
	for _, pl := range c.filters {
		v := pl.plugin.Filter(c, n)
		if v.Code == Failed {
			v.Err = fmt.Errorf("running %q filter plugin: %w", pl.plugin.Name(), v.Err)
		}
		if v.Code != Success {
			return v, pl.plugin.Name()
		}
	}
	return Status{}, ""
}

// addPod books a pod on a node of this cycle's own, and tells the plugins.
func (c *Cycle) addPod(p *PodInfo, n *NodeInfo) {
	n.addPod(p)
	for _, pl := range c.profile.trackers {
		if !c.skipFilter[pl.number] {
			pl.plugin.AddPod(c, p, n)
		}
	}
}

// removePod takes a pod off a node of this cycle's own, and tells the plugins.
func (c *Cycle) removePod(p *PodInfo, n *NodeInfo) {
	n.removePod(p)
	for _, pl := range c.profile.trackers {
		if !c.skipFilter[pl.number] {
			pl.plugin.RemovePod(c, p, n)
		}
	}
}
