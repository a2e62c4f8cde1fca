package mvcc

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

// An image is a snapshot as bytes: a magic number with the version of the
// format, blocks, and a trailer. It says what can be read (the state below the
// floor, and the history from the floor on), not how far reclaiming had come.
//
//	image    ┌──────────┬───────┬─ ─ ─┬───────┬─────────┐
//	         │ magic 8  │ block │     │ block │ trailer │
//	         └──────────┴───────┴─ ─ ─┴───────┴─────────┘
//	block    ┌──────────────────────┬────────────┬─────────┐
//	         │ u32 length, 1..64 Ki │ u32 CRC32C │ payload │
//	         └──────────────────────┴────────────┴─────────┘
//	trailer  ┌───────┬─────────────────────────────────┐
//	         │ u32 0 │ SHA-256 of all bytes before it  │
//	         └───────┴─────────────────────────────────┘
//
// Each CRC continues that of the block before, so that a block out of place is
// found at once. The payloads together are one stream, numbers as (u)varints:
//
//	revision, floor, digest (8 bytes), grants
//	leases    {1, id, ttl, remaining, serial}… 0                  by id
//	base      {key, value, create, mod, version, lease}… ""       by key
//	records   {1 put | 2 delete, revision step 0|1, key, value, lease}… 0
//
// where a key or value is its length and its bytes. Versions and creation
// revisions of records follow from the state before them and are not stored. A base
// that a record of the floor itself replaces has no value: it is there for those.
const (
	imageMagic      = "ORCMVCC\x02"
	imageBlockBytes = 64 << 10
	// imageNumberMax bounds revisions and versions far from overflow.
	imageNumberMax = 1 << 62
)

const (
	imageEnd    = 0
	imageMore   = 1
	imagePut    = 1
	imageDelete = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// WriteTo writes the snapshot as an image that Load reads. Memory use does not
// depend on the size of the store.
func (sn *Snapshot) WriteTo(w io.Writer) (int64, error) {
	v := &sn.view
	e := newImageWriter(w)
	e.uvarint(uint64(v.revision))
	e.varint(v.floor)
	e.buf = binary.LittleEndian.AppendUint64(e.buf, v.hash)
	e.uvarint(v.grants)
	v.leases.Ascend(func(l Lease) bool {
		e.byte(imageMore)
		e.varint(l.ID)
		e.varint(l.TTL)
		e.varint(l.Remaining)
		e.uvarint(l.Serial)
		return e.err == nil
	})
	e.byte(imageEnd)
	v.root.ascend(v.dir, nil, bound{open: true}, false, func(it *item) bool {
		if ver, ok := v.at(it, v.floor-1); ok {
			kv := v.keyValue(&ver)
			if at, ok := v.at(it, v.floor); !ok || at.mod == v.floor {
				kv.Value = nil // nobody can read it; see compact.go
			}
			e.base(kv)
		}
		return e.err == nil
	})
	e.bytes(nil)
	previous := v.imageStart()
	for p := v.search(v.floor); p < v.history.end && e.err == nil; p++ {
		change := v.change(p)
		e.record(&change, uint64(change.mod-previous), v.dir.key(change.entry), v.dir.value(&change))
		previous = change.mod
	}
	e.byte(imageEnd)
	return e.finish()
}

// imageStart is the revision that the records of an image start from: every
// revision above it has at least one record.
func (v *view) imageStart() int64 { return max(v.floor, 1) }

// imageWriter cuts a stream into blocks. The first error stays.
type imageWriter struct {
	w       io.Writer
	sum     hash.Hash
	crc     uint32
	buf     []byte // payload of the block being filled
	written int64
	err     error
}

func newImageWriter(w io.Writer) *imageWriter {
	e := &imageWriter{w: w, sum: sha256.New(), buf: make([]byte, 0, imageBlockBytes)}
	e.write([]byte(imageMagic))
	return e
}

func (e *imageWriter) write(b []byte) {
	if e.err != nil {
		return
	}
	e.sum.Write(b)
	n, err := e.w.Write(b)
	e.written += int64(n)
	e.err = err
}

// room makes sure that a number fits into the block.
func (e *imageWriter) room() {
	if cap(e.buf)-len(e.buf) < binary.MaxVarintLen64 {
		e.flush()
	}
}

func (e *imageWriter) flush() {
	if len(e.buf) == 0 {
		return
	}
	e.crc = crc32.Update(e.crc, castagnoli, e.buf)
	var header [8]byte
	binary.LittleEndian.PutUint32(header[:], uint32(len(e.buf)))
	binary.LittleEndian.PutUint32(header[4:], e.crc)
	e.write(header[:])
	e.write(e.buf)
	e.buf = e.buf[:0]
}

func (e *imageWriter) byte(b byte) {
	e.room()
	e.buf = append(e.buf, b)
}

func (e *imageWriter) uvarint(n uint64) {
	e.room()
	e.buf = binary.AppendUvarint(e.buf, n)
}

func (e *imageWriter) varint(n int64) {
	e.room()
	e.buf = binary.AppendVarint(e.buf, n)
}

func (e *imageWriter) bytes(b []byte) {
	e.uvarint(uint64(len(b)))
	for len(b) > 0 {
		n := min(len(b), cap(e.buf)-len(e.buf))
		e.buf = append(e.buf, b[:n]...)
		b = b[n:]
		if len(e.buf) == cap(e.buf) {
			e.flush()
		}
	}
}

func (e *imageWriter) base(kv KeyValue) {
	e.bytes(kv.Key)
	e.bytes(kv.Value)
	e.varint(kv.CreateRevision)
	e.varint(kv.ModRevision)
	e.varint(kv.Version)
	e.varint(kv.Lease)
}

func (e *imageWriter) record(change *version, step uint64, key, value []byte) {
	if change.create == 0 {
		e.byte(imageDelete)
	} else {
		e.byte(imagePut)
	}
	e.uvarint(step)
	e.bytes(key)
	if change.create != 0 {
		e.bytes(value)
		e.varint(change.lease)
	}
}

func (e *imageWriter) finish() (int64, error) {
	e.flush()
	trailer := e.sum.Sum(make([]byte, 4))
	e.write(trailer)
	if e.err != nil {
		return e.written, fmt.Errorf("mvcc: write image: %w", e.err)
	}
	return e.written, nil
}
