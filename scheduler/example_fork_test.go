package scheduler_test

import (
	"errors"
	"fmt"

	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/scheduler"
)

// request is a pod that requests CPUs.
func request(name, cpu string) *scheduler.Pod {
	return decode[scheduler.Pod](fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"containers":[
		{"name":"c","resources":{"requests":{"cpu":%q}}}]}}`, name, cpu))
}

// Try something, look at it, and either take it back or make it so.
func ExampleFork() {
	cache := exampleCache()
	fork := cache.Snapshot().Fork(nil)
	before := fork.Mark()

	_, err := fork.Schedule(request("big", "6"))
	fmt.Println(err)
	if err := fork.Revert(before); err != nil {
		panic(err)
	}
	added, err := fork.AddNodes(decode[scheduler.Node](`{"metadata":{"name":"spare"},
		"status":{"allocatable":{"cpu":"8","memory":"16Gi","pods":"110"}}}`), 1)
	if err != nil {
		panic(err)
	}
	placement, err := fork.Schedule(request("big", "6"))
	fmt.Println(added, placement.Node, err)

	// Meanwhile the node is added, and taken, by somebody else.
	if err := cache.AddNode(decode[scheduler.Node](`{"metadata":{"name":"spare-0"}}`)); err != nil {
		panic(err)
	}
	err = fork.Commit(scheduler.CommitUntouched)
	fmt.Println(err, errors.Is(err, scheduler.ErrMovedOn))
	// Output:
	// 0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.
	// [spare-0] spare-0 <nil>
	// cluster has changed since the snapshot: node spare-0 true
}

func ExampleFork_Capacity() {
	fork := exampleCache().Snapshot().Fork(nil)
	room, err := fork.Capacity(request("web", "1500m"), 0)
	if err != nil {
		panic(err)
	}
	fmt.Println(room.Pods, room.Nodes)
	fmt.Println(room.Stopped)
	// Output:
	// 2 [{a 2}]
	// 0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s).
}

func ExampleFork_Shrink() {
	cache := scheduler.NewCache(scheduler.CacheConfig{})
	for _, name := range []string{"a", "b", "c"} {
		node := fmt.Sprintf(`{"metadata":{"name":%q},"status":{"allocatable":{"cpu":"4","pods":"110"}}}`, name)
		if err := cache.AddNode(decode[scheduler.Node](node)); err != nil {
			panic(err)
		}
	}
	for i, cpu := range []string{"1", "2", "3"} {
		pod := request(fmt.Sprintf("web-%d", i), cpu)
		pod.Spec.NodeName = string("abc"[i])
		if err := cache.AddPod(pod); err != nil {
			panic(err)
		}
	}
	out, err := cache.Snapshot().Fork(nil).Shrink(scheduler.ShrinkOptions{Drain: qos.DrainOptions{Force: true}})
	if err != nil {
		panic(err)
	}
	for _, n := range out.Emptied {
		fmt.Println("empty", n.Node, n.Moves)
	}
	for _, n := range out.Kept {
		fmt.Println("keep", n.Node, n.Pod, n.Why)
	}
	// Output:
	// empty a [{default/web-0 b}]
	// keep b default/web-1 0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.
	// keep c default/web-2 0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.
}

func ExampleFork_Pack() {
	fork := scheduler.NewCache(scheduler.CacheConfig{}).Snapshot().Fork(nil)
	pods := []*scheduler.Pod{request("a", "3"), request("b", "3"), request("c", "1"), request("d", "1")}
	small := decode[scheduler.Node](`{"metadata":{"name":"small"},"status":{"allocatable":{"cpu":"4","pods":"110"}}}`)
	large := decode[scheduler.Node](`{"metadata":{"name":"large"},"status":{"allocatable":{"cpu":"8","pods":"110"}}}`)
	out, err := fork.Pack(pods, []scheduler.NodeTemplate{{Node: small, Price: 10}, {Node: large, Price: 18}})
	if err != nil {
		panic(err)
	}
	for _, n := range out.Nodes {
		fmt.Println(n.Name, n.Pods)
	}
	fmt.Println("price", out.Price, "at least", out.PriceAtLeast, "nodes at least", out.NodesAtLeast)
	// Output:
	// large-0 4
	// price 18 at least 18 nodes at least 1
}
