package kvtest

import (
	"bytes"
	"fmt"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

func putOp(key []byte, value string) raftstore.Op {
	return raftstore.Op{Put: &raftstore.PutRequest{Key: key, Value: []byte(value)}}
}

func rangeOp(o raftstore.RangeOptions) raftstore.Op { return raftstore.Op{Range: &o} }

func transactions(k *kit) {
	before := k.put("a", "0")
	r, err := k.kv.Txn(k.ctx, raftstore.Txn{
		If: []raftstore.Compare{{Target: raftstore.CompareModRevision, Operator: raftstore.Equal, Key: k.key("a"), Number: before}},
		Then: []raftstore.Op{
			rangeOp(k.all()),
			putOp(k.key("a"), "1"),
			putOp(k.key("b"), "1"),
			rangeOp(k.all()),
			{Delete: &raftstore.DeleteRequest{Key: k.key("none")}},
			{Txn: &raftstore.Txn{
				If:   []raftstore.Compare{{Target: raftstore.CompareVersion, Operator: raftstore.Greater, Key: k.key("a"), Number: 5}},
				Else: []raftstore.Op{putOp(k.key("c"), "1")},
			}},
		},
		Else: []raftstore.Op{putOp(k.key("wrong"), "")},
	})
	k.ok(err)
	k.same("whether it succeeded", true, r.Succeeded)
	k.same("revision", before+1, r.Revision)
	k.same("number of results", 6, len(r.Results))
	k.same("a read before the writes", "a=0 ", k.text(r.Results[0].Range.KVs))
	k.same("a read after them", "a=1 b=1 ", k.text(r.Results[3].Range.KVs))
	k.same("deleted", 0, r.Results[4].Delete.Deleted)
	k.same("the nested one", false, r.Results[5].Txn.Succeeded)
	all, err := k.kv.Range(k.ctx, k.all())
	k.ok(err)
	k.same("afterwards", "a=1 b=1 c=1 ", k.text(all.KVs))
	for _, kv := range all.KVs {
		k.same("revision of all writes", before+1, kv.ModRevision)
	}

	r, err = k.kv.Txn(k.ctx, raftstore.Txn{
		If:   []raftstore.Compare{{Target: raftstore.CompareModRevision, Operator: raftstore.Equal, Key: k.key("a"), Number: before}},
		Then: []raftstore.Op{putOp(k.key("wrong"), "")},
		Else: []raftstore.Op{rangeOp(raftstore.RangeOptions{Key: k.key("a")})},
	})
	k.ok(err)
	k.same("whether it succeeded", false, r.Succeeded)
	k.same("revision of one that only reads", before+1, r.Revision)
	k.same("the other branch", "a=1 ", k.text(r.Results[0].Range.KVs))
}

func compares(k *kit) {
	first := k.put("a", "m")
	second := k.put("a", "m")
	k.put("b", "m")
	for _, c := range []struct {
		c    raftstore.Compare
		want bool
	}{
		{raftstore.Compare{Target: raftstore.CompareVersion, Operator: raftstore.Equal, Number: 2}, true},
		{raftstore.Compare{Target: raftstore.CompareVersion, Operator: raftstore.NotEqual, Number: 2}, false},
		{raftstore.Compare{Target: raftstore.CompareCreateRevision, Operator: raftstore.Less, Number: second}, true},
		{raftstore.Compare{Target: raftstore.CompareCreateRevision, Operator: raftstore.Greater, Number: first}, false},
		{raftstore.Compare{Target: raftstore.CompareModRevision, Operator: raftstore.Equal, Number: second}, true},
		{raftstore.Compare{Target: raftstore.CompareLease, Operator: raftstore.Equal}, true},
		{raftstore.Compare{Target: raftstore.CompareValue, Operator: raftstore.Equal, Value: []byte("m")}, true},
		{raftstore.Compare{Target: raftstore.CompareValue, Operator: raftstore.Greater, Value: []byte("a")}, true},
		{raftstore.Compare{Target: raftstore.CompareValue, Operator: raftstore.NotEqual, Value: []byte("m")}, false},
		{raftstore.Compare{Target: raftstore.CompareValue, Operator: raftstore.Equal, End: k.key("c"), Value: []byte("m")}, true},
		{raftstore.Compare{Target: raftstore.CompareVersion, Operator: raftstore.Equal, End: k.key("c"), Number: 2}, false},
		{raftstore.Compare{Target: raftstore.CompareVersion, Operator: raftstore.Equal, Key: k.key("none")}, true},
		{raftstore.Compare{Target: raftstore.CompareValue, Operator: raftstore.NotEqual, Key: k.key("none"), Value: []byte("m")}, false},
	} {
		if c.c.Key == nil {
			c.c.Key = k.key("a")
		}
		r, err := k.kv.Txn(k.ctx, raftstore.Txn{If: []raftstore.Compare{c.c}})
		k.ok(err)
		k.same(fmt.Sprintf("%+v", c.c), c.want, r.Succeeded)
	}
}

// refusals are the errors that callers tell apart. None of these writes anything.
func refusals(k *kit) {
	write := func(what string, want error, t raftstore.Txn) {
		k.Helper()
		_, err := k.kv.Txn(k.ctx, t)
		k.fails(what, err, want, true)
	}
	write("a put without a key", mvcc.ErrEmptyKey, raftstore.Txn{Then: []raftstore.Op{putOp(nil, "v")}})
	write("two puts of a key", mvcc.ErrDuplicateKey, raftstore.Txn{Then: []raftstore.Op{putOp(k.key("a"), "v"), putOp(k.key("a"), "v")}})
	write("a lease that is not there", mvcc.ErrLeaseNotFound, raftstore.Txn{Then: []raftstore.Op{
		putOp(k.key("b"), "v"), {Put: &raftstore.PutRequest{Key: k.key("a"), Lease: 77}},
	}})
	write("a value to be kept of nothing", mvcc.ErrKeyNotFound, raftstore.Txn{Then: []raftstore.Op{
		putOp(k.key("b"), "v"), {Put: &raftstore.PutRequest{Key: k.key("none"), IgnoreValue: true}},
	}})
	write("a value beside the one to be kept", mvcc.ErrValueProvided, raftstore.Txn{Then: []raftstore.Op{
		{Put: &raftstore.PutRequest{Key: k.key("a"), Value: []byte("v"), IgnoreValue: true}},
	}})
	many := raftstore.Txn{}
	for i := range 129 {
		many.Then = append(many.Then, putOp(k.key(fmt.Sprint(i)), "v"))
	}
	write("too many operations", mvcc.ErrTooManyOps, many)
	_, err := k.kv.Put(k.ctx, raftstore.PutRequest{Value: []byte("v")})
	k.fails("a put without a key", err, mvcc.ErrEmptyKey, true)
	_, err = k.kv.Put(k.ctx, raftstore.PutRequest{Key: k.key("a"), Value: bytes.Repeat([]byte("v"), 3<<19)})
	k.fails("a value that is too large", err, mvcc.ErrRequestTooLarge, true)
	_, err = k.kv.DeleteRange(k.ctx, raftstore.DeleteRequest{})
	k.fails("a delete without a key", err, mvcc.ErrEmptyKey, true)
	_, err = k.kv.Range(k.ctx, raftstore.RangeOptions{})
	k.fails("a range without a key", err, mvcc.ErrEmptyKey, false)
	r, err := k.kv.Range(k.ctx, k.all())
	k.ok(err)
	k.same("what was written after all", 0, len(r.KVs))
}
