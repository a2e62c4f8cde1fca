package scheduler

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/orchcore/orchcore/qos"
)

// The ways in which a Fork can be used wrongly or too late.
var (
	// ErrMark is returned by Fork.Revert for a Mark of another Fork, or one that
	// an earlier Revert has undone.
	ErrMark = errors.New("mark is not one of this fork's any more")
	// ErrCommitted is returned by the methods of a Fork after its Commit.
	ErrCommitted = errors.New("fork is committed")
	// ErrMovedOn is returned by Fork.Commit when the Cache has changed what the
	// Fork has changed too; as a *ConflictError that says what.
	ErrMovedOn = errors.New("cluster has changed since the snapshot")
)

// Fork is a Snapshot that can be changed: a cluster to try things on. It takes
// the same changes as a Cache and decides as a Scheduler does, and gives the
// same answers. Making one costs the same whatever the size of the cluster; it
// holds what differs from the Snapshot.
//
// A Fork is for one goroutine at a time. Forks of one Snapshot are independent
// and may be used at the same time.
type Fork struct {
	cache Cache
	over  overlay

	like      *Scheduler
	scheduler *Scheduler // made at the first decision
	start     int
	pcg       rand.PCG
	engine    *engine // frozen; nil when there is none to start from

	marks []mark
	ids   uint64
	// log is what Commit does to the Cache again.
	log       []func(*Cache) error
	committed bool
}

// Fork returns a copy of the snapshot that can be changed. It decides like the
// given Scheduler, as that would now: with its profiles, its place in the
// rotation over the nodes and its random numbers. nil is the default profile.
func (s *Snapshot) Fork(like *Scheduler) *Fork {
	f := &Fork{like: like}
	f.over = overlay{base: s, epoch: 1, pods: s.pods.len}
	f.cache.config = s.cache.config
	f.cache.fork = &f.over
	f.cache.order, f.cache.list, f.cache.at, f.cache.stale = s.order, s.list, s.at, s.stale
	f.cache.dirty, f.cache.slots, f.cache.freed = slices.Clip(s.dirty), s.slots, s.freed
	f.cache.changes, f.cache.objects = s.changes, s.objects
	if like != nil {
		like.mu.Lock()
		f.start, f.pcg = like.start, *like.pcg
		f.engine = s.engineOf(like)
		like.mu.Unlock()
	}
	return f
}

// Scheduler returns the scheduler that decides for the fork: to Explain, to
// DryRunPreemption, or to Schedule without placing. It changes nothing in the
// fork.
func (f *Fork) Scheduler() *Scheduler {
	if f.scheduler == nil {
		f.scheduler = f.newScheduler()
	}
	return f.scheduler
}

func (f *Fork) newScheduler() *Scheduler {
	if f.like == nil {
		s, err := New(Config{Cache: &f.cache})
		if err != nil {
			panic("scheduler: the default configuration is invalid: " + err.Error())
		}
		return s
	}
	s := &Scheduler{config: f.like.config, profiles: f.like.profiles, start: f.start, pcg: &f.pcg}
	s.config.Cache = &f.cache
	s.rng = rand.New(s.pcg)
	if !s.config.Plain {
		s.engine = newEngine()
		if f.engine != nil {
			s.engine = f.engine.fork()
		}
	}
	return s
}

// do makes a change, and notes it for Commit.
func (f *Fork) do(change func(*Cache) error) error {
	if f.committed {
		return ErrCommitted
	}
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	if err := change(&f.cache); err != nil {
		return err
	}
	f.log = append(f.log, change)
	return nil
}

// AddNode is Cache.AddNode.
func (f *Fork) AddNode(node *Node) error {
	if err := f.cache.checkNode(node); err != nil {
		return err
	}
	return f.do(func(c *Cache) error { return c.addNode(node) })
}

// AddNodes adds n nodes like template, named after it with numbers that are not
// taken, each with a hostname label of its own. It returns their names, or an
// error and has added none.
func (f *Fork) AddNodes(template *Node, n int) ([]string, error) {
	if err := f.cache.checkNode(template); err != nil {
		return nil, err
	}
	var names []string
	before := f.Mark()
	for number := 0; len(names) < n; number++ {
		node := *template
		node.Name = fmt.Sprintf("%s-%d", template.Name, number)
		if f.cache.node(node.Name) != nil {
			continue
		}
		node.Labels = maps.Clone(template.Labels)
		if node.Labels == nil {
			node.Labels = make(map[string]string)
		}
		node.Labels[LabelHostname] = node.Name
		if err := f.AddNode(&node); err != nil {
			return nil, errors.Join(err, f.undo(before))
		}
		names = append(names, node.Name)
	}
	f.unmark(before)
	return names, nil
}

// UpdateNode is Cache.UpdateNode.
func (f *Fork) UpdateNode(node *Node) error {
	if err := f.cache.checkNode(node); err != nil {
		return err
	}
	return f.do(func(c *Cache) error { return c.updateNode(node) })
}

// RemoveNode is Cache.RemoveNode: pods that are still on the node are kept
// aside.
func (f *Fork) RemoveNode(name string) error {
	return f.do(func(c *Cache) error { return c.removeNode(name) })
}

// AddPod is Cache.AddPod.
func (f *Fork) AddPod(pod *Pod) error {
	p, err := f.cache.compileBound(pod)
	if err != nil {
		return err
	}
	return f.do(func(c *Cache) error { return c.addPod(p) })
}

// RemovePod removes a pod, bound or assumed.
func (f *Fork) RemovePod(namespace, name string) error {
	key := podKey{orDefault(namespace), name}
	return f.do(func(c *Cache) error { return c.evict(key) })
}

// evict removes a pod, bound or assumed.
func (c *Cache) evict(key podKey) error {
	if state := c.pod(key); state != nil && state.assumed {
		c.forget(key, state)
		return nil
	}
	return c.removePod(key)
}

// Assume is Cache.Assume.
func (f *Fork) Assume(pod *Pod, node string) error {
	p, err := f.cache.compile(pod)
	if err != nil {
		return err
	}
	return f.assume(p, node)
}

func (f *Fork) assume(p *PodInfo, node string) error {
	return f.do(func(c *Cache) error { return c.assume(p, node) })
}

// Schedule decides where the pod should run and places it there, assumed. The
// errors are those of Scheduler.Schedule.
func (f *Fork) Schedule(pod *Pod) (Placement, error) {
	p, err := f.cache.compile(pod)
	if err != nil {
		return Placement{}, err
	}
	return f.SchedulePod(p)
}

// SchedulePod is Schedule for a pod that is compiled already.
func (f *Fork) SchedulePod(p *PodInfo) (Placement, error) {
	if f.committed {
		return Placement{}, ErrCommitted
	}
	placement, err := f.Scheduler().SchedulePod(p)
	if err != nil {
		return Placement{}, err
	}
	return placement, f.assume(p, placement.Node)
}

// Outcome is what has become of one of several pods.
type Outcome struct {
	Pod       *Pod
	Placement Placement
	// Err is nil for a pod that was placed, else as of Schedule.
	Err error
}

// ScheduleAll places pods one after the other, in the order given. Pods that
// cannot be placed do not keep others from being placed.
func (f *Fork) ScheduleAll(pods []*Pod) []Outcome {
	out := make([]Outcome, len(pods))
	for i, pod := range pods {
		out[i].Pod = pod
		out[i].Placement, out[i].Err = f.Schedule(pod)
	}
	return out
}

// Preempt places a pod, removing the less important pods that DefaultPreemption
// chooses if it fits nowhere. The nomination says which those were; it is nil
// when there were none. When the pod cannot be placed nothing has changed.
func (f *Fork) Preempt(pod *Pod) (Placement, *Nomination, error) {
	placement, err := f.Schedule(pod)
	var unfit *FitError
	if !errors.As(err, &unfit) || unfit.Nominated == nil {
		return placement, nil, err
	}
	before := f.Mark()
	for _, victim := range unfit.Nominated.Victims {
		namespace, name, _ := strings.Cut(victim, "/")
		if err := f.RemovePod(namespace, name); err != nil {
			return Placement{}, nil, errors.Join(err, f.undo(before))
		}
	}
	nominated := *pod
	nominated.Status.NominatedNodeName = unfit.Nominated.Node
	if placement, err = f.Schedule(&nominated); err != nil {
		return Placement{}, nil, errors.Join(err, f.undo(before))
	}
	f.unmark(before)
	return placement, unfit.Nominated, nil
}

// Drain cordons a node and removes the pods that Cache.DrainPlan evicts from
// it. The steps say what becomes of each pod; if one of them refuses, nothing
// is changed. The pods evicted are returned as they would be made anew: without
// a node.
func (f *Fork) Drain(node string, options qos.DrainOptions, budgets []*qos.Budget, now time.Time) (steps []qos.DrainStep, evicted []*Pod, err error) {
	if steps, err = f.cache.DrainPlan(node, options, budgets, now); err != nil {
		return nil, nil, err
	}
	if slices.ContainsFunc(steps, func(s qos.DrainStep) bool { return s.Action == qos.DrainRefuse }) {
		return steps, nil, nil
	}
	before := f.Mark()
	if err := f.UpdateNode(Cordon(f.cache.node(node).Node)); err != nil {
		return nil, nil, err
	}
	for _, step := range steps {
		if step.Action != qos.DrainEvict {
			continue
		}
		key := podKey{orDefault(step.Pod.Metadata.Namespace), step.Pod.Metadata.Name}
		pod := f.cache.pod(key).info.Pod
		if err := f.RemovePod(key.namespace, key.name); err != nil {
			return nil, nil, errors.Join(err, f.undo(before))
		}
		evicted = append(evicted, unbound(pod))
	}
	f.unmark(before)
	return steps, evicted, nil
}

// unbound returns the pod as its controller would make it anew: pending.
func unbound(pod *Pod) *Pod {
	p := *pod
	p.Spec.NodeName = ""
	p.Status = PodStatus{}
	p.DeletionTimestamp = nil
	return &p
}

// PodNode is Cache.PodNode.
func (f *Fork) PodNode(namespace, name string) (node string, assumed, ok bool) {
	return f.cache.PodNode(namespace, name)
}

// Len is Cache.Len.
func (f *Fork) Len() (nodes, pods int) { return f.cache.Len() }

// Nodes is Cache.Nodes.
func (f *Fork) Nodes() []string { return f.cache.Nodes() }
