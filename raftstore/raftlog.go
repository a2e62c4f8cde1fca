package raftstore

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// raftLog is the log in memory: raft.Storage. It holds what was handed to the
// disk, durable or not: Raft asks it for entries that are on their way, and acts
// on durability by the responses alone. It belongs to the owner.
type raftLog struct {
	hard *pb.HardState
	conf *pb.ConfState

	// entries[i] has index offset+1+i. offset and offsetTerm belong to the entry
	// before the first one.
	offset, offsetTerm uint64
	entries            []*pb.Entry
	sizeBytes          int64

	// snapshot is the newest snapshot on disk; its index is 0 when there is none.
	snapshot *pb.SnapshotMetadata
	// membersIndex is that of the last change of the members that was applied. Raft
	// refuses a snapshot whose configuration lacks the member that gets it.
	membersIndex uint64
	// wanted is set when Raft has asked for a snapshot and there was none.
	wanted bool
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

func (l *raftLog) last() uint64 { return l.offset + uint64(len(l.entries)) }

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
	return l.entries[i-l.offset-1].GetTerm(), nil
}

// Entries implements raft.Storage.
func (l *raftLog) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo <= l.offset {
		return nil, raft.ErrCompacted
	}
	if hi > l.last()+1 {
		return nil, raft.ErrUnavailable
	}
	entries := l.entries[lo-l.offset-1 : hi-l.offset-1]
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
	keep := first - l.offset - 1
	for _, e := range l.entries[keep:] {
		l.sizeBytes -= entrySize(e)
	}
	if keep < uint64(len(l.entries)) {
		l.entries = l.entries[:keep:keep]
	}
	for _, e := range entries {
		l.sizeBytes += entrySize(e)
	}
	l.entries = append(l.entries, entries...)
	return nil
}

// compact forgets the entries up to index.
func (l *raftLog) compact(index uint64) {
	if index <= l.offset || index > l.last() {
		return
	}
	n := index - l.offset
	l.offsetTerm = l.entries[n-1].GetTerm()
	l.offset = index
	for _, e := range l.entries[:n] {
		l.sizeBytes -= entrySize(e)
	}
	// A copy lets go of the array, and with it of the entries.
	l.entries = append(make([]*pb.Entry, 0, len(l.entries)), l.entries[n:]...)
}

// reset empties the log behind a snapshot that replaces it.
func (l *raftLog) reset(index, term uint64) {
	l.offset, l.offsetTerm = index, term
	l.entries, l.sizeBytes = nil, 0
}

// reserve returns the index up to which the log may be compacted when a snapshot
// covers index: at most entriesMax and sizeMax stay behind it.
func (l *raftLog) reserve(index, entriesMax uint64, sizeMax int64) uint64 {
	keep := index
	size := int64(0)
	for keep > l.offset && index-keep < entriesMax {
		if size += entrySize(l.entries[keep-l.offset-1]); size > sizeMax {
			break
		}
		keep--
	}
	return keep
}
