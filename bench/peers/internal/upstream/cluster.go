package upstream

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// Cluster is a cluster in upstream's own types, with the keys of bench/decide.
type Cluster struct {
	Nodes                  []*v1.Node                      `json:"nodes"`
	Pods                   []*v1.Pod                       `json:"pods"`
	Namespaces             []*v1.Namespace                 `json:"namespaces"`
	Services               []*v1.Service                   `json:"services"`
	ReplicationControllers []*v1.ReplicationController     `json:"replicationControllers"`
	ReplicaSets            []*appsv1.ReplicaSet            `json:"replicaSets"`
	StatefulSets           []*appsv1.StatefulSet           `json:"statefulSets"`
	PDBs                   []*policyv1.PodDisruptionBudget `json:"pdbs"`
	PVCs                   []*v1.PersistentVolumeClaim     `json:"pvcs"`
	PVs                    []*v1.PersistentVolume          `json:"pvs"`
	StorageClasses         []*storagev1.StorageClass       `json:"storageClasses"`
	CSINodes               []*storagev1.CSINode            `json:"csiNodes"`
}

// DecodeCluster reads a cluster.
func DecodeCluster(data []byte) (*Cluster, error) {
	c := &Cluster{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("decode a cluster for upstream: %w", err)
	}
	return c, nil
}

// lookups returns the objects that plugins look up by lister.
func (c *Cluster) lookups() []runtime.Object {
	var out []runtime.Object
	out = appendObjects(out, c.Namespaces)
	out = appendObjects(out, c.Services)
	out = appendObjects(out, c.ReplicationControllers)
	out = appendObjects(out, c.ReplicaSets)
	out = appendObjects(out, c.StatefulSets)
	out = appendObjects(out, c.PDBs)
	out = appendObjects(out, c.PVCs)
	out = appendObjects(out, c.PVs)
	out = appendObjects(out, c.StorageClasses)
	return appendObjects(out, c.CSINodes)
}

func appendObjects[T runtime.Object](out []runtime.Object, objects []T) []runtime.Object {
	for _, o := range objects {
		out = append(out, o)
	}
	return out
}

func (s *Scheduler) indexerFor(o runtime.Object) cache.Indexer {
	core, apps, storage := s.factory.Core().V1(), s.factory.Apps().V1(), s.factory.Storage().V1()
	switch o.(type) {
	case *v1.Namespace:
		return core.Namespaces().Informer().GetIndexer()
	case *v1.Service:
		return core.Services().Informer().GetIndexer()
	case *v1.ReplicationController:
		return core.ReplicationControllers().Informer().GetIndexer()
	case *appsv1.ReplicaSet:
		return apps.ReplicaSets().Informer().GetIndexer()
	case *appsv1.StatefulSet:
		return apps.StatefulSets().Informer().GetIndexer()
	case *policyv1.PodDisruptionBudget:
		return s.factory.Policy().V1().PodDisruptionBudgets().Informer().GetIndexer()
	case *v1.PersistentVolumeClaim:
		return core.PersistentVolumeClaims().Informer().GetIndexer()
	case *v1.PersistentVolume:
		return core.PersistentVolumes().Informer().GetIndexer()
	case *storagev1.StorageClass:
		return storage.StorageClasses().Informer().GetIndexer()
	case *storagev1.CSINode:
		return storage.CSINodes().Informer().GetIndexer()
	}
	panic(fmt.Sprintf("upstream: no store for %T", o)) // lookups lists no other type
}
