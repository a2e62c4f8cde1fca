package raftstore

import (
	"bytes"

	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/orchcore/orchcore/raftstore/wal"
)

// TestSimLeases runs clients that grant leases, attach keys and keep them alive over
// clusters in trouble: members crash, pause for longer than leases live, are cut off,
// and are deposed. The ordinary clients run beside them.
func TestSimLeases(t *testing.T) {
	seeds := *simSeeds
	if seeds == 0 {
		seeds = min(simSeedsDefault, 200)
	}
	counts := map[string]int{}
	for seed := *simSeed; seed < *simSeed+uint64(seeds); seed++ {
		w := newWorld(t, seed)
		w.runLeases()
		for k, v := range w.counts {
			counts[k] += v
		}
	}
	t.Logf("%d seeds: %v", seeds, counts)
	for _, k := range []string{"leases granted", "leases kept", "leases expired", "leases revoked"} {
		if counts[k] == 0 {
			t.Errorf("no %s in %d seeds", k, seeds)
		}
	}
}

func (w *world) runLeases() {
	defer func() {
		if p := recover(); p != nil {
			w.fatal("panic: %v\n%s", p, debug.Stack())
		}
	}()
	l := &simLeases{w: w, byKey: map[string]*simLease{}}
	for _, n := range w.nodes {
		n.start()
	}
	for _, c := range w.clients {
		w.after(w.between(0, time.Second), c.next)
	}
	for range 1 + w.rng.IntN(4) {
		w.after(w.between(time.Second, 3*time.Second), l.grant)
	}
	w.scheduleFaults()
	w.startOperator()
	w.until(simTrouble, func() bool { l.observe(); return false })
	w.heal()
	done := func() bool { l.observe(); return w.recovered() && l.over() }
	if !w.until(w.now+simHealing, done) {
		w.fatal("no progress after healing: %s\n%s", l.describe(), w.describe())
	}
	w.history.check()
	l.check()
}

// A lease of one second lives ten ticks, which take at least 9 ms each: members' clocks
// differ.
const simLeaseSecond = 10 * 9 * time.Millisecond

// simLease is one lease as its client sees it.
type simLease struct {
	id, ttl int64
	keys    map[string]int64 // acknowledged, with the revision of the put
	tried   map[string]bool
	// alive is the beginning of the last call that was answered with life.
	alive    time.Duration
	stopped  bool // it is not kept alive any more
	revoking bool
	adrift   bool // a put was given up, and may come late
	lazy     bool // its client comes late now and then
	// ended is when the deletion of its keys was seen, at the revision gone.
	ended time.Duration
	gone  int64
}

// simLeases are the clients and what they know.
type simLeases struct {
	w      *world
	leases []*simLease
	byKey  map[string]*simLease
	next   int64
	seen   int64 // revisions up to here were observed
}

// call makes a call at a random member; answer gets its request, or nil when it was
// given up.
func (l *simLeases) call(r *request, answer func(*request)) {
	w := l.w
	n := w.anyNode()
	if n.replica == nil {
		w.after(w.between(time.Millisecond, 50*time.Millisecond), func() { l.call(r, answer) })
		return
	}
	r.done = make(chan struct{}, 1)
	w.operator.waiting[r] = func(error) { answer(r) }
	if r.lease != nil {
		n.replica.leases.submit(r)
	} else {
		n.replica.core.write(r)
	}
	w.after(w.between(100*time.Millisecond, 3*time.Second), func() {
		if w.operator.waiting[r] != nil {
			delete(w.operator.waiting, r)
			r.claimed.take()
			answer(nil)
		}
	})
	if w.now >= n.asleep {
		n.turn()
	}
}

// grant begins the life of a lease. Ids come back.
func (l *simLeases) grant() {
	w := l.w
	if w.calm {
		return
	}
	l.next++
	lease := &simLease{id: 1 + l.next%8, ttl: 5 + w.rng.Int64N(30), keys: map[string]int64{}, tried: map[string]bool{}, alive: w.now, lazy: w.rng.IntN(3) == 0}
	for _, other := range l.leases {
		if other.id == lease.id && !other.settled() {
			w.after(w.between(100*time.Millisecond, time.Second), l.grant)
			return
		}
	}
	l.leases = append(l.leases, lease)
	r := &request{kind: commandLeaseGrant, body: appendVarint(appendVarint(nil, lease.id), lease.ttl)}
	l.call(r, func(r *request) {
		if r == nil || r.result.err != nil {
			lease.stopped = true // it may exist all the same
			w.after(w.between(0, time.Second), l.grant)
			return
		}
		w.counts["leases granted"]++
		w.tell("lease %d of %d s is granted", lease.id, lease.ttl)
		l.attach(lease, 1+w.rng.IntN(4))
	})
}

// settled reports whether the client knows that the lease is gone, and has no call on its
// way that could end another one, so that the id may be granted again.
func (s *simLease) settled() bool { return s.ended != 0 && s.stopped && !s.revoking && !s.adrift }

// attach puts some keys, then keeps the lease alive.
func (l *simLeases) attach(lease *simLease, keys int) {
	if keys == 0 {
		l.keepAlive(lease)
		return
	}
	w := l.w
	key := fmt.Sprintf("lease/%d/%d/%d", lease.id, len(l.byKey), keys)
	l.byKey[key], lease.tried[key] = lease, true
	p := &PutRequest{Key: []byte(key), Value: []byte(key), Lease: lease.id}
	l.call(&request{kind: commandPut, body: appendPut(nil, p)}, func(r *request) {
		if r != nil && r.result.err == nil {
			lease.keys[key] = r.result.put.Revision
		} else {
			lease.adrift = true
		}
		w.after(w.between(0, 20*time.Millisecond), func() { l.attach(lease, keys-1) })
	})
}

// keepAlive renews the lease for a while, then lets it go, or revokes it.
func (l *simLeases) keepAlive(lease *simLease) {
	w := l.w
	switch w.rng.IntN(12) {
	case 0:
		l.stop(lease)
		return
	case 1:
		lease.revoking = true
		l.call(&request{kind: commandLeaseRevoke, body: appendVarint(nil, lease.id)}, func(r *request) {
			if r != nil && r.result.err == nil {
				w.counts["leases revoked"]++
			}
			l.stop(lease)
		})
		return
	}
	begun, ended := w.now, lease.ended
	kind := leaseKeepAlive
	if w.rng.IntN(4) == 0 {
		kind = leaseTimeToLive
	}
	l.call(&request{lease: &leaseCall{kind: kind, id: lease.id}}, func(r *request) {
		switch {
		case r == nil:
		case errors.Is(r.result.err, mvcc.ErrLeaseNotFound):
			w.counts["leases missed"]++
			l.stop(lease)
			return
		case r.result.err != nil:
		case ended != 0:
			w.fatal("lease %d is alive in a call that began at %v, after its keys had gone at %v", lease.id, begun, ended)
		case r.result.ttl != lease.ttl || r.result.remaining > lease.ttl+20:
			// On promotion a leader adds one election timeout.
			w.fatal("lease %d of %d s has %d of %d s left", lease.id, lease.ttl, r.result.remaining, r.result.ttl)
		case kind == leaseKeepAlive:
			w.counts["leases kept"]++
			lease.alive = max(lease.alive, begun)
		}
		pause := time.Duration(lease.ttl) * simLeaseSecond / 3
		if lease.lazy {
			pause *= 5
		}
		w.after(w.between(0, pause), func() { l.keepAlive(lease) })
	})
}

func (l *simLeases) stop(lease *simLease) {
	lease.stopped = true
	l.w.after(l.w.between(0, time.Second), l.grant)
}

// observe looks at the revisions that watchers have been sent since the last time.
func (l *simLeases) observe() {
	w := l.w
	for ; ; l.seen++ {
		events, ok := w.history.events[max(l.seen, 1)+1]
		if !ok {
			return
		}
		l.seen = max(l.seen, 1)
		deleted := map[*simLease]map[string]bool{}
		for _, e := range events {
			lease := l.byKey[string(e.KV.Key)]
			if lease == nil || e.Type != EventDelete {
				continue
			}
			if deleted[lease] == nil {
				deleted[lease] = map[string]bool{}
			}
			deleted[lease][string(e.KV.Key)] = true
		}
		for _, lease := range l.leases {
			if keys := deleted[lease]; keys != nil {
				l.end(lease, keys, l.seen+1)
			}
		}
	}
}

// end checks the end of a lease.
func (l *simLeases) end(lease *simLease, deleted map[string]bool, revision int64) {
	w := l.w
	w.tell("lease %d is gone at revision %d", lease.id, revision)
	if lease.ended != 0 {
		w.fatal("keys of lease %d went at revision %d and others at %d: %v", lease.id, lease.gone, revision, deleted)
	}
	lease.ended, lease.gone = w.now, revision
	for key, put := range lease.keys {
		if put < revision && !deleted[key] {
			w.fatal("key %s of revision %d is left behind by lease %d, which went at %d", key, put, lease.id, revision)
		}
		if put > revision {
			w.fatal("key %s was attached at revision %d to lease %d, which went at %d", key, put, lease.id, revision)
		}
	}
	if lease.revoking {
		return
	}
	w.counts["leases expired"]++
	if lived := w.now - lease.alive; lived < time.Duration(lease.ttl)*simLeaseSecond {
		w.fatal("lease %d of %d s was renewed at %v and ended %v later, before %v had passed", lease.id, lease.ttl, lease.alive, lived, time.Duration(lease.ttl)*simLeaseSecond)
	}
}

// over reports whether every lease that nobody keeps is gone. Clients go on keeping
// theirs for a while; new ones do not come when it is calm.
func (l *simLeases) over() bool {
	for _, lease := range l.leases {
		if !lease.stopped {
			return false
		}
	}
	for _, n := range l.w.nodes {
		if n.replica != nil && len(n.replica.core.state.store.Leases()) > 0 {
			return false
		}
	}
	return true
}

func (l *simLeases) describe() string {
	var b bytes.Buffer
	for _, lease := range l.leases {
		fmt.Fprintf(&b, "lease %d of %d s: stopped %v, ended %v, alive %v\n", lease.id, lease.ttl, lease.stopped, lease.ended, lease.alive)
	}
	return b.String()
}

// check looks at what must be true in the end: no key has outlived its lease.
func (l *simLeases) check() {
	l.observe()
	for _, n := range l.w.nodes {
		if n.replica == nil {
			continue
		}
		r, err := n.replica.core.state.store.Range(&RangeOptions{Key: []byte("lease/"), End: PrefixEnd([]byte("lease/"))})
		if err != nil || len(r.KVs) > 0 {
			l.w.fatal("keys have outlived their leases: %v %v", r.KVs, err)
		}
		if left := n.replica.leases; len(left.held) > 0 || slices.ContainsFunc(left.own, func(c *leaseCall) bool { return !c.done && !c.request.claimed.lost() }) {
			l.w.fatal("member %d has calls about leases that nobody answers", n.id)
		}
	}
}

// A lease that nobody renews is checkpointed, so that a new leader does not begin from
// its whole time to live; a renewal undoes that before it is answered.
func TestLeaseCheckpoints(t *testing.T) {
	r := testReplica(t, wal.NewMemFS(), func(c *Config) { c.TickInterval = time.Second; c.SnapshotEntries = 1 << 20 })
	r.writeSome(t, 1)
	const ttl = 3600
	run := func(q *request) *request {
		q.done = make(chan struct{}, 1)
		if q.lease != nil {
			r.leases.submit(q)
		} else {
			r.core.write(q)
		}
		for range 3 {
			if err := r.turn(); err != nil {
				t.Fatal(err)
			}
		}
		return q
	}
	wait := func(seconds int) {
		for range seconds {
			r.tick()
			if err := r.turn(); err != nil {
				t.Fatal(err)
			}
		}
	}
	left := func() int64 {
		l, ok := r.core.state.store.Lease(7)
		if !ok {
			t.Fatal("the lease is gone")
		}
		return l.Remaining
	}
	run(&request{kind: commandLeaseGrant, body: appendVarint(appendVarint(nil, 7), ttl)})
	wait(200)
	if left() != 0 {
		t.Fatalf("a checkpoint of %d s too early", left())
	}
	wait(500)
	first := left()
	if first < ttl-700 || first > ttl-300 {
		t.Fatalf("after 700 s the checkpoint is %d s", first)
	}
	entries := r.core.state.applied
	wait(100)
	if r.core.state.applied > entries+2 {
		t.Fatalf("%d entries in 100 s", r.core.state.applied-entries)
	}

	// Another term begins from the checkpoint.
	now := r.core.ticks
	r.leases.term = 0
	r.leases.follow()
	if end := r.leases.count.ends[7]; end < now+uint64(left()) || end > now+uint64(left())+15 {
		t.Fatalf("counts from %d s, the checkpoint is %d s", end-now, left())
	}
	q := run(&request{lease: &leaseCall{kind: leaseKeepAlive, id: 7}})
	if q.result.err != nil || q.result.ttl != ttl || left() != 0 {
		t.Fatalf("renewed to %d s with a checkpoint of %d s: %v", q.result.ttl, left(), q.result.err)
	}
	wait(ttl)
	if _, ok := r.core.state.store.Lease(7); !ok {
		t.Fatal("it ended early")
	}
	wait(20)
	if _, ok := r.core.state.store.Lease(7); ok {
		t.Fatal("it has not ended")
	}
}
