package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// Scheduler decides where pods run. It changes nothing by itself: the caller
// assumes, binds, and confirms or forgets. A Scheduler may be used from
// several goroutines; decisions are made one at a time.
type Scheduler struct {
	config   Config
	profiles map[string]*profile

	mu sync.Mutex
	// start is where the next scan of the nodes begins.
	start int
	rng   *rand.Rand
	pcg   *rand.PCG // what rng draws from
	// meek: nobody looks for victims when a pod fits nowhere.
	meek bool
	// engine is nil with Config.Plain.
	engine *engine

	// Memory that is used again from cycle to cycle.
	cycle    Cycle
	feasible []*NodeInfo
	scores   scoreTable
	fit      FitError
}

// Placement is the outcome of a successful cycle.
type Placement struct {
	// Node is where the pod should run.
	Node string
	// Feasible is the number of nodes found to admit the pod, Evaluated the
	// number of nodes that were looked at.
	Feasible  int
	Evaluated int
	// Nominated says that the pod's nominated node was taken.
	Nominated bool
	// Score is the total score of the node, and Plugins what it is made of.
	// With a single feasible node nothing is scored, and Plugins is empty.
	Score   int64
	Plugins []PluginScore
}

// PluginScore is what one plugin thinks of one node.
type PluginScore struct {
	Plugin     string
	Raw        int64
	Normalized int64
	Weighted   int64
}

// New returns a Scheduler, or a *ConfigError.
func New(config Config) (*Scheduler, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if len(config.Profiles) == 0 {
		config.Profiles = []Profile{{}}
	}
	s := &Scheduler{
		config:   config,
		profiles: make(map[string]*profile),
		pcg:      rand.NewPCG(config.Seed, 0),
	}
	s.rng = rand.New(s.pcg)
	if !config.Plain {
		s.engine = newEngine()
	}
	for i := range config.Profiles {
		p, err := compileProfile(&config.Profiles[i])
		if err != nil {
			return nil, err
		}
		if s.profiles[p.name] != nil {
			return nil, configError(fmt.Sprintf("Profiles[%d].SchedulerName", i), p.name, "a name of its own")
		}
		s.profiles[p.name] = p
	}
	return s, nil
}

// Schedule decides where the pod should run, given what the Cache holds. It
// returns a *FitError when no node admits the pod, a *GatedError when the pod
// must not be scheduled yet, an *UnsupportedError when it needs something that
// this package does not decide about, an *InputError when it contradicts
// itself or the Cache, and ErrNoNodes when there are no nodes.
func (s *Scheduler) Schedule(pod *Pod) (Placement, error) {
	p, err := s.config.Cache.compile(pod)
	if err != nil {
		return Placement{}, err
	}
	return s.SchedulePod(p)
}

// SchedulePod is Schedule for a pod that is compiled already.
func (s *Scheduler) SchedulePod(p *PodInfo) (Placement, error) {
	var out Placement
	err := s.SchedulePodInto(p, &out)
	return out, err
}

// SchedulePodInto is SchedulePod into memory of the caller's: out.Plugins is
// overwritten if it has room. It allocates nothing when the Scheduler has seen
// pods like this one before and a node admits it.
func (s *Scheduler) SchedulePodInto(p *PodInfo, out *Placement) error {
	profile, err := s.profileOf(p)
	if err != nil {
		*out = Placement{}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cache := s.config.Cache
	cache.mu.Lock()
	defer cache.mu.Unlock()
	if cache.pod(p.key) != nil {
		*out = Placement{}
		return inputError(p, "metadata.name", p.Pod.Name, ErrExists)
	}
	nodes := cache.refresh()
	if len(nodes) == 0 {
		*out = Placement{}
		return ErrNoNodes
	}
	if s.engine != nil {
		return s.fast(profile, p, out)
	}
	s.cycle.begin(s, profile, p, nodes)
	*out, err = s.run(&s.cycle)
	return err
}

// fast decides with the engine, and with the plain form where that declines.
func (s *Scheduler) fast(profile *profile, p *PodInfo, out *Placement) error {
	if s.engineDecides(profile, p, out) {
		return nil
	}
	*out = Placement{}
	if fit := s.recall(profile, p); fit != nil {
		return fit
	}
	start, source := s.start, *s.pcg
	fit := s.engineFails(profile, p)
	if fit == nil {
		s.cycle.begin(s, profile, p, s.config.Cache.list)
		var err error
		*out, err = s.run(&s.cycle)
		var ok bool
		if fit, ok = err.(*FitError); !ok {
			return err
		}
	}
	s.remember(profile, p, start, source, fit)
	return fit
}

// profileOf finds the profile for the pod, and refuses what cannot be
// scheduled at all.
func (s *Scheduler) profileOf(p *PodInfo) (*profile, error) {
	profile, err := s.profileNamed(p)
	if err != nil {
		return nil, err
	}
	if p.unsupported != nil {
		return nil, p.unsupported
	}
	if e := gatedError(p); e != nil {
		return nil, e
	}
	return profile, nil
}

// profileNamed finds the profile that the pod's schedulerName names.
func (s *Scheduler) profileNamed(p *PodInfo) (*profile, error) {
	name := p.Pod.Spec.SchedulerName
	if name == "" {
		name = DefaultSchedulerName
	}
	profile := s.profiles[name]
	if profile == nil {
		return nil, &InputError{Object: p.object(), Field: "spec.schedulerName", Value: name, Want: "the name of a profile"}
	}
	return profile, nil
}

// gatedError returns the error about the pod's scheduling gates, nil when it
// has none.
func gatedError(p *PodInfo) *GatedError {
	gates := p.Pod.Spec.SchedulingGates
	if len(gates) == 0 {
		return nil
	}
	e := &GatedError{Pod: p.Name()}
	for _, g := range gates {
		e.Gates = append(e.Gates, g.Name)
	}
	return e
}

// run is one cycle: narrow, filter, score, choose.
func (s *Scheduler) run(c *Cycle) (Placement, error) {
	fit, nominated, err := s.feasibleNodes(c)
	if err != nil {
		return Placement{}, err
	}
	if len(s.feasible) == 0 {
		fit = fit.kept(c)
		if !s.meek {
			s.postFilter(c, fit)
		}
		return Placement{}, fit
	}
	out := Placement{
		Feasible:  len(s.feasible),
		Evaluated: len(s.feasible) + fit.rejected.len,
		Nominated: nominated,
	}
	if len(s.feasible) == 1 {
		out.Node = s.feasible[0].Name
		return out, nil
	}
	if err := s.scores.fill(c, s.feasible); err != nil {
		return Placement{}, err
	}
	at := s.scores.choose(s.config.TieBreak, s.feasible, s.rng)
	out.Node = s.feasible[at].Name
	out.Score = s.scores.total[at]
	out.Plugins = s.scores.plugins(at)
	return out, nil
}

// feasibleNodes fills s.feasible. The FitError collects the rejections, also
// when nodes are found; it is overwritten by the next cycle.
func (s *Scheduler) feasibleNodes(c *Cycle) (fit *FitError, nominated bool, err error) {
	s.feasible = s.feasible[:0]
	s.fit = FitError{NumNodes: len(c.Nodes), Absent: notLookedAt, rejected: s.fit.rejected.reset()}
	fit = &s.fit
	narrow := c.preFilter()
	if narrow.verdict.Code == Failed {
		return nil, false, narrow.verdict.Err
	}
	if narrow.verdict.Rejected() {
		fit.PreFilter, fit.PreFilterPlugin = narrow.verdict, narrow.plugin
		fit.narrowed = narrow.by
		return fit, false, nil
	}
	if s.tryNominated(c, &narrow, fit) {
		return fit, true, nil
	}
	nodes := c.Nodes
	if narrow.only != nil {
		nodes = named(c.Nodes, narrow.only)
		fit.narrowed = narrow.by
		fit.Absent = absentVerdict(narrow.by)
	}
	err = s.scan(c, nodes, fit)
	s.start = (s.start + len(s.feasible) + fit.rejected.len) % len(c.Nodes)
	return fit, false, err
}

// tryNominated looks at the pod's nominated node alone. The plugin that rejects
// it is afterwards named among those that narrowed the nodes (kube-scheduler
// 1.36 shares the set).
func (s *Scheduler) tryNominated(c *Cycle, narrow *narrowing, fit *FitError) bool {
	name := c.Pod.Pod.Status.NominatedNodeName
	if name == "" {
		return false
	}
	n := c.cache.node(name)
	if n == nil || n.Node == nil {
		return false
	}
	v, plugin := c.filter(n)
	if v.Rejected() {
		fit.rejected.add(n, plugin, v)
		if !slices.Contains(narrow.by, plugin) {
			narrow.by = append(narrow.by, plugin)
			slices.Sort(narrow.by)
		}
	}
	if v.Code != Success {
		return false
	}
	s.feasible = append(s.feasible, n)
	return true
}

// named returns the nodes with the given names, in scan order.
func named(nodes []*NodeInfo, names map[string]bool) []*NodeInfo {
	var list []*NodeInfo
	for _, n := range nodes {
		if names[n.Name] {
			list = append(list, n)
		}
	}
	return list
}

// absentVerdict is the verdict on nodes that the named plugins left out.
func absentVerdict(by []string) Status {
	text := fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", by)
	return Status{Code: UnschedulableAndUnresolvable, Details: []string{text}}
}

// postFilter lets the PostFilter plugins look for a way out: the first that
// finds one ends it, as does one that gives up for good or fails. The messages
// of the others are joined.
func (s *Scheduler) postFilter(c *Cycle, fit *FitError) {
	var messages []string
	for _, pl := range c.profile.postFilters {
		nomination, v := pl.plugin.PostFilter(c, fit)
		switch v.Code {
		case Success:
			fit.Nominated = nomination
			return
		case Unschedulable:
			messages = append(messages, v.Message())
			fit.unnominate = fit.unnominate || nomination != nil
		default:
			fit.PostFilter = v.Message()
			return
		}
	}
	fit.PostFilter = strings.Join(messages, ", ")
}
