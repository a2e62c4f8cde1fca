package wal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Recovered is what a log says when it is opened.
type Recovered struct {
	// Fresh tells that there was no log and one was begun.
	Fresh bool
	// ClusterID is the one stored in the log.
	ClusterID uint64
	MemberID  uint64
	State     HardState
	// Marks are the snapshots recorded, oldest first; those before a reset are gone.
	Marks []Mark
	// Entries are consecutive. They begin where the log was last reset or released,
	// and may begin below the last mark. Heads say of each what it is.
	Entries []*pb.Entry
	Heads   []EntryHead
	// Meta holds the last value stored under each key.
	Meta map[uint8][]byte
	// TornBytes is the size of the unfinished write that was cut off at the end.
	TornBytes int64
}

// EntryHead is an entry without its data.
type EntryHead struct {
	Index, Term uint64
	DataBytes   int
}

// CorruptError says where a log is broken.
type CorruptError struct {
	Segment string
	Offset  int64
	Detail  string
}

// Error names segment, offset and finding.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: %s at offset %d: %s", ErrCorrupt, e.Segment, e.Offset, e.Detail)
}

// Is makes the error match ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Open opens the log in dir, or begins one if there is none, and returns what it
// holds. An unfinished write at the very end, which cannot have been
// acknowledged, is cut off; anything else that does not verify is an ErrCorrupt.
func Open(dir string, opts Options) (*WAL, *Recovered, error) {
	if opts.FS == nil {
		opts.FS = OS
	}
	if opts.SegmentSizeBytes == 0 {
		opts.SegmentSizeBytes = DefaultSegmentSize
	}
	if s := opts.SegmentSizeBytes; s < SegmentSizeMin || s > SegmentSizeMax {
		return nil, nil, fmt.Errorf("wal: SegmentSizeBytes is %d, expected %d to %d", s, SegmentSizeMin, SegmentSizeMax)
	}
	if opts.MemberID == 0 {
		return nil, nil, errors.New("wal: MemberID is 0, expected a member id")
	}
	if err := opts.FS.MkdirAll(dir); err != nil {
		return nil, nil, err
	}
	lock, err := opts.FS.Lock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, nil, err
	}
	w := &WAL{opts: opts, dir: dir, lock: lock}
	rec, err := w.open()
	if err != nil {
		if w.file != nil {
			err = errors.Join(err, w.file.Close())
		}
		return nil, nil, errors.Join(err, w.closeSpares(), lock.Close())
	}
	return w, rec, nil
}

func (w *WAL) open() (*Recovered, error) {
	sequences, err := w.list()
	if err != nil {
		return nil, err
	}
	if len(sequences) == 0 {
		if err := w.opts.FS.SyncDir(w.dir); err != nil {
			return nil, err
		}
		return w.create()
	}
	rec := &Recovered{}
	for i, sequence := range sequences {
		if sequence != sequences[0]+uint64(i) {
			return nil, &CorruptError{segmentName(sequences[0] + uint64(i)), 0, "segment is missing"}
		}
		if err := w.replay(rec, sequence, i == len(sequences)-1); err != nil {
			return nil, err
		}
	}
	if err := w.secure(); err != nil {
		return nil, err
	}
	rec.ClusterID, rec.MemberID = w.opts.ClusterID, w.opts.MemberID
	rec.Meta = w.appended.meta
	rec.State = w.appended.state
	w.flushed = w.appended
	return rec, nil
}

// secure makes durable what was read. The process before this one may have stopped
// because a sync had failed: then the last batch, or the name of the last segment,
// is in the memory of the kernel alone, and clean, so that only writing it again
// brings it to the disk.
func (w *WAL) secure() error {
	b := make([]byte, w.off-w.lastBatch)
	if _, err := w.file.ReadAt(b, w.lastBatch); err != nil && len(b) > 0 {
		return err
	}
	if len(b) > 0 {
		if _, err := w.file.WriteAt(b, w.lastBatch); err != nil {
			return err
		}
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	return w.opts.FS.SyncDir(w.dir)
}

// list returns the sequence numbers of the segments, adopts spares and removes what is
// left over of unfinished ones.
func (w *WAL) list() ([]uint64, error) {
	names, err := w.opts.FS.List(w.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var err error
		switch filepath.Ext(name) {
		case preparedSuffix:
			err = w.opts.FS.Remove(filepath.Join(w.dir, name))
		case spareSuffix:
			err = w.adopt(name)
		}
		if err != nil {
			return nil, err
		}
	}
	return w.sequences()
}

// sequences returns the sequence numbers of the segments in order.
func (w *WAL) sequences() ([]uint64, error) {
	names, err := w.opts.FS.List(w.dir)
	if err != nil {
		return nil, err
	}
	var sequences []uint64
	for _, name := range names {
		if sequence, ok := parseSegmentName(name); ok {
			sequences = append(sequences, sequence)
		}
	}
	slices.Sort(sequences)
	return sequences, nil
}

func (w *WAL) create() (*Recovered, error) {
	if w.opts.ClusterID == 0 {
		return nil, errors.New("wal: ClusterID is 0, expected that of the cluster, since there is no log yet")
	}
	first, err := w.begin(segmentHeader{
		clusterID:  w.opts.ClusterID,
		memberID:   w.opts.MemberID,
		sequence:   1,
		firstIndex: 1,
	}, 0)
	if err != nil {
		return nil, err
	}
	w.segments = []segment{first.segment}
	w.file, w.off, w.chain = first.file, first.off, first.chain
	return &Recovered{Fresh: true, ClusterID: w.opts.ClusterID, MemberID: w.opts.MemberID}, nil
}

// replay reads one segment into rec. The last one stays open for writing.
func (w *WAL) replay(rec *Recovered, sequence uint64, last bool) error {
	name := segmentName(sequence)
	file, err := w.opts.FS.Open(filepath.Join(w.dir, name))
	if err != nil {
		return err
	}
	seg, err := w.openSegment(file, name, sequence)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	w.segments = append(w.segments, seg)
	w.chain = seg.crc
	w.off, w.lastBatch = dataOffset, dataOffset
	if err := w.replayBatches(rec, file, seg); err != nil {
		return errors.Join(err, file.Close())
	}
	torn, err := w.checkTail(file, seg, last)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	rec.TornBytes += torn
	w.segments[len(w.segments)-1].lastIndex = w.highest()
	if !last {
		return file.Close()
	}
	w.file = file
	return nil
}

// highest is the highest index in the segments so far: entries that were replaced
// later count, too, which keeps a segment longer at worst.
func (w *WAL) highest() uint64 {
	highest := w.lastIndex
	for i := range w.segments {
		highest = max(highest, w.segments[i].lastIndex)
	}
	return highest
}

// openSegment checks the header of a segment against its name, its neighbour and
// its owner.
func (w *WAL) openSegment(file File, name string, sequence uint64) (segment, error) {
	size, err := file.Size()
	if err != nil {
		return segment{}, err
	}
	corrupt := func(format string, args ...any) (segment, error) {
		return segment{}, &CorruptError{name, 0, fmt.Sprintf(format, args...)}
	}
	if size < dataOffset {
		return corrupt("file has %d bytes, expected at least %d", size, dataOffset)
	}
	b := make([]byte, dataOffset)
	if _, err := file.ReadAt(b, 0); err != nil {
		return segment{}, err
	}
	h, crc, err := decodeSegmentHeader(b)
	if err != nil {
		return corrupt("%v", err)
	}
	if !allZero(b[headerSize:]) {
		return corrupt("room behind the header is not zero")
	}
	if h.sequence != sequence {
		return corrupt("header has sequence %d, expected %d as in the file's name", h.sequence, sequence)
	}
	if h.size != uint64(size) {
		return corrupt("file has %d bytes, expected %d as in its header", size, h.size)
	}
	if len(w.segments) > 0 && h.prevChain != w.chain {
		if before := &w.segments[len(w.segments)-1]; before.header.reused {
			return segment{}, &CorruptError{before.name, w.off, "batch does not verify, and " + name + " continues from a later one"}
		}
		return corrupt("segment continues from checksum %08x, expected %08x", h.prevChain, w.chain)
	}
	if w.opts.ClusterID == 0 {
		w.opts.ClusterID = h.clusterID
	}
	if w.opts.MemberID == 0 { // only Read allows that
		w.opts.MemberID = h.memberID
	}
	if h.clusterID != w.opts.ClusterID || h.memberID != w.opts.MemberID {
		return segment{}, fmt.Errorf("%w: %s is of cluster %x, member %x; expected cluster %x, member %x", ErrForeign,
			name, h.clusterID, h.memberID, w.opts.ClusterID, w.opts.MemberID)
	}
	return segment{header: h, crc: crc, name: name}, nil
}

// replayBatches reads batches until one does not verify, or there are no more,
// and leaves w.off and w.chain there.
func (w *WAL) replayBatches(rec *Recovered, file File, seg segment) error {
	size := int64(seg.header.size)
	r := bufio.NewReaderSize(io.NewSectionReader(file, dataOffset, size-dataOffset), 256<<10)
	var buf []byte
	for size-w.off >= batchHeaderSize {
		head, err := r.Peek(batchHeaderSize)
		if err != nil {
			return err
		}
		h := decodeBatchHeader(head)
		if !h.plausible(seg.crc, size-w.off) {
			return nil
		}
		if !w.opts.HeadsOnly { // then the entries are views of it
			buf = nil
		}
		b := slices.Grow(buf[:0], int(h.size()))[:h.size()]
		buf = b
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		if !h.valid(b) {
			return nil
		}
		if h.chain != w.chain {
			return &CorruptError{seg.name, w.off, fmt.Sprintf("batch continues from checksum %08x, expected %08x", h.chain, w.chain)}
		}
		if err := w.replayRecords(rec, b[batchHeaderSize:batchHeaderSize+h.length]); err != nil {
			return &CorruptError{seg.name, w.off, err.Error()}
		}
		w.spans.add(w.brought, seg.span(w.off, h.size()))
		w.brought = reach{}
		w.lastBatch = w.off
		w.off += h.size()
		w.chain = h.crc
	}
	return nil
}

func (w *WAL) replayRecords(rec *Recovered, b []byte) error {
	var slab entrySlab
	for len(b) > 0 {
		r, rest, err := decodeRecord(b)
		if err != nil {
			return err
		}
		if r.group != w.opts.Group {
			return fmt.Errorf("record of group %d, expected %d", r.group, w.opts.Group)
		}
		if w.visit != nil {
			w.visit(w.recordOf(&r))
		}
		switch r.kind {
		case kindEntry:
			if w.opts.HeadsOnly {
				err = rec.addHead(EntryHead{Index: r.index, Term: r.term, DataBytes: len(r.data)})
			} else {
				err = rec.addEntry(slab.entry(&r))
			}
			w.lastIndex = r.index
			w.brought.entry(r.index)
		case kindState:
			err = w.appended.checkState(r.state)
			w.appended.state = r.state
		case kindMark:
			rec.addMark(r.mark)
			w.appended.mark(r.mark)
			if r.mark.Reset {
				w.lastIndex = r.mark.Index
				w.brought.restart()
			}
		case kindMeta:
			w.appended.store(r.key, r.data)
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// checkState refuses what no replica writes: time does not run backwards.
func (c *carry) checkState(s HardState) error {
	if s.Term < c.state.Term || s.Term == c.state.Term && c.state.Vote != 0 && s.Vote != c.state.Vote {
		return fmt.Errorf("state with term %d and vote %d follows term %d and vote %d", s.Term, s.Vote, c.state.Term, c.state.Vote)
	}
	return nil
}

func (rec *Recovered) addHead(h EntryHead) error {
	if n := len(rec.Heads); n > 0 {
		first, last := rec.Heads[0].Index, rec.Heads[n-1].Index
		if h.Index > last+1 {
			return fmt.Errorf("entry %d follows entries %d to %d", h.Index, first, last)
		}
		// An index below the first one is possible where the segments before were
		// released: what was replaced then began in one of them.
		rec.Heads = rec.Heads[:max(h.Index, first)-first]
	}
	rec.Heads = append(rec.Heads, h)
	return nil
}

// addEntry adds an entry behind its head.
func (rec *Recovered) addEntry(e *pb.Entry) error {
	err := rec.addHead(EntryHead{Index: e.GetIndex(), Term: e.GetTerm(), DataBytes: len(e.Data)})
	if err == nil {
		rec.Entries = append(rec.Entries[:len(rec.Heads)-1], e)
	}
	return err
}

func (rec *Recovered) addMark(m Mark) {
	if m.Reset {
		rec.Entries, rec.Heads, rec.Marks = nil, nil, nil
	}
	if slices.Contains(rec.Marks, m) {
		return // repeated at the start of a segment
	}
	rec.Marks = append(rec.Marks, m)
}

// entrySlab makes entries in blocks: with pointers for three of its fields an
// entry would otherwise cost four allocations.
type entrySlab struct{ free []entrySlot }

type entrySlot struct {
	entry       pb.Entry
	term, index uint64
	etype       pb.EntryType
}

func (s *entrySlab) entry(r *record) *pb.Entry {
	if len(s.free) == 0 {
		s.free = make([]entrySlot, 16)
	}
	slot := &s.free[0]
	s.free = s.free[1:]
	slot.term, slot.index, slot.etype = r.term, r.index, r.etype
	slot.entry.Term, slot.entry.Index, slot.entry.Type = &slot.term, &slot.index, &slot.etype
	slot.entry.Data = r.data
	return &slot.entry
}
