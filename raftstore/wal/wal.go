package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Options say whose log it is and how it is stored.
type Options struct {
	// FS is the file system; nil means OS.
	FS FS
	// SegmentSizeBytes is the size of each file; 0 means DefaultSegmentSize. A batch
	// that is larger gets a segment of its own size.
	SegmentSizeBytes int64
	// ClusterID and MemberID are stored in every segment, and Open refuses those of
	// anybody else. A ClusterID of 0 accepts the one that is stored.
	ClusterID uint64
	MemberID  uint64
	// Group is the Raft group whose records the log holds; records of another one
	// are refused. (Several groups in one log are not implemented.)
	Group uint64
	// HeadsOnly has Open return Recovered.Heads without Recovered.Entries: whoever wants
	// some of them reads them by Entries.
	HeadsOnly bool
}

var (
	// ErrCorrupt is matched when the log holds something that no crash can explain.
	// The member must not start from it: it could have forgotten what it promised.
	ErrCorrupt = errors.New("wal: corrupt log")
	// ErrForeign is matched when the log belongs to another cluster or member.
	ErrForeign = errors.New("wal: log belongs to another cluster or member")
	// ErrFailed is matched by every call after a failed write or sync.
	ErrFailed = errors.New("wal: failed")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("wal: closed")
	// ErrBatchTooLarge is returned by Flush for more than BatchSizeMax at a time.
	ErrBatchTooLarge = errors.New("wal: batch is too large")
)

// BatchSizeMax bounds what is appended between two flushes, in bytes.
const BatchSizeMax = SegmentSizeMax - dataOffset

// WAL is an open log. Append calls collect records in memory; Flush makes them
// durable. All methods except Prepare and Entries belong to one goroutine at a time, as
// does what Release returns.
type WAL struct {
	opts Options
	dir  string
	lock io.Closer

	segments []segment // oldest first; the last one is written
	file     File
	off      int64
	// lastBatch is where the last batch that was recovered begins.
	lastBatch int64
	chain     uint32

	pending batch // what was appended since the last Flush
	// lastIndex is the index of the last entry appended.
	lastIndex uint64

	// appended is what the records say up to the last one appended, flushed what they
	// say up to the last one that is durable. A new segment repeats the latter: the
	// former may refer to entries that a crash takes away.
	appended, flushed carry

	// owing tells that an answer may depend on what is buffered; see Owing.
	owing bool

	// spans say where entries can be read again, brought what is pending adds to them.
	spans   spanList
	brought reach

	// visit, if set, is shown every record that is read; see Read.
	visit func(Record)

	// err is the reason why nothing can be written any more. It never goes away: after
	// a failed sync the kernel may hold the lost pages for clean, so that a second
	// sync would succeed without having written them.
	err error

	mu       sync.Mutex // guards what follows
	spares   []*prepared
	prepares uint64 // names of spares so far
}

// carry is what every new segment repeats, so that older ones can go.
type carry struct {
	state HardState
	// marks are the last two, oldest first: the older snapshot is there in case the
	// newer one cannot be read.
	marks [2]Mark
	// meta is replaced, not changed, when a value is stored.
	meta map[uint8][]byte
}

func (c *carry) mark(m Mark) {
	if m == c.marks[1] {
		return // repeated at the start of a segment
	}
	if m.Reset {
		c.marks = [2]Mark{}
	}
	c.marks[0], c.marks[1] = c.marks[1], m
}

func (c *carry) store(key uint8, data []byte) {
	meta := maps.Clone(c.meta)
	if meta == nil {
		meta = map[uint8][]byte{}
	}
	meta[key] = bytes.Clone(data)
	c.meta = meta
}

// AppendEntries adds entries of the log. An index at or below one appended before
// replaces the log from there on. The data of the entries must not change until the
// next Flush has returned.
func (w *WAL) AppendEntries(entries []*pb.Entry) {
	w.owing = w.owing || len(entries) > 0
	for _, e := range entries {
		w.pending.entry(w.opts.Group, e)
		w.lastIndex = e.GetIndex()
		w.brought.entry(w.lastIndex)
		last := &w.segments[len(w.segments)-1]
		last.lastIndex = max(last.lastIndex, w.lastIndex)
	}
}

// AppendState adds a hard state, which replaces the one before.
func (w *WAL) AppendState(s HardState) {
	w.pending.room()
	w.pending.buf = appendState(w.pending.buf, w.opts.Group, s)
	if durable := &w.flushed.state; s.Term != durable.Term || s.Vote != durable.Vote {
		w.owing = true
	}
	w.appended.state = s
}

// AppendMark adds the mark of a snapshot that is durable already.
func (w *WAL) AppendMark(m Mark) {
	w.owing = true
	w.pending.room()
	w.pending.buf = appendMark(w.pending.buf, w.opts.Group, m)
	w.appended.mark(m)
	if m.Reset {
		w.lastIndex = m.Index
		w.brought.restart()
	}
}

// AppendMeta stores a small value under a key of the caller's; the last one counts.
func (w *WAL) AppendMeta(key uint8, data []byte) {
	w.owing = true
	w.pending.room()
	w.pending.buf = appendMeta(w.pending.buf, w.opts.Group, key, data)
	w.appended.store(key, data)
}

// Buffered is the number of bytes appended and not flushed.
func (w *WAL) Buffered() int { return w.pending.size() }

// Owing reports whether anything is buffered that must be durable before others may
// be answered: anything but a commit index, which Raft finds again.
func (w *WAL) Owing() bool { return w.owing }

// Flush makes everything appended so far durable with one write and one
// fdatasync. An error is final.
func (w *WAL) Flush() error {
	if w.err != nil {
		return w.err
	}
	if w.pending.empty() {
		return nil
	}
	if size := w.pending.size(); size > BatchSizeMax-batchHeaderSize {
		return w.fail(fmt.Errorf("%w: %d bytes, at most %d", ErrBatchTooLarge, size, BatchSizeMax))
	}
	if err := w.write(); err != nil {
		return w.fail(err)
	}
	w.flushed, w.owing = w.appended, false
	w.pending.reset()
	return nil
}

func (w *WAL) write() error {
	current := &w.segments[len(w.segments)-1]
	if w.off+int64(w.pending.size())+7 > int64(current.header.size) {
		if err := w.cut(); err != nil {
			return err
		}
		current = &w.segments[len(w.segments)-1]
	}
	crc := w.pending.seal(current.crc, w.chain)
	if err := w.pending.writeAt(w.file, w.off); err != nil {
		return fmt.Errorf("write %s at %d: %w", current.name, w.off, err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", current.name, err)
	}
	w.spans.add(w.brought, current.span(w.off, int64(w.pending.size())))
	w.brought = reach{}
	w.off += int64(w.pending.size())
	w.chain = crc
	return nil
}

func (w *WAL) fail(err error) error {
	w.err = fmt.Errorf("%w: %s: %w", ErrFailed, w.dir, err)
	return w.err
}

// cut ends the current segment and begins the next one with what must outlive the
// older ones. The new file is durable under its name before anything relies on it.
func (w *WAL) cut() error {
	old := w.segments[len(w.segments)-1]
	next, err := w.begin(segmentHeader{
		clusterID:  w.opts.ClusterID,
		memberID:   w.opts.MemberID,
		sequence:   old.header.sequence + 1,
		firstIndex: w.lastIndex + 1,
		prevChain:  w.chain,
	}, int64(w.pending.size())+7)
	if err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	// The batch that did not fit moves on: its entries belong to the new segment,
	// though counting them for the old one, too, only keeps that a little longer.
	next.segment.lastIndex = old.lastIndex
	w.segments = append(w.segments, next.segment)
	w.file, w.off, w.chain = next.file, next.off, next.chain
	return nil
}

// newSegment is a segment that exists under its final name.
type newSegment struct {
	segment segment
	file    File
	off     int64
	chain   uint32
}

// begin makes a segment with room for a batch of room bytes after the first one,
// which repeats what must be carried over.
func (w *WAL) begin(h segmentHeader, room int64) (newSegment, error) {
	first := batch{buf: w.flushed.encode(w.opts.Group)}
	next, err := w.takePrepared(dataOffset + int64(first.size()) + 7 + room)
	if err != nil {
		return newSegment{}, err
	}
	h.size, h.reused = uint64(next.size), next.reused
	header, crc := h.encode()
	chain := crc
	if !first.empty() {
		chain = first.seal(crc, crc)
	}
	name := segmentName(h.sequence)
	if err := w.install(next, name, header, &first); err != nil {
		return newSegment{}, errors.Join(fmt.Errorf("begin %s: %w", name, err), next.file.Close())
	}
	return newSegment{segment{header: h, crc: crc, name: name}, next.file, dataOffset + int64(first.size()), chain}, nil
}

func (w *WAL) install(p *prepared, name string, header []byte, first *batch) error {
	if _, err := p.file.WriteAt(header, 0); err != nil {
		return err
	}
	if err := first.writeAt(p.file, dataOffset); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	if err := w.opts.FS.Rename(p.name, filepath.Join(w.dir, name)); err != nil {
		return err
	}
	return w.opts.FS.SyncDir(w.dir)
}

// encode returns the first batch of a segment, not sealed yet; nil if there is
// nothing to say.
func (c *carry) encode(group uint64) []byte {
	batch := make([]byte, batchHeaderSize)
	for _, key := range slices.Sorted(maps.Keys(c.meta)) {
		batch = appendMeta(batch, group, key, c.meta[key])
	}
	for _, m := range c.marks {
		if m != (Mark{}) {
			m.Reset = false // what it replaced lies before this segment
			batch = appendMark(batch, group, m)
		}
	}
	if c.state != (HardState{}) {
		batch = appendState(batch, group, c.state)
	}
	if len(batch) == batchHeaderSize {
		return nil
	}
	return batch
}

// Segments is the number of files that the log consists of.
func (w *WAL) Segments() int { return len(w.segments) }

// Close flushes what is buffered and closes the log.
func (w *WAL) Close() error {
	err := w.Flush()
	return errors.Join(err, w.Abort())
}

// Abort closes the log without writing anything more.
func (w *WAL) Abort() error {
	if errors.Is(w.err, ErrClosed) {
		return nil
	}
	if w.err == nil {
		w.err = ErrClosed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.file.Close(), w.closeSpares(), w.lock.Close())
}
