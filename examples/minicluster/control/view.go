package control

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// Stored is one object as the store has it: the JSON, the view of it, and the
// revision of its last change, on which a write of it must be conditional.
// Stored objects are shared between controllers and never modified.
type Stored[T any] struct {
	Key      string
	Revision int64
	Raw      []byte
	Object   T
}

// Table holds the objects of one kind by key.
type Table[T any] map[string]*Stored[T]

// All visits the objects in the order of their keys, so that what is decided
// does not depend on map order.
func (t Table[T]) All() iter.Seq[*Stored[T]] {
	return func(yield func(*Stored[T]) bool) {
		for _, key := range slices.Sorted(maps.Keys(t)) {
			if !yield(t[key]) {
				return
			}
		}
	}
}

// View is the state of the cluster at one revision: all of it, nothing newer.
type View struct {
	Revision        int64
	Namespaces      Table[api.Namespace]
	PriorityClasses Table[api.PriorityClass]
	Nodes           Table[api.Node]
	Leases          Table[api.Lease]
	Services        Table[api.Service]
	Slices          Table[api.EndpointSlice]
	Budgets         Table[api.PodDisruptionBudget]
	Deployments     Table[api.Deployment]
	ReplicaSets     Table[api.ReplicaSet]
	DaemonSets      Table[api.DaemonSet]
	StatefulSets    Table[api.StatefulSet]
	Pods            Table[api.Pod]
}

// NewView returns the view of an empty store.
func NewView() *View {
	return &View{
		Namespaces:      Table[api.Namespace]{},
		PriorityClasses: Table[api.PriorityClass]{},
		Nodes:           Table[api.Node]{},
		Leases:          Table[api.Lease]{},
		Services:        Table[api.Service]{},
		Slices:          Table[api.EndpointSlice]{},
		Budgets:         Table[api.PodDisruptionBudget]{},
		Deployments:     Table[api.Deployment]{},
		ReplicaSets:     Table[api.ReplicaSet]{},
		DaemonSets:      Table[api.DaemonSet]{},
		StatefulSets:    Table[api.StatefulSet]{},
		Pods:            Table[api.Pod]{},
	}
}

// Change is what happened to one key; Entry is the *Stored of its kind, nil when
// the object is gone.
type Change struct {
	Key      string
	Plural   string
	Revision int64
	Entry    any
}

// Apply brings the view forward by one change.
func (v *View) Apply(c Change) {
	if t := v.table(c.Plural); t != nil {
		t.set(c.Key, c.Entry)
	}
}

// table is what Apply and decode need of a Table, whatever it holds.
type table interface {
	set(key string, entry any)
	decode(key string, revision int64, raw []byte) (any, error)
}

func (t Table[T]) set(key string, entry any) {
	if entry == nil {
		delete(t, key)
		return
	}
	t[key] = entry.(*Stored[T])
}

func (t Table[T]) decode(key string, revision int64, raw []byte) (any, error) {
	s := &Stored[T]{Key: key, Revision: revision, Raw: raw}
	if err := json.Unmarshal(raw, &s.Object); err != nil {
		return nil, fmt.Errorf("object %s at revision %d: %w", key, revision, err)
	}
	return s, nil
}

// table finds the table of a kind; nil for kinds that no controller reads.
func (v *View) table(plural string) table {
	switch plural {
	case api.Namespaces.Plural:
		return v.Namespaces
	case api.PriorityClasses.Plural:
		return v.PriorityClasses
	case api.Nodes.Plural:
		return v.Nodes
	case api.Leases.Plural:
		return v.Leases
	case api.Services.Plural:
		return v.Services
	case api.EndpointSlices.Plural:
		return v.Slices
	case api.Budgets.Plural:
		return v.Budgets
	case api.Deployments.Plural:
		return v.Deployments
	case api.ReplicaSets.Plural:
		return v.ReplicaSets
	case api.DaemonSets.Plural:
		return v.DaemonSets
	case api.StatefulSets.Plural:
		return v.StatefulSets
	case api.Pods.Plural:
		return v.Pods
	}
	return nil
}

// Decode reads one pair of the store. ok is false for keys that belong to no
// kind of the view.
func (v *View) Decode(key string, revision int64, raw []byte) (c Change, ok bool, err error) {
	plural, _, _, ok := api.SplitKey(key)
	if !ok {
		return Change{}, false, nil
	}
	t := v.table(plural)
	if t == nil {
		return Change{}, false, nil
	}
	entry, err := t.decode(key, revision, raw)
	if err != nil {
		return Change{}, false, err
	}
	return Change{Key: key, Plural: plural, Revision: revision, Entry: entry}, true, nil
}
