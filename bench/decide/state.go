package main

import (
	"encoding/json"
	"fmt"

	"github.com/orchcore/orchcore/scheduler"
)

// state is the input: one cluster with pending pods.
type state struct {
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
	CSIDrivers             []*scheduler.CSIDriver             `json:"csiDrivers"`
	CSIStorageCapacities   []*scheduler.CSIStorageCapacity    `json:"csiStorageCapacities"`
	VolumeAttachments      []*scheduler.VolumeAttachment      `json:"volumeAttachments"`
	DeviceClasses          []json.RawMessage                  `json:"deviceClasses"`
	Source                 string                             `json:"source"`
}

// load fills a cache and returns the pods that are to be placed.
func (s *state) load(c *scheduler.Cache) (pending []*scheduler.Pod, err error) {
	if len(s.DeviceClasses) > 0 {
		return nil, fmt.Errorf("deviceClasses: dynamic resource allocation is not supported")
	}
	for _, step := range []func(*scheduler.Cache) error{s.loadOwners, s.loadStorage, s.loadNodes} {
		if err := step(c); err != nil {
			return nil, err
		}
	}
	for i, p := range s.Pods {
		if p == nil {
			return nil, fmt.Errorf("pods[%d]: null", i)
		}
		if p.UID == "" {
			p.UID = fmt.Sprintf("uid-%d-%s", i, p.Name)
		}
		if p.Spec.NodeName == "" {
			pending = append(pending, p)
			continue
		}
		if err := c.AddPod(p); err != nil {
			return nil, err
		}
	}
	for _, p := range pending {
		if node := p.Status.NominatedNodeName; node != "" {
			if err := c.Nominate(p, node); err != nil {
				return nil, err
			}
		}
	}
	return pending, nil
}

func (s *state) loadNodes(c *scheduler.Cache) error {
	for _, n := range s.Nodes {
		if err := c.AddNode(n); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) loadOwners(c *scheduler.Cache) error {
	return firstError(
		each(s.Namespaces, c.SetNamespace),
		each(s.Services, c.SetService),
		each(s.ReplicationControllers, c.SetReplicationController),
		each(s.ReplicaSets, c.SetReplicaSet),
		each(s.StatefulSets, c.SetStatefulSet),
		each(s.PDBs, c.SetPodDisruptionBudget),
	)
}

func (s *state) loadStorage(c *scheduler.Cache) error {
	return firstError(
		each(s.PVCs, c.SetPersistentVolumeClaim),
		each(s.PVs, c.SetPersistentVolume),
		each(s.StorageClasses, c.SetStorageClass),
		each(s.CSINodes, c.SetCSINode),
		each(s.CSIDrivers, c.SetCSIDriver),
		each(s.CSIStorageCapacities, c.SetCSIStorageCapacity),
		each(s.VolumeAttachments, c.SetVolumeAttachment),
	)
}

func each[T any](list []*T, set func(*T) error) error {
	for i, v := range list {
		if v == nil {
			return fmt.Errorf("entry %d: null", i)
		}
		if err := set(v); err != nil {
			return err
		}
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
