package mvcc

import "iter"

// Snapshot is the store at one moment: immutable, and safe for concurrent
// use. While it is held, memory that it shares with the store is not freed.
type Snapshot struct{ view view }

// Snapshot returns the present state as an immutable value, in constant time.
// Writes after it copy the parts of the index that they change.
func (s *Store) Snapshot() *Snapshot {
	s.mu.RLock()
	frozen := s.frozen
	s.mu.RUnlock()
	if frozen != nil {
		return frozen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen == nil {
		s.frozen = &Snapshot{view: s.freeze()}
	}
	return s.frozen
}

// Revision returns the store's revision at the moment of the snapshot.
func (sn *Snapshot) Revision() int64 { return sn.view.revision }

// CompactedRevision returns the compaction floor of the snapshot.
func (sn *Snapshot) CompactedRevision() int64 { return max(sn.view.floor, 0) }

// Hash returns Store.Hash at the moment of the snapshot.
func (sn *Snapshot) Hash() uint64 { return sn.view.hash }

// Leases returns the lease table in the order of the identifiers.
func (sn *Snapshot) Leases() []Lease { return sn.view.leaseTable() }

// Range reads from the snapshot.
func (sn *Snapshot) Range(o *RangeOptions) (RangeResult, error) {
	if err := o.check(); err != nil {
		return RangeResult{}, err
	}
	return sn.view.rangeAt(o, sn.view.revision)
}

// Lookup returns one key at a revision; see Store.Lookup.
func (sn *Snapshot) Lookup(key []byte, revision int64) (KeyValue, bool, error) {
	return sn.view.lookup(key, revision)
}

// Scan streams the keys of [key, end) at a revision in key order, without
// building a list; 0 is the snapshot's revision.
func (sn *Snapshot) Scan(key, end []byte, revision int64) (iter.Seq[KeyValue], error) {
	if len(key) == 0 {
		return nil, &RequestError{Field: "scan.key", Err: ErrEmptyKey}
	}
	at, err := sn.view.readRevision(revision, sn.view.revision)
	if err != nil {
		return nil, err
	}
	return func(yield func(KeyValue) bool) {
		sn.view.scan(key, end, at, func(ver version) bool { return yield(sn.view.keyValue(&ver)) })
	}, nil
}

// HashKV is a digest of what can be read between the floor and revision (0 is
// the latest): equal on members with the same floor, however they got there.
func (sn *Snapshot) HashKV(revision int64) (uint64, error) {
	v := &sn.view
	at, err := v.readRevision(revision, v.revision)
	if err != nil {
		return 0, err
	}
	h := hashNumbers(0, hashKeyState, uint64(v.floor), uint64(at))
	v.scan([]byte{0}, []byte{0}, max(v.floor, 0), func(ver version) bool {
		key, value := v.dir.key(ver.entry), v.dir.value(&ver)
		h = hashNumbers(h, uint64(ver.create), uint64(ver.mod), uint64(ver.version))
		h = hashNumbers(h, uint64(ver.lease), 0, 0)
		h = hashBytes(hashBytes(h, key), value)
		return true
	})
	for p := v.search(v.floor); p < v.history.end; p++ {
		change := v.change(p)
		if change.mod > at {
			break
		}
		h = hashChange(h, &change, v.dir.key(change.entry), v.dir.value(&change))
	}
	return h, nil
}
