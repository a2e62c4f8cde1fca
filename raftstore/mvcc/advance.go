package mvcc

import "fmt"

// Advance moves the present revision up without a change and compacts everything
// before it: for a store that begins a life of its own, after a restore from a
// backup, with revisions that the store it was copied from cannot have reached.
// Whoever has seen those finds its place compacted instead of other contents.
func (s *Store) Advance(revision int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision <= s.live.revision || revision > imageNumberMax {
		return fmt.Errorf("%w: revision %d, expected %d to %d", ErrFutureRevision, revision, s.live.revision+1, int64(imageNumberMax))
	}
	s.live.revision, s.live.floor = revision, revision
	s.live.hash = hashNumbers(s.live.hash, hashAdvance, uint64(revision), 0)
	s.frozen = nil
	s.reclaim = reclaimer{}
	s.reclaimSome(reclaimPerCompact)
	return nil
}
