package raftstore

import (
	"encoding/binary"
	"fmt"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// An entry of the log carries the commands that one member had waiting when it
// proposed, so that many small writes cost one entry:
//
//	┌─────────┬────────┬──────┬──────────┬───────┬───────┬─ ─ ─ ─ ─ ─
//	│ version │ origin │ boot │ sequence │ floor │ count │ commands
//	│ byte    │ uvarint│ uvar │ uvarint  │ uvar  │ uvar  │
//	└─────────┴────────┴──────┴──────────┴───────┴───────┴─ ─ ─ ─ ─ ─
//	command:  kind: byte · length: uvarint · body
//
// origin is the member that proposed, boot counts its starts, sequence its entries
// since then, and floor is the lowest sequence whose outcome it does not know yet.
// The four make every entry apply at most once, however often it was sent: an
// origin may repeat a proposal whose fate is open, and a network may duplicate it.
//
// Each command has a revision of its own and succeeds or fails alone.
const entryVersion = 1

// sequenceWindow bounds sequence minus floor, and so the memory of the entries
// applied out of order.
const sequenceWindow = 1 << 12

type entryHeader struct {
	origin, boot, sequence, floor uint64
	count                         int
	commands                      []byte
}

func (h *entryHeader) append(b []byte) []byte {
	b = append(b, entryVersion)
	for _, v := range [...]uint64{h.origin, h.boot, h.sequence, h.floor, uint64(h.count)} {
		b = binary.AppendUvarint(b, v)
	}
	return append(b, h.commands...)
}

func decodeHeader(b []byte) (entryHeader, error) {
	r := reader{b: b}
	version := r.byte()
	h := entryHeader{origin: r.uvarint(), boot: r.uvarint(), sequence: r.uvarint(), floor: r.uvarint()}
	h.count = r.count(2)
	h.commands = r.b
	if r.bad || version != entryVersion {
		return h, fmt.Errorf("%w: entry of %d bytes, version %d, expected version %d", errMalformed, len(b), version, entryVersion)
	}
	if h.origin == 0 || h.floor == 0 || h.sequence < h.floor || h.sequence-h.floor >= sequenceWindow {
		return h, fmt.Errorf("%w: entry of origin %d with sequence %d and floor %d", errMalformed, h.origin, h.sequence, h.floor)
	}
	return h, nil
}

// commandKind says what a command's body is.
type commandKind uint8

const (
	commandPut commandKind = 1 + iota
	commandDelete
	commandTxn
	commandCompact
	commandLeaseGrant
	commandLeaseRevoke
	commandLeaseExpire     // see lease_command.go
	commandLeaseCheckpoint // see lease_command.go
	commandAlarm           // see alarm.go
)

// next takes the next command off the list.
func nextCommand(r *reader) (kind commandKind, body []byte, err error) {
	kind = commandKind(r.byte())
	body = r.bytes()
	if r.bad {
		return 0, nil, fmt.Errorf("%w: commands end early", errMalformed)
	}
	return kind, body, nil
}

// appendCommand adds a command; body appends its body.
func appendCommand(b []byte, kind commandKind, body []byte) []byte {
	b = append(b, byte(kind))
	return appendBytes(b, body)
}

const (
	flagPrevKV = 1 << iota
	flagIgnoreValue
	flagIgnoreLease
)

func bits(flags ...bool) (b byte) {
	for i, f := range flags {
		if f {
			b |= 1 << i
		}
	}
	return b
}

func appendPut(b []byte, p *PutRequest) []byte {
	b = append(b, bits(p.PrevKV, p.IgnoreValue, p.IgnoreLease))
	b = binary.AppendVarint(b, p.Lease)
	b = appendBytes(b, p.Key)
	return appendBytes(b, p.Value)
}

func (r *reader) put() (p PutRequest) {
	flags := r.byte()
	if flags >= 8 {
		r.bad = true
	}
	p.PrevKV, p.IgnoreValue, p.IgnoreLease = flags&flagPrevKV != 0, flags&flagIgnoreValue != 0, flags&flagIgnoreLease != 0
	p.Lease = r.varint()
	p.Key, p.Value = r.bytes(), r.bytes()
	return p
}

func appendDelete(b []byte, d *DeleteRequest) []byte {
	b = appendFlag(b, d.PrevKV)
	b = appendBytes(b, d.Key)
	return appendBytes(b, d.End)
}

func (r *reader) delete() (d DeleteRequest) {
	d.PrevKV = r.flag()
	d.Key, d.End = r.bytes(), r.bytes()
	return d
}

func appendRange(b []byte, o *RangeOptions) []byte {
	b = append(b, bits(o.KeysOnly, o.CountOnly, o.Serializable), byte(o.SortOrder), byte(o.SortTarget))
	b = appendBytes(b, o.Key)
	b = appendBytes(b, o.End)
	for _, v := range [...]int64{o.Revision, o.Limit, o.MinModRevision, o.MaxModRevision, o.MinCreateRevision, o.MaxCreateRevision} {
		b = binary.AppendVarint(b, v)
	}
	return b
}

func (r *reader) rangeOptions() (o RangeOptions) {
	flags := r.byte()
	if flags >= 8 {
		r.bad = true
	}
	o.KeysOnly, o.CountOnly, o.Serializable = flags&1 != 0, flags&2 != 0, flags&4 != 0
	o.SortOrder, o.SortTarget = mvcc.SortOrder(r.byte()), mvcc.SortTarget(r.byte())
	o.Key, o.End = r.bytes(), r.bytes()
	for _, v := range [...]*int64{&o.Revision, &o.Limit, &o.MinModRevision, &o.MaxModRevision, &o.MinCreateRevision, &o.MaxCreateRevision} {
		*v = r.varint()
	}
	return o
}

func appendTxn(b []byte, t *Txn) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.If)))
	for i := range t.If {
		c := &t.If[i]
		b = append(b, byte(c.Target), byte(c.Operator))
		b = appendBytes(b, c.Key)
		b = appendBytes(b, c.End)
		b = appendBytes(b, c.Value)
		b = binary.AppendVarint(b, c.Number)
	}
	b = appendOps(b, t.Then)
	return appendOps(b, t.Else)
}

// The kinds of operations inside of a transaction.
const (
	opPut byte = 1 + iota
	opDelete
	opRange
	opTxn
)

func appendOps(b []byte, ops []Op) []byte {
	b = binary.AppendUvarint(b, uint64(len(ops)))
	for i := range ops {
		switch op := &ops[i]; {
		case op.Put != nil:
			b = appendPut(append(b, opPut), op.Put)
		case op.Delete != nil:
			b = appendDelete(append(b, opDelete), op.Delete)
		case op.Range != nil:
			b = appendRange(append(b, opRange), op.Range)
		case op.Txn != nil:
			b = appendTxn(append(b, opTxn), op.Txn)
		}
	}
	return b
}

// txnDepthMax bounds the nesting of transactions: at least what mvcc.Validate lets
// pass, so that what is proposed can be applied.
const txnDepthMax = 256

func (r *reader) txn(depth int) (t Txn) {
	if depth > txnDepthMax {
		r.bad = true
		return t
	}
	if n := r.count(6); n > 0 {
		t.If = make([]Compare, n)
	}
	for i := range t.If {
		c := &t.If[i]
		c.Target, c.Operator = mvcc.CompareTarget(r.byte()), mvcc.CompareOperator(r.byte())
		c.Key, c.End, c.Value = r.bytes(), r.bytes(), r.bytes()
		c.Number = r.varint()
	}
	t.Then = r.ops(depth)
	t.Else = r.ops(depth)
	return t
}

func (r *reader) ops(depth int) []Op {
	n := r.count(4)
	if n == 0 {
		return nil
	}
	ops := r.slab.newOps(n)
	for i := range ops {
		switch r.byte() {
		case opPut:
			ops[i].Put = r.slab.newPut(r.put())
		case opDelete:
			ops[i].Delete = new(r.delete())
		case opRange:
			ops[i].Range = new(r.rangeOptions())
		case opTxn:
			ops[i].Txn = new(r.txn(depth + 1))
		default:
			r.bad = true
		}
		if r.bad {
			return nil
		}
	}
	return ops
}

// txnSlab is memory for the operations of one decoded transaction after the other: what
// was decoded before reset is not valid behind it. Puts and lists of operations come
// from it, which is nearly all that large transactions have. A nil slab allocates.
type txnSlab struct {
	ops  []Op
	puts []PutRequest
}

// slabKeepMax is how many operations a slab holds.
const slabKeepMax = 1024

func (s *txnSlab) reset() {
	clear(s.ops) // lets go of what they refer to
	clear(s.puts)
	s.ops, s.puts = s.ops[:0], s.puts[:0]
}

func (s *txnSlab) newOps(n int) []Op {
	if s == nil || len(s.ops)+n > slabKeepMax {
		return make([]Op, n)
	}
	from := len(s.ops)
	if from+n > cap(s.ops) {
		s.ops, from = make([]Op, 0, max(2*cap(s.ops), n)), 0
	}
	s.ops = s.ops[:from+n]
	return s.ops[from : from+n : from+n]
}

func (s *txnSlab) newPut(p PutRequest) *PutRequest {
	if s == nil || len(s.puts) == slabKeepMax {
		out := new(PutRequest) // only here: &p would be on the heap in any case
		*out = p
		return out
	}
	if len(s.puts) == cap(s.puts) {
		s.puts = make([]PutRequest, 0, max(2*cap(s.puts), 16))
	}
	s.puts = append(s.puts, p)
	return &s.puts[len(s.puts)-1]
}
