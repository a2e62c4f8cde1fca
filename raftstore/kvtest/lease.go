package kvtest

import (
	"errors"
	"time"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

func leaseLife(k *kit, leases raftstore.LeasedKV) {
	l, err := leases.Grant(k.ctx, 0, 600)
	k.ok(err)
	if l.ID == 0 || l.TTL < 600 {
		k.Fatalf("lease is %+v, expected an id and 600 s or more", l)
	}
	for _, name := range []string{"a", "b"} {
		_, err := k.kv.Put(k.ctx, raftstore.PutRequest{Key: k.key(name), Lease: l.ID})
		k.ok(err)
	}
	_, err = k.kv.Put(k.ctx, raftstore.PutRequest{Key: k.key("c"), Lease: l.ID})
	k.ok(err)
	k.put("c", "detached")
	kv, _ := k.get("a")
	k.same("lease of a", l.ID, kv.Lease)
	life, err := leases.TimeToLive(k.ctx, l.ID, true)
	k.ok(err)
	if life.ID != l.ID || life.TTL != l.TTL || life.Remaining <= 0 || life.Remaining > l.TTL {
		k.Fatalf("life is %+v", life)
	}
	k.same("keys", [][]byte{k.key("a"), k.key("b")}, life.Keys)
	ttl, err := leases.KeepAlive(k.ctx, l.ID)
	k.ok(err)
	k.same("time to live after a renewal", l.TTL, ttl)
	ids, err := leases.Leases(k.ctx)
	k.ok(err)
	found := false
	for _, id := range ids {
		found = found || id == l.ID
	}
	k.same("whether it is listed", true, found)

	_, err = leases.Grant(k.ctx, l.ID, 600)
	k.fails("the same id again", err, mvcc.ErrLeaseExists, true)
	_, err = leases.Grant(k.ctx, 0, mvcc.MaxLeaseTTL+1)
	k.fails("a time that is too long", err, mvcc.ErrLeaseTTLTooLarge, true)

	w := k.watch(nil)
	revision, err := leases.Revoke(k.ctx, l.ID)
	k.ok(err)
	events := k.follow(w, 2)
	k.same("what a revoke deletes", "DELETE a=; DELETE b=; ", k.story(events))
	k.same("its revision", revision, events[0].KV.ModRevision)
	k.same("one revision for all", events[0].KV.ModRevision, events[1].KV.ModRevision)
	_, err = leases.Revoke(k.ctx, l.ID)
	k.fails("a second revoke", err, mvcc.ErrLeaseNotFound, true)
	_, err = leases.KeepAlive(k.ctx, l.ID)
	k.fails("a renewal of what is gone", err, mvcc.ErrLeaseNotFound, false)
	_, err = leases.TimeToLive(k.ctx, l.ID, false)
	k.fails("the life of what is gone", err, mvcc.ErrLeaseNotFound, false)
}

func leaseExpires(k *kit, leases raftstore.LeasedKV) {
	l, err := leases.Grant(k.ctx, 0, 1)
	k.ok(err)
	granted := time.Now()
	w := k.watch(nil)
	_, err = k.kv.Put(k.ctx, raftstore.PutRequest{Key: k.key("a"), Lease: l.ID})
	if errors.Is(err, mvcc.ErrLeaseNotFound) {
		k.Skip("SKIPPED: the lease had expired before it could be used")
	}
	k.ok(err)
	k.same("what was seen", "PUT a=; DELETE a=; ", k.story(k.follow(w, 2)))
	if lived := time.Since(granted); lived < time.Duration(l.TTL)*time.Second {
		k.Fatalf("a lease of %d s ended after %v", l.TTL, lived)
	}
}

// mutex runs the lock of package raftstore on the store.
func mutex(k *kit, leases raftstore.LeasedKV) {
	m, err := raftstore.NewMutex(leases, raftstore.MutexConfig{Prefix: k.key("lock"), TTL: 30})
	k.ok(err)
	first, err := m.Lock(k.ctx)
	k.ok(err)
	_, err = first.Put(k.ctx, raftstore.PutRequest{Key: k.key("guarded"), Value: []byte("first")})
	k.ok(err)
	locked := make(chan error, 1)
	var second *raftstore.Hold
	go func() {
		var err error
		second, err = m.Lock(k.ctx)
		locked <- err
	}()
	select {
	case err := <-locked:
		k.Fatalf("two hold the lock; error is %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	k.ok(first.Unlock(k.ctx))
	k.ok(<-locked)
	if second.Token() <= first.Token() {
		k.Fatalf("token %d follows %d, expected a higher one", second.Token(), first.Token())
	}
	_, err = first.Put(k.ctx, raftstore.PutRequest{Key: k.key("guarded"), Value: []byte("late")})
	k.fails("a write of a former owner", err, raftstore.ErrLockLost, false)
	k.ok(second.Unlock(k.ctx))
}
