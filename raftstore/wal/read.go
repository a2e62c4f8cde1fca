package wal

import (
	"errors"
	"fmt"
	"path/filepath"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Record is one record of a log as Read shows it. Exactly one of Entry, State, Mark
// and Meta is set.
type Record struct {
	// Segment and Offset are the file and where in it the record's batch begins.
	Segment string
	Offset  int64

	Entry *pb.Entry
	State *HardState
	Mark  *Mark
	// Meta is a value of the caller's, stored under MetaKey; it is not nil, though it
	// may be empty.
	Meta    []byte
	MetaKey uint8
}

func (w *WAL) recordOf(r *record) Record {
	out := Record{Segment: w.segments[len(w.segments)-1].name, Offset: w.off}
	switch r.kind {
	case kindEntry:
		out.Entry = &pb.Entry{Term: new(r.term), Index: new(r.index), Type: r.etype.Enum(), Data: r.data}
	case kindState:
		out.State = &r.state
	case kindMark:
		out.Mark = &r.mark
	case kindMeta:
		out.MetaKey, out.Meta = r.key, append([]byte{}, r.data...)
	}
	return out
}

// Read verifies the log in dir without changing it and shows every record in order:
// also those that later ones have replaced. It checks what Open checks, and returns
// what Open would return; TornBytes is what Open would cut off. A ClusterID or
// MemberID of 0 in opts accepts the one that is stored. The log must not be open
// elsewhere (ErrLocked); an error comes after the records before the fault.
func Read(dir string, opts Options, visit func(Record)) (rec *Recovered, err error) {
	if opts.FS == nil {
		opts.FS = OS
	}
	lock, err := opts.FS.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	w := &WAL{opts: opts, dir: dir, visit: visit}
	sequences, err := w.sequences()
	if err != nil {
		return nil, err
	}
	if len(sequences) == 0 {
		return nil, fmt.Errorf("wal: %s holds no segment, expected files named *%s", dir, segmentSuffix)
	}
	rec = &Recovered{}
	for i, sequence := range sequences {
		if sequence != sequences[0]+uint64(i) {
			return rec, &CorruptError{segmentName(sequences[0] + uint64(i)), 0, "segment is missing"}
		}
		if err := w.read(rec, sequence, i == len(sequences)-1); err != nil {
			return rec, err
		}
	}
	rec.ClusterID, rec.MemberID = w.opts.ClusterID, w.opts.MemberID
	rec.Meta, rec.State = w.appended.meta, w.appended.state
	return rec, nil
}

// read is replay for a log that stays as it is.
func (w *WAL) read(rec *Recovered, sequence uint64, last bool) (err error) {
	name := segmentName(sequence)
	file, err := w.opts.FS.Open(filepath.Join(w.dir, name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	seg, err := w.openSegment(file, name, sequence)
	if err != nil {
		return err
	}
	w.segments = append(w.segments, seg)
	w.chain, w.off = seg.crc, dataOffset
	if err := w.replayBatches(rec, file, seg); err != nil {
		return err
	}
	rec.TornBytes, _, err = w.tornEnd(file, seg, last)
	return err
}
