package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	pb "go.etcd.io/raft/v3/raftpb"
)

// A batch is what one Flush writes: one write, one fdatasync. All of it is
// durable or none of it was acknowledged, so a batch that fails its checksum is a
// torn write exactly when no later batch exists.
//
//	 0        4        8        12       16
//	┌────────┬────────┬────────┬────────┬──────────── ─ ─ ─┬─────────┐
//	│  crc   │ length │ chain  │  salt  │ records          │ padding │
//	└────────┴────────┴────────┴────────┴──────────── ─ ─ ─┴─────────┘
//
// crc is CRC32C over length to the last record; chain is the crc of the batch
// before, or that of the segment's header; salt is the checksum of the segment's
// header, which no other segment shares. So each batch can be recognised and
// verified alone, wherever it is found, and the sequence by its chain. Numbers are
// little endian; padding is zero up to a multiple of 8. Where the log ends, the
// file goes on with zeros, or with batches of another salt.
//
// A record is a kind, the id of its Raft group as uvarint, and:
//
//	entry  term, index: uvarint · type: byte · length: uvarint · data
//	state  term, vote, commit: uvarint
//	mark   index, term: uvarint · reset: byte
//	meta   key: byte · length: uvarint · data
const batchHeaderSize = 16

type recordKind uint8

const (
	kindEntry recordKind = 1 + iota
	kindState
	kindMark
	kindMeta
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// HardState is what Raft must not forget: the term, the vote in it and the
// highest index known to be committed.
type HardState struct {
	Term, Vote, Commit uint64
}

// Mark says that a snapshot of the state at Index is on disk. Reset marks replace
// the log: entries recorded before do not count any more.
type Mark struct {
	Index, Term uint64
	Reset       bool
}

var errRecord = errors.New("malformed record")

// appendEntryHead appends an entry's record up to its data.
func appendEntryHead(b []byte, group uint64, e *pb.Entry) []byte {
	b = append(b, byte(kindEntry))
	b = binary.AppendUvarint(b, group)
	b = binary.AppendUvarint(b, e.GetTerm())
	b = binary.AppendUvarint(b, e.GetIndex())
	b = append(b, byte(e.GetType()))
	return binary.AppendUvarint(b, uint64(len(e.Data)))
}

func appendState(b []byte, group uint64, s HardState) []byte {
	b = append(b, byte(kindState))
	b = binary.AppendUvarint(b, group)
	b = binary.AppendUvarint(b, s.Term)
	b = binary.AppendUvarint(b, s.Vote)
	return binary.AppendUvarint(b, s.Commit)
}

func appendMark(b []byte, group uint64, m Mark) []byte {
	b = append(b, byte(kindMark))
	b = binary.AppendUvarint(b, group)
	b = binary.AppendUvarint(b, m.Index)
	b = binary.AppendUvarint(b, m.Term)
	if m.Reset {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendMeta(b []byte, group uint64, key uint8, data []byte) []byte {
	b = append(b, byte(kindMeta))
	b = binary.AppendUvarint(b, group)
	b = append(b, key)
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}

// batchHeader is the decoded header of a batch.
type batchHeader struct {
	crc, length, chain, salt uint32
}

func decodeBatchHeader(b []byte) batchHeader {
	return batchHeader{
		crc:    binary.LittleEndian.Uint32(b),
		length: binary.LittleEndian.Uint32(b[4:]),
		chain:  binary.LittleEndian.Uint32(b[8:]),
		salt:   binary.LittleEndian.Uint32(b[12:]),
	}
}

// size is the padded size of the batch with its header.
func (h batchHeader) size() int64 {
	return (batchHeaderSize + int64(h.length) + 7) &^ 7
}

// plausible reports whether a batch of the segment with this salt can have this
// header and lie in room bytes. No batch is empty. It must hold before length may
// be used to allocate.
func (h batchHeader) plausible(salt uint32, room int64) bool {
	return h.salt == salt && h.length > 0 && h.size() <= room
}

// valid reports whether b, the whole batch, matches the crc and is padded by zeros.
func (h batchHeader) valid(b []byte) bool {
	n := batchHeaderSize + int(h.length)
	return crc32.Checksum(b[4:n], castagnoli) == h.crc && allZero(b[n:])
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// record is one decoded record; which fields count depends on the kind.
type record struct {
	kind  recordKind
	group uint64
	term  uint64
	index uint64
	etype pb.EntryType
	state HardState
	mark  Mark
	key   uint8
	data  []byte
}

// decodeRecord reads the record at the start of b and returns the rest. Data of
// the record is a view of b.
func decodeRecord(b []byte) (r record, rest []byte, err error) {
	d := decoder{b: b}
	r.kind = recordKind(d.byte())
	r.group = d.uvarint()
	switch r.kind {
	case kindEntry:
		r.term, r.index = d.uvarint(), d.uvarint()
		r.etype = pb.EntryType(d.byte())
		r.data = d.bytes()
		if !d.bad && (r.index == 0 || r.etype > pb.EntryConfChangeV2) {
			return r, nil, fmt.Errorf("%w: entry of type %d at index %d", errRecord, r.etype, r.index)
		}
	case kindState:
		r.state = HardState{Term: d.uvarint(), Vote: d.uvarint(), Commit: d.uvarint()}
	case kindMark:
		r.mark = Mark{Index: d.uvarint(), Term: d.uvarint()}
		reset := d.byte()
		if reset > 1 {
			return r, nil, fmt.Errorf("%w: mark with flag %d", errRecord, reset)
		}
		r.mark.Reset = reset == 1
	case kindMeta:
		r.key = d.byte()
		r.data = d.bytes()
	default:
		return r, nil, fmt.Errorf("%w: unknown kind %d", errRecord, r.kind)
	}
	if d.bad {
		return r, nil, fmt.Errorf("%w: %d bytes do not hold a record of kind %d", errRecord, len(b), r.kind)
	}
	return r, d.b, nil
}

// decoder reads fields in order; after the first that does not fit, bad is set
// and everything reads as zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if d.bad || len(d.b) == 0 {
		d.bad = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}
