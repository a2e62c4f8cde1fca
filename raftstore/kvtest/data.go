package kvtest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

func revisions(k *kit) {
	first := k.put("a", "1")
	second := k.put("a", "2")
	k.same("revision of the second put", first+1, second)
	kv, ok := k.get("a")
	k.same("whether a exists", true, ok)
	k.same("a", raftstore.KeyValue{
		Key: k.key("a"), Value: []byte("2"), CreateRevision: first, ModRevision: second, Version: 2,
	}, kv)
	d, err := k.kv.DeleteRange(k.ctx, raftstore.DeleteRequest{Key: k.key("a")})
	k.ok(err)
	k.same("result of the delete", []int64{second + 1, 1}, []int64{d.Revision, d.Deleted})
	d, err = k.kv.DeleteRange(k.ctx, raftstore.DeleteRequest{Key: k.key("a")})
	k.ok(err)
	k.same("a delete of nothing", []int64{second + 1, 0}, []int64{d.Revision, d.Deleted})
	_, ok = k.get("a")
	k.same("whether a exists", false, ok)
	third := k.put("a", "")
	kv, _ = k.get("a")
	k.same("the new life of a", []int64{third, third, 1, 0}, []int64{kv.CreateRevision, kv.ModRevision, kv.Version, int64(len(kv.Value))})
}

func putOptions(k *kit) {
	r, err := k.kv.Put(k.ctx, raftstore.PutRequest{Key: k.key("a"), Value: []byte("1"), PrevKV: true})
	k.ok(err)
	k.same("pair before the first put", (*raftstore.KeyValue)(nil), r.PrevKV)
	r, err = k.kv.Put(k.ctx, raftstore.PutRequest{Key: k.key("a"), Value: []byte("2"), PrevKV: true})
	k.ok(err)
	k.same("pair before the second", "1", string(r.PrevKV.Value))
	_, err = k.kv.Put(k.ctx, raftstore.PutRequest{Key: k.key("a"), IgnoreValue: true})
	k.ok(err)
	kv, _ := k.get("a")
	k.same("value that was kept", "2", string(kv.Value))
	k.same("version", 3, kv.Version)
}

func ranges(k *kit) {
	for i := range 5 {
		k.put(strconv.Itoa(i), strconv.Itoa(9-i))
	}
	middle := k.put("0", "9")
	for _, c := range []struct {
		name   string
		change func(*raftstore.RangeOptions)
		kvs    string
		count  int64
		more   bool
	}{
		{"everything", func(*raftstore.RangeOptions) {}, "0=9 1=8 2=7 3=6 4=5 ", 5, false},
		{"limit", func(o *raftstore.RangeOptions) { o.Limit = 2 }, "0=9 1=8 ", 5, true},
		{"limit that is not reached", func(o *raftstore.RangeOptions) { o.Limit = 5 }, "0=9 1=8 2=7 3=6 4=5 ", 5, false},
		{"part", func(o *raftstore.RangeOptions) { o.Key, o.End = k.key("1"), k.key("3") }, "1=8 2=7 ", 2, false},
		{"backwards", func(o *raftstore.RangeOptions) { o.SortOrder, o.Limit = mvcc.SortDescend, 2 }, "4=5 3=6 ", 5, true},
		{"by value", func(o *raftstore.RangeOptions) { o.SortOrder, o.SortTarget = mvcc.SortAscend, mvcc.SortByValue }, "4=5 3=6 2=7 1=8 0=9 ", 5, false},
		{"by change", func(o *raftstore.RangeOptions) {
			o.SortOrder, o.SortTarget, o.Limit = mvcc.SortDescend, mvcc.SortByModRevision, 1
		}, "0=9 ", 5, true},
		{"keys", func(o *raftstore.RangeOptions) { o.KeysOnly, o.Limit = true, 2 }, "0= 1= ", 5, true},
		{"count", func(o *raftstore.RangeOptions) { o.CountOnly = true }, "", 5, false},
		{"changed lately", func(o *raftstore.RangeOptions) { o.MinModRevision = middle }, "0=9 ", 5, false},
		{"made before", func(o *raftstore.RangeOptions) { o.MaxCreateRevision = middle - 4 }, "0=9 1=8 ", 5, false},
		{"own state", func(o *raftstore.RangeOptions) { o.Serializable, o.Limit = true, 1 }, "0=9 ", 5, true},
	} {
		o := k.all()
		c.change(&o)
		r, err := k.kv.Range(k.ctx, o)
		k.ok(err)
		k.same(c.name, fmt.Sprint(c.kvs, c.count, c.more), fmt.Sprint(k.text(r.KVs), r.Count, r.More))
		if r.Revision < middle {
			k.Fatalf("%s: revision is %d, expected %d or more", c.name, r.Revision, middle)
		}
	}
}

func history(k *kit) {
	first := k.put("a", "1")
	k.put("a", "2")
	k.put("b", "1")
	o := k.all()
	o.Revision = first
	r, err := k.kv.Range(k.ctx, o)
	k.ok(err)
	k.same("the past", "a=1 ", k.text(r.KVs))
	o.Revision = first + 1_000_000
	_, err = k.kv.Range(k.ctx, o)
	k.fails("the future", err, mvcc.ErrFutureRevision, false)
}

func deleteRange(k *kit) {
	for i := range 4 {
		k.put(strconv.Itoa(i), "v")
	}
	d, err := k.kv.DeleteRange(k.ctx, raftstore.DeleteRequest{Key: k.key("1"), End: k.key("3"), PrevKV: true})
	k.ok(err)
	k.same("deleted", 2, d.Deleted)
	k.same("pairs", "1=v 2=v ", k.text(d.PrevKVs))
	r, err := k.kv.Range(k.ctx, k.all())
	k.ok(err)
	k.same("left", "0=v 3=v ", k.text(r.KVs))
}

// contention has many clients count at one key: every count is in the sum, once.
func contention(k *kit) {
	const clients, each = 8, 10
	var wg sync.WaitGroup
	failed := make(chan error, clients)
	for range clients {
		wg.Go(func() {
			for range each {
				if _, err := raftstore.Update(k.ctx, k.kv, k.key("sum"), addOne); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	k.ok(<-failed)
	kv, _ := k.get("sum")
	k.same("sum", clients*each, string(kv.Value))
	k.same("version", clients*each, kv.Version)

	_, swapped, err := raftstore.CompareAndSwap(k.ctx, k.kv, k.key("sum"), []byte("x"), kv.ModRevision-1)
	k.ok(err)
	k.same("a swap of something old", false, swapped)
	_, deleted, err := raftstore.CompareAndDelete(k.ctx, k.kv, k.key("sum"), kv.ModRevision)
	k.ok(err)
	k.same("a delete of what is there", true, deleted)
}

func addOne(current []byte, exists bool) ([]byte, error) {
	n := 0
	if exists {
		var err error
		if n, err = strconv.Atoi(string(current)); err != nil {
			return nil, err
		}
	}
	return strconv.AppendInt(nil, int64(n+1), 10), nil
}

// compaction comes last: it takes the past of all rules away.
func compaction(k *kit) {
	first := k.put("a", "1")
	second := k.put("a", "2")
	k.put("a", "3")
	k.ok(k.kv.Compact(k.ctx, second))
	o := k.all()
	o.Revision = first
	_, err := k.kv.Range(k.ctx, o)
	k.fails("a range below the floor", err, mvcc.ErrCompacted, false)
	o.Revision = second
	r, err := k.kv.Range(k.ctx, o)
	k.ok(err)
	k.same("at the floor", "a=2 ", k.text(r.KVs))
	k.fails("the same compaction", k.kv.Compact(k.ctx, second), mvcc.ErrCompacted, true)
	k.fails("a compaction of the future", k.kv.Compact(k.ctx, second+1_000_000), mvcc.ErrFutureRevision, true)

	// A watch from below the floor ends, when it is opened or with its first batch.
	w, err := k.kv.Watch(k.ctx, raftstore.WatchOptions{Key: k.key("a"), StartRevision: first})
	if err == nil {
		_, err = w.Next(k.ctx)
		w.Close()
	}
	k.fails("a watch from below the floor", err, mvcc.ErrCompacted, false)
	var compacted *mvcc.CompactedError
	if !errors.As(err, &compacted) || compacted.Floor < second {
		k.Fatalf("error %#v has no floor of %d or more", err, second)
	}
}
