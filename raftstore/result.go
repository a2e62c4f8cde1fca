package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// The results of sessions are part of the state, so they have a byte form:
//
//	error:  number of a sentinel, 0 for none · text     then, if there is none,
//	put:    revision · pair or nothing
//	delete: revision · deleted · pairs
//	txn:    succeeded · revision · { kind · result of the kind }…

// storedErrors are the errors that a command can end with, by their number minus
// one. Numbers are on disk: new ones go to the end.
var storedErrors = []error{
	errMalformed, mvcc.ErrCompacted, mvcc.ErrFutureRevision, mvcc.ErrEmptyKey, mvcc.ErrKeyNotFound,
	mvcc.ErrValueProvided, mvcc.ErrLeaseProvided, mvcc.ErrTooManyOps, mvcc.ErrDuplicateKey,
	mvcc.ErrInvalidSortOption, mvcc.ErrInvalidCompare, mvcc.ErrInvalidOp, mvcc.ErrRequestTooLarge,
	mvcc.ErrLeaseNotFound, mvcc.ErrLeaseExists, mvcc.ErrLeaseTTLTooLarge, mvcc.ErrInvalidLease,
	ErrNoSpace, ErrCorruptAlarm,
}

// storedError is an error that has been through its byte form: the same text, and
// the same sentinel for errors.Is.
type storedError struct {
	text     string
	sentinel error
}

func (e *storedError) Error() string { return e.text }
func (e *storedError) Unwrap() error { return e.sentinel }

func appendResult(b []byte, kind commandKind, r *result) []byte {
	if r.err != nil {
		number := 0
		for i, sentinel := range storedErrors {
			if errors.Is(r.err, sentinel) {
				number = i + 1
				break
			}
		}
		b = binary.AppendUvarint(b, uint64(number)+1)
		return appendBytes(b, []byte(r.err.Error()))
	}
	b = append(b, 0)
	switch kind {
	case commandPut:
		return appendPutResult(b, &r.put)
	case commandDelete, commandLeaseRevoke:
		return appendDeleteResult(b, &r.delete)
	case commandTxn:
		return appendTxnResult(b, &r.txn)
	}
	return b
}

func decodeResult(b []byte, kind commandKind) (out result, err error) {
	r := reader{b: b}
	if n := r.uvarint(); n > 0 {
		e := &storedError{text: string(r.bytes())}
		if n >= 2 && n-2 < uint64(len(storedErrors)) {
			e.sentinel = storedErrors[n-2]
		}
		out.err = e
	} else {
		switch kind {
		case commandPut:
			out.put = r.putResult()
		case commandDelete, commandLeaseRevoke:
			out.delete = r.deleteResult()
		case commandTxn:
			out.txn = r.txnResult(0)
		}
	}
	if r.bad || len(r.b) > 0 {
		return result{}, fmt.Errorf("%w: result of command kind %d", errMalformed, kind)
	}
	return out, nil
}

func appendPair(b []byte, kv *KeyValue) []byte {
	b = appendBytes(b, kv.Key)
	b = appendBytes(b, kv.Value)
	for _, v := range [...]int64{kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease} {
		b = binary.AppendVarint(b, v)
	}
	return b
}

func (r *reader) pair() (kv KeyValue) {
	kv.Key, kv.Value = r.bytes(), r.bytes()
	for _, v := range [...]*int64{&kv.CreateRevision, &kv.ModRevision, &kv.Version, &kv.Lease} {
		*v = r.varint()
	}
	return kv
}

func appendPairs(b []byte, kvs []KeyValue) []byte {
	b = binary.AppendUvarint(b, uint64(len(kvs)))
	for i := range kvs {
		b = appendPair(b, &kvs[i])
	}
	return b
}

func (r *reader) pairs() []KeyValue {
	n := r.count(6)
	if n == 0 {
		return nil
	}
	kvs := make([]KeyValue, n)
	for i := range kvs {
		kvs[i] = r.pair()
	}
	return kvs
}

func appendPutResult(b []byte, p *PutResult) []byte {
	b = binary.AppendVarint(b, p.Revision)
	b = appendFlag(b, p.PrevKV != nil)
	if p.PrevKV != nil {
		b = appendPair(b, p.PrevKV)
	}
	return b
}

func (r *reader) putResult() (p PutResult) {
	p.Revision = r.varint()
	if r.flag() {
		p.PrevKV = new(r.pair())
	}
	return p
}

func appendDeleteResult(b []byte, d *DeleteResult) []byte {
	b = binary.AppendVarint(b, d.Revision)
	b = binary.AppendVarint(b, d.Deleted)
	return appendPairs(b, d.PrevKVs)
}

func (r *reader) deleteResult() DeleteResult {
	return DeleteResult{Revision: r.varint(), Deleted: r.varint(), PrevKVs: r.pairs()}
}

func appendTxnResult(b []byte, t *TxnResult) []byte {
	b = appendFlag(b, t.Succeeded)
	b = binary.AppendVarint(b, t.Revision)
	b = binary.AppendUvarint(b, uint64(len(t.Results)))
	for i := range t.Results {
		switch op := &t.Results[i]; {
		case op.Put != nil:
			b = appendPutResult(append(b, opPut), op.Put)
		case op.Delete != nil:
			b = appendDeleteResult(append(b, opDelete), op.Delete)
		case op.Range != nil:
			b = appendPairs(append(b, opRange), op.Range.KVs)
			b = binary.AppendVarint(b, op.Range.Count)
			b = appendFlag(b, op.Range.More)
			b = binary.AppendVarint(b, op.Range.Revision)
		case op.Txn != nil:
			b = appendTxnResult(append(b, opTxn), op.Txn)
		}
	}
	return b
}

func (r *reader) txnResult(depth int) (t TxnResult) {
	if depth > txnDepthMax {
		r.bad = true
		return t
	}
	t.Succeeded, t.Revision = r.flag(), r.varint()
	n := r.count(3)
	for i := 0; i < n && !r.bad; i++ {
		var op OpResult
		switch r.byte() {
		case opPut:
			op.Put = new(r.putResult())
		case opDelete:
			op.Delete = new(r.deleteResult())
		case opRange:
			op.Range = &RangeResult{KVs: r.pairs(), Count: r.varint(), More: r.flag(), Revision: r.varint()}
		case opTxn:
			op.Txn = new(r.txnResult(depth + 1))
		default:
			r.bad = true
		}
		t.Results = append(t.Results, op)
	}
	return t
}
