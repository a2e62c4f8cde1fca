package scheduler_test

import (
	"encoding/json"
	"errors"
	"fmt"

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
		for _, r := range fit.Rejections {
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
