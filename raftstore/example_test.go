package raftstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/orchcore/orchcore/raftstore"
)

// Three members in one process; in production each has a process and a machine of
// its own and the same Config but for ID.
func Example() {
	dir, err := os.MkdirTemp("", "raftstore")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	var members []raftstore.Member
	var listeners []net.Listener
	for id := range uint64(3) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		listeners = append(listeners, l)
		members = append(members, raftstore.Member{ID: id + 1, Address: l.Addr().String()})
	}
	var stores []*raftstore.Store
	for i, m := range members {
		s, err := raftstore.Open(filepath.Join(dir, fmt.Sprint(m.ID)), raftstore.Config{
			ID: m.ID, Members: members, Listener: listeners[i],
			TickInterval: 10 * time.Millisecond, SegmentSizeBytes: 1 << 20,
		})
		if err != nil {
			panic(err)
		}
		defer s.Close()
		stores = append(stores, s)
	}

	ctx := context.Background()
	_, err = stores[0].Put(ctx, raftstore.PutRequest{Key: []byte("greeting"), Value: []byte("hello")})
	if err != nil {
		panic(err)
	}
	pair, _, err := raftstore.Get(ctx, stores[2], []byte("greeting"))
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s at revision %d\n", pair.Value, pair.ModRevision)
	// Output: hello at revision 2
}

// A cluster of one needs no configuration at all.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "raftstore")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, err := raftstore.Open(dir, raftstore.Config{SegmentSizeBytes: 1 << 20, TickInterval: 5 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	defer s.Close()

	ctx := context.Background()
	key := []byte("counter")
	revision, swapped, err := raftstore.CompareAndSwap(ctx, s, key, []byte("1"), 0)
	fmt.Println(revision, swapped, err)
	_, swapped, err = raftstore.CompareAndSwap(ctx, s, key, []byte("1"), 0)
	fmt.Println(swapped, err)
	// Output:
	// 2 true <nil>
	// false <nil>
}

func ExampleStore_Watch() {
	dir, err := os.MkdirTemp("", "raftstore")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, err := raftstore.Open(dir, raftstore.Config{SegmentSizeBytes: 1 << 20, TickInterval: 5 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	defer s.Close()

	ctx := context.Background()
	prefix := []byte("pods/")
	w, err := s.Watch(ctx, raftstore.WatchOptions{Key: prefix, End: raftstore.PrefixEnd(prefix)})
	if err != nil {
		panic(err)
	}
	defer w.Close()
	for _, name := range []string{"pods/a", "nodes/x", "pods/b"} {
		if _, err := s.Put(ctx, raftstore.PutRequest{Key: []byte(name)}); err != nil {
			panic(err)
		}
	}
	for seen := 0; seen < 2; {
		batch, err := w.Next(ctx)
		if err != nil {
			panic(err)
		}
		for _, e := range batch.Events {
			fmt.Println(e.Type, string(e.KV.Key), e.KV.ModRevision)
			seen++
		}
	}
	// Output:
	// PUT pods/a 2
	// PUT pods/b 4
}

// A write that nobody can decide about now says so: whoever waits gives up by its
// context, and learns whether the write can still happen.
func ExampleStore_Put_outcomes() {
	dir, err := os.MkdirTemp("", "raftstore")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	// One of three members, alone: there is no majority and so no leader.
	s, err := raftstore.Open(dir, raftstore.Config{
		ID: 1, Members: []raftstore.Member{{ID: 1, Address: "127.0.0.1:0"}, {ID: 2, Address: "127.0.0.1:1"}, {ID: 3, Address: "127.0.0.1:2"}},
		SegmentSizeBytes: 1 << 20, TickInterval: 5 * time.Millisecond,
	})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = s.Put(ctx, raftstore.PutRequest{Key: []byte("k")})
	fmt.Println(errors.Is(err, raftstore.ErrNotApplied), errors.Is(err, raftstore.ErrUnknownOutcome))
	// Output: true false
}
