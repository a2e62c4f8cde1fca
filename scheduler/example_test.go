package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/orchcore/orchcore/scheduler"
)

// decode turns a Kubernetes object into one of ours.
func decode[T any](object string) *T {
	v := new(T)
	if err := json.Unmarshal([]byte(object), v); err != nil {
		panic(err)
	}
	return v
}

func exampleCache() *scheduler.Cache {
	cache := scheduler.NewCache(scheduler.CacheConfig{})
	for _, object := range []string{
		`{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"4","memory":"8Gi","pods":"110"}}}`,
		`{"metadata":{"name":"b"},"status":{"allocatable":{"cpu":"8","memory":"16Gi","pods":"110"}},
		  "spec":{"taints":[{"key":"dedicated","value":"gpu","effect":"NoSchedule"}]}}`,
	} {
		if err := cache.AddNode(decode[scheduler.Node](object)); err != nil {
			panic(err)
		}
	}
	return cache
}

func ExampleScheduler_Schedule() {
	cache := exampleCache()
	s, err := scheduler.New(scheduler.Config{Cache: cache})
	if err != nil {
		panic(err)
	}
	pod := decode[scheduler.Pod](`{"metadata":{"name":"web-1","namespace":"shop"},
		"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"3"}}}]}}`)
	placement, err := s.Schedule(pod)
	if err != nil {
		panic(err)
	}
	fmt.Println("on", placement.Node)
	// The pod counts on its node from here on, while it is being bound.
	if err := cache.Assume(pod, placement.Node); err != nil {
		panic(err)
	}

	second := decode[scheduler.Pod](`{"metadata":{"name":"web-2","namespace":"shop"},
		"spec":{"containers":[{"name":"web","resources":{"requests":{"cpu":"3"}}}]}}`)
	_, err = s.Schedule(second)
	var fit *scheduler.FitError
	if errors.As(err, &fit) {
		fmt.Println(fit.FilterText())
		for r := range fit.Rejections() {
			fmt.Println(r.Node, r.Plugin, r.Status.Code)
		}
	}
	// Output:
	// on a
	// 0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s).
	// a NodeResourcesFit Unschedulable
	// b TaintToleration UnschedulableAndUnresolvable
}

func ExampleScheduler_Explain() {
	s, err := scheduler.New(scheduler.Config{Cache: exampleCache()})
	if err != nil {
		panic(err)
	}
	e, err := s.Explain(decode[scheduler.Pod](`{"metadata":{"name":"train"},"spec":{
		"tolerations":[{"key":"dedicated","operator":"Exists"}],
		"containers":[{"name":"main","resources":{"requests":{"cpu":"2","memory":"4Gi"}}}]}}`))
	if err != nil {
		panic(err)
	}
	for _, n := range e.Nodes {
		fmt.Println(n.Node, n.Score)
	}
	for _, p := range e.Nodes[1].Plugins[:2] {
		fmt.Println(p.Plugin, p.Normalized, p.Weighted)
	}

	e, err = s.Explain(decode[scheduler.Pod](`{"metadata":{"name":"web"},"spec":{
		"containers":[{"name":"main","resources":{"requests":{"cpu":"4500m"}}}]}}`))
	if err != nil {
		panic(err)
	}
	fmt.Println(e.Fit.FilterText())
	for _, n := range e.Nodes {
		fmt.Println(n.Node, n.Changes[0].Text)
	}
	// Output:
	// a 425
	// b 450
	// TaintToleration 100 300
	// NodeResourcesFit 75 75
	// 0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s).
	// a needs 500m cpu more
	// b add toleration for dedicated=gpu:NoSchedule
}

// quietNodes is a plugin of the user's own: it prefers nodes with few pods.
type quietNodes struct{}

func (quietNodes) Name() string { return "QuietNodes" }

func (quietNodes) Score(_ *scheduler.Cycle, n *scheduler.NodeInfo) int64 {
	return max(0, scheduler.MaxNodeScore-int64(len(n.Pods)))
}

func ExampleProfile_extra() {
	cache := exampleCache()
	s, err := scheduler.New(scheduler.Config{Cache: cache, Profiles: []scheduler.Profile{{
		SchedulerName: "quiet",
		Extra:         []scheduler.Plugin{quietNodes{}},
		Weights:       map[string]int64{"QuietNodes": 5},
	}}})
	if err != nil {
		panic(err)
	}
	e, err := s.Explain(decode[scheduler.Pod](`{"metadata":{"name":"p"},"spec":{"schedulerName":"quiet",
		"containers":[{"name":"main"}]}}`))
	if err != nil {
		panic(err)
	}
	plugins := e.Nodes[0].Plugins
	fmt.Println(plugins[len(plugins)-1])
	// Output:
	// {QuietNodes 100 100 500}
}

// licences is a plugin of the user's own with a part in every phase: a pod with
// the label licence needs one of a fixed number of licences, which the nodes of
// the vendor's choice hand out, and has to be approved.
type licences struct {
	free int
	held map[string]bool
}

func (*licences) Name() string { return "Licences" }

func needsLicence(p *scheduler.PodInfo) bool {
	_, ok := p.Labels.Lookup("licence")
	return ok
}

func (l *licences) Filter(c *scheduler.Cycle, _ *scheduler.NodeInfo) scheduler.Status {
	if needsLicence(c.Pod) && l.free == 0 {
		return scheduler.Status{Code: scheduler.Unschedulable, Details: []string{"no licence is free"}}
	}
	return scheduler.Status{}
}

func (l *licences) Score(_ *scheduler.Cycle, n *scheduler.NodeInfo) int64 {
	if n.Name == "a" {
		return scheduler.MaxNodeScore
	}
	return 0
}

func (l *licences) Reserve(b *scheduler.Binding) scheduler.Status {
	if needsLicence(b.Pod) {
		l.free--
		l.held[b.Pod.Name()] = true
	}
	return scheduler.Status{}
}

// Unreserve may be called without Reserve.
func (l *licences) Unreserve(b *scheduler.Binding) {
	if l.held[b.Pod.Name()] {
		l.free++
		delete(l.held, b.Pod.Name())
	}
}

func (l *licences) Permit(b *scheduler.Binding) (scheduler.Status, time.Duration) {
	if needsLicence(b.Pod) {
		return scheduler.Status{Code: scheduler.Wait}, time.Minute
	}
	return scheduler.Status{}, 0
}

func ExampleScheduler_Reserve() {
	plugin := &licences{free: 1, held: make(map[string]bool)}
	s, err := scheduler.New(scheduler.Config{
		Cache:    exampleCache(),
		Profiles: []scheduler.Profile{{Extra: []scheduler.Plugin{plugin}}},
	})
	if err != nil {
		panic(err)
	}
	api := scheduler.BinderFunc(func(_ context.Context, pod *scheduler.Pod, node string) error {
		fmt.Println("POST", pod.Name, "on", node)
		return nil
	})
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	place := func(name string) (*scheduler.Binding, error) {
		pod := decode[scheduler.Pod](`{"metadata":{"name":"` + name + `","labels":{"licence":""}},"spec":{"containers":[{"name":"main"}]}}`)
		placement, err := s.Schedule(pod)
		if err != nil {
			return nil, err
		}
		return s.Reserve(pod, placement.Node, start)
	}

	first, err := place("first")
	if err != nil {
		panic(err)
	}
	fmt.Println(first.Waiting(), first.Bind(context.Background(), api))
	_, err = place("second")
	fmt.Println(err)

	// Nobody approves the first: its licence is free again.
	fmt.Println(first.Expire(start.Add(time.Minute)))
	third, err := place("third")
	if err != nil {
		panic(err)
	}
	third.Allow("Licences")
	fmt.Println(third.Bind(context.Background(), api))
	// Output:
	// [Licences] pod waits for permission
	// 0/2 nodes are available: 1 no licence is free, 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.
	// 0/1 nodes are available: 1 rejected due to timeout after waiting 1m0s at plugin Licences.
	// POST third on a
	// <nil>
}

func ExampleCache_Assume() {
	cache := exampleCache()
	pod := decode[scheduler.Pod](`{"metadata":{"name":"p"},"spec":{"containers":[{"name":"main"}]}}`)
	fmt.Println(cache.Assume(pod, "a"))
	node, assumed, _ := cache.PodNode("default", "p")
	fmt.Println(node, assumed)
	fmt.Println(cache.Forget("default", "p"))
	fmt.Println(cache.Assume(pod, "nowhere"))
	// Output:
	// <nil>
	// a true
	// <nil>
	// pod default/p: spec.nodeName: "nowhere": node is not known
}

func ExampleScheduler_DryRunPreemption() {
	cache := exampleCache()
	low := decode[scheduler.Pod](`{"metadata":{"name":"batch"},"spec":{"nodeName":"a",
		"containers":[{"name":"main","resources":{"requests":{"cpu":"4"}}}]}}`)
	if err := cache.AddPod(low); err != nil {
		panic(err)
	}
	s, err := scheduler.New(scheduler.Config{Cache: cache})
	if err != nil {
		panic(err)
	}
	dry, err := s.DryRunPreemption(decode[scheduler.Pod](`{"metadata":{"name":"urgent"},"spec":{"priority":1000,
		"containers":[{"name":"main","resources":{"requests":{"cpu":"1"}}}]}}`))
	if err != nil {
		panic(err)
	}
	fmt.Println(dry.Candidates)
	// Output:
	// [{a [default/batch] 0}]
}
