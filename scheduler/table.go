package scheduler

import (
	"maps"

	"github.com/orchcore/orchcore/selector"
)

// table is a map that views of the Cache may hold too. Whoever writes first
// makes a copy for itself: sharing costs nothing, and a table that never
// changes is never copied. The zero value is empty.
//
// Invariant: a map that is shared is not written to, by anybody.
type table[K comparable, V any] struct {
	m      map[K]V
	shared bool
}

// get returns the value, or the zero value.
func (t *table[K, V]) get(key K) V { return t.m[key] }

func (t *table[K, V]) put(key K, v V) {
	t.own()
	t.m[key] = v
}

// drop says whether there was something to drop.
func (t *table[K, V]) drop(key K) bool {
	if _, ok := t.m[key]; !ok {
		return false
	}
	t.own()
	delete(t.m, key)
	return true
}

func (t *table[K, V]) own() {
	switch {
	case t.m == nil:
		t.m = make(map[K]V)
	case t.shared:
		t.m = maps.Clone(t.m)
	}
	t.shared = false
}

// objects is everything in a Cache but nodes and the pods on them.
type objects struct {
	images     table[string, clusterImage]
	namespaces table[string, selector.Labels]
	owners     ownerIndex
	storage    storageIndex
	budgets    table[podKey, *disruptionBudget]
	nominated  nominations
}

// share returns a copy that will not see later changes, and that may be changed
// without o seeing it.
func (o *objects) share() objects {
	for _, shared := range []*bool{
		&o.images.shared, &o.namespaces.shared, &o.budgets.shared,
		&o.owners.services.shared, &o.owners.controllers.shared, &o.owners.replicaSets.shared, &o.owners.statefulSets.shared,
		&o.storage.claims.shared, &o.storage.volumes.shared, &o.storage.classes.shared, &o.storage.csiNodes.shared,
		&o.storage.drivers.shared, &o.storage.capacities.shared, &o.storage.attachments.shared,
		&o.storage.reserved.shared, &o.storage.chosen.shared,
		&o.nominated.node.shared, &o.nominated.pods.shared,
	} {
		*shared = true
	}
	return *o
}
