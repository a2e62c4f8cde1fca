package mvcc

import "fmt"

// Compaction moves the floor at once and frees memory behind it step by step,
// so that no write waits for it:
//
//  1. Records below the floor leave the history, oldest first. Each becomes
//     the base of its key, in place of the base before it; a tombstone clears
//     the base, and the last one takes the key out of the index. The cost is
//     that of the records, not of all keys.
//  2. A base that a record of the floor's own revision has replaced cannot be read any
//     more: its bytes go, its numbers stay for the image.
//  3. A chunk of the arena in which every record has left the history, and
//     less than half of the bytes are live, is emptied: its live entries, which
//     are bases, are appended anew.
//
// Records at the floor itself stay, with their tombstones: a watch may start
// there. Readers never see any of this: they ask for revisions at the floor or
// above, and what those are does not depend on how far the work has come.
type reclaimer struct {
	// shaded is the position behind the last record of the floor whose key's base
	// was let go.
	shaded uint64
	// chunks are those still to be emptied; offset is how far the last of them
	// has been read.
	chunks []int
	offset int
	// scanned says that chunks has been made for the present floor.
	scanned bool
}

const (
	// reclaimPerChange is the work that each change of a write does by the way. A record
	// costs a step to leave the history and, where values are of like size, about one
	// more to leave the arena. Whoever has many small values that live among large ones
	// that do not needs Reclaim, too.
	reclaimPerChange  = 3
	reclaimPerCompact = 1024
)

// Compact makes every revision below revision unreadable. It refuses, as etcd
// does, a revision at or below the floor (ErrCompacted) or above the present
// one (ErrFutureRevision).
func (s *Store) Compact(revision int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision <= s.live.floor {
		return &CompactedError{Revision: revision, Floor: s.live.floor}
	}
	if revision > s.live.revision {
		return fmt.Errorf("%w: %d is above %d", ErrFutureRevision, revision, s.live.revision)
	}
	s.live.floor = revision
	s.live.hash = hashNumbers(s.live.hash, hashCompact, uint64(revision), 0)
	s.frozen = nil
	s.reclaim = reclaimer{}
	s.reclaimSome(reclaimPerCompact)
	s.measure()
	return nil
}

// Reclaim does up to steps steps of the work that compaction left and reports
// whether there is more. Writes do some of it by the way; calling Reclaim when
// there is nothing else to do frees memory sooner.
func (s *Store) Reclaim(steps int) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	more = s.reclaimSome(steps)
	s.measure()
	return more
}

func (s *Store) reclaimSome(steps int) (more bool) {
	if s.reclaim.scanned && len(s.reclaim.chunks) == 0 {
		return false
	}
	steps = s.retireRecords(steps)
	if steps == 0 {
		return true
	}
	if !s.reclaim.scanned {
		s.reclaim.scanned = true
		s.reclaim.chunks = s.sparseChunks()
	}
	for steps > 0 && len(s.reclaim.chunks) > 0 {
		steps = s.emptyChunk(steps)
	}
	return len(s.reclaim.chunks) > 0
}

// retireRecords takes records below the floor out of the history and returns
// the steps that are left: 0 when there may be more of them.
func (s *Store) retireRecords(steps int) int {
	h := &s.live.history
	p := h.start
	for ; steps > 0 && p < s.applied && s.live.mod(p) < s.live.floor; p++ {
		s.retire(p)
		h.start = p + 1
		steps--
	}
	h.dropBefore(p)
	for p = max(p, s.reclaim.shaded); steps > 0 && p < s.applied && s.live.mod(p) == s.live.floor; p++ {
		s.shade(h.at(p))
		s.reclaim.shaded = p + 1
		steps--
	}
	s.live.root = s.index.root
	return steps
}

// shade lets go of the value of a base that a record of the floor has replaced.
func (s *Store) shade(r *record) {
	if r.prev >= s.live.history.start {
		return
	}
	key := s.live.dir.key(r.entry)
	at := s.index.root.get(s.live.dir, key)
	it := *at.item()
	base, ok := s.live.baseOf(&it)
	if !ok || len(s.live.dir.value(&base)) == 0 {
		return
	}
	s.arena.release(it.key)
	it.key = s.arena.append(key, nil, &base, 0)
	s.live.dir = s.arena.dir
	s.index.replace(s.live.dir, key, at, it)
}

// retire makes one record the base of its key. The entry that held the key's
// name so far, if another, is needed no more.
func (s *Store) retire(position uint64) {
	entry := s.live.history.at(position).entry
	put := s.live.dir.version(entry).create != 0
	key := s.live.dir.key(entry)
	at := s.index.root.get(s.live.dir, key)
	it := *at.item()
	held := it.key
	it.key = entry
	newest := it.newest() == position
	if newest {
		it.head = makeHead(0, headIf(headLive|headBase, put))
	} else {
		it.head = makeHead(it.newest(), headIf(headLive, it.live() != 0)|headIf(headBase, put))
	}
	if newest && !put {
		s.index.remove(s.live.dir, key)
		s.arena.release(entry)
	} else {
		// A tombstone that a later put follows keeps its entry until that
		// put is retired: the index needs the name.
		s.index.replace(s.live.dir, key, at, it)
	}
	if held != entry {
		s.arena.release(held)
	}
}

// sparseChunks returns the chunks worth emptying.
func (s *Store) sparseChunks() []int {
	oldest := s.live.revision + 1 // of the records in the history
	if h := &s.live.history; h.start < h.end {
		oldest = s.live.mod(h.start)
	}
	var sparse []int
	for c := range s.arena.use {
		use := &s.arena.use[c]
		if c != s.arena.tail && s.arena.dir[c] != nil && use.newest < oldest && 2*use.live < use.used {
			sparse = append(sparse, c)
		}
	}
	return sparse
}

// emptyChunk moves live entries out of the last listed chunk, and drops it when
// nothing in it lives. It returns the steps that are left.
func (s *Store) emptyChunk(steps int) int {
	last := len(s.reclaim.chunks) - 1
	chunk := s.reclaim.chunks[last]
	used := s.arena.use[chunk].used
	for steps > 0 && s.arena.use[chunk].live > 0 && s.reclaim.offset < used {
		r := makeRef(chunk, s.reclaim.offset)
		s.reclaim.offset += s.arena.dir.entryBytes(r)
		steps--
		s.moveEntry(r)
	}
	if s.arena.use[chunk].live == 0 || s.reclaim.offset >= used {
		s.arena.drop(chunk)
		s.live.dir = s.arena.dir
		s.reclaim.chunks = s.reclaim.chunks[:last]
		s.reclaim.offset = 0
	}
	return steps
}

// moveEntry appends an entry anew if an item still needs it. No record does:
// see sparseChunks.
func (s *Store) moveEntry(r ref) {
	key, value := s.live.dir.entry(r)
	ver := s.live.dir.version(r)
	at := s.index.root.get(s.live.dir, key)
	if at.item() == nil || at.item().key != r {
		return
	}
	moved := *at.item()
	moved.key = s.arena.append(key, value, &ver, 0)
	s.live.dir = s.arena.dir
	s.index.replace(s.live.dir, key, at, moved)
	s.live.root = s.index.root
	s.arena.release(r)
}
