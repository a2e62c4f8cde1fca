package raftstore

import (
	"errors"
	"fmt"
	"strings"

	ours "github.com/orchcore/orchcore/raftstore/mvcc"
)

// Answers of both sides become the same kind of text.

func showKV(kv ours.KeyValue) string {
	return fmt.Sprintf("%q=%q created %d, modified %d, version %d, lease %d",
		kv.Key, kv.Value, kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease)
}

func showKVs(kvs []ours.KeyValue) string {
	var b strings.Builder
	for _, kv := range kvs {
		fmt.Fprintf(&b, "[%s]", showKV(kv))
	}
	return b.String()
}

func showPrev(kv *ours.KeyValue) string {
	if kv == nil {
		return "none"
	}
	return showKV(*kv)
}

func showRange(r *ours.RangeResult) string {
	return fmt.Sprintf("revision %d, count %d, more %v %s", r.Revision, r.Count, r.More, showKVs(r.KVs))
}

func showPut(r *ours.PutResult) string {
	return fmt.Sprintf("revision %d, previous %s", r.Revision, showPrev(r.PrevKV))
}

func showDelete(r *ours.DeleteResult) string {
	return fmt.Sprintf("revision %d, deleted %d %s", r.Revision, r.Deleted, showKVs(r.PrevKVs))
}

func showTxn(r *ours.TxnResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "revision %d, succeeded %v {", r.Revision, r.Succeeded)
	for _, o := range r.Results {
		switch {
		case o.Range != nil:
			fmt.Fprintf(&b, "range: %s; ", showRange(o.Range))
		case o.Put != nil:
			fmt.Fprintf(&b, "put: %s; ", showPut(o.Put))
		case o.Delete != nil:
			fmt.Fprintf(&b, "delete: %s; ", showDelete(o.Delete))
		case o.Txn != nil:
			fmt.Fprintf(&b, "txn: %s; ", showTxn(o.Txn))
		}
	}
	return b.String() + "}"
}

func showEvent(e ours.Event) string {
	return fmt.Sprintf("%v %s, previous %s", e.Type, showKV(e.KV), showPrev(e.PrevKV))
}

// ourError names an error by its sentinel.
func ourError(err error) string {
	for _, sentinel := range []error{
		ours.ErrCompacted, ours.ErrFutureRevision, ours.ErrEmptyWatchRange, ours.ErrLeaseNotFound,
		ours.ErrLeaseExists, ours.ErrLeaseTTLTooLarge, ours.ErrKeyNotFound, ours.ErrEmptyKey,
		ours.ErrValueProvided, ours.ErrLeaseProvided, ours.ErrTooManyOps, ours.ErrDuplicateKey,
		ours.ErrInvalidSortOption, ours.ErrInvalidOp, ours.ErrInvalidCompare, ours.ErrInvalidLease,
	} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	return fmt.Sprintf("unknown error %q", err)
}
