package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeAPI is a cluster as its API server has it: it binds a pod once, to a node
// that has room, and tells everybody who watches.
type fakeAPI struct {
	t     testing.TB
	cpu   int64 // of each node, in thousandths
	mu    sync.Mutex
	nodes map[string]*Node
	pods  map[string]*Pod
	binds map[string]int // by UID
	loops []*Loop        // hear of every change, in order
	uid   int
}

func newFakeAPI(t testing.TB, nodes int, cpuMilli int64) *fakeAPI {
	a := &fakeAPI{t: t, cpu: cpuMilli, nodes: map[string]*Node{}, pods: map[string]*Pod{}, binds: map[string]int{}}
	for i := range nodes {
		a.addNode(fmt.Sprintf("node-%03d", i))
	}
	return a
}

func (a *fakeAPI) addNode(name string) {
	l := &lesson{t: a.t.(*testing.T)}
	n := l.node([]string{name, fmt.Sprintf("cpu=%dm", a.cpu), "memory=64Gi", "pods=110"}, "")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nodes[name] = n
	for _, l := range a.loops {
		require.NoError(a.t, l.SetNode(n))
	}
}

func (a *fakeAPI) removeNode(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.nodes, name)
	for _, l := range a.loops {
		l.RemoveNode(name)
	}
	for _, key := range slices.Sorted(maps.Keys(a.pods)) {
		if a.pods[key].Spec.NodeName == name {
			a.remove(key)
		}
	}
}

// watch lets a loop hear of everything, from the beginning.
func (a *fakeAPI) watch(l *Loop) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(a.nodes)) {
		require.NoError(a.t, l.SetNode(a.nodes[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(a.pods)) {
		require.NoError(a.t, l.SetPod(a.pods[name]))
	}
	a.loops = append(a.loops, l)
}

// create makes a pod; words are as in the lessons.
func (a *fakeAPI) create(object string, words ...string) *Pod {
	l := &lesson{t: a.t.(*testing.T)}
	p := l.pod(words, object)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.uid++
	p.UID = fmt.Sprintf("uid-%d", a.uid)
	p.Namespace = "default"
	a.set(p)
	return p
}

// set stores a pod and tells the loops. a.mu is held.
func (a *fakeAPI) set(p *Pod) {
	a.pods[p.Name] = p
	for _, l := range a.loops {
		require.NoError(a.t, l.SetPod(p))
	}
}

func (a *fakeAPI) remove(name string) {
	delete(a.pods, name)
	for _, l := range a.loops {
		l.RemovePod("default", name)
	}
}

func (a *fakeAPI) delete(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(name)
}

// errNotFound is what the API says about a pod that is gone.
var errNotFound = errors.New("pod not found")

func (a *fakeAPI) Bind(_ context.Context, pod *Pod, node string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pods[pod.Name]
	switch {
	case p == nil || p.UID != pod.UID:
		return errNotFound
	case p.Spec.NodeName != "":
		return fmt.Errorf("pod %s has a node: %w", p.Name, ErrConflict)
	case a.nodes[node] == nil:
		return fmt.Errorf("node %s is gone: %w", node, ErrConflict)
	case a.used(node)+cpuOf(p) > a.cpu:
		return fmt.Errorf("node %s is full: %w", node, ErrConflict)
	}
	a.binds[p.UID]++
	bound := *p
	bound.Spec.NodeName = node
	a.set(&bound)
	return nil
}

func (a *fakeAPI) Evict(_ context.Context, victim, _ *Pod) error {
	a.delete(victim.Name)
	return nil
}

func cpuOf(p *Pod) int64 {
	q := p.Spec.Containers[0].Resources.Requests["cpu"]
	return q.MilliValue()
}

// used is what the pods on a node request. a.mu is held.
func (a *fakeAPI) used(node string) int64 {
	var sum int64
	for _, p := range a.pods {
		if p.Spec.NodeName == node {
			sum += cpuOf(p)
		}
	}
	return sum
}

// check asserts what no scheduler may break.
func (a *fakeAPI) check() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.nodes {
		require.LessOrEqual(a.t, a.used(name), a.cpu, "node %s is overcommitted", name)
	}
	for uid, n := range a.binds {
		require.Equal(a.t, 1, n, "pod %s was bound %d times", uid, n)
	}
}

// pending returns the names of the pods without a node, sorted.
func (a *fakeAPI) pending() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for name, p := range a.pods {
		if p.Spec.NodeName == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (a *fakeAPI) node(pod string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.pods[pod]; p != nil {
		return p.Spec.NodeName
	}
	return ""
}

// loop returns a Loop that watches the API.
func (a *fakeAPI) loop(edit func(*LoopConfig), extra ...Plugin) *Loop {
	s, err := New(Config{Cache: NewCache(CacheConfig{HoldUnknownNodes: true}), Profiles: []Profile{{Extra: extra}}})
	require.NoError(a.t, err)
	config := LoopConfig{Scheduler: s, Binder: a, Evictor: a}
	if edit != nil {
		edit(&config)
	}
	l, err := NewLoop(config)
	require.NoError(a.t, err)
	a.watch(l)
	return l
}

// handClock is moved by hand.
type handClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *handClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) Timer(time.Duration) (<-chan time.Time, func()) {
	panic("a loop that is stepped does not sleep")
}

func (c *handClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// settleDown steps until there is nothing to do at this time.
func settleDown(t testing.TB, l *Loop) {
	for range 100000 {
		_, worked, err := l.Step(context.Background())
		require.NoError(t, err)
		if !worked {
			return
		}
	}
	t.Fatal("the loop does not come to rest")
}

func TestLoopPlacesPods(t *testing.T) {
	api := newFakeAPI(t, 1, 2000)
	clock := &handClock{now: lessonStart}
	var events []string
	l := api.loop(func(c *LoopConfig) {
		c.Clock = clock
		c.Observe = func(e LoopEvent) {
			events = append(events, fmt.Sprintf("%d %s %s %v", e.Kind, e.Pod.Name, e.Node, e.Err))
		}
	})
	api.create("", "small", "cpu=1")
	api.create("", "big", "cpu=2")
	settleDown(t, l)
	require.Equal(t, []string{
		"0 small node-000 <nil>",
		"1 big  0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
	}, events)
	require.Equal(t, QueueUnschedulable, l.Place("", "big"))

	clock.advance(5 * time.Second)
	api.addNode("node-001")
	settleDown(t, l)
	require.Equal(t, "node-001", api.node("big"))
	require.Equal(t, QueueNowhere, l.Place("", "big"))
	api.check()
}

func TestLoopPreempts(t *testing.T) {
	api := newFakeAPI(t, 2, 1000)
	clock := &handClock{now: lessonStart}
	var evicted []string
	l := api.loop(func(c *LoopConfig) {
		c.Clock = clock
		c.Observe = func(e LoopEvent) {
			if e.Kind == LoopEvicted {
				evicted = append(evicted, e.Pod.Name+" for "+e.By.Name)
			}
		}
	})
	for i := range 4 {
		api.create("", fmt.Sprintf("low-%d", i), "cpu=500m")
	}
	settleDown(t, l)
	require.Empty(t, api.pending())
	api.create("", "high", "cpu=1", "priority=10")
	settleDown(t, l)
	require.Len(t, evicted, 2)
	clock.advance(3 * time.Second)
	settleDown(t, l)
	require.NotEmpty(t, api.node("high"))
	require.Empty(t, l.queue.preempting)
	require.Empty(t, l.releases)
	api.check()
}

func TestLoopWithoutEvictorOnlySays(t *testing.T) {
	api := newFakeAPI(t, 1, 1000)
	var fit *FitError
	l := api.loop(func(c *LoopConfig) {
		c.Clock, c.Evictor = &handClock{now: lessonStart}, nil
		c.Observe = func(e LoopEvent) { errors.As(e.Err, &fit) }
	})
	api.create("", "low", "cpu=1")
	settleDown(t, l)
	api.create("", "high", "cpu=1", "priority=10")
	settleDown(t, l)
	require.NotNil(t, fit.Nominated)
	require.Equal(t, "node-000", api.node("low"))
	require.Empty(t, l.cache.nominated.node.m)
}

// flaky rejects, fails and delays at random at every step of a binding.
type flaky struct {
	mu  sync.Mutex
	rng *rand.Rand
	// waiting are bindings that somebody else will decide about.
	waiting []*Binding
	held    map[string]int
}

func (*flaky) Name() string { return "Flaky" }

func (f *flaky) roll(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rng.IntN(n)
}

func (f *flaky) Reserve(b *Binding) Status {
	f.mu.Lock()
	f.held[b.Pod.Name()]++
	f.mu.Unlock()
	switch f.roll(20) {
	case 0:
		return finally("not now")
	case 1:
		return Status{Code: Failed, Err: errors.New("reserve failed")}
	}
	return Status{}
}

func (f *flaky) Unreserve(b *Binding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.held, b.Pod.Name())
}

func (f *flaky) Permit(b *Binding) (Status, time.Duration) {
	switch f.roll(10) {
	case 0:
		return finally("not permitted"), 0
	case 1, 2, 3:
		f.mu.Lock()
		f.waiting = append(f.waiting, b)
		f.mu.Unlock()
		return Status{Code: Wait}, time.Duration(1+f.roll(5)) * time.Second
	}
	return Status{}, 0
}

func (f *flaky) PreBind(ctx context.Context, _ *Binding) Status {
	select {
	case <-time.After(time.Duration(f.roll(300)) * time.Millisecond):
	case <-ctx.Done():
		return Status{Code: Failed, Err: ctx.Err()}
	}
	if f.roll(10) == 0 {
		return Status{Code: Failed, Err: errors.New("prebind failed")}
	}
	return Status{}
}

// decide allows and rejects some of those who wait.
func (f *flaky) decide() {
	f.mu.Lock()
	list := f.waiting
	f.waiting = nil
	f.mu.Unlock()
	for _, b := range list {
		switch f.roll(3) {
		case 0:
			b.Allow("Flaky")
		case 1:
			_ = b.Reject("Flaky", "no")
		}
	}
}

// Whatever plugins, Binder and context do: no pod is lost, none is bound twice,
// no node overcommitted, nothing stays booked, no goroutine is left.
func TestLoopSurvivesFailures(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			api := newFakeAPI(t, 5, 16000)
			f := &flaky{rng: rand.New(rand.NewPCG(seed, 2)), held: map[string]int{}}
			l := api.loop(func(c *LoopConfig) {
				c.BindingsMax = 1 + rng.IntN(4)
				c.Binder = BinderFunc(func(ctx context.Context, p *Pod, node string) error {
					if f.roll(8) == 0 {
						return errors.New("the connection was lost")
					}
					return api.Bind(ctx, p, node)
				})
			}, f)
			made := 0
			for range 6 {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- l.Run(ctx) }()
				for range 40 {
					switch rng.IntN(6) {
					case 0, 1:
						made++
						api.create("", fmt.Sprintf("pod-%d", made), "cpu=250m", fmt.Sprintf("priority=%d", rng.IntN(3)))
					case 2:
						if made > 0 {
							api.delete(fmt.Sprintf("pod-%d", 1+rng.IntN(made)))
						}
					case 3:
						f.decide()
					case 4:
						time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
					}
					api.check()
				}
				cancel()
				require.ErrorIs(t, <-done, context.Canceled)
				require.Empty(t, l.attempts)
				l.queue.check(t)
				requireQueued(t, api, l)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- l.Run(ctx) }()
			for range 2000 {
				if len(api.pending()) == 0 {
					break
				}
				time.Sleep(20 * time.Second)
				f.decide()
			}
			cancel()
			<-done
			require.Empty(t, api.pending(), "lost")
			api.check()
			require.Empty(t, l.queue.pods)
			require.Empty(t, l.queue.flights.byID)
			requireSame(t, api, l)
		})
	}
}

// requireQueued asserts that every pending pod is in the queue, and no other.
func requireQueued(t testing.TB, api *fakeAPI, l *Loop) {
	var queued []string
	for key := range l.queue.pods {
		queued = append(queued, key.name)
	}
	slices.Sort(queued)
	require.Equal(t, api.pending(), queued)
}

// requireSame asserts that the Cache has what the API has.
func requireSame(t testing.TB, api *fakeAPI, l *Loop) {
	api.mu.Lock()
	defer api.mu.Unlock()
	_, count := l.cache.Len()
	bound := 0
	for _, p := range api.pods {
		if p.Spec.NodeName == "" {
			continue
		}
		bound++
		node, assumed, ok := l.cache.PodNode("default", p.Name)
		require.True(t, ok && !assumed && node == p.Spec.NodeName, "pod %s: on %s, assumed %v", p.Name, node, assumed)
	}
	require.Equal(t, bound, count)
}

// Three schedulers share a cluster, each with its own, late, view of it.
func TestLoopsShareACluster(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			api := newFakeAPI(t, 4, 2000)
			conflicts := 0
			var mu sync.Mutex
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			for i := range 3 {
				name := fmt.Sprintf("scheduler-%d", i)
				s, err := New(Config{Cache: NewCache(CacheConfig{HoldUnknownNodes: true}), TieBreak: TieFirst, Profiles: []Profile{{SchedulerName: name}}})
				require.NoError(t, err)
				l, err := NewLoop(LoopConfig{
					Scheduler: s, BindingsMax: 2,
					Binder: BinderFunc(func(ctx context.Context, p *Pod, node string) error {
						time.Sleep(time.Duration(1+len(p.Name)%7) * time.Millisecond)
						return api.Bind(ctx, p, node)
					}),
					Observe: func(e LoopEvent) {
						if errors.Is(e.Err, ErrConflict) {
							mu.Lock()
							conflicts++
							mu.Unlock()
						}
					},
					Refresh: func(_ context.Context, node string) error {
						time.Sleep(time.Millisecond) // the watch catches up
						return nil
					},
				})
				require.NoError(t, err)
				api.watch(l)
				go func() { done <- l.Run(ctx) }()
			}
			for i := range 32 {
				api.create(fmt.Sprintf(`{"spec":{"schedulerName":"scheduler-%d"}}`, i%3), fmt.Sprintf("pod-%d", i), "cpu=250m")
				if rng.IntN(4) == 0 {
					time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
				}
			}
			time.Sleep(2 * time.Minute)
			api.check()
			require.Empty(t, api.pending(), "32 pods of 250m fill 4 nodes of 2 cpus")
			cancel()
			for range 3 {
				<-done
			}
			for _, l := range api.loops {
				requireSame(t, api, l)
			}
			t.Logf("%d conflicts", conflicts)
		})
	}
}
