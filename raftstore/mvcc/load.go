package mvcc

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
)

// Load reads an image and returns the store that wrote it. It reads no byte
// behind the image, takes no more memory than the image has bytes for, and
// answers anything that no store has written with ErrCorruptImage.
func Load(r io.Reader) (*Store, error) {
	d := newImageReader(r)
	s := New()
	d.header(&s.live)
	d.leases(s)
	d.base(s)
	d.records(s)
	d.attach(s)
	d.finish()
	if d.err != nil {
		return nil, fmt.Errorf("mvcc: load image: %w", d.err)
	}
	s.measure()
	return s, nil
}

// imageReader turns blocks back into a stream. The first error stays, and
// every value read after it is zero.
type imageReader struct {
	r     io.Reader
	sum   hash.Hash
	crc   uint32
	block []byte // what is left of the present block
	buf   []byte
	key   []byte
	value []byte
	err   error
}

func newImageReader(r io.Reader) *imageReader {
	d := &imageReader{r: r, sum: sha256.New(), buf: make([]byte, imageBlockBytes)}
	magic := d.buf[:len(imageMagic)]
	d.read(magic)
	if d.err == nil && string(magic) != imageMagic {
		d.corrupt("magic %q, expected %q", magic, imageMagic)
	}
	return d
}

func (d *imageReader) corrupt(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrCorruptImage, fmt.Sprintf(format, args...))
	}
}

func (d *imageReader) read(b []byte) {
	if d.err != nil {
		return
	}
	if _, err := io.ReadFull(d.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			d.corrupt("it ends too soon")
			return
		}
		d.err = err
		return
	}
	d.sum.Write(b)
}

// next reads a block, if the present one is used up. It reports whether there
// is anything to take from.
func (d *imageReader) next() bool {
	if len(d.block) > 0 {
		return d.err == nil
	}
	var header [8]byte
	d.read(header[:])
	n := binary.LittleEndian.Uint32(header[:])
	switch {
	case d.err != nil:
		return false
	case n == 0 || n > imageBlockBytes:
		d.corrupt("block of %d bytes, expected 1 to %d", n, imageBlockBytes)
		return false
	}
	block := d.buf[:n]
	d.read(block)
	d.crc = crc32.Update(d.crc, castagnoli, block)
	if want := binary.LittleEndian.Uint32(header[4:]); d.err == nil && d.crc != want {
		d.corrupt("block checksum %08x, expected %08x", d.crc, want)
	}
	if d.err != nil {
		return false
	}
	d.block = block
	return true
}

// ReadByte makes the reader an io.ByteReader for the varint decoders.
func (d *imageReader) ReadByte() (byte, error) {
	if !d.next() {
		return 0, d.err
	}
	b := d.block[0]
	d.block = d.block[1:]
	return b, nil
}

func (d *imageReader) byte() byte {
	b, _ := d.ReadByte()
	return b
}

func (d *imageReader) uvarint() uint64 {
	n, err := binary.ReadUvarint(d)
	if err != nil {
		d.corrupt("number longer than 64 bits")
		return 0
	}
	return n
}

func (d *imageReader) varint() int64 {
	n, err := binary.ReadVarint(d)
	if err != nil {
		d.corrupt("number longer than 64 bits")
		return 0
	}
	return n
}

// bytes reads a key or a value into dst. It grows with what arrives, not with
// what is promised.
func (d *imageReader) bytes(dst []byte) []byte {
	n := d.uvarint()
	if n > maxEntryPartBytes {
		d.corrupt("key or value of %d bytes, at most %d possible", n, maxEntryPartBytes)
		return dst[:0]
	}
	dst = dst[:0]
	for n > 0 && d.next() {
		part := d.block[:min(n, uint64(len(d.block)))]
		dst = append(dst, part...)
		d.block = d.block[len(part):]
		n -= uint64(len(part))
	}
	return dst
}

func (d *imageReader) header(v *view) {
	revision := d.uvarint()
	v.floor = d.varint()
	var digest [8]byte
	for i := range digest {
		digest[i] = d.byte()
	}
	v.hash = binary.LittleEndian.Uint64(digest[:])
	v.grants = d.uvarint()
	if revision < 1 || revision > imageNumberMax || v.floor < -1 || v.floor > int64(revision) {
		d.corrupt("revision %d with floor %d", revision, v.floor)
	}
	v.revision = int64(revision)
}

// more reads the mark before an element of a list.
func (d *imageReader) more(most byte) byte {
	mark := d.byte()
	if mark > most {
		d.corrupt("mark %d, expected 0 to %d", mark, most)
		return imageEnd
	}
	return mark
}

func (d *imageReader) leases(s *Store) {
	previous := int64(math.MinInt64)
	for d.more(imageMore) == imageMore {
		l := Lease{ID: d.varint(), TTL: d.varint(), Remaining: d.varint(), Serial: d.uvarint()}
		if l.ID <= previous || l.ID == 0 || l.TTL < 1 || l.TTL > MaxLeaseTTL {
			d.corrupt("lease %d of %d s after lease %d", l.ID, l.TTL, previous)
		}
		if l.Remaining < 0 || l.Remaining > l.TTL || l.Serial == 0 || l.Serial > s.live.grants {
			d.corrupt("lease %d of %d s with %d s left, grant %d of %d", l.ID, l.TTL, l.Remaining, l.Serial, s.live.grants)
		}
		if d.err != nil {
			return
		}
		previous = l.ID
		s.live.leases.ReplaceOrInsert(l)
	}
}

// base reads the state below the floor into the bases of the items.
func (d *imageReader) base(s *Store) {
	var previous []byte
	for {
		d.key = d.bytes(d.key)
		if d.err != nil || len(d.key) == 0 {
			return
		}
		if bytes.Compare(d.key, previous) <= 0 {
			d.corrupt("%s after %s", quoteKey(d.key), quoteKey(previous))
			return
		}
		previous = append(previous[:0], d.key...)
		d.value = d.bytes(d.value)
		var ver version
		ver.create, ver.mod, ver.version, ver.lease = d.varint(), d.varint(), d.varint(), d.varint()
		if ver.create < 2 || ver.mod < ver.create || ver.mod >= s.live.floor ||
			ver.version < 1 || ver.version > imageNumberMax {
			d.corrupt("%s with version %d created at %d, modified at %d, floor %d",
				quoteKey(d.key), ver.version, ver.create, ver.mod, s.live.floor)
		}
		if d.err != nil {
			return
		}
		it := item{key: s.arena.append(d.key, d.value, &ver, 0), head: makeHead(0, headLive|headBase)}
		s.live.dir = s.arena.dir
		s.index.set(s.live.dir, d.key, it)
		s.live.root = s.index.root
	}
}

// records replays the history from the floor on.
func (d *imageReader) records(s *Store) {
	v := &s.live
	digest, revision := v.hash, v.revision
	v.revision = v.imageStart()
	atFloor := v.floor >= 2 // records of the floor's own revision are possible
	for {
		kind := d.more(imageDelete)
		if d.err != nil || kind == imageEnd {
			break
		}
		step := d.uvarint()
		if step > 1 || step == 0 && !atFloor || v.revision+int64(step) > revision {
			d.corrupt("record %d revisions after %d of %d", step, v.revision, revision)
			return
		}
		atFloor = true
		v.revision += int64(step)
		d.replay(s, kind)
	}
	if d.err == nil && v.revision != revision {
		d.corrupt("records up to revision %d, expected %d", v.revision, revision)
	}
	s.applied = v.history.end
	v.hash = digest
}

// replay appends one record of the present revision.
func (d *imageReader) replay(s *Store, kind byte) {
	v := &s.live
	d.key = d.bytes(d.key)
	change := version{mod: v.revision}
	d.value = d.value[:0]
	if kind == imagePut {
		d.value = d.bytes(d.value)
		change.create, change.version, change.lease = v.revision, 1, d.varint()
	}
	if len(d.key) == 0 {
		d.corrupt("record without a key")
	}
	if d.err != nil {
		return
	}
	at := v.root.get(v.dir, d.key)
	if previous, exists := v.latestOf(at.item()); exists {
		if kind == imagePut {
			change.create, change.version = previous.create, previous.version+1
		}
	} else if kind == imageDelete {
		d.corrupt("delete of a missing %s", quoteKey(d.key))
		return
	}
	s.write(d.key, d.value, at, change)
}

// attach rebuilds which keys are attached to which lease.
func (d *imageReader) attach(s *Store) {
	v := &s.live
	v.root.ascend(v.dir, nil, bound{open: true}, true, func(it *item) bool {
		ver, ok := v.latest(it)
		if !ok || ver.lease == 0 {
			return d.err == nil
		}
		key := v.dir.key(ver.entry)
		if !v.leases.Has(Lease{ID: ver.lease}) {
			d.corrupt("%s is attached to lease %d, which does not exist", quoteKey(key), ver.lease)
		}
		v.attached.ReplaceOrInsert(attachment{lease: ver.lease, key: string(key)})
		return d.err == nil
	})
}

// finish reads the trailer.
func (d *imageReader) finish() {
	if d.err == nil && len(d.block) > 0 {
		d.corrupt("%d bytes behind the records", len(d.block))
	}
	sum := d.sum.Sum(nil)
	trailer := d.buf[:4+sha256.Size]
	d.read(trailer)
	if d.err != nil {
		return
	}
	if n := binary.LittleEndian.Uint32(trailer); n != 0 {
		d.corrupt("block of %d bytes behind the records", n)
	} else if !bytes.Equal(trailer[4:], sum) {
		d.corrupt("SHA-256 %x, expected %x", trailer[4:], sum)
	}
}
