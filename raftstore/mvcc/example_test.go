package mvcc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// Every write makes a revision; old revisions stay readable until Compact.
func ExampleStore() {
	s := mvcc.New()
	for _, value := range []string{"pending", "running"} {
		put, err := s.Put(&mvcc.PutRequest{Key: []byte("pods/web"), Value: []byte(value)})
		fmt.Println("revision", put.Revision, err)
	}
	for _, revision := range []int64{2, 0} {
		kv, ok, err := s.Lookup([]byte("pods/web"), revision)
		fmt.Printf("%s, version %d, %v %v\n", kv.Value, kv.Version, ok, err)
	}
	if err := s.Compact(3); err != nil {
		fmt.Println(err)
	}
	_, _, err := s.Lookup([]byte("pods/web"), 2)
	fmt.Println(err)
	// Output:
	// revision 2 <nil>
	// revision 3 <nil>
	// pending, version 1, true <nil>
	// running, version 2, true <nil>
	// mvcc: required revision has been compacted: 2 is below the floor 3
}

// Compare-and-swap: the write happens only if nobody has written since.
func ExampleStore_Apply() {
	s := mvcc.New()
	swap := func(holder string, seen int64) {
		r, err := s.Apply(&mvcc.Txn{
			If:   []mvcc.Compare{{Target: mvcc.CompareModRevision, Key: []byte("lock"), Number: seen}},
			Then: []mvcc.Op{{Put: &mvcc.PutRequest{Key: []byte("lock"), Value: []byte(holder)}}},
			Else: []mvcc.Op{{Range: &mvcc.RangeOptions{Key: []byte("lock")}}},
		})
		if err != nil {
			fmt.Println(err)
		} else if r.Succeeded {
			fmt.Println(holder, "holds the lock at revision", r.Revision)
		} else {
			fmt.Printf("%s sees %s\n", holder, r.Results[0].Range.KVs[0].Value)
		}
	}
	swap("a", 0) // 0: the key must not exist
	swap("b", 0)
	swap("b", 2)
	// Output:
	// a holds the lock at revision 2
	// b sees a
	// b holds the lock at revision 3
}

// A watcher delivers whole revisions, from any one that has not been compacted.
func ExampleStore_Watch() {
	s := mvcc.New()
	put := func(key, value string) {
		if _, err := s.Put(&mvcc.PutRequest{Key: []byte(key), Value: []byte(value)}); err != nil {
			fmt.Println(err)
		}
	}
	put("pods/web", "pending")
	prefix := []byte("pods/")
	w, err := s.Watch(mvcc.WatchOptions{Key: prefix, End: mvcc.PrefixEnd(prefix), StartRevision: 2, PrevKV: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer w.Close()
	put("nodes/n1", "ready")
	put("pods/web", "running")
	if _, err := s.Delete(&mvcc.DeleteRequest{Key: []byte("pods/web")}); err != nil {
		fmt.Println(err)
	}
	batch, err := w.Next(context.Background())
	for _, e := range batch.Events {
		fmt.Printf("%d %v %s %s", e.KV.ModRevision, e.Type, e.KV.Key, e.KV.Value)
		if e.PrevKV != nil {
			fmt.Printf(" (was %s)", e.PrevKV.Value)
		}
		fmt.Println()
	}
	fmt.Println("seen up to", batch.Revision, err)
	// Output:
	// 2 PUT pods/web pending
	// 4 PUT pods/web running (was pending)
	// 5 DELETE pods/web  (was running)
	// seen up to 5 <nil>
}

// A snapshot is taken at once and read in peace while writes go on.
func ExampleSnapshot() {
	s := mvcc.New()
	for _, key := range []string{"a", "b", "c"} {
		if _, err := s.Put(&mvcc.PutRequest{Key: []byte(key)}); err != nil {
			fmt.Println(err)
		}
	}
	sn := s.Snapshot()
	_, err := s.Delete(&mvcc.DeleteRequest{Key: []byte("b")})
	fmt.Println("deleted:", err)
	all, err := sn.Scan([]byte{0}, []byte{0}, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	for kv := range all {
		fmt.Printf("%s at %d\n", kv.Key, kv.ModRevision)
	}
	// Output:
	// deleted: <nil>
	// a at 2
	// b at 3
	// c at 4
}

// An image carries everything that can be read, and says when it is damaged.
func ExampleLoad() {
	s := mvcc.New()
	if _, err := s.Put(&mvcc.PutRequest{Key: []byte("a"), Value: []byte("1")}); err != nil {
		fmt.Println(err)
	}
	var image bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&image); err != nil {
		fmt.Println(err)
	}
	damaged := bytes.Clone(image.Bytes())
	loaded, err := mvcc.Load(&image)
	fmt.Println(loaded.Revision(), loaded.Hash() == s.Hash(), err)
	damaged[20] ^= 1
	_, err = mvcc.Load(bytes.NewReader(damaged))
	fmt.Println(errors.Is(err, mvcc.ErrCorruptImage))
	// Output:
	// 2 true <nil>
	// true
}
