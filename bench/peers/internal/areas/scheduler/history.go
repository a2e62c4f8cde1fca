package scheduler

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/orchcore/orchcore/bench/internal/workload"
	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/bench/peers/internal/upstream"
	"github.com/orchcore/orchcore/scheduler"
)

// histories compares decisions between changes: nodes come, go, move to other
// zones and change their images, pods are added, relabelled, confirmed and
// removed. What both sides remember from before must be the same.
func histories(b *bench) compare.Suite {
	return &compare.Cases[clusterCase]{
		Parts: []string{partHistory},
		Generate: func(r *rand.Rand) clusterCase {
			config := workload.ClusterConfig{Nodes: 2 + r.IntN(10), Placed: 1 + r.IntN(20), Features: features(r)}
			return clusterCase{workload.NewHistory(r, config, 60).JSON()}
		},
		Compare: b.compareHistory,
		Shrink:  shrink,
	}
}

// ourEvent is an event in our wire types.
type ourEvent struct {
	Op        string               `json:"op"`
	Node      *scheduler.Node      `json:"node"`
	Pod       *scheduler.Pod       `json:"pod"`
	Namespace *scheduler.Namespace `json:"namespace"`
	Service   *scheduler.Service   `json:"service"`
	Name      string               `json:"name"`
}

func (b *bench) compareHistory(c clusterCase, rec *compare.Record) {
	if _, err := b.load(c); err != nil {
		panic(fmt.Sprintf("compare: upstream refuses the case: %v", err))
	}
	ours, err := b.loadOurs(c)
	if err != nil {
		rec.Text(partHistory, "a cluster", err.Error())
		return
	}
	var theirs struct {
		Events []*upstream.Event `json:"events"`
	}
	var own struct {
		Events []*ourEvent `json:"events"`
	}
	if err := json.Unmarshal(c.RawMessage, &theirs); err != nil {
		panic(fmt.Sprintf("compare: upstream's events: %v", err))
	}
	if err := json.Unmarshal(c.RawMessage, &own); err != nil {
		rec.Text(partHistory, "events", err.Error())
		return
	}
	for i, e := range theirs.Events {
		if !b.step(e, ours, own.Events[i], rec) {
			return
		}
	}
}

// step lets one event happen on both sides; false ends the case, since the two
// sides no longer stand for the same cluster.
func (b *bench) step(e *upstream.Event, ours *cluster, own *ourEvent, rec *compare.Record) bool {
	meant, err := b.upstream.Apply(e)
	if err != nil {
		panic(fmt.Sprintf("compare: upstream: %s: %v", e.Op, err))
	}
	if !meant {
		return true
	}
	if err := ours.apply(own); err != nil {
		rec.Text(partHistory, e.Op, err.Error())
		return false
	}
	if e.Op != workload.OpDecide {
		return true
	}
	d, err := b.upstream.Decide(e.Pod)
	if err != nil {
		panic(fmt.Sprintf("compare: pod %s: %v", e.Pod.Name, err))
	}
	o := ours.decide(own.Pod)
	rec.Text(partHistory, renderAll(d, o), renderOurAll(d, o))
	if d.Node == "" {
		return true
	}
	if err := b.upstream.Place(e.Pod, d.Node); err != nil {
		panic(fmt.Sprintf("compare: pod %s: %v", e.Pod.Name, err))
	}
	if err := ours.cache.Assume(own.Pod, d.Node); err != nil {
		rec.Text(partHistory, "assumed on "+d.Node, err.Error())
		return false
	}
	return true
}

// apply makes a change on our side; a pod to decide about is nominated if need
// be.
func (c *cluster) apply(e *ourEvent) error {
	namespace, name, _ := strings.Cut(e.Name, "/")
	switch e.Op {
	case workload.OpAddNode:
		return c.cache.AddNode(e.Node)
	case workload.OpUpdateNode:
		return c.cache.UpdateNode(e.Node)
	case workload.OpRemoveNode:
		return c.cache.RemoveNode(e.Name)
	case workload.OpAddPod:
		return c.cache.AddPod(e.Pod)
	case workload.OpUpdatePod:
		return c.cache.UpdatePod(e.Pod)
	case workload.OpConfirm:
		return c.cache.Confirm(namespace, name)
	case workload.OpRemovePod:
		if _, assumed, _ := c.cache.PodNode(namespace, name); assumed {
			return c.cache.Forget(namespace, name)
		}
		return c.cache.RemovePod(namespace, name)
	case workload.OpSetNamespace:
		return c.cache.SetNamespace(e.Namespace)
	case workload.OpSetService:
		return c.cache.SetService(e.Service)
	case workload.OpRemoveService:
		c.cache.RemoveService(namespace, name)
		return nil
	case workload.OpDecide:
		return c.nominate(e.Pod)
	}
	return fmt.Errorf("unknown event %q", e.Op)
}
