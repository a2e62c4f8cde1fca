package raftstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
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

func openAlone() (s *raftstore.Store, done func()) {
	dir, err := os.MkdirTemp("", "raftstore")
	if err != nil {
		panic(err)
	}
	s, err = raftstore.Open(dir, raftstore.Config{TickInterval: 10 * time.Millisecond, SegmentSizeBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	return s, func() {
		_ = s.Close()
		_ = os.RemoveAll(dir)
	}
}

// A key lives as long as the lease that it is attached to.
func ExampleLeaser() {
	s, done := openAlone()
	defer done()
	ctx := context.Background()
	lease, err := s.Grant(ctx, 0, 30)
	if err != nil {
		panic(err)
	}
	for _, key := range []string{"/workers/a", "/workers/b"} {
		if _, err := s.Put(ctx, raftstore.PutRequest{Key: []byte(key), Lease: lease.ID}); err != nil {
			panic(err)
		}
	}
	ttl, err := s.KeepAlive(ctx, lease.ID) // every ten seconds, from now on
	fmt.Println("alive for", ttl, "s more", err)

	revision, err := s.Revoke(ctx, lease.ID)
	fmt.Println("both keys were deleted at revision", revision, err)
	_, err = s.KeepAlive(ctx, lease.ID)
	fmt.Println(errors.Is(err, mvcc.ErrLeaseNotFound))
	// Output:
	// alive for 30 s more <nil>
	// both keys were deleted at revision 4 <nil>
	// true
}

// Any number of callers can count in one key.
func ExampleUpdate() {
	s, done := openAlone()
	defer done()
	ctx := context.Background()
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			_, err := raftstore.Update(ctx, s, []byte("visits"), func(current []byte, exists bool) ([]byte, error) {
				n := 0
				if exists {
					n, _ = strconv.Atoi(string(current))
				}
				return strconv.AppendInt(nil, int64(n+1), 10), nil
			})
			if err != nil {
				panic(err)
			}
		})
	}
	callers.Wait()
	pair, _, err := raftstore.Get(ctx, s, []byte("visits"))
	fmt.Printf("%s %v\n", pair.Value, err)
	// Output: 100 <nil>
}

// What the owner of a lock writes is refused when it is not the owner any more.
func ExampleMutex() {
	s, done := openAlone()
	defer done()
	ctx := context.Background()
	mutex, err := raftstore.NewMutex(s, raftstore.MutexConfig{Prefix: []byte("/locks/deploy")})
	if err != nil {
		panic(err)
	}
	hold, err := mutex.Lock(ctx)
	if err != nil {
		panic(err)
	}
	_, err = hold.Put(ctx, raftstore.PutRequest{Key: []byte("/deploy/version"), Value: []byte("7")})
	fmt.Println("as the owner:", err)
	if err := hold.Unlock(ctx); err != nil {
		panic(err)
	}
	_, err = hold.Put(ctx, raftstore.PutRequest{Key: []byte("/deploy/version"), Value: []byte("8")})
	fmt.Println("afterwards:", errors.Is(err, raftstore.ErrLockLost))
	// Output:
	// as the owner: <nil>
	// afterwards: true
}
