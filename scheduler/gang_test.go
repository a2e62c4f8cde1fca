package scheduler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// group makes a pod group on the API's loops.
func (a *fakeAPI) group(name string, minCount int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := &PodGroup{ObjectMeta: ObjectMeta{Name: name, Namespace: "default"}}
	g.Spec.SchedulingPolicy.Gang = &GangPolicy{MinCount: minCount}
	for _, l := range a.loops {
		require.NoError(a.t, l.SetPodGroup(g))
	}
}

func member(group string) string {
	return fmt.Sprintf(`{"spec":{"schedulingGroup":{"podGroupName":%q}}}`, group)
}

// boundOf counts the members of a group that have a node.
func (a *fakeAPI) boundOf(group string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, p := range a.pods {
		if g := p.Spec.SchedulingGroup; g != nil && *g.PodGroupName == group && p.Spec.NodeName != "" {
			n++
		}
	}
	return n
}

func TestGangIsPlacedWholeOrNotAtAll(t *testing.T) {
	api := newFakeAPI(t, 2, 2000)
	clock := &handClock{now: lessonStart}
	var said []string
	l := api.loop(func(c *LoopConfig) {
		c.Clock = clock
		c.Observe = func(e LoopEvent) {
			if e.Kind != LoopBound {
				said = append(said, fmt.Sprintf("%s: %v", e.Pod.Name, e.Err))
			}
		}
	})
	api.group("g", 3)
	for i := range 3 {
		api.create(member("g"), fmt.Sprintf("g-%d", i), "cpu=1500m")
	}
	settleDown(t, l)
	require.Equal(t, 0, api.boundOf("g"))
	require.Equal(t, []string{
		"g-0: waiting for minCount pods from a gang to be scheduled",
		"g-1: waiting for minCount pods from a gang to be scheduled",
		"g-2: 0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.",
	}, said)
	_, pods := l.cache.Len()
	require.Zero(t, pods, "all undone")

	// Others use the room meanwhile.
	api.create("", "single", "cpu=1500m")
	settleDown(t, l)
	require.NotEmpty(t, api.node("single"))

	api.addNode("node-002")
	api.addNode("node-003")
	clock.advance(15 * time.Second)
	settleDown(t, l)
	require.Equal(t, 3, api.boundOf("g"))

	// Beyond minCount each pod is on its own.
	api.create(member("g"), "g-3", "cpu=1500m")
	settleDown(t, l)
	require.Equal(t, 3, api.boundOf("g"))
	api.delete("single")
	clock.advance(15 * time.Second)
	settleDown(t, l)
	require.Equal(t, 4, api.boundOf("g"))
	api.check()
}

func TestGangPreemptsOnlyIfItFitsThen(t *testing.T) {
	api := newFakeAPI(t, 2, 1000)
	clock := &handClock{now: lessonStart}
	var evicted []string
	l := api.loop(func(c *LoopConfig) {
		c.Clock = clock
		c.Observe = func(e LoopEvent) {
			if e.Kind == LoopEvicted {
				evicted = append(evicted, e.Pod.Name)
			}
		}
	})
	api.create("", "low-0", "cpu=1")
	api.create("", "low-1", "cpu=1")
	settleDown(t, l)
	api.group("three", 3)
	for i := range 3 {
		api.create(member("three"), fmt.Sprintf("three-%d", i), "cpu=1", "priority=10")
	}
	settleDown(t, l)
	require.Empty(t, evicted, "three pods never fit on two nodes")

	api.group("two", 2)
	for i := range 2 {
		api.create(member("two"), fmt.Sprintf("two-%d", i), "cpu=1", "priority=5")
	}
	settleDown(t, l)
	slices.Sort(evicted)
	require.Equal(t, []string{"low-0", "low-1"}, evicted)
	for range 30 {
		clock.advance(time.Second)
		settleDown(t, l)
	}
	require.Equal(t, 2, api.boundOf("two"))
	require.Equal(t, 0, api.boundOf("three"))
	api.check()
}

// Gangs that compete for room never hold it against each other: whatever the
// order of events, each is whole or has nothing, and if together they fit one
// after the other they all run in the end.
func TestGangsDoNotDeadlock(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 4))
			api := newFakeAPI(t, 4, 1000)
			l := api.loop(func(c *LoopConfig) {
				c.BindingsMax = 1 + rng.IntN(3)
				c.Binder = BinderFunc(func(ctx context.Context, p *Pod, node string) error {
					time.Sleep(time.Duration(p.Name[len(p.Name)-1]%5) * time.Millisecond)
					return api.Bind(ctx, p, node)
				})
			})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- l.Run(ctx) }()
			const gangs = 3
			var pods []string
			for g := range gangs {
				api.group(fmt.Sprintf("gang-%d", g), 3)
				for i := range 3 {
					pods = append(pods, fmt.Sprintf("gang-%d-%d", g, i))
				}
			}
			rng.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
			for _, name := range pods {
				api.create(member(name[:6]), name, "cpu=1")
				if rng.IntN(3) == 0 {
					time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond)
				}
			}
			finished := 0
			for range 600 {
				time.Sleep(time.Second)
				api.check()
				for g := range gangs {
					name := fmt.Sprintf("gang-%d", g)
					n := api.boundOf(name)
					if n%3 != 0 { // being bound just now
						time.Sleep(100 * time.Millisecond)
						n = api.boundOf(name)
					}
					require.True(t, n == 0 || n == 3, "%s runs %d of 3", name, n)
					if n == 3 { // it has run: the next one may
						finished++
						for i := range 3 {
							api.delete(fmt.Sprintf("%s-%d", name, i))
						}
					}
				}
				if finished == gangs {
					break
				}
			}
			require.Equal(t, gangs, finished)
			cancel()
			<-done
			require.Empty(t, l.queue.pods)
			require.Empty(t, l.attempts)
		})
	}
}

func TestPodGroupsAreChecked(t *testing.T) {
	q, err := NewQueue(newScheduler(t, NewCache(CacheConfig{})), QueueConfig{})
	require.NoError(t, err)
	mode, constraints := "PodGroup", map[string]any{}
	for _, c := range []struct {
		field string
		spec  PodGroupSpec
	}{
		{"spec.schedulingPolicy", PodGroupSpec{}},
		{"spec.schedulingPolicy", PodGroupSpec{SchedulingPolicy: PodGroupPolicy{Basic: &struct{}{}, Gang: &GangPolicy{MinCount: 1}}}},
		{"spec.schedulingPolicy.gang.minCount", PodGroupSpec{SchedulingPolicy: PodGroupPolicy{Gang: &GangPolicy{}}}},
		{"spec.schedulingConstraints", PodGroupSpec{SchedulingPolicy: PodGroupPolicy{Basic: &struct{}{}}, SchedulingConstraints: &constraints}},
		{"spec.disruptionMode", PodGroupSpec{SchedulingPolicy: PodGroupPolicy{Basic: &struct{}{}}, DisruptionMode: &mode}},
		{"spec.resourceClaims", PodGroupSpec{SchedulingPolicy: PodGroupPolicy{Basic: &struct{}{}}, ResourceClaims: []any{1}}},
	} {
		err := q.SetPodGroup(&PodGroup{ObjectMeta: ObjectMeta{Name: "g"}, Spec: c.spec}, lessonStart)
		var input *InputError
		require.True(t, errors.As(err, &input), "%v", err)
		require.Equal(t, c.field, input.Field)
		require.Empty(t, q.groups.groups)
	}
	require.Error(t, q.SetPodGroup(nil, lessonStart))
	q.RemovePodGroup("", "unknown", lessonStart)

	nameless := &Pod{ObjectMeta: ObjectMeta{Name: "p"}, Spec: PodSpec{SchedulingGroup: &PodSchedulingGroup{}}}
	require.ErrorContains(t, q.Add(nameless, lessonStart), "spec.schedulingGroup.podGroupName")
}
