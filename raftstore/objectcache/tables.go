package objectcache

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/google/btree"
)

// tables hold the objects and their indexes.
type tables[T any] struct {
	objects *btree.BTreeG[Object[T]]
	entries *btree.BTreeG[indexEntry]
	names   []string
	indexes map[string]func(Object[T]) []string
}

type indexEntry struct{ index, value, key string }

func indexEntryLess(a, b indexEntry) bool {
	return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.value, b.value), cmp.Compare(a.key, b.key)) < 0
}

const treeDegree = 32

func newTables[T any](indexes map[string]func(Object[T]) []string) tables[T] {
	return tables[T]{
		objects: btree.NewG(treeDegree, func(a, b Object[T]) bool { return a.Key < b.Key }),
		entries: btree.NewG(treeDegree, indexEntryLess),
		names:   slices.Sorted(maps.Keys(indexes)),
		indexes: indexes,
	}
}

// put adds or replaces an object and returns the one before.
func (t *tables[T]) put(o Object[T]) (before Object[T], replaced bool) {
	before, replaced = t.objects.ReplaceOrInsert(o)
	if replaced {
		t.each(before, func(e indexEntry) { t.entries.Delete(e) })
	}
	t.each(o, func(e indexEntry) { t.entries.ReplaceOrInsert(e) })
	return before, replaced
}

// remove takes an object out.
func (t *tables[T]) remove(key string) (last Object[T], found bool) {
	last, found = t.objects.Delete(Object[T]{Key: key})
	if found {
		t.each(last, func(e indexEntry) { t.entries.Delete(e) })
	}
	return last, found
}

// each calls visit for the index entries of an object.
func (t *tables[T]) each(o Object[T], visit func(indexEntry)) {
	for _, name := range t.names {
		for _, value := range t.indexes[name](o) {
			visit(indexEntry{name, value, o.Key})
		}
	}
}

// list returns the objects with a prefix as they are now.
func (t *tables[T]) list(prefix string) iter.Seq[Object[T]] {
	frozen := t.objects.Clone()
	return func(yield func(Object[T]) bool) {
		frozen.AscendGreaterOrEqual(Object[T]{Key: prefix}, func(o Object[T]) bool {
			return strings.HasPrefix(o.Key, prefix) && yield(o)
		})
	}
}

// indexed returns the objects under a value of an index.
func (t *tables[T]) indexed(index, value string) (found []Object[T]) {
	t.entries.AscendGreaterOrEqual(indexEntry{index: index, value: value}, func(e indexEntry) bool {
		if e.index != index || e.value != value {
			return false
		}
		if o, ok := t.objects.Get(Object[T]{Key: e.key}); ok {
			found = append(found, o)
		}
		return true
	})
	return found
}
