package scheduler

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/orchcore/orchcore/scheduler"
)

// cluster is a case on our side.
type cluster struct {
	cache     *scheduler.Cache
	scheduler *scheduler.Scheduler
	plain     *scheduler.Scheduler // decides the same without the engine
	pending   []*scheduler.Pod
}

// objects are the JSON keys of a case.
type objects struct {
	Nodes                  []*scheduler.Node                  `json:"nodes"`
	Pods                   []*scheduler.Pod                   `json:"pods"`
	Namespaces             []*scheduler.Namespace             `json:"namespaces"`
	Services               []*scheduler.Service               `json:"services"`
	ReplicationControllers []*scheduler.ReplicationController `json:"replicationControllers"`
	ReplicaSets            []*scheduler.ReplicaSet            `json:"replicaSets"`
	StatefulSets           []*scheduler.StatefulSet           `json:"statefulSets"`
	PDBs                   []*scheduler.PodDisruptionBudget   `json:"pdbs"`
	PVCs                   []*scheduler.PersistentVolumeClaim `json:"pvcs"`
	PVs                    []*scheduler.PersistentVolume      `json:"pvs"`
	StorageClasses         []*scheduler.StorageClass          `json:"storageClasses"`
	CSINodes               []*scheduler.CSINode               `json:"csiNodes"`
}

// loadOurs decodes a case and fills a cache with it. Pods on unknown nodes,
// which minimising makes, wait for their node as they do upstream.
func (b *bench) loadOurs(in clusterCase) (*cluster, error) {
	return load(in.RawMessage, b.percent, b.disabled, b.unvalidated)
}

func load(data []byte, percent int, disabled []string, unvalidated bool) (*cluster, error) {
	var in objects
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	c := &cluster{cache: scheduler.NewCache(scheduler.CacheConfig{HoldUnknownNodes: true, Unvalidated: unvalidated})}
	if percent == 0 {
		percent = scheduler.Adaptive
	}
	var err error
	config := scheduler.Config{
		Cache: c.cache, PercentageOfNodesToScore: percent,
		Profiles: []scheduler.Profile{{Disabled: disabled}},
	}
	if c.scheduler, err = scheduler.New(config); err != nil {
		return nil, err
	}
	config.Plain = true
	if c.plain, err = scheduler.New(config); err != nil {
		return nil, err
	}
	if err := errors.Join(
		each(in.Namespaces, c.cache.SetNamespace),
		each(in.Services, c.cache.SetService),
		each(in.ReplicationControllers, c.cache.SetReplicationController),
		each(in.ReplicaSets, c.cache.SetReplicaSet),
		each(in.StatefulSets, c.cache.SetStatefulSet),
		each(in.PDBs, c.cache.SetPodDisruptionBudget),
		each(in.PVCs, c.cache.SetPersistentVolumeClaim),
		each(in.PVs, c.cache.SetPersistentVolume),
		each(in.StorageClasses, c.cache.SetStorageClass),
		each(in.CSINodes, c.cache.SetCSINode),
		each(in.Nodes, c.cache.AddNode),
		each(in.Pods, c.addPod),
	); err != nil {
		return nil, err
	}
	return c, each(c.pending, c.nominate)
}

// nominate records the node that a pending pod was promised. Upstream's queue
// ignores that of a pod which may not be scheduled yet.
func (c *cluster) nominate(p *scheduler.Pod) error {
	if node := p.Status.NominatedNodeName; node != "" && len(p.Spec.SchedulingGates) == 0 {
		return c.cache.Nominate(p, node)
	}
	return nil
}

func each[T any](list []*T, add func(*T) error) error {
	for _, v := range list {
		if err := add(v); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) addPod(p *scheduler.Pod) error {
	if p.Spec.NodeName == "" {
		c.pending = append(c.pending, p)
		return nil
	}
	return c.cache.AddPod(p)
}

// opinion is all that our scheduler thinks about one pod.
type opinion struct {
	placement scheduler.Placement
	err       error // of Schedule
	why       *scheduler.Explanation
	whyErr    error // of Explain
}

// decide schedules the pod and explains every node. Both leave the cache as it
// was.
func (c *cluster) decide(p *scheduler.Pod) *opinion {
	o := &opinion{}
	o.placement, o.err = c.schedule(p)
	o.why, o.whyErr = c.scheduler.Explain(p)
	return o
}

// schedule decides with the engine and in the plain form. That the two agree is
// part of agreeing with upstream: if they do not, the answer is an error.
func (c *cluster) schedule(p *scheduler.Pod) (scheduler.Placement, error) {
	placement, err := c.scheduler.Schedule(p)
	plain, plainErr := c.plain.Schedule(p)
	if !reflect.DeepEqual(placement, plain) || fmt.Sprint(err) != fmt.Sprint(plainErr) {
		return placement, fmt.Errorf("the engine says %+v, %v, the plain form %+v, %v", placement, err, plain, plainErr)
	}
	return placement, err
}

// fitError is the text of the failure without the words of preemption.
func (o *opinion) fitError() string {
	var unfit *scheduler.FitError
	if !errors.As(o.err, &unfit) {
		return fmt.Sprintf("not a FitError: %v", o.err)
	}
	plain := *unfit
	plain.PostFilter = ""
	return plain.Error()
}
