package raftstore

import "time"

// Observer is told what a member does, for metrics. Its methods are called by the
// goroutine that does the work, which waits for them: they must return at once and
// must not call the Store. Embed Unobserved to implement some of them only.
type Observer interface {
	// Synced tells that a batch of the log became durable.
	Synced(sizeBytes int, took time.Duration)
	// Applied tells that entries with so many commands were applied to the state.
	Applied(entries, commands int)
	// LeaderChanged tells who leads in which term as far as is known; 0 is nobody.
	LeaderChanged(term, leader uint64)
	// SnapshotWritten tells that a snapshot of the state was written, or could not be.
	SnapshotWritten(index uint64, took time.Duration, err error)
	// SnapshotInstalled tells that the state was replaced by one from the leader.
	SnapshotInstalled(index uint64)
}

// Unobserved is an Observer that does nothing.
type Unobserved struct{}

var _ Observer = Unobserved{}

// Synced implements Observer.
func (Unobserved) Synced(int, time.Duration) {}

// Applied implements Observer.
func (Unobserved) Applied(int, int) {}

// LeaderChanged implements Observer.
func (Unobserved) LeaderChanged(uint64, uint64) {}

// SnapshotWritten implements Observer.
func (Unobserved) SnapshotWritten(uint64, time.Duration, error) {}

// SnapshotInstalled implements Observer.
func (Unobserved) SnapshotInstalled(uint64) {}

// syncTimesKept is the number of syncs that Status tells the times of.
const syncTimesKept = 16

// syncTimes are the times that the last syncs took: a ring, by number.
type syncTimes struct {
	took  [syncTimesKept]time.Duration
	count uint64
}

func (s *syncTimes) add(took time.Duration) {
	s.took[s.count%syncTimesKept] = took
	s.count++
}

// list returns the times, the last one first.
func (s *syncTimes) list() []time.Duration {
	n := min(s.count, syncTimesKept)
	times := make([]time.Duration, 0, n)
	for i := range n {
		times = append(times, s.took[(s.count-1-i)%syncTimesKept])
	}
	return times
}
