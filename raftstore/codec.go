package raftstore

import (
	"encoding/binary"
	"errors"
)

// errMalformed is wrapped with what was found instead of what was expected.
var errMalformed = errors.New("malformed bytes")

// reader takes fields from the front of b. After the first that does not fit, bad
// is set and everything reads as zero, so a decoder checks once, at its end.
type reader struct {
	b   []byte
	bad bool
	// slab, if set, is where the parts of transactions are decoded to.
	slab *txnSlab
}

func (r *reader) byte() byte {
	if r.bad || len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// flag reads a byte that must be 0 or 1.
func (r *reader) flag() bool {
	v := r.byte()
	if v > 1 {
		r.bad = true
	}
	return v == 1
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads the length of a list whose elements take at least sizeMin bytes
// each, so that nobody can make the reader allocate more than was sent.
func (r *reader) count(sizeMin int) int {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)/sizeMin) {
		r.bad = true
		return 0
	}
	return int(n)
}

// bytes reads a length and that many bytes, as a view; empty is nil.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	if n == 0 {
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uvarints() []uint64 {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	vs := make([]uint64, n)
	for i := range vs {
		vs[i] = r.uvarint()
	}
	return vs
}

func appendBytes(b, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendUvarints(b []byte, vs []uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(vs)))
	for _, v := range vs {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func appendFlag(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendVarint(b []byte, v int64) []byte { return binary.AppendVarint(b, v) }
