package raftstore

import (
	"time"

	"go.etcd.io/raft/v3"
)

// compactor decides when history is old enough to be compacted: etcd's two modes, in
// ticks, without a clock. Every member follows the revisions, and the leader alone
// proposes, so that a new leader knows what the old one knew.
//
//   - By time: the revision is noted ten times in a period (the retention, or an hour
//     if that is more). Once a retention has passed, and then once a period, the oldest
//     note within the retention is compacted.
//   - By count: every five minutes the present revision less the count is compacted.
type compactor struct {
	every uint64 // ticks between two looks; 0: off
	keep  int64  // revisions, in the mode by count

	notes    []int64
	notesMax int
	wait     uint64 // ticks from the last compaction to the next
	period   uint64
	last     int64  // compacted
	lastAt   uint64 // tick
	begun    bool
}

const (
	compactPeriodMax    = time.Hour
	compactLooks        = 10
	compactCountedEvery = 5 * time.Minute
)

func newCompactor(cfg *Config) compactor {
	ticks := func(d time.Duration) uint64 { return max(1, uint64(d/cfg.TickInterval)) }
	switch {
	case cfg.AutoCompactRevisions > 0:
		return compactor{every: ticks(compactCountedEvery), keep: cfg.AutoCompactRevisions}
	case cfg.AutoCompactRetention > 0:
		period := min(cfg.AutoCompactRetention, compactPeriodMax)
		look := period / compactLooks
		return compactor{
			every: ticks(look), notesMax: int(cfg.AutoCompactRetention/max(look, 1)) + 1,
			wait: ticks(cfg.AutoCompactRetention), period: ticks(period),
		}
	}
	return compactor{}
}

// tick returns the revision to compact now, 0 for none. What is returned to a leader
// counts as done: if it is lost with the leader, its successor has its own count.
func (c *compactor) tick(now uint64, revision int64, leading bool) int64 {
	if c.every == 0 || now%c.every != 0 {
		return 0
	}
	if !c.begun {
		c.begun, c.lastAt = true, now
		c.note(revision)
		return 0
	}
	due := int64(0)
	if c.keep > 0 {
		due = revision - c.keep
	} else {
		if now-c.lastAt >= c.wait {
			due = c.notes[0]
		}
		c.note(revision)
	}
	if !leading || due <= 0 || due == c.last {
		return 0
	}
	c.last, c.lastAt, c.wait = due, now, c.period
	return due
}

func (c *compactor) note(revision int64) {
	if len(c.notes) == c.notesMax && len(c.notes) > 0 {
		c.notes = c.notes[:copy(c.notes, c.notes[1:])]
	}
	if c.notesMax > 0 {
		c.notes = append(c.notes, revision)
	}
}

// autoCompact proposes what the compactor has decided.
func (r *replica) autoCompact() {
	store := r.core.state.store
	due := r.compactor.tick(r.core.ticks, store.Revision(), r.core.role == raft.StateLeader)
	if due <= store.CompactedRevision() {
		return
	}
	r.core.write(&request{kind: commandCompact, body: appendVarint(nil, due), internal: true, done: make(chan struct{}, 1)})
}
