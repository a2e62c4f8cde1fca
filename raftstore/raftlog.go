package raftstore

import (
	"fmt"

	"github.com/orchcore/orchcore/raftstore/wal"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// raftLog is the log as Raft sees it: raft.Storage. In memory are the entries that were
// appended since the start and are not applied yet, which Raft asks for while they are
// on their way to the disk (it acts on durability by the responses alone), and some
// behind them, for followers that keep up. Older ones are read from the disk when a
// follower needs them. It belongs to the owner.
//
//	offset                      held                          last
//	  │ on disk, marks in memory  │ marks and entries in memory  │
type raftLog struct {
	hard *pb.HardState
	conf *pb.ConfState

	// marks[i] is of the entry with index offset+1+i. offset and offsetTerm belong to
	// the entry before the first one.
	offset, offsetTerm uint64
	marks              []entryMark
	// entries[i] has index held+1+i.
	held    uint64
	entries []*pb.Entry
	// sizeBytes is the size of all entries, heldBytes of those in memory.
	sizeBytes, heldBytes int64
	// followedBytes is how much of it the last snapshot has left for members that are on
	// their way through the log.
	followedBytes int64
	// heldMax bounds heldBytes as far as entries are applied: at twice that the older
	// half goes.
	heldMax int64
	// older reads entries that were let go of.
	older func(lo, hi, sizeMax uint64) ([]*pb.Entry, error)

	// snapshot is the newest snapshot on disk; its index is 0 when there is none.
	snapshot *pb.SnapshotMetadata
	// membersIndex is that of the last change of the members that was applied. Raft
	// refuses a snapshot whose configuration lacks the member that gets it.
	membersIndex uint64
	// wanted is set when Raft has asked for a snapshot and there was none.
	wanted bool
}

// entryMark is what is always known of an entry.
type entryMark struct {
	term uint64
	size int64
}

var _ raft.Storage = (*raftLog)(nil)

// entryOverheadBytes is about what an entry takes in memory beside its data.
const entryOverheadBytes = 160

func entrySize(e *pb.Entry) int64 { return int64(len(e.Data)) + entryOverheadBytes }

// InitialState implements raft.Storage.
func (l *raftLog) InitialState() (*pb.HardState, *pb.ConfState, error) { return l.hard, l.conf, nil }

// FirstIndex implements raft.Storage.
func (l *raftLog) FirstIndex() (uint64, error) { return l.offset + 1, nil }

// LastIndex implements raft.Storage.
func (l *raftLog) LastIndex() (uint64, error) { return l.last(), nil }

func (l *raftLog) last() uint64 { return l.offset + uint64(len(l.marks)) }

// Term implements raft.Storage.
func (l *raftLog) Term(i uint64) (uint64, error) {
	switch {
	case i == l.offset:
		return l.offsetTerm, nil
	case i < l.offset:
		return 0, raft.ErrCompacted
	case i > l.last():
		return 0, raft.ErrUnavailable
	}
	return l.marks[i-l.offset-1].term, nil
}

// Entries implements raft.Storage.
func (l *raftLog) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo <= l.offset {
		return nil, raft.ErrCompacted
	}
	if hi > l.last()+1 {
		return nil, raft.ErrUnavailable
	}
	var entries []*pb.Entry
	if lo > l.held {
		entries = l.entries[lo-l.held-1 : hi-l.held-1]
	} else {
		var err error
		if entries, err = l.older(lo, min(hi, l.held+1), maxSize); err != nil {
			return nil, raft.ErrCompacted // older has told the replica, which ends
		}
	}
	size := uint64(0)
	for i, e := range entries {
		size += uint64(entrySize(e))
		if i > 0 && size > maxSize {
			entries = entries[:i]
			break
		}
	}
	// Appending to the result must not write into the log.
	return entries[:len(entries):len(entries)], nil
}

// Snapshot implements raft.Storage: metadata only, the image stays on disk.
func (l *raftLog) Snapshot() (*pb.Snapshot, error) {
	if l.snapshot.GetIndex() == 0 || l.snapshot.GetIndex() < l.membersIndex {
		l.wanted = true
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &pb.Snapshot{Metadata: l.snapshot}, nil
}

// append adds entries, replacing those from the first one's index on. Entries are
// never changed in place, since Raft may hold slices of the log.
func (l *raftLog) append(entries []*pb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	first := entries[0].GetIndex()
	if first <= l.offset || first > l.last()+1 {
		return fmt.Errorf("entry %d does not continue the log from %d to %d", first, l.offset+1, l.last())
	}
	for _, m := range l.marks[first-l.offset-1:] {
		l.sizeBytes -= m.size
	}
	for _, m := range l.marks[max(first-1, l.held)-l.offset:] {
		l.heldBytes -= m.size
	}
	if first <= l.held { // only behind a start is what is not applied not in memory
		l.held, l.entries = first-1, nil
	}
	l.marks = l.marks[:first-l.offset-1]
	if keep := first - l.held - 1; keep < uint64(len(l.entries)) {
		l.entries = l.entries[:keep:keep]
	}
	for _, e := range entries {
		m := entryMark{e.GetTerm(), entrySize(e)}
		l.marks = append(l.marks, m)
		l.sizeBytes += m.size
		l.heldBytes += m.size
	}
	l.entries = append(l.entries, entries...)
	return nil
}

// recover takes what a log on disk holds behind offset: entries are all or none.
func (l *raftLog) recover(heads []wal.EntryHead, entries []*pb.Entry) {
	for _, h := range heads {
		m := entryMark{h.Term, int64(h.DataBytes) + entryOverheadBytes}
		l.marks = append(l.marks, m)
		l.sizeBytes += m.size
	}
	l.held, l.entries = l.last(), nil
	if len(entries) > 0 {
		l.held, l.entries, l.heldBytes = l.offset, entries, l.sizeBytes
	}
}

// heldShare is the part of CatchUpSizeBytes that is kept in memory: what followers who
// keep up are about to ask for.
const heldShare = 16

// trim lets go of entries up to index, which must be applied and durable, when those in
// memory take too much.
func (l *raftLog) trim(index uint64) {
	if l.heldBytes < 2*l.heldMax {
		return
	}
	held := l.held
	for held < index && l.heldBytes > l.heldMax {
		l.heldBytes -= l.marks[held-l.offset].size
		held++
	}
	l.release(held)
}

// release takes the entries up to index out of memory. A copy lets go of the array, and
// with it of the entries: Raft may hold a slice of it.
func (l *raftLog) release(index uint64) {
	l.entries = append([]*pb.Entry(nil), l.entries[index-l.held:]...)
	l.held = index
}

// compact forgets the entries up to index.
func (l *raftLog) compact(index uint64) {
	if index <= l.offset || index > l.last() {
		return
	}
	n := index - l.offset
	l.offsetTerm = l.marks[n-1].term
	for i, m := range l.marks[:n] {
		l.sizeBytes -= m.size
		if l.offset+1+uint64(i) > l.held {
			l.heldBytes -= m.size
		}
	}
	l.offset = index
	l.marks = append([]entryMark(nil), l.marks[n:]...)
	if index > l.held {
		l.release(index)
	}
}

// size returns that of the entries above one index and up to another. Both may lie
// outside of the log.
func (l *raftLog) size(above, upTo uint64) (sizeBytes int64) {
	for i := max(above, l.offset); i < min(upTo, l.last()); i++ {
		sizeBytes += l.marks[i-l.offset].size
	}
	return sizeBytes
}

// reset empties the log behind a snapshot that replaces it.
func (l *raftLog) reset(index, term uint64) {
	l.offset, l.offsetTerm, l.held = index, term, index
	l.marks, l.entries, l.sizeBytes, l.heldBytes, l.followedBytes = nil, nil, 0, 0, 0
}

// reserve returns the index up to which the log may be compacted when a snapshot
// covers index: at most entriesMax and sizeMax stay behind it.
func (l *raftLog) reserve(index, entriesMax uint64, sizeMax int64) uint64 {
	keep := index
	size := int64(0)
	for keep > l.offset && index-keep < entriesMax {
		if size += l.marks[keep-l.offset-1].size; size > sizeMax {
			break
		}
		keep--
	}
	return keep
}
