package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// licences hands out a number of licences: a plugin with state of its own in
// every role of a binding. Verdicts say what each step answers.
type licences struct {
	name     string
	held     map[string]bool
	verdicts map[Stage]Status
	timeout  time.Duration
	log      *[]string
}

func (l *licences) Name() string { return l.name }

func (l *licences) say(stage Stage) Status {
	*l.log = append(*l.log, l.name+" "+string(stage))
	return l.verdicts[stage]
}

func (l *licences) Reserve(b *Binding) Status {
	v := l.say(StageReserve)
	if v.Code == Success {
		l.held[b.Pod.Name()] = true
	}
	return v
}

func (l *licences) Unreserve(b *Binding) {
	*l.log = append(*l.log, l.name+" Unreserve")
	delete(l.held, b.Pod.Name())
}

func (l *licences) Permit(*Binding) (Status, time.Duration) { return l.say(StagePermit), l.timeout }

func (l *licences) PreBind(context.Context, *Binding) Status { return l.say(StagePreBind) }

func (l *licences) Bind(context.Context, *Binding) Status { return l.say(StageBind) }

// twoLicences returns a scheduler with plugins A and B that let everything
// pass, on a cache with one node.
func twoLicences(t *testing.T) (s *Scheduler, a, b *licences, log *[]string) {
	log = new([]string)
	make := func(name string) *licences {
		return &licences{name, map[string]bool{}, map[Stage]Status{StageBind: {Code: Skip}}, 0, log}
	}
	a, b = make("A"), make("B")
	c := NewCache(CacheConfig{})
	require.NoError(t, c.AddNode(decodeAs[Node](t, `{"metadata":{"name":"n"},"status":{"allocatable":{"cpu":"4","pods":"9"}}}`)))
	s, err := New(Config{Cache: c, Profiles: []Profile{{Extra: []Plugin{a, b}}}})
	require.NoError(t, err)
	return s, a, b, log
}

var (
	noon    = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	errBoom = errors.New("boom")
)

func bound(context.Context, *Pod, string) error { return nil }

func TestBindOrder(t *testing.T) {
	s, _, _, log := twoLicences(t)
	pod := podWith(t, "p", "", "")
	b, err := s.Reserve(pod, "n", noon)
	require.NoError(t, err)
	_, assumed, _ := s.config.Cache.PodNode("", "p")
	require.True(t, assumed)
	require.NoError(t, b.Bind(t.Context(), BinderFunc(func(_ context.Context, p *Pod, node string) error {
		*log = append(*log, "binder "+p.Name+" "+node)
		return nil
	})))
	_, assumed, ok := s.config.Cache.PodNode("", "p")
	require.True(t, ok && !assumed)
	require.Equal(t, "A Reserve,B Reserve,A Permit,B Permit,A PreBind,B PreBind,A Bind,B Bind,binder p n", strings.Join(*log, ","))
	require.ErrorIs(t, b.Bind(t.Context(), BinderFunc(bound)), ErrEnded)
	require.ErrorIs(t, b.Cancel(), ErrEnded)
	require.ErrorIs(t, b.Reject("A", "late"), ErrEnded)
}

// Each step may fail in each way; the texts are upstream's.
func TestBindFailures(t *testing.T) {
	no, boom := Status{Code: Unschedulable, Details: []string{"no licence"}}, Status{Code: Failed, Err: errBoom}
	for _, test := range []struct {
		stage   Stage
		verdict Status
		want    string
	}{
		{StageReserve, no, "0/1 nodes are available: 1 no licence."},
		{StageReserve, boom, `running Reserve plugin "B": boom`},
		{StagePermit, no, "0/1 nodes are available: 1 no licence."},
		{StagePermit, boom, `running Permit plugin "B": boom`},
		{StagePermit, Status{Code: Skip}, `running Permit plugin "B": unexpected status Skip`},
		{StagePreBind, boom, `running PreBind plugin "B": boom`},
		{StagePreBind, Status{Code: Wait}, `running PreBind plugin "B": unexpected status Wait`},
		{StageBind, no, "0/1 nodes are available: 1 no licence."},
		{StageBind, boom, `running Bind plugin "B": boom`},
	} {
		t.Run(test.want, func(t *testing.T) {
			s, _, b, log := twoLicences(t)
			b.verdicts[test.stage] = test.verdict
			binding, err := s.Reserve(podWith(t, "p", "", ""), "n", noon)
			if err == nil {
				err = binding.Bind(t.Context(), BinderFunc(bound))
			}
			require.EqualError(t, err, test.want)
			var bindErr *BindError
			require.ErrorAs(t, err, &bindErr)
			require.Equal(t, test.stage, bindErr.Stage)
			require.Equal(t, "B", bindErr.Plugin)
			var fit *FitError
			require.Equal(t, test.verdict.Rejected(), errors.As(err, &fit))
			require.Equal(t, test.verdict.Err != nil, errors.Is(err, errBoom))
			require.Equal(t, []string{"B Unreserve", "A Unreserve"}, (*log)[len(*log)-2:])
			_, _, known := s.config.Cache.PodNode("", "p")
			require.False(t, known)
		})
	}
	s, _, _, _ := twoLicences(t)
	binding, err := s.Reserve(podWith(t, "p", "", ""), "n", noon)
	require.NoError(t, err)
	require.EqualError(t, binding.Bind(t.Context(), nil), `running Bind plugin "DefaultBinder": no Binder and no plugin binds the pod`)
}

func TestPermitWaits(t *testing.T) {
	start := func() *Binding {
		s, a, b, _ := twoLicences(t)
		a.verdicts[StagePermit], a.timeout = Status{Code: Wait}, time.Minute
		b.verdicts[StagePermit], b.timeout = Status{Code: Wait}, time.Hour
		binding, err := s.Reserve(podWith(t, "p", "", ""), "n", noon)
		require.NoError(t, err)
		require.Equal(t, []string{"A", "B"}, binding.Waiting())
		require.ErrorIs(t, binding.Bind(t.Context(), BinderFunc(bound)), ErrWaiting)
		return binding
	}
	b := start()
	at, ok := b.Deadline()
	require.True(t, ok)
	require.Equal(t, noon.Add(time.Minute), at)
	b.Allow("A")
	at, _ = b.Deadline()
	require.Equal(t, noon.Add(15*time.Minute), at, "an hour is too long")
	b.Allow("B")
	_, ok = b.Deadline()
	require.False(t, ok)
	require.NoError(t, b.Expire(noon.Add(time.Hour)))
	require.ErrorIs(t, b.Reject("A", "late"), ErrEnded)
	require.NoError(t, b.Bind(t.Context(), BinderFunc(bound)))

	b = start()
	require.NoError(t, b.Expire(noon.Add(time.Minute-1)))
	require.EqualError(t, b.Expire(noon.Add(time.Minute)),
		"0/1 nodes are available: 1 rejected due to timeout after waiting 1m0s at plugin A.")
	_, _, known := b.cache.PodNode("", "p")
	require.False(t, known)

	b = start()
	require.EqualError(t, b.Reject("B", "the group is too small"), "0/1 nodes are available: 1 the group is too small.")
	require.ErrorIs(t, b.Bind(t.Context(), BinderFunc(bound)), ErrEnded)
}

// The watch may be faster than the answer to the binding.
func TestBindAndWatch(t *testing.T) {
	s, a, _, _ := twoLicences(t)
	cache := s.config.Cache
	observe := func(_ context.Context, p *Pod, node string) error {
		seen := *p
		seen.Spec.NodeName = node
		return cache.AddPod(&seen)
	}
	b, err := s.Reserve(podWith(t, "p", "", ""), "n", noon)
	require.NoError(t, err)
	require.NoError(t, b.Bind(t.Context(), BinderFunc(observe)))

	// An answer that was lost does not undo what the watch has shown.
	b, err = s.Reserve(podWith(t, "q", "", ""), "n", noon)
	require.NoError(t, err)
	err = b.Bind(t.Context(), BinderFunc(func(ctx context.Context, p *Pod, node string) error {
		return errors.Join(observe(ctx, p, node), errBoom)
	}))
	require.ErrorIs(t, err, errBoom)
	_, assumed, ok := cache.PodNode("", "q")
	require.True(t, ok && !assumed)
	require.NotContains(t, a.held, "default/q")

	_, err = s.Reserve(podWith(t, "q", "", ""), "n", noon)
	require.ErrorIs(t, err, ErrExists)
	_, err = s.Reserve(podWith(t, "r", "", ""), "nowhere", noon)
	require.ErrorIs(t, err, ErrUnknownNode)
}

// stateOf is all that a cache knows, as text.
func stateOf(c *Cache) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		n := c.nodes[name]
		fmt.Fprintln(&b, name, podNames(n.Pods), podNames(n.WithAffinity), podNames(n.WithAntiAffinity))
		requested := n.Requested
		requested.Scalars = slices.Clone(requested.Scalars)
		// None requested and nothing known is the same.
		requested.Scalars = slices.DeleteFunc(requested.Scalars, func(s Scalar) bool { return s.Value == 0 })
		fmt.Fprintln(&b, requested, n.NonZeroCPUMilli, n.NonZeroMemoryBytes, n.ports, n.claims)
	}
	for _, key := range slices.SortedFunc(maps.Keys(c.pods), func(a, b podKey) int { return strings.Compare(a.String(), b.String()) }) {
		fmt.Fprintln(&b, key, c.pods[key].node, c.pods[key].assumed)
	}
	fmt.Fprintln(&b, c.nominated.node.m)
	for _, node := range slices.Sorted(maps.Keys(c.nominated.pods.m)) {
		fmt.Fprintln(&b, node, podNames(c.nominated.pods.m[node]))
	}
	return b.String()
}

func podNames(pods []*PodInfo) (names []string) {
	for _, p := range pods {
		names = append(names, p.Name())
	}
	return names
}

// Whatever step fails, in whatever way, the Cache and the plugins are as they
// were before.
func TestFailedBindingRestores(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	failures := make(map[Stage]int)
	for round := 0; len(failures) < 4 || round < 300; round++ {
		c := randomCluster(t, rng, 6, 20)
		log := new([]string)
		var plugins []Plugin
		var all []*licences
		for _, name := range []string{"A", "B", "C"} {
			l := &licences{name, map[string]bool{"default/other": true}, map[Stage]Status{StageBind: {Code: Skip}}, time.Minute, log}
			plugins, all = append(plugins, l), append(all, l)
		}
		s, err := New(Config{Cache: c, Profiles: []Profile{{Extra: plugins}}})
		require.NoError(t, err)
		p := randomPod(rng, "new")
		placement, err := s.Schedule(p)
		if err != nil {
			continue
		}
		for i := range 3 {
			if i == 1 && rng.IntN(2) == 0 {
				require.NoError(t, c.Nominate(p, placement.Node))
			} else {
				require.NoError(t, c.Nominate(podWith(t, fmt.Sprintf("nominated-%d", i), "", ""), placement.Node))
			}
		}
		before, fits := stateOf(c), feasible(t, c, p)
		stage := oneOf(rng, StageReserve, StagePermit, StagePreBind, StageBind)
		oneOf(rng, all...).verdicts[stage] = oneOf(rng, Reject(ReasonTaint), Status{Code: Failed, Err: errBoom}, Status{Code: 99})
		waiter := oneOf(rng, all...)
		if stage != StagePermit && rng.IntN(3) == 0 {
			waiter.verdicts[StagePermit] = Status{Code: Wait}
		}
		b, err := s.Reserve(p, placement.Node, noon)
		if err == nil && len(b.Waiting()) > 0 {
			err = oneOf(rng, func() error { return b.Reject("A", "no") }, func() error { return b.Expire(noon.Add(time.Hour)) })()
			stage = StagePermit
		} else if err == nil {
			err = b.Bind(t.Context(), BinderFunc(bound))
		}
		var failed *BindError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, stage, failed.Stage)
		failures[stage]++
		require.Equal(t, before, stateOf(c))
		for _, l := range all {
			require.Equal(t, map[string]bool{"default/other": true}, l.held)
		}
		require.Equal(t, fits, feasible(t, c, p))
	}
}
