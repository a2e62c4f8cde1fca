package kvtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orchcore/orchcore/raftstore"
)

// watch opens a watcher on the rule's keys.
func (k *kit) watch(change func(*raftstore.WatchOptions)) raftstore.Watcher {
	k.Helper()
	all := k.all()
	o := raftstore.WatchOptions{Key: all.Key, End: all.End}
	if change != nil {
		change(&o)
	}
	w, err := k.kv.Watch(k.ctx, o)
	k.ok(err)
	k.Cleanup(w.Close)
	return w
}

// follow reads batches until there are n events, and checks what every batch must
// satisfy: order, whole revisions, and a bookmark that covers it.
func (k *kit) follow(w raftstore.Watcher, n int) []raftstore.Event {
	k.Helper()
	var events []raftstore.Event
	last := int64(0)
	for len(events) < n {
		batch, err := w.Next(k.ctx)
		k.ok(err)
		if len(batch.Events) == 0 {
			k.Fatal("a batch without events")
		}
		for i, e := range batch.Events {
			if i == 0 && e.KV.ModRevision <= last || e.KV.ModRevision < last {
				k.Fatalf("an event of revision %d after one of %d", e.KV.ModRevision, last)
			}
			last = e.KV.ModRevision
		}
		if batch.Revision < last {
			k.Fatalf("a batch up to revision %d with an event of %d", batch.Revision, last)
		}
		last = max(last, batch.Revision)
		events = append(events, batch.Events...)
	}
	if len(events) > n {
		k.Fatalf("%d events, expected %d", len(events), n)
	}
	return events
}

// story prints events.
func (k *kit) story(events []raftstore.Event) string {
	s := ""
	for _, e := range events {
		s += fmt.Sprintf("%v %s=%s", e.Type, e.KV.Key[len(k.prefix):], e.KV.Value)
		if e.PrevKV != nil {
			s += fmt.Sprintf(" was %s", e.PrevKV.Value)
		}
		s += "; "
	}
	return s
}

func watchFromNow(k *kit) {
	k.put("a", "before")
	w := k.watch(nil)
	created := k.put("a", "1")
	_, err := k.kv.Txn(k.ctx, raftstore.Txn{Then: []raftstore.Op{
		putOp(k.key("b"), "2"), putOp(k.key("c"), "2"), {Delete: &raftstore.DeleteRequest{Key: k.key("a")}},
	}})
	k.ok(err)
	events := k.follow(w, 4)
	k.same("what was seen", "PUT a=1; PUT b=2; PUT c=2; DELETE a=; ", k.story(events))
	k.same("revision of the first", created, events[0].KV.ModRevision)
	k.same("version of the first", 2, events[0].KV.Version)
	k.same("whether b was created", true, events[1].IsCreate())
	k.same("one revision for all", events[1].KV.ModRevision, events[3].KV.ModRevision)
}

func watchFromPast(k *kit) {
	first := k.put("a", "1")
	k.put("a", "2")
	k.put("b", "3")
	w := k.watch(func(o *raftstore.WatchOptions) { o.StartRevision = first + 1 })
	k.put("c", "4")
	k.same("what was seen", "PUT a=2; PUT b=3; PUT c=4; ", k.story(k.follow(w, 3)))
	last, _ := k.get("c")
	future := k.watch(func(o *raftstore.WatchOptions) { o.StartRevision = last.ModRevision + 2 })
	k.put("d", "not yet")
	k.put("e", "now")
	k.same("what was seen from the future on", "PUT e=now; ", k.story(k.follow(future, 1)))
}

func watchOptions(k *kit) {
	one := k.watch(func(o *raftstore.WatchOptions) { o.Key, o.End, o.PrevKV = k.key("a"), nil, true })
	deletes := k.watch(func(o *raftstore.WatchOptions) { o.NoPut = true })
	puts := k.watch(func(o *raftstore.WatchOptions) { o.NoDelete = true })
	k.put("a", "1")
	k.put("ab", "x")
	k.put("a", "2")
	_, err := k.kv.DeleteRange(k.ctx, raftstore.DeleteRequest{Key: k.key("a")})
	k.ok(err)
	k.put("a", "3")
	k.same("one key", "PUT a=1; PUT a=2 was 1; DELETE a= was 2; PUT a=3; ", k.story(k.follow(one, 4)))
	k.same("deletes", "DELETE a=; ", k.story(k.follow(deletes, 1)))
	k.same("puts", "PUT a=1; PUT ab=x; PUT a=2; PUT a=3; ", k.story(k.follow(puts, 4)))
}

func watchEnds(k *kit) {
	w := k.watch(nil)
	short, cancel := context.WithTimeout(k.ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := w.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		k.Fatalf("error is %v, expected that of the context", err)
	}
	k.put("a", "1")
	k.same("after a wait that was given up", "PUT a=1; ", k.story(k.follow(w, 1)))
	ended := make(chan error, 1)
	go func() {
		_, err := w.Next(k.ctx)
		ended <- err
	}()
	time.Sleep(10 * time.Millisecond) // most likely it waits then; either is right
	w.Close()
	w.Close()
	if err := <-ended; err == nil || errors.Is(err, k.ctx.Err()) && k.ctx.Err() != nil {
		k.Fatalf("error is %v, expected one that says the watcher is closed", err)
	}
	if _, err := w.Next(k.ctx); err == nil {
		k.Fatal("a closed watcher goes on")
	}
}

// watchRace opens watchers while a writer is at work: each sees everything from
// where it began, once.
func watchRace(k *kit) {
	const writes = 200
	start := k.put("k", "0")
	done := make(chan error, 1)
	go func() {
		for i := range writes {
			_, err := k.kv.Put(k.ctx, raftstore.PutRequest{Key: k.key("k"), Value: fmt.Append(nil, i+1)})
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	var watchers []raftstore.Watcher
	for range 10 {
		watchers = append(watchers, k.watch(func(o *raftstore.WatchOptions) { o.StartRevision = start }))
	}
	for _, w := range watchers {
		for i, e := range k.follow(w, writes+1) {
			k.same("value", i, string(e.KV.Value))
		}
	}
	k.ok(<-done)
}
