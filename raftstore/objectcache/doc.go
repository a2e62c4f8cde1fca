// Package objectcache keeps decoded objects of a key range in memory, as they are in a
// store, and tells handlers of every change: what controllers call an informer.
//
// # Problem
//
// A controller wants to look at all objects of a kind at any time, without asking the
// store, and to be told what has changed. Both must agree: whoever is told of a change
// must find it in the cache. And the cache must survive what happens to watches: lost
// connections, compaction, a member that is behind.
//
// # Terms
//
//   - list: a read of the whole range at one revision, in pages.
//   - relist: a list that replaces a watch which the compaction floor has overtaken.
//   - synced: the cache has been as the store was, at some moment since it was opened.
//   - resync: to call handlers for objects that have not changed, from time to time, so
//     that they can repair what they have done before.
//
// # Algorithm
//
// One goroutine lists the range, then watches it from the next revision on:
//
//	list at r ──► watch from r+1 ──► apply each batch ──► handlers, in order
//	  ▲                 │ error: watch again from where it was
//	  └─────────────────┘ compacted: list again, and tell handlers the difference
//
// With n objects and i index values: a change costs O(i log n), a Get O(log n), a List
// O(1) before its first object, a relist O(n).
//
// # Data layout
//
//	objects  B-tree by key              copied on write, so that lists are whole
//	indexes  B-tree by (index, value, key)
//
// # Guarantees
//
//   - Handlers are called by one goroutine, with one change at a time, in the order of
//     revisions; an object's OnAdd comes first, then its updates, then its OnDelete.
//     When a handler runs, the cache holds the change, and possibly later ones of the
//     same batch. A handler that is slow delays the others, and costs no memory: what
//     is not read yet stays in the store.
//   - After a relist handlers hear of the difference. An object that was deleted and
//     created anew in between is deleted and added.
//   - Everything that is returned is a view that later changes do not touch. All methods
//     may be called from any goroutine, also from handlers, Close excepted.
//   - A value that cannot be decoded is reported and changes nothing: the object stays
//     as it was when it could be read last.
//   - Close waits for the goroutines to end; no handler is called after it.
//
// # Differences from upstream
//
//   - Differs: client-go's informers queue changes for each handler without a bound.
//   - Differs: client-go delivers one update for an object that was deleted and created
//     anew while it was not watching.
//   - Differs: client-go's listers return in no order; here it is that of the keys.
//
// # Sources
//
// k8s.io/client-go 1.36 tools/cache: Reflector, SharedInformer, Indexer.
//
// # Reading order
//
// cache.go, feed.go, tables.go.
package objectcache
