package qos

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
	"k8s.io/kubernetes/pkg/kubelet/eviction"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

// evictorCase is a node over some passes.
type evictorCase struct {
	Settings   settingsCase      `json:"settings"`
	Layout     qos.Layout        `json:"layout"`
	Transition int               `json:"transitionSeconds"`
	MaxGrace   int64             `json:"maxGrace"`
	NoLimits   bool              `json:"noLimits"`
	Pods       []json.RawMessage `json:"pods"`
	Passes     []passCase        `json:"passes"`
}

// passCase is what is observed in one pass, and after reclaiming.
type passCase struct {
	AfterSeconds int             `json:"afterSeconds"`
	Summary      json.RawMessage `json:"summary"`
	Reclaimed    json.RawMessage `json:"reclaimed"`
}

const (
	differsOrder       = "where several thresholds are crossed"
	differsContainerFS = "thresholds of containerfs count from the first pass"
	differsTies        = "pods that the kubelet's rules leave equal"
)

// evictorSuite runs the kubelet's own pass against ours, state and all.
func evictorSuite() compare.Suite {
	return &compare.Cases[evictorCase]{
		Parts:    []string{"evictor/conditions", "evictor/evict", "evictor/admit"},
		Generate: randomEvictorCase,
		Compare:  compareEvictor,
		Shrink:   shrinkEvictor,
		Documented: []compare.Difference[evictorCase]{
			{Differs: differsOrder, Applies: isOtherOrder},
			{Differs: differsContainerFS, Applies: isContainerFS},
			{Differs: differsTies, Applies: isTie},
		},
	}
}

func randomEvictorCase(r *rand.Rand) evictorCase {
	c := evictorCase{
		Settings: settingsCase{Hard: map[string]string{}, Soft: map[string]string{}, Grace: map[string]string{}, Reclaim: map[string]string{}, Enforce: r.IntN(3) == 0},
		Layout:   layout(r), Transition: pick(r, 1, 20, 300), MaxGrace: pick[int64](r, 0, 10, 60), NoLimits: r.IntN(2) == 0,
	}
	signals := []string{pick(r, signalNames[:5]...), pick(r, "memory.available", "pid.available")}
	for _, name := range signals[:1+r.IntN(2)] {
		if r.IntN(3) != 0 {
			c.Settings.Hard[name] = pick(r, "10%", "20%", "100", "1k")
		}
		if r.IntN(3) == 0 || len(c.Settings.Hard) == 0 {
			c.Settings.Soft[name] = pick(r, "30%", "25%", "200")
			c.Settings.Grace[name] = pick(r, "10s", "15s", "1m")
		}
		if r.IntN(2) == 0 {
			c.Settings.Reclaim[name] = pick(r, "5%", "10%", "100")
		}
	}
	count := 1 + r.IntN(6)
	for i := range count {
		c.Pods = append(c.Pods, raw(nodePod(r, i)))
	}
	at := created
	for range 2 + r.IntN(6) {
		p := passCase{AfterSeconds: 1 + r.IntN(20)}
		measured := at
		at = at.Add(time.Duration(p.AfterSeconds) * time.Second)
		if r.IntN(5) != 0 {
			measured = at
		}
		p.Summary, p.Reclaimed = raw(randomSummary(r, count, measured)), raw(randomSummary(r, count, measured))
		c.Passes = append(c.Passes, p)
	}
	return c
}

func randomSummary(r *rand.Rand, pods int, at time.Time) tree {
	when := at.Format(time.RFC3339)
	if r.IntN(6) == 0 {
		when = ""
	}
	available := func() int { return pick(r, 50, 95, 150, 220, 280, 400, 900, 5000) }
	memory := func() tree {
		n := available()
		m := tree{"availableBytes": n, "workingSetBytes": max(1000-n, 0)}
		if when != "" {
			m["time"] = when
		}
		return m
	}
	fs := func() tree {
		s := tree{"availableBytes": available(), "capacityBytes": 1000, "inodesFree": available(), "inodes": 1000}
		if when != "" {
			s["time"] = when
		}
		if r.IntN(10) == 0 {
			delete(s, "availableBytes")
		}
		return s
	}
	nodeFS := fs()
	rlimit := tree{"maxpid": 1000, "curproc": 1000 - available()}
	if when != "" {
		rlimit["time"] = when
	}
	node := tree{"fs": nodeFS, "runtime": tree{"imageFs": fs(), "containerFs": nodeFS}, "rlimit": rlimit}
	if r.IntN(10) != 0 {
		node["memory"] = memory()
	}
	if r.IntN(3) != 0 {
		node["systemContainers"] = []any{tree{"name": "kubelet", "memory": memory()}, tree{"name": "pods", "memory": memory()}}
	}
	var stats []any
	for i := range pods {
		if r.IntN(10) != 0 {
			stats = append(stats, podStats(r, i))
		}
	}
	return tree{"node": node, "pods": stats}
}

// silent keeps the kubelet from logging.
var silent = klog.NewContext(context.Background(), klog.Logger{})

// world is what the kubelet's pass works on: fakes of its surroundings.
type world struct {
	layout    qos.Layout
	clock     *testingclock.FakeClock
	pods      []*v1.Pod
	summaries []statsapi.Summary // given out in order, the last again and again
	killed    []string
}

func (w *world) HasDedicatedImageFs(context.Context) (bool, error) { return w.layout.ImageFS, nil }
func (w *world) HasDedicatedContainerFs(context.Context) (bool, error) {
	return w.layout.SplitImageFS, nil
}
func (w *world) DeleteUnusedImages(context.Context) error        { return nil }
func (w *world) DeleteAllUnusedContainers(context.Context) error { return nil }
func (w *world) GetCPUAndMemoryStats(ctx context.Context) (*statsapi.Summary, error) {
	return w.Get(ctx, false)
}
func (w *world) Get(context.Context, bool) (*statsapi.Summary, error) {
	s := w.summaries[0]
	if len(w.summaries) > 1 {
		w.summaries = w.summaries[1:]
	}
	return &s, nil
}

func (w *world) kill(p *v1.Pod, _ bool, grace *int64, change func(*v1.PodStatus)) error {
	var status v1.PodStatus
	change(&status)
	w.killed = append(w.killed, fmt.Sprintf("%s grace %d: %s %s", p.Name, *grace, status.Reason, status.Message))
	return nil
}

func compareEvictor(c evictorCase, rec *compare.Record) {
	n, err := nodeCase{Pods: c.Pods}.decode()
	if err != nil {
		rec.Text("evictor/evict", "decodes", err.Error())
		return
	}
	w := &world{layout: c.Layout, clock: testingclock.NewFakeClock(created), pods: n.upstreamPods}
	upstream, admit, err := c.upstreamManager(w)
	if err != nil {
		return // settings without effect; the threshold suite compares errors
	}
	ours, err := c.ourEvictor()
	if err != nil {
		rec.Text("evictor/evict", "starts", err.Error())
		return
	}
	for i, p := range c.Passes {
		w.clock.Step(time.Duration(p.AfterSeconds) * time.Second)
		pass, err := nodeCase{Pods: c.Pods, Summary: p.Summary}.decode()
		after, err2 := nodeCase{Summary: p.Reclaimed}.decode()
		if err != nil || err2 != nil {
			return
		}
		w.summaries, w.killed = []statsapi.Summary{pass.upstream, after.upstream}, nil
		_, _ = synchronize(implementation(upstream), silent, w, func() []*v1.Pod { return slices.Clone(w.pods) })

		d := ourPass(ours, w.clock.Now(), &pass.ours, &after.ours, pass.ourPods)
		label := fmt.Sprintf("pass %d: ", i)
		rec.Text("evictor/conditions", label+upstreamConditions(upstream), label+fmt.Sprint(d.Conditions))
		rec.Text("evictor/evict", label+strings.Join(w.killed, "; "), label+evictions(d))
		for j := range w.pods {
			a := admit.Admit(&lifecycle.PodAdmitAttributes{Pod: w.pods[j]})
			admitted, message := qos.Admit(n.ourPods[j], d.Conditions)
			rec.Text("evictor/admit", fmt.Sprint(label, a.Admit, sortedConditions(a.Message)), fmt.Sprint(label, admitted, sortedConditions(message)))
		}
		if !sameEvictions(w.killed, d) || upstreamConditions(upstream) != fmt.Sprint(d.Conditions) {
			return // states have parted: later passes mean nothing
		}
	}
}

func (c evictorCase) upstreamManager(w *world) (eviction.Manager, lifecycle.PodAdmitHandler, error) {
	var enforce []string
	if c.Settings.Enforce {
		enforce = []string{"pods"}
	}
	thresholds, err := eviction.ParseThresholdConfig(enforce, c.Settings.Hard, c.Settings.Soft, c.Settings.Grace, c.Settings.Reclaim)
	if err != nil {
		return nil, nil, err
	}
	config := eviction.Config{PressureTransitionPeriod: time.Duration(c.Transition) * time.Second, MaxPodGracePeriodSeconds: c.MaxGrace, Thresholds: thresholds}
	m, admit := eviction.NewManager(w, config, w.kill, w, w, &record.FakeRecorder{}, &v1.ObjectReference{Kind: "Node", Name: "n"}, w.clock, !c.NoLimits)
	return m, admit, nil
}

func (c evictorCase) ourEvictor() (*qos.Evictor, error) {
	thresholds, err := c.Settings.ourThresholds()
	if err != nil {
		return nil, err
	}
	return c.evictorOf(thresholds)
}

func (c settingsCase) ourThresholds() ([]qos.Threshold, error) {
	return qos.EvictionSettings{Hard: c.Hard, Soft: c.Soft, SoftGracePeriod: c.Grace, MinimumReclaim: c.Reclaim, EnforcePods: c.Enforce}.Thresholds()
}

func (c evictorCase) evictorOf(thresholds []qos.Threshold) (*qos.Evictor, error) {
	return qos.NewEvictor(qos.EvictorConfig{Thresholds: thresholds, Layout: c.Layout,
		PressureTransitionPeriod: time.Duration(c.Transition) * time.Second, MaxPodGracePeriodSeconds: c.MaxGrace, NoStorageLimits: c.NoLimits})
}

func ourPass(e *qos.Evictor, now time.Time, before, after *qos.Summary, pods []*qos.Pod) qos.Decision {
	candidates := qos.Candidates(pods, before)
	d := e.Step(now, qos.Observe(before), candidates)
	if len(d.Reclaim) > 0 {
		d.Evict = e.Reclaimed(qos.Observe(after), candidates).Evict
	}
	return d
}

func evictions(d qos.Decision) string {
	var out []string
	for _, e := range d.Evict {
		out = append(out, fmt.Sprintf("%s grace %d: %s %s", e.Pod.Metadata.Name, e.GracePeriodSeconds, qos.EvictedReason, e.Message))
	}
	return strings.Join(out, "; ")
}

func sameEvictions(killed []string, d qos.Decision) bool {
	return strings.Join(killed, "; ") == evictions(d)
}

func upstreamConditions(m eviction.Manager) string {
	var out []string
	for _, c := range []struct {
		name string
		has  bool
	}{{"MemoryPressure", m.IsUnderMemoryPressure()}, {"DiskPressure", m.IsUnderDiskPressure()}, {"PIDPressure", m.IsUnderPIDPressure()}} {
		if c.has {
			out = append(out, c.name)
		}
	}
	return fmt.Sprint(out)
}

// sortedConditions undoes the random order of conditions in a message.
func sortedConditions(message string) string {
	open, end := strings.IndexByte(message, '['), strings.IndexByte(message, ']')
	if open < 0 || end < open {
		return message
	}
	list := strings.Fields(message[open+1 : end])
	slices.Sort(list)
	return message[:open] + strings.Join(list, " ") + message[end:]
}

func shrinkEvictor(c evictorCase) iter.Seq[evictorCase] {
	return func(yield func(evictorCase) bool) {
		for i := range c.Passes {
			smaller := c
			smaller.Passes = slices.Delete(slices.Clone(c.Passes), i, i+1)
			if !yield(smaller) {
				return
			}
		}
		for i := range c.Pods {
			smaller := c
			smaller.Pods = slices.Delete(slices.Clone(c.Pods), i, i+1)
			if !yield(smaller) {
				return
			}
		}
		for s := range shrinkSettings(c.Settings) {
			smaller := c
			smaller.Settings = s
			if !yield(smaller) {
				return
			}
		}
		for i := range c.Passes {
			for s := range shrinkPod(podCase{c.Passes[i].Summary}) {
				smaller := c
				smaller.Passes = slices.Clone(c.Passes)
				smaller.Passes[i].Summary = s.Pod
				if !yield(smaller) {
					return
				}
			}
		}
	}
}
