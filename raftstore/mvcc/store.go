package mvcc

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/google/btree"
)

// Store is the versioned key space. One goroutine at a time may change it
// (Apply, Put, Delete, Compact, Reclaim, LeaseGrant, LeaseRevoke, Restore,
// Close); any number may read and watch meanwhile.
type Store struct {
	mu sync.RWMutex
	// live is the present state; live.root is index.root, live.dir arena.dir.
	live  view
	index tree
	arena arena
	// applied is the end of the history after the last commit: records from
	// there on belong to a transaction that is running.
	applied uint64
	path    []bool // scratch of Apply
	// frozen is the snapshot of the present state, if one has been taken.
	frozen  *Snapshot
	reclaim reclaimer
	watch   watchHub
	// size is SizeBytes, for readers that must not wait.
	size atomic.Int64
}

// New returns an empty store at revision 1.
func New() *Store {
	s := &Store{arena: newArena()}
	s.live = view{
		dir:      s.arena.dir,
		history:  newHistory(),
		revision: 1,
		floor:    -1,
		leases:   btree.NewG(16, leaseLess),
		attached: btree.NewG(32, attachmentLess),
	}
	s.applied = s.live.history.end
	s.watch.init()
	return s
}

// Revision returns the revision of the last write; 1 when there was none.
func (s *Store) Revision() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live.revision
}

// CompactedRevision returns the compaction floor: reads at it and above work.
// It is 0 until the first Compact.
func (s *Store) CompactedRevision() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return max(s.live.floor, 0)
}

// Hash is a digest of every change applied so far, in order: equal on members
// that applied the same, at one step per change. It is part of the image.
func (s *Store) Hash() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live.hash
}

// rangeLockedMax is the number of keys up to which a range is answered under
// the lock. Longer ones read a snapshot, so that they do not hold up writes.
const rangeLockedMax = 1000

// Range reads at the latest or an older revision.
func (s *Store) Range(o *RangeOptions) (RangeResult, error) {
	if err := o.check(); err != nil {
		return RangeResult{}, err
	}
	s.mu.RLock()
	if _, err := s.live.readRevision(o.Revision, s.live.revision); err != nil || s.live.short(o) {
		defer s.mu.RUnlock()
		return s.live.rangeAt(o, s.live.revision)
	}
	s.mu.RUnlock()
	view := &s.Snapshot().view
	return view.rangeAt(o, view.revision)
}

// Lookup returns one key at a revision (0 is the latest), and whether it existed
// then. It is a Range of one key that allocates nothing.
func (s *Store) Lookup(key []byte, revision int64) (KeyValue, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live.lookup(key, revision)
}

// short reports that a range visits few keys.
func (v *view) short(o *RangeOptions) bool {
	if len(o.End) == 0 {
		return true
	}
	if o.Revision > 0 && o.Revision != v.revision {
		return false
	}
	if o.CountOnly || !o.filtered() && o.scanLimit() <= rangeLockedMax {
		return true
	}
	count, _ := v.countAt(o, v.revision, v.revision)
	return count <= rangeLockedMax
}

// write appends one change of the running transaction. The place is that of
// the key's item, if it has one.
func (s *Store) write(key, value []byte, at place, change version) {
	entry := s.arena.append(key, value, &change, change.mod)
	s.live.dir = s.arena.dir
	it, prev := item{key: entry}, uint64(0)
	if old := at.item(); old != nil {
		it, prev = *old, old.newest()
	}
	position := s.live.history.append(record{entry: entry, prev: prev})
	it.head = makeHead(position, headIf(headLive, change.create != 0)|headIf(headBase, it.base())|headIf(headSole, it.key == entry))
	s.index.replace(s.live.dir, key, at, it)
	s.live.root = s.index.root
	s.live.hash = hashChange(s.live.hash, &change, key, value)
}

// tombstone deletes a key of which the version is the latest.
func (s *Store) tombstone(ver version) {
	key := s.live.dir.key(ver.entry)
	at := s.live.root.get(s.live.dir, key)
	s.write(key, nil, at, version{mod: s.live.revision + 1})
	s.moveLease(key, ver.lease, 0)
}

// commit makes the changes of the running transaction, if there are any, the
// next revision.
func (s *Store) commit() {
	if s.applied == s.live.history.end {
		return
	}
	first := s.applied
	s.applied = s.live.history.end
	s.live.revision++
	s.frozen = nil
	s.watch.notify(&s.live, first)
	s.reclaimSome(reclaimPerChange * int(s.applied-first))
	s.measure()
}

// freeze returns the present state as an immutable view.
func (s *Store) freeze() view {
	v := s.live
	v.root = s.index.snapshot()
	v.leases = s.live.leases.Clone()
	v.attached = s.live.attached.Clone()
	return v
}

// thaw goes back to the state before the running transaction.
func (s *Store) thaw(undo undoMark) {
	for p := s.applied; p < s.live.history.end; p++ {
		s.arena.release(s.live.history.at(p).entry)
	}
	s.live = undo.view
	s.live.dir = s.arena.dir
	s.index.root = undo.view.root
	s.index.length = undo.length
}

// Restore replaces the contents by those of from, which must not be used any
// more. Open watchers go on where they were, never back: one whose next
// revision the new contents have compacted ends with ErrCompacted.
func (s *Store) Restore(from *Store) {
	if s == from {
		return
	}
	from.mu.Lock()
	defer from.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.live.revision
	s.live, s.index, s.arena = from.live, from.index, from.arena
	s.applied, s.reclaim = from.applied, from.reclaim
	s.frozen = nil
	s.watch.restored(&s.live, before)
	s.measure()
}

// Close ends all watchers with ErrClosed. Reads go on working.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch.close()
}

// PrefixEnd returns the End that makes [prefix, End) all keys with the prefix.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return []byte{0}
}

// quoteKey prints a key of any length and content for an error.
func quoteKey(key []byte) string {
	const most = 128
	if len(key) > most {
		return fmt.Sprintf("key %q… (%d bytes)", key[:most], len(key))
	}
	return fmt.Sprintf("key %q", key)
}
