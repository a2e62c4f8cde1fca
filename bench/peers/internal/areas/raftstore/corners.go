package raftstore

import ours "github.com/orchcore/orchcore/raftstore/mvcc"

func put(key, value string) *ours.PutRequest {
	return &ours.PutRequest{Key: []byte(key), Value: []byte(value)}
}

func remove(key, end string) *ours.DeleteRequest {
	return &ours.DeleteRequest{Key: []byte(key), End: []byte(end)}
}

func all(revision int64) *ours.RangeOptions {
	return &ours.RangeOptions{Key: []byte{0}, End: []byte{0}, Revision: revision}
}

func compact(revision int64) step { return step{Compact: &revision} }

// corners are the scripts that random ones seldom find.
func corners() []script {
	then := func(ops ...ours.Op) step { return step{Txn: &ours.Txn{Then: ops}} }
	nested := func(ops ...ours.Op) ours.Op { return ours.Op{Txn: &ours.Txn{Then: ops}} }
	putOp := func(key string) ours.Op { return ours.Op{Put: put(key, "v")} }
	deleteOp := func(key, end string) ours.Op { return ours.Op{Delete: remove(key, end)} }
	return []script{
		// The floor of an empty store.
		{compact(0), compact(0), compact(1), compact(1), compact(2), {Range: all(1)}, {Range: all(2)}},
		{compact(-1), compact(1), {Put: put("a", "1")}, compact(2), {Range: all(1)}, {Range: all(2)}},
		// A delete up to the end of the key space is not seen to cover a put.
		{then(deleteOp("a", "\x00"), putOp("b")), {Put: put("b", "2")}, then(putOp("b"), deleteOp("a", "\x00")), {Range: all(0)}},
		{{Put: put("b", "1")}, then(deleteOp("a", "\x00"), putOp("b"), deleteOp("a", "\x00")), {Range: all(0)}},
		// A nested put before a sibling's delete passes, the reverse does not.
		{then(nested(putOp("a")), nested(deleteOp("a", ""))), {Range: all(0)}},
		{then(nested(deleteOp("a", "")), nested(putOp("a")))},
		{then(nested(putOp("a")), putOp("a"))}, {then(nested(putOp("a")), nested(putOp("a")))},
		{then(ours.Op{Txn: &ours.Txn{Then: []ours.Op{putOp("a")}, Else: []ours.Op{putOp("a")}}})},
		// Reads before, between and after writes of a transaction.
		{{Put: put("a", "0")}, then(ours.Op{Range: all(0)}, putOp("a"), ours.Op{Range: all(0)}, ours.Op{Range: all(2)}, deleteOp("x", "y"), ours.Op{Range: all(0)})},
		{then(putOp("a"), ours.Op{Range: all(2)})}, // a future revision, before the put
		// Compaction at a tombstone, and watches from there.
		{{Put: put("a", "1")}, {Delete: remove("a", "")}, {Put: put("b", "1")}, compact(3), {Watch: &ours.WatchOptions{Key: []byte("a"), StartRevision: 3, PrevKV: true}},
			{Watch: &ours.WatchOptions{Key: []byte("a"), StartRevision: 2}}, {Range: all(3)}, compact(4), {Range: all(0)}},
		{{Put: put("a", "1")}, {Delete: remove("a", "")}, compact(3), {Restart: true}, {Put: put("a", "2")}, {Range: all(0)}},
		// Empty ranges in conditions.
		{{Txn: &ours.Txn{If: []ours.Compare{{Target: ours.CompareValue, Operator: ours.NotEqual, Key: []byte("z"), End: []byte("a")}}, Then: []ours.Op{putOp("t")}, Else: []ours.Op{putOp("e")}}},
			{Txn: &ours.Txn{If: []ours.Compare{{Target: ours.CompareVersion, Operator: ours.Equal, Key: []byte("z"), End: []byte("a")}}, Then: []ours.Op{putOp("t")}, Else: []ours.Op{putOp("e")}}}},
		// Where we differ.
		{{Put: put("b", "1")}, then(deleteOp("a", "\x00"), ours.Op{Put: &ours.PutRequest{Key: []byte("b"), IgnoreValue: true}})},
		{{Put: put("b", "1")}, then(deleteOp("a", "\x00"), putOp("b")), compact(3), {Range: all(0)}},
		{then(nested(putOp("a")), nested(deleteOp("a", ""))), compact(2), {Watch: &ours.WatchOptions{Key: []byte("a"), StartRevision: 2}}, {Put: put("a", "2")}},
		{{Txn: &ours.Txn{If: []ours.Compare{{Target: 9, Key: []byte("a")}}}}},
		{{Txn: &ours.Txn{If: []ours.Compare{{Operator: 9, Key: []byte("a")}}}}},
		{{Grant: &ours.Lease{ID: 0, TTL: 1}}}, {{Grant: &ours.Lease{ID: 1, TTL: 0}}}, {{Grant: &ours.Lease{ID: 1, TTL: -5}}},
	}
}
