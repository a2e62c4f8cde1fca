package control_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/apply"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/load"
	"github.com/orchcore/orchcore/examples/minicluster/manifests"
	"github.com/orchcore/orchcore/examples/minicluster/node"
)

// TestShopSettles runs every controller against the data model and waits until
// every pod of the shop runs, or has been told why not.
func TestShopSettles(t *testing.T) {
	in, err := load.FS(manifests.Files, "shop")
	require.NoError(t, err)
	plan, err := apply.New(control.NewView(), in.Objects, apply.Config{Seed: 1, Now: time.Now()})
	require.NoError(t, err)
	kv := newMemKV()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, stage := range plan.Stages {
		for _, r := range control.CommitAll(ctx, kv, stage) {
			require.NoError(t, r.Err)
		}
	}
	sched, err := control.NewScheduler(20*time.Millisecond, nil)
	require.NoError(t, err)
	informer := control.NewInformer(kv)
	for _, c := range []control.Controller{
		&control.Deployments{}, &control.ReplicaSets{}, &control.DaemonSets{}, &control.StatefulSets{},
		&control.EndpointSlices{}, &control.NodeLifecycle{}, &control.TaintEviction{}, &control.Disruption{}, sched,
		&node.Fleet{Pace: node.DefaultPace()}, &node.Heartbeats{},
	} {
		feed := informer.Feed(c.Kinds()...)
		wg.Go(func() {
			require.ErrorIs(t, control.Run(ctx, c, feed, control.Env{KV: kv, Now: time.Now}), context.Canceled)
		})
	}
	watch := informer.Feed(api.Pods)
	wg.Go(func() { _ = informer.Run(ctx) })
	view := control.NewView()
	deadline, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	ready, explained := 0, 0
	for {
		_, err := watch.Advance(deadline, view, 0, nil)
		require.NoError(t, err, "%d ready, %d explained of %d", ready, explained, len(view.Pods))
		ready, explained = 0, 0
		for p := range view.Pods.All() {
			if p.Object.Ready() {
				ready++
			} else if c := api.ConditionOf(p.Object.Status.Conditions, api.PodScheduled); c != nil && c.Message != "" {
				explained++
			}
		}
		if ready == 57 && explained == 1 {
			break
		}
	}
	for p := range view.Pods.All() {
		t.Log(p.Key, p.Object.Spec.NodeName, p.Object.Metadata.Annotations[control.AnnotationPlacement], p.Object.Status.Conditions[0].Message)
	}
}
