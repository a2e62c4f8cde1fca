package wal

import (
	"fmt"
	"path/filepath"
	"sort"
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"
)

// The entries of a log stay readable: whoever holds the newest ones in memory can read
// the older ones back. A span is where to look, one for each batch that brought
// entries:
//
//	spans  │ 1 … 40 │ 41 … 52 │ 53 │ …      consecutive, none overlaps
//	          │         │
//	          ▼         ▼
//	file   ┌───────┬─ ─ ─┬───────┬─ ─
//	       │ batch │     │ batch │
//	       └───────┴─ ─ ─┴───────┴─ ─
type span struct {
	first, last uint64 // indexes of entries
	segment     string
	sequence    uint64
	salt        uint32
	off, size   int64
}

// reach is what a batch does to the log: which entries it leaves there.
type reach struct {
	first, last uint64 // first is 0 when there are none
	reset       bool   // what earlier batches have brought is gone
}

func (r *reach) entry(index uint64) {
	if r.first == 0 || index < r.first {
		r.first = index
	}
	r.last = index
}

func (r *reach) restart() { *r = reach{reset: true} }

// spanList is the index of what can be read. It has its own lock, since a reader does
// not wait for a Flush.
type spanList struct {
	mu   sync.Mutex
	list []span
}

// add takes note of a batch that is durable.
func (l *spanList) add(r reach, s span) {
	if r.first == 0 && !r.reset {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.reset {
		l.list = nil
	}
	if r.first == 0 {
		return
	}
	// What it replaces is not there any more.
	for n := len(l.list); n > 0 && l.list[n-1].last >= r.first; n-- {
		if l.list[n-1].first < r.first {
			l.list[n-1].last = r.first - 1
			break
		}
		l.list = l.list[:n-1]
	}
	s.first, s.last = r.first, r.last
	l.list = append(l.list, s)
}

// dropBefore forgets the batches of segments before a sequence.
func (l *spanList) dropBefore(sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := sort.Search(len(l.list), func(i int) bool { return l.list[i].sequence >= sequence })
	l.list = append([]span(nil), l.list[n:]...)
}

// from returns the batch that holds an entry and those that follow it in the same file,
// as long as they are no larger than sizeMax together.
func (l *spanList) from(index uint64, sizeMax int64) []span {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.list), func(i int) bool { return l.list[i].last >= index })
	if i == len(l.list) || l.list[i].first > index {
		return nil
	}
	end, start := i+1, l.list[i].off
	for end < len(l.list) && l.list[end].sequence == l.list[i].sequence && l.list[end].off+l.list[end].size-start <= sizeMax {
		end++
	}
	return append([]span(nil), l.list[i:end]...)
}

// Entries reads durable entries of the log back: from index lo, below hi, and not many
// more bytes than sizeMax, but at least one. It may be called beside anything but
// Release, from one goroutine at a time, and verifies what it reads like Open.
func (w *WAL) Entries(lo, hi, sizeMax uint64) ([]*pb.Entry, error) {
	spans := w.spans.from(lo, int64(min(sizeMax, BatchSizeMax)))
	if len(spans) == 0 || lo >= hi {
		return nil, fmt.Errorf("wal: %s: entries %d to %d are not in the log", w.dir, lo, hi)
	}
	first, last := &spans[0], &spans[len(spans)-1]
	file, err := w.opts.FS.Open(filepath.Join(w.dir, first.segment))
	if err != nil {
		return nil, err
	}
	b := make([]byte, last.off+last.size-first.off)
	_, err = file.ReadAt(b, first.off)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	var entries []*pb.Entry
	for i := range spans {
		s := &spans[i]
		found, err := s.entries(b[s.off-first.off:][:s.size])
		if err != nil {
			return nil, &CorruptError{s.segment, s.off, err.Error()}
		}
		entries = append(entries, found...)
	}
	entries = entries[lo-first.first:]
	return entries[:min(uint64(len(entries)), hi-lo)], nil
}

// entries decodes the batch that a span stands for.
func (s *span) entries(b []byte) ([]*pb.Entry, error) {
	h := decodeBatchHeader(b)
	if !h.plausible(s.salt, s.size) || h.size() != s.size || !h.valid(b) {
		return nil, fmt.Errorf("batch with entries %d to %d does not verify any more", s.first, s.last)
	}
	var rec Recovered
	var slab entrySlab
	for b = b[batchHeaderSize : batchHeaderSize+h.length]; len(b) > 0; {
		r, rest, err := decodeRecord(b)
		switch {
		case err != nil:
		case r.kind == kindEntry:
			err = rec.addEntry(slab.entry(&r))
		case r.kind == kindMark && r.mark.Reset:
			rec.Entries, rec.Heads = nil, nil
		}
		if err != nil {
			return nil, err
		}
		b = rest
	}
	if n := len(rec.Entries); n == 0 || rec.Entries[0].GetIndex() != s.first || rec.Entries[n-1].GetIndex() < s.last {
		return nil, fmt.Errorf("batch does not hold entries %d to %d", s.first, s.last)
	}
	return rec.Entries[:s.last+1-s.first], nil // the others have been replaced since
}
