package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/scheduler"
)

// mirror keeps a scheduler's Cache equal to the view. The scheduler decodes the
// same JSON into its own types.
type mirror struct {
	cache *scheduler.Cache
	// seen holds the revision of each object in the cache, by key.
	seen map[string]int64
	// bound holds what of a pod in the cache other decisions depend on.
	bound map[string]string
	// generation counts the changes that may let a pod fit which did not before.
	generation int64
	// Refused says which objects the cache would not take, by key.
	refused map[string]string
}

func newMirror() *mirror {
	return &mirror{
		cache: scheduler.NewCache(scheduler.CacheConfig{HoldUnknownNodes: true}),
		seen:  map[string]int64{}, bound: map[string]string{}, refused: map[string]string{},
	}
}

// sync brings the cache forward to the view.
func (m *mirror) sync(view *View) error {
	present := map[string]bool{}
	err := errors.Join(
		syncTable(m, present, view.Namespaces, func(ns *scheduler.Namespace) error { return m.cache.SetNamespace(ns) }),
		syncTable(m, present, view.Services, func(s *scheduler.Service) error { return m.cache.SetService(s) }),
		syncTable(m, present, view.ReplicaSets, func(s *scheduler.ReplicaSet) error { return m.cache.SetReplicaSet(s) }),
		syncTable(m, present, view.StatefulSets, func(s *scheduler.StatefulSet) error { return m.cache.SetStatefulSet(s) }),
		syncTable(m, present, view.Budgets, func(b *scheduler.PodDisruptionBudget) error { return m.cache.SetPodDisruptionBudget(b) }),
		syncTable(m, present, view.Nodes, m.setNode),
		m.syncPods(view, present),
	)
	for _, key := range slices.Sorted(maps.Keys(m.seen)) {
		if !present[key] {
			m.forget(key)
		}
	}
	return err
}

// syncTable hands every object that is new or has changed to set, as the
// scheduler's type W. What the cache refuses is noted and left out.
func syncTable[T, W any](m *mirror, present map[string]bool, t Table[T], set func(*W) error) error {
	for s := range t.All() {
		present[s.Key] = true
		if m.seen[s.Key] == s.Revision {
			continue
		}
		wire, err := decodeWire[W](s.Key, s.Raw)
		if err != nil {
			return err
		}
		m.seen[s.Key] = s.Revision
		m.take(s.Key, set(wire))
		m.generation++
	}
	return nil
}

func decodeWire[W any](key string, raw []byte) (*W, error) {
	wire := new(W)
	if err := json.Unmarshal(raw, wire); err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	return wire, nil
}

func (m *mirror) take(key string, err error) {
	if err != nil {
		m.refused[key] = err.Error()
		return
	}
	delete(m.refused, key)
}

func (m *mirror) setNode(n *scheduler.Node) error {
	if err := m.cache.UpdateNode(n); !errors.Is(err, scheduler.ErrUnknownNode) {
		return err
	}
	return m.cache.AddNode(n)
}

// syncPods keeps the pods that have a node. A pod that came back under the same
// name is another pod.
func (m *mirror) syncPods(view *View, present map[string]bool) error {
	for p := range view.Pods.All() {
		if p.Object.Spec.NodeName == "" || p.Object.Finished() {
			continue
		}
		present[p.Key] = true
		if m.seen[p.Key] == p.Revision {
			continue
		}
		wire, err := decodeWire[scheduler.Pod](p.Key, p.Raw)
		if err != nil {
			return err
		}
		if err = m.cache.UpdatePod(wire); err != nil {
			if errors.Is(err, scheduler.ErrExists) { // another UID
				m.take(p.Key, m.cache.RemovePod(wire.Namespace, wire.Name))
			}
			err = m.cache.AddPod(wire)
		}
		m.seen[p.Key] = p.Revision
		m.take(p.Key, err)
		if what := fmt.Sprint(p.Object.Spec.NodeName, p.Object.Metadata.Labels, p.Object.Metadata.Deleting()); m.bound[p.Key] != what {
			m.bound[p.Key] = what
			m.generation++
		}
	}
	return nil
}

// forget drops an object that is gone.
func (m *mirror) forget(key string) {
	delete(m.seen, key)
	delete(m.bound, key)
	delete(m.refused, key)
	m.generation++
	plural, namespace, name, _ := api.SplitKey(key)
	switch plural {
	case api.Namespaces.Plural:
		m.cache.RemoveNamespace(name)
	case api.Services.Plural:
		m.cache.RemoveService(namespace, name)
	case api.ReplicaSets.Plural:
		m.cache.RemoveReplicaSet(namespace, name)
	case api.StatefulSets.Plural:
		m.cache.RemoveStatefulSet(namespace, name)
	case api.Budgets.Plural:
		m.cache.RemovePodDisruptionBudget(namespace, name)
	case api.Nodes.Plural:
		_ = m.cache.RemoveNode(name) // it was refused when it came: then it is not there
	case api.Pods.Plural:
		_ = m.cache.RemovePod(namespace, name)
	}
}
