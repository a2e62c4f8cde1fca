package scheduler

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
	"github.com/stretchr/testify/require"
)

// preemptionWorld is a crowded cluster that two schedulers look at, one of them
// plain.
type preemptionWorld struct {
	rng            *rand.Rand
	c              *Cache
	engine, plain  *Scheduler
	placed         int
	sociable       bool // pods with affinity and spread constraints exist
	tables, denied int  // failures that the engine found victims for, or none
}

func newPreemptionWorld(t *testing.T, rng *rand.Rand, nodes int) *preemptionWorld {
	w := &preemptionWorld{rng: rng, c: NewCache(CacheConfig{}), sociable: rng.IntN(3) == 0}
	for i := range nodes {
		n := randomNode(rng, fmt.Sprintf("n%d", i))
		n.Spec.Unschedulable = false
		n.Status.Allocatable["pods"] = resource.NewInt(int64(2 + rng.IntN(9)))
		require.NoError(t, w.c.AddNode(n))
	}
	var err error
	w.engine, err = New(Config{Cache: w.c})
	require.NoError(t, err)
	w.plain, err = New(Config{Cache: w.c, Plain: true})
	require.NoError(t, err)
	for range 6 * nodes {
		w.place(t)
	}
	return w
}

// place puts a random pod anywhere, so that some nodes are overcommitted.
func (w *preemptionWorld) place(t *testing.T) {
	rng := w.rng
	p := randomPod(rng, fmt.Sprintf("p%d", w.placed))
	w.placed++
	if !w.sociable || rng.IntN(3) > 0 {
		p.Spec.Affinity, p.Spec.TopologySpreadConstraints = nil, nil
	}
	if rng.IntN(3) > 0 {
		started := time.Unix(int64(rng.IntN(5)), 0)
		p.Status.StartTime = &started
	}
	priority := int32(rng.IntN(4))
	p.Spec.Priority = &priority
	p.Spec.NodeName = oneOf(rng, w.c.Nodes()...)
	require.NoError(t, w.c.AddPod(p))
}

// change does one random thing to the cluster.
func (w *preemptionWorld) change(t *testing.T) {
	rng := w.rng
	switch rng.IntN(10) {
	case 0, 1, 2:
		w.place(t)
	case 8:
		p := randomPod(rng, fmt.Sprintf("nominated%d", rng.IntN(4)))
		priority := int32(rng.IntN(6))
		p.Spec.Priority = &priority
		require.NoError(t, w.c.Nominate(p, oneOf(rng, w.c.Nodes()...)))
	case 9:
		w.c.Unnominate(oneOf(rng, "default", "prod"), fmt.Sprintf("nominated%d", rng.IntN(4)))
	case 3, 4:
		n := w.c.node(oneOf(rng, w.c.Nodes()...))
		if len(n.Pods) > 0 {
			p := oneOf(rng, n.Pods...)
			require.NoError(t, w.c.evict(p.key))
		}
	case 5:
		n := randomNode(rng, oneOf(rng, w.c.Nodes()...))
		require.NoError(t, w.c.UpdateNode(n))
	case 6:
		b := &PodDisruptionBudget{ObjectMeta: ObjectMeta{Name: fmt.Sprint(rng.IntN(3)), Namespace: oneOf(rng, "default", "prod")}}
		b.Spec.Selector = &selector.LabelSelector{MatchLabels: map[string]string{"app": oneOf(rng, "web", "db")}}
		b.Status.DisruptionsAllowed = int32(rng.IntN(3))
		require.NoError(t, w.c.SetPodDisruptionBudget(b))
	case 7:
		w.c.RemovePodDisruptionBudget(oneOf(rng, "default", "prod"), fmt.Sprint(rng.IntN(3)))
	}
}

// templates are pods that often fit nowhere; most need resources alone.
func (w *preemptionWorld) templates() []*Pod {
	var list []*Pod
	for i := range 5 {
		p := randomPod(w.rng, "")
		if i > 0 {
			p.Spec.Affinity, p.Spec.TopologySpreadConstraints = nil, nil
		}
		if i > 1 {
			p.Spec.Containers[0].Ports = nil
		}
		p.Spec.Containers[0].Resources.Requests["cpu"] = resource.NewInt(int64(2 + w.rng.IntN(7)))
		priority := int32(1 + w.rng.IntN(4))
		p.Spec.Priority = &priority
		list = append(list, p)
	}
	return list
}

// decide has both schedulers decide about a pod, and follows the decision.
func (w *preemptionWorld) decide(t *testing.T, p *Pod) {
	info, err := compilePod(p)
	require.NoError(t, err)
	got, err := w.engine.SchedulePod(info)
	want, wantErr := w.plain.SchedulePod(info)
	require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(err))
	require.True(t, got.equal(&want))
	var fit, wantFit *FitError
	if !errors.As(err, &fit) {
		if err == nil && w.rng.IntN(2) == 0 {
			require.NoError(t, w.c.Assume(p, got.Node))
		}
		return
	}
	require.ErrorAs(t, wantErr, &wantFit)
	require.True(t, fit.equal(wantFit), "%v %+v, plain form %v %+v", fit, fit.Nominated, wantFit, wantFit.Nominated)
	if fit.Nominated == nil {
		w.denied++
		return
	}
	w.tables++
	if w.rng.IntN(2) == 0 {
		return
	}
	for _, v := range fit.Nominated.Victims {
		namespace, name, _ := strings.Cut(v, "/")
		require.NoError(t, w.c.evict(podKey{namespace, name}))
	}
	w.decideAgain(t, p)
}

// decideAgain is the second cycle, after the victims have gone. Nominated pods
// of the same priority may be in the way.
func (w *preemptionWorld) decideAgain(t *testing.T, p *Pod) {
	got, err := w.engine.Schedule(p)
	want, wantErr := w.plain.Schedule(p)
	require.Equal(t, fmt.Sprint(wantErr), fmt.Sprint(err))
	require.True(t, got.equal(&want))
	if err == nil {
		require.NoError(t, w.c.Assume(p, got.Node))
	}
}

// Preemption by table finds what the plain dry run finds: the same node, the
// same victims, the same words when there is no way out; whatever has happened
// to nodes, pods and budgets since the table was made.
func TestPreemptionTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	var found, denied, tables int
	for range 60 {
		w := newPreemptionWorld(t, rng, 4+rng.IntN(90))
		templates := w.templates()
		for range 40 {
			for range rng.IntN(4) {
				w.change(t)
			}
			p := *oneOf(rng, templates...)
			p.Name = fmt.Sprintf("new%d", w.placed)
			p.UID = p.Name
			w.placed++
			w.decide(t, &p)
		}
		found, denied = found+w.tables, denied+w.denied
		for _, k := range w.engine.engine.classes {
			if k.failed != nil && k.failed.table != nil {
				tables++
			}
		}
	}
	t.Logf("%d preemptions, %d without a way out, %d tables", found, denied, tables)
	require.Greater(t, tables, 50)
	require.Greater(t, found, 300)
	require.Greater(t, denied, 30)
}

// Victims found by arithmetic are those of the dry run, node by node.
func TestVictimsByArithmetic(t *testing.T) {
	rng := rand.New(rand.NewPCG(43, 44))
	compared := 0
	for range 1000 {
		w := newPreemptionWorld(t, rng, 3)
		for range 3 {
			w.change(t)
		}
		p := w.templates()[2+rng.IntN(3)]
		p.Name = "new"
		info, err := compilePod(p)
		require.NoError(t, err)
		s := w.engine
		w.c.refresh()
		s.engine.sync(w.c)
		k := s.engine.classOf(w.c, s.profiles[DefaultSchedulerName], info)
		if k == nil || k.looksAtCluster {
			continue
		}
		f := k.newFailures(s, info)
		f.cycle.cache = w.c
		table := f.candidates(k, info)
		require.NotNil(t, table.need)
		for at, n := range s.engine.nodes {
			if v, _ := f.cycle.filter(n); v.Code != Unschedulable {
				continue
			}
			got, v, plugin := table.victims(&f.cycle, int32(at))
			want, wantV, wantPlugin := f.cycle.victimsOn(n)
			require.Equal(t, want, got)
			require.Equal(t, wantPlugin, plugin)
			require.True(t, v.equal(&wantV))
			if v.Code == Success {
				compared++
			}
		}
	}
	require.Greater(t, compared, 100)
}
