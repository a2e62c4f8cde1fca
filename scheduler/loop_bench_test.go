package scheduler

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/stretchr/testify/require"
)

// BenchmarkLoop is the whole life of a pod as the loop sees it: it appears, is
// queued, decided, reserved, bound by a Binder that does nothing, observed with
// its node, and in the end removed. rejected pods that wait in the queue are
// told of every event.
func BenchmarkLoop(b *testing.B) {
	for _, c := range []struct{ nodes, waiting int }{{1000, 0}, {5000, 0}, {5000, 1000}} {
		b.Run(fmt.Sprintf("nodes=%d/waiting=%d", c.nodes, c.waiting), func(b *testing.B) {
			l, clock := benchLoop(b, c.nodes)
			benchWaiting(b, l, clock, c.waiting)
			const alive = 2000
			var live []*Pod
			one := func(i int) {
				clock.advance(time.Millisecond)
				p := benchPod(i)
				if err := l.SetPod(p); err != nil {
					b.Fatal(err)
				}
				if _, worked, err := l.Step(context.Background()); !worked || err != nil {
					b.Fatal("no pod was tried", err)
				}
				node, _, ok := l.cache.PodNode("default", p.Name)
				if !ok {
					b.Fatalf("pod %s has no node", p.Name)
				}
				bound := *p
				bound.Spec.NodeName = node
				if err := l.SetPod(&bound); err != nil {
					b.Fatal(err)
				}
				if live = append(live, &bound); len(live) > alive {
					l.RemovePod("default", live[0].Name)
					live = live[1:]
				}
			}
			n := 0
			for ; n < alive; n++ {
				one(n)
			}
			require.Zero(b, l.Len(QueueActive)+l.Len(QueueInFlight))
			require.Equal(b, c.waiting, l.Len(QueueUnschedulable))
			b.ReportAllocs()
			start := n
			for b.Loop() {
				one(n)
				n++
			}
			b.ReportMetric(float64(n-start)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}

func benchLoop(b *testing.B, nodes int) (*Loop, *handClock) {
	clock := &handClock{now: lessonStart}
	s, err := New(Config{Cache: NewCache(CacheConfig{})})
	require.NoError(b, err)
	l, err := NewLoop(LoopConfig{Scheduler: s, Binder: BinderFunc(bound), Clock: clock})
	require.NoError(b, err)
	for i := range nodes {
		n := &Node{ObjectMeta: ObjectMeta{Name: fmt.Sprintf("node-%05d", i), Labels: map[string]string{
			LabelHostname: fmt.Sprintf("node-%05d", i), LabelZone: fmt.Sprintf("zone-%d", i%3),
		}}}
		n.Status.Allocatable = resource.List{
			"cpu": resource.MustParse("32"), "memory": resource.MustParse("128Gi"), "pods": resource.MustParse("110"),
		}
		require.NoError(b, l.SetNode(n))
	}
	return l, clock
}

// benchWaiting leaves pods in the queue that no node has room for.
func benchWaiting(b *testing.B, l *Loop, clock *handClock, count int) {
	for i := range count {
		p := benchPod(i)
		p.Name = fmt.Sprintf("huge-%d", i)
		p.Spec.Containers[0].Resources.Requests = resource.List{"cpu": resource.MustParse("64")}
		p.Spec.NodeSelector = map[string]string{LabelHostname: "nowhere"}
		require.NoError(b, l.SetPod(p))
		_, worked, err := l.Step(context.Background())
		require.NoError(b, err)
		require.True(b, worked)
		clock.advance(time.Microsecond)
	}
}

func benchPod(i int) *Pod {
	p := &Pod{ObjectMeta: ObjectMeta{Name: fmt.Sprintf("pod-%d", i), Namespace: "default", UID: fmt.Sprintf("uid-%d", i), Labels: map[string]string{"app": "web"}}}
	p.Spec.Containers = []Container{{Name: "main", Image: "web:1", Resources: ResourceRequirements{Requests: resource.List{
		"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi"),
	}}}}
	return p
}
