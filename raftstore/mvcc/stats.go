package mvcc

import "fmt"

// Stats says what a store holds, for quotas and for people.
type Stats struct {
	Revision          int64
	CompactedRevision int64
	// Keys exist at the latest revision; Records is the length of the history.
	Keys    int
	Records int
	Leases  int
	// LiveBytes is the size of all keys and values that can be read, with a few
	// bytes for their numbers; it depends on what was applied and on how far reclaiming
	// has come. UsedBytes includes what waits to be reclaimed.
	LiveBytes int
	UsedBytes int
	// Snapshots and results that are still held may keep more in memory.
	Watchers int
}

// Stats counts. Its cost grows with the number of watched ranges only.
func (s *Store) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	stats := Stats{
		Revision:          s.live.revision,
		CompactedRevision: max(s.live.floor, 0),
		Records:           int(s.live.history.end - s.live.history.start),
		Leases:            s.live.leases.Len(),
		LiveBytes:         s.arena.liveBytes,
		UsedBytes:         s.arena.usedBytes,
	}
	if s.live.root != nil {
		stats.Keys = s.live.root.live
	}
	for _, g := range s.watch.keys {
		stats.Watchers += len(g.watchers)
	}
	for _, g := range s.watch.spans {
		stats.Watchers += len(g.watchers)
	}
	return stats
}

// What a key takes in the index, a change in the history, a lease, and the attachment
// of a key to one, in bytes.
const (
	itemBytes       = 32
	recordBytes     = 16
	leaseBytes      = 64
	attachmentBytes = 96
)

// SizeBytes is about what the contents take in memory: keys and values that can be
// read, their places in the index, the history, and the leases. It grows with writes and falls
// as compacted history is reclaimed. It costs nothing and waits for nobody.
func (s *Store) SizeBytes() int64 { return s.size.Load() }

func (s *Store) measure() {
	records := int64(s.live.history.end - s.live.history.start)
	leases := leaseBytes*int64(s.live.leases.Len()) + attachmentBytes*int64(s.live.attached.Len())
	s.size.Store(int64(s.arena.liveBytes) + itemBytes*int64(s.index.length) + recordBytes*records + leases)
}

// String is one line for a log.
func (s Stats) String() string {
	return fmt.Sprintf("revision %d (floor %d), %d keys, %d records, %d leases, %d watchers, %d of %d bytes live",
		s.Revision, s.CompactedRevision, s.Keys, s.Records, s.Leases, s.Watchers, s.LiveBytes, s.UsedBytes)
}
