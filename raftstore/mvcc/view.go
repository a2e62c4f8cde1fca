package mvcc

import "github.com/google/btree"

// view is all that can be read: the present state of a store, or a snapshot of
// it. Copying the struct after tree.snapshot and the clones of the lease tables
// gives an immutable view in constant time.
type view struct {
	root    *node
	dir     directory
	history history
	// revision is that of the last write, floor the compaction floor (-1 until
	// the first compaction, as in etcd, where a first Compact(0) succeeds).
	revision int64
	floor    int64
	hash     uint64
	grants   uint64 // of leases, so far

	leases   *btree.BTreeG[Lease]
	attached *btree.BTreeG[attachment]
}

// latest returns the newest version of a key, if it exists.
func (v *view) latest(it *item) (version, bool) {
	if it.live() == 0 {
		return version{}, false
	}
	return v.dir.version(v.latestEntry(it)), true
}

// latestEntry returns the entry of the newest version of a key.
func (v *view) latestEntry(it *item) ref {
	if p := it.newest(); p >= v.history.start && !it.sole() {
		return v.history.at(p).entry
	}
	return it.key
}

// at returns the version of a key at a revision, if it existed. The revision
// must not be below the floor.
func (v *view) at(it *item, revision int64) (version, bool) {
	for p := it.newest(); p >= v.history.start; {
		r := v.history.at(p)
		if v.dir.mod(r.entry) <= revision {
			ver := v.dir.version(r.entry)
			return ver, ver.create != 0
		}
		p = r.prev
	}
	return v.baseOf(it)
}

// baseOf returns the base of a key, if there is one.
func (v *view) baseOf(it *item) (version, bool) {
	if !it.base() {
		return version{}, false
	}
	return v.dir.version(it.key), true
}

// keyValue returns the pair of a version.
func (v *view) keyValue(ver *version) KeyValue {
	return KeyValue{
		Key:            v.dir.key(ver.entry),
		Value:          v.dir.value(ver),
		CreateRevision: ver.create,
		ModRevision:    ver.mod,
		Version:        ver.version,
		Lease:          ver.lease,
	}
}

// get returns the version of key at a revision, if it existed.
func (v *view) get(key []byte, revision int64) (version, bool) {
	it := v.root.get(v.dir, key).item()
	if it == nil {
		return version{}, false
	}
	return v.at(it, revision)
}

func (v *view) lookup(key []byte, revision int64) (KeyValue, bool, error) {
	if len(key) == 0 {
		return KeyValue{}, false, &RequestError{Field: "lookup.key", Err: ErrEmptyKey}
	}
	at, err := v.readRevision(revision, v.revision)
	if err != nil {
		return KeyValue{}, false, err
	}
	ver, ok := v.get(key, at)
	if !ok {
		return KeyValue{}, false, nil
	}
	return v.keyValue(&ver), true, nil
}

// previous returns the pair that the key of a record had before the record's revision,
// or nil when it did not exist or that is below the floor. It follows the record's own
// chain: to come down from the newest version would make a watch that catches up on one
// busy key quadratic.
func (v *view) previous(position uint64) *KeyValue {
	r := v.history.at(position)
	mod := v.dir.mod(r.entry)
	if mod-1 < v.floor {
		return nil
	}
	ver, ok := version{}, false
	p := r.prev
	for p >= v.history.start && v.mod(p) == mod {
		p = v.history.at(p).prev
	}
	if p >= v.history.start {
		ver = v.change(p)
		ok = ver.create != 0
	} else {
		ver, ok = v.baseOf(v.root.get(v.dir, v.dir.key(r.entry)).item())
	}
	if !ok {
		return nil
	}
	kv := v.keyValue(&ver)
	return &kv
}

// scan calls visit for the keys of a range that exist at a revision, in key
// order, until it returns false.
func (v *view) scan(key, end []byte, revision int64, visit func(version) bool) {
	if len(end) == 0 {
		if ver, ok := v.get(key, revision); ok {
			visit(ver)
		}
		return
	}
	if v.newest() <= revision {
		v.root.ascend(v.dir, key, rangeEnd(end), true, func(it *item) bool {
			ver, ok := v.latest(it)
			return !ok || visit(ver)
		})
		return
	}
	v.root.ascend(v.dir, key, rangeEnd(end), false, func(it *item) bool {
		ver, ok := v.at(it, revision)
		return !ok || visit(ver)
	})
}

// newest returns the revision of the last record: above the view's own inside a
// transaction that has written.
func (v *view) newest() int64 {
	if h := &v.history; h.start < h.end {
		return v.mod(h.end - 1)
	}
	return v.revision
}

// rangeEnd turns the end of a request, which is not empty, into a bound.
func rangeEnd(end []byte) bound {
	return bound{key: end, open: len(end) == 1 && end[0] == 0}
}

// latestOf is latest for an item that may be nil.
func (v *view) latestOf(it *item) (version, bool) {
	if it == nil {
		return version{}, false
	}
	return v.latest(it)
}
