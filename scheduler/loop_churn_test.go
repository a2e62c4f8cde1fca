package scheduler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Two hours of a busy cluster, in simulated time: pods and gangs come and end,
// nodes come and go, bindings fail, the important preempt. All invariants hold
// every minute, and memory does not grow.
func TestLoopChurn(t *testing.T) {
	span := 2 * time.Hour
	if testing.Short() {
		span = 20 * time.Minute
	}
	c := newChurn(t, 1)
	var early, late uint64
	for at := time.Duration(0); at < span; at += time.Second {
		c.second()
		if at%time.Minute == 0 {
			c.check()
		}
		switch at {
		case span / 4:
			early = heapBytes()
		case span - time.Second:
			late = heapBytes()
		}
	}
	t.Logf("%d pods made, %d bound, %d evicted, %d attempts failed; heap %d KB after a quarter, %d KB at the end",
		c.made, c.bound, c.evicted, c.failed, early>>10, late>>10)
	require.Greater(t, c.bound, c.made/3)
	require.Positive(t, c.evicted)
	require.Less(t, late, early+early/4+256<<10, "memory grows")
	c.drain()
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

type churn struct {
	t     *testing.T
	rng   *rand.Rand
	api   *fakeAPI
	clock *handClock
	loop  *Loop

	live                         []string
	gangs                        int
	nodes                        int
	made, bound, evicted, failed int
	calm                         bool // bindings succeed, permits are given
}

func newChurn(t *testing.T, seed uint64) *churn {
	c := &churn{t: t, rng: rand.New(rand.NewPCG(seed, 5)), clock: &handClock{now: lessonStart}, nodes: 8}
	c.api = newFakeAPI(t, c.nodes, 4000)
	c.loop = c.api.loop(func(l *LoopConfig) {
		l.Clock = c.clock
		l.Binder = BinderFunc(func(ctx context.Context, p *Pod, node string) error {
			if !c.calm && c.rng.IntN(30) == 0 {
				return errors.New("the connection was lost")
			}
			return c.api.Bind(ctx, p, node)
		})
		l.Observe = func(e LoopEvent) {
			switch e.Kind {
			case LoopBound:
				c.bound++
			case LoopEvicted:
				c.evicted++
			case LoopFailed:
				c.failed++
			}
		}
	}, c)
	return c
}

func (*churn) Name() string { return "Churn" }

// Permit lets some pods wait; nobody ever allows them.
func (c *churn) Permit(*Binding) (Status, time.Duration) {
	if !c.calm && c.rng.IntN(40) == 0 {
		return Status{Code: Wait}, time.Duration(c.rng.IntN(20)) * time.Second
	}
	return Status{}, 0
}

func (c *churn) second() {
	c.clock.advance(time.Second)
	for range c.rng.IntN(3) {
		c.create()
	}
	if c.rng.IntN(30) == 0 {
		c.createGang()
	}
	// Pods run for about half a minute.
	for range 1 + len(c.live)/30 {
		if len(c.live) > 0 {
			i := c.rng.IntN(len(c.live))
			c.api.delete(c.live[i])
			c.live[i] = c.live[len(c.live)-1]
			c.live = c.live[:len(c.live)-1]
		}
	}
	switch c.rng.IntN(100) {
	case 0:
		c.api.removeNode(fmt.Sprintf("node-%03d", c.rng.IntN(c.nodes)))
	case 1, 2:
		c.addNode()
	}
	clear(c.api.binds)
	settleDown(c.t, c.loop)
}

func (c *churn) addNode() {
	name := fmt.Sprintf("node-%03d", c.rng.IntN(c.nodes))
	if c.api.nodes[name] == nil {
		c.api.addNode(name)
	}
}

func (c *churn) create() {
	c.made++
	name := fmt.Sprintf("pod-%d", c.made)
	object := []string{
		"", "", "",
		`{"spec":{"containers":[{"name":"m","ports":[{"containerPort":80,"hostPort":8080}],"resources":{"requests":{"cpu":"200m"}}}]}}`,
		`{"spec":{"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"kubernetes.io/hostname","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"spread"}}}]}}`,
		`{"spec":{"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"app":"spread"}},"topologyKey":"kubernetes.io/hostname"}]}}}}`,
	}[c.rng.IntN(6)]
	c.api.create(object, name, fmt.Sprintf("cpu=%dm", 100*(1+c.rng.IntN(25))), fmt.Sprintf("priority=%d", c.rng.IntN(3)), "label:app="+[]string{"spread", "web"}[c.rng.IntN(2)])
	c.live = append(c.live, name)
}

func (c *churn) createGang() {
	c.gangs++
	group := fmt.Sprintf("gang-%d", c.gangs)
	size := 2 + c.rng.IntN(4)
	c.api.group(group, int32(size))
	for range size {
		c.made++
		name := fmt.Sprintf("pod-%d", c.made)
		c.api.create(member(group), name, "cpu=1", fmt.Sprintf("priority=%d", c.rng.IntN(2)))
		c.live = append(c.live, name)
	}
	if c.gangs > 20 {
		c.loop.RemovePodGroup("default", fmt.Sprintf("gang-%d", c.gangs-20))
	}
}

// check asserts that API, Cache and Queue agree, and that nothing is left over.
func (c *churn) check() {
	c.api.check()
	c.loop.queue.check(c.t)
	waiting := make(map[string]bool)
	for key, a := range c.loop.attempts {
		require.Equal(c.t, attemptWaiting, a.state)
		waiting[key.name] = true
	}
	for _, name := range c.api.pending() {
		place := c.loop.queue.Place("default", name)
		require.True(c.t, waiting[name] || place != QueueNowhere && place != QueueInFlight, "%s is %v", name, place)
	}
	require.LessOrEqual(c.t, len(c.loop.queue.flights.byID), len(waiting))
	require.Equal(c.t, len(c.api.pending())-len(waiting), len(c.loop.queue.pods))
	require.Empty(c.t, c.loop.queue.preempting)
	require.Empty(c.t, c.loop.releases)
	if len(waiting) == 0 {
		requireSame(c.t, c.api, c.loop)
	}
}

// drain ends all pods: nothing may be left of them.
func (c *churn) drain() {
	for _, name := range c.live {
		c.api.delete(name)
	}
	for range 30 {
		c.clock.advance(time.Second)
		settleDown(c.t, c.loop)
	}
	q := c.loop.queue
	require.Empty(c.t, q.pods)
	require.Empty(c.t, q.flights.byID)
	require.Empty(c.t, q.flights.events)
	require.Empty(c.t, q.groups.of)
	require.Empty(c.t, c.loop.attempts)
	require.Empty(c.t, c.loop.cache.nominated.node.m)
	_, pods := c.loop.cache.Len()
	require.Zero(c.t, pods)
}

// The same events at the same times give the same outcomes.
func TestLoopIsDeterministic(t *testing.T) {
	run := func() string {
		c := newChurn(t, 7)
		for range 300 {
			c.second()
		}
		where := make(map[string]string)
		for name, p := range c.api.pods {
			where[name] = p.Spec.NodeName
		}
		return fmt.Sprint(c.made, c.bound, c.evicted, c.failed, where)
	}
	require.Equal(t, run(), run())
}
