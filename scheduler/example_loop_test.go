package scheduler_test

import (
	"context"
	"fmt"
	"time"

	"github.com/orchcore/orchcore/scheduler"
)

// A rejected pod waits until something happens that may help it: not a node
// whose taint it does not tolerate, but one that is free of it.
func ExampleQueue() {
	s, _ := scheduler.New(scheduler.Config{Cache: scheduler.NewCache(scheduler.CacheConfig{})})
	q, _ := scheduler.NewQueue(s, scheduler.QueueConfig{})
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	_ = q.Add(decode[scheduler.Pod](`{"metadata":{"name":"web"}}`), now)

	p := q.Pop(now)
	q.Failed(p, scheduler.Failure{Rejected: []string{"TaintToleration"}}, now)
	fmt.Println(q.Place("default", "web"), p.RejectedBy())

	tainted := decode[scheduler.Node](`{"metadata":{"name":"a"},"spec":{"taints":[{"key":"gpu","effect":"NoSchedule"}]}}`)
	free := decode[scheduler.Node](`{"metadata":{"name":"a"}}`)
	for _, e := range scheduler.NodeEvents(nil, tainted) {
		q.Event(e, now)
		fmt.Println(e.String(), "->", q.Place("default", "web"))
	}
	for _, e := range scheduler.NodeEvents(tainted, free) {
		q.Event(e, now)
		fmt.Println(e.String(), "->", q.Place("default", "web"))
	}
	// Output:
	// unschedulable [TaintToleration]
	// NodeAdd -> unschedulable
	// NodeUpdateNodeTaint -> backoff
}

// A loop is told of nodes and pods, and binds. Step is Run in small pieces.
func ExampleLoop() {
	s, _ := scheduler.New(scheduler.Config{Cache: scheduler.NewCache(scheduler.CacheConfig{})})
	l, _ := scheduler.NewLoop(scheduler.LoopConfig{
		Scheduler: s,
		Binder: scheduler.BinderFunc(func(_ context.Context, pod *scheduler.Pod, node string) error {
			fmt.Println("bind", pod.Name, "to", node)
			return nil
		}),
		Observe: func(e scheduler.LoopEvent) {
			if e.Kind == scheduler.LoopRejected {
				fmt.Println(e.Pod.Name, "waits:", e.Err)
			}
		},
	})
	_ = l.SetNode(decode[scheduler.Node](`{"metadata":{"name":"a"},"status":{"allocatable":{"cpu":"2","memory":"4Gi","pods":"10"}}}`))
	for _, name := range []string{"web", "db"} {
		_ = l.SetPod(decode[scheduler.Pod](`{"metadata":{"name":"` + name + `"},"spec":{"preemptionPolicy":"Never",
			"containers":[{"name":"main","resources":{"requests":{"cpu":"1500m"}}}]}}`))
		_, _, _ = l.Step(context.Background())
	}
	// Output:
	// bind web to a
	// db waits: 0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.
}
