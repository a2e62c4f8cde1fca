package raftstore

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/orchcore/orchcore/raftstore/wal"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// A snapshot file is the state at one index of the log:
//
//	 0        8         12       16       20
//	┌────────┬─────────┬────────┬────────┬────────┬─ ─ ─ ─ ─ ─ ─ ─ ─
//	│ magic  │ version │ length │ crc    │ header │ image of mvcc
//	└────────┴─────────┴────────┴────────┴────────┴─ ─ ─ ─ ─ ─ ─ ─ ─
//	header:   clusterID, index, term: uvarint · configuration
//	          members: number · { id: uvarint · address · moved: byte · info }   by id
//	          removed ids · origins: number · { id, boot, floor · sequences }
//	          alarms: number · { member: uvarint · type: byte }      by member, type
//	          sessions: steps, number · { id, used, floor · results }
//
// little endian; crc is CRC32C of the header. The image ends with a hash of
// itself, and the file with the image.
const (
	imageMagic   = "ocrafts\x00"
	imageVersion = 3
	// imageHeaderMax bounds the header's length: 64 members with a full window of
	// sequences and an announcement each, and as many sessions and results as may be.
	imageHeaderMax = 4<<20 + sessionsMax*(sessionWindow*(resultKeepMax+16)+40)
)

// ErrCorruptSnapshot is matched when a snapshot file does not verify.
var ErrCorruptSnapshot = errors.New("raftstore: corrupt snapshot")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cut is the state at one moment, taken in constant time and written later.
type cut struct {
	header []byte
	store  *mvcc.Snapshot
	index  uint64
	term   uint64
	conf   *pb.ConfState
}

// cut takes the state as it is. The machine may go on at once.
func (m *machine) cut(clusterID uint64) *cut {
	return &cut{
		header: m.appendHeader(nil, clusterID),
		store:  m.store.Snapshot(),
		index:  m.applied, term: m.term,
		conf: proto.Clone(m.conf).(*pb.ConfState),
	}
}

func (m *machine) appendHeader(b []byte, clusterID uint64) []byte {
	for _, v := range [...]uint64{clusterID, m.applied, m.term} {
		b = binary.AppendUvarint(b, v)
	}
	b = appendConfState(b, m.conf)
	b = binary.AppendUvarint(b, uint64(len(m.members)))
	for _, id := range m.memberIDs() {
		b = binary.AppendUvarint(b, id)
		b = appendBytes(b, []byte(m.members[id]))
		var p memberProfile
		if known := m.profiles[id]; known != nil {
			p = *known
		}
		b = append(b, bits(p.moved))
		b = appendBytes(b, []byte(p.info))
	}
	b = appendUvarints(b, slices.Sorted(maps.Keys(m.removed)))
	b = binary.AppendUvarint(b, uint64(len(m.origins)))
	for _, id := range slices.Sorted(maps.Keys(m.origins)) {
		o := m.origins[id]
		for _, v := range [...]uint64{id, o.boot, o.floor} {
			b = binary.AppendUvarint(b, v)
		}
		b = appendUvarints(b, slices.Sorted(maps.Keys(o.seen)))
	}
	b = binary.AppendUvarint(b, uint64(len(m.alarms.list())))
	for _, a := range m.alarms.list() {
		b = a.append(b)
	}
	return m.appendSessions(b)
}

// decodeStateHeader reads everything but the store.
func decodeStateHeader(b []byte) (clusterID uint64, m *machine, err error) {
	r := reader{b: b}
	clusterID = r.uvarint()
	m = &machine{
		members: map[uint64]string{}, removed: map[uint64]bool{}, profiles: map[uint64]*memberProfile{},
		origins: map[uint64]*origin{}, alarms: &alarmSet{},
	}
	m.applied, m.term = r.uvarint(), r.uvarint()
	m.conf = r.confState()
	for range r.count(4) {
		id := r.uvarint()
		m.members[id] = string(r.bytes())
		moved, info := r.byte(), string(r.bytes())
		if r.bad = r.bad || moved > 1; moved == 1 || info != "" {
			m.profiles[id] = &memberProfile{moved == 1, info}
		}
	}
	for _, id := range r.uvarints() {
		m.removed[id] = true
	}
	for range r.count(4) {
		id := r.uvarint()
		o := &origin{boot: r.uvarint(), floor: r.uvarint(), seen: map[uint64]bool{}}
		for _, sequence := range r.uvarints() {
			o.seen[sequence] = true
		}
		m.origins[id] = o
	}
	alarms := make([]Alarm, r.count(2))
	for i := range alarms {
		alarms[i] = r.alarm()
		if alarms[i].check() != nil || i > 0 && compareAlarms(alarms[i-1], alarms[i]) >= 0 {
			r.bad = true
		}
	}
	m.alarms.set(alarms)
	r.sessions(m)
	if r.bad || len(r.b) > 0 || m.applied == 0 || len(m.conf.Voters) == 0 || len(m.members) > membersMax {
		return 0, nil, fmt.Errorf("%w: header of %d bytes", ErrCorruptSnapshot, len(b))
	}
	return clusterID, m, nil
}

// writeTo writes the whole file's content.
func (c *cut) writeTo(w io.Writer) error {
	head := append([]byte(nil), imageMagic...)
	head = binary.LittleEndian.AppendUint32(head, imageVersion)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(c.header)))
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(c.header, castagnoli))
	head = append(head, c.header...)
	if _, err := w.Write(head); err != nil {
		return err
	}
	_, err := c.store.WriteTo(w)
	return err
}

// readImage is readAnyImage for the image of one cluster; 0 is any.
func readImage(r io.Reader, clusterID uint64) (*machine, error) {
	cluster, m, err := readAnyImage(r)
	if err == nil && clusterID != 0 && cluster != clusterID {
		return nil, fmt.Errorf("%w: it is of cluster %x, expected %x", ErrCorruptSnapshot, cluster, clusterID)
	}
	return m, err
}

// readAnyImage is the inverse of cut.writeTo. It verifies every byte.
func readAnyImage(r io.Reader) (clusterID uint64, m *machine, err error) {
	br := bufio.NewReaderSize(r, 256<<10)
	var head [20]byte
	if _, err := io.ReadFull(br, head[:]); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrCorruptSnapshot, err)
	}
	le := binary.LittleEndian
	length := le.Uint32(head[12:])
	if string(head[:8]) != imageMagic || le.Uint32(head[8:]) != imageVersion || length > imageHeaderMax {
		return 0, nil, fmt.Errorf("%w: begins with % x", ErrCorruptSnapshot, head)
	}
	// The buffer grows with what is really there.
	var header bytes.Buffer
	if _, err := io.CopyN(&header, br, int64(length)); err != nil {
		return 0, nil, fmt.Errorf("%w: header: %w", ErrCorruptSnapshot, err)
	}
	if crc32.Checksum(header.Bytes(), castagnoli) != le.Uint32(head[16:]) {
		return 0, nil, fmt.Errorf("%w: checksum of the header does not match", ErrCorruptSnapshot)
	}
	clusterID, m, err = decodeStateHeader(header.Bytes())
	if err != nil {
		return 0, nil, err
	}
	if m.store, err = mvcc.Load(br); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrCorruptSnapshot, err)
	}
	if _, err := br.ReadByte(); err != io.EOF {
		return 0, nil, fmt.Errorf("%w: bytes behind its end", ErrCorruptSnapshot)
	}
	return clusterID, m, nil
}

// fileWriter writes a file from its start and back in small steps: a sync of
// everything at the end would keep the disk from the log for as long as it takes.
type fileWriter struct {
	file      wal.File
	off, back int64
	// pace, if set, is called after each write.
	pace func()
}

// imageStepBytes is how much of an image is written back at a time, and
// imageBufferBytes how much is written at once.
const (
	imageStepBytes   = 1 << 20
	imageBufferBytes = 128 << 10
)

func (w *fileWriter) Write(p []byte) (int, error) {
	n, err := w.file.WriteAt(p, w.off)
	w.off += int64(n)
	if err == nil && w.off-w.back >= imageStepBytes {
		err = wal.Writeback(w.file, w.back, w.off-w.back)
		w.back = w.off
	}
	if w.pace != nil {
		w.pace()
	}
	return n, err
}

// writeImage writes a cut to a file and makes its content durable, not its name.
func writeImage(fs wal.FS, name string, c *cut, pace func()) (err error) {
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(&fileWriter{file: f, pace: pace}, imageBufferBytes)
	if err := c.writeTo(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// pacedReader reads a file from its start and calls pace, if set, after each part.
type pacedReader struct {
	io.Reader
	pace func()
}

func (r pacedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.pace != nil {
		r.pace()
	}
	return n, err
}

// loadImage reads a file that writeImage wrote.
func loadImage(fs wal.FS, name string, clusterID uint64, pace func()) (m *machine, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	m, err = readImage(pacedReader{io.NewSectionReader(f, 0, size), pace}, clusterID)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}
