package raftstore

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// UpdateFunc computes the new value of a key from the present one; exists tells a
// missing key from an empty value. It may be called several times, and for values that
// do not come to be: it must not do anything else, nor keep or change current. An
// error ends the update, with the key as it is.
type UpdateFunc func(current []byte, exists bool) (next []byte, err error)

// Update replaces the value of a key by what f makes of it, atomically: f has seen the
// value that its result replaces. The key keeps its lease. It returns the revision of
// the change.
//
// On a Store many callers with one key do not get in each other's way; see
// Store.Update. On any other KV it is a loop of compare-and-swap, in which a failed
// attempt brings the value for the next one along.
func Update(ctx context.Context, kv KV, key []byte, f UpdateFunc) (revision int64, err error) {
	if s, ok := kv.(interface {
		Update(context.Context, []byte, UpdateFunc) (int64, error)
	}); ok {
		return s.Update(ctx, key, f)
	}
	seen, _, err := Get(ctx, kv, key)
	if err != nil {
		return 0, notApplied(err)
	}
	for {
		link := linkTo(seen)
		next, err := f(link.value, link.exists)
		if err != nil {
			return 0, notApplied(err)
		}
		r, err := kv.Txn(ctx, link.swap(key, next))
		if err != nil || r.Succeeded {
			return r.Revision, err
		}
		if seen = (KeyValue{}); len(r.Results[0].Range.KVs) > 0 {
			seen = r.Results[0].Range.KVs[0]
		}
	}
}

// updateLink is a value that an update builds on.
type updateLink struct {
	value  []byte
	exists bool
	// revision is the value's modification revision, 0 while that is not known: then
	// the value itself is compared.
	revision int64
}

func linkTo(kv KeyValue) updateLink {
	return updateLink{value: kv.Value, exists: kv.ModRevision != 0, revision: kv.ModRevision}
}

// swap puts a value in the place of the link's, or tells what is there instead.
func (l *updateLink) swap(key, next []byte) Txn {
	compare := Compare{Target: CompareModRevision, Operator: Equal, Key: key, Number: l.revision}
	if l.exists && l.revision == 0 {
		compare = Compare{Target: CompareValue, Operator: Equal, Key: key, Value: l.value}
	}
	return Txn{
		If:   []Compare{compare},
		Then: []Op{{Put: &PutRequest{Key: key, Value: next, IgnoreLease: l.exists}}},
		Else: []Op{{Range: &RangeOptions{Key: key}}},
	}
}

// updateChain serves the updates of one key at one member. Each builds on the value
// that the one before has proposed, without waiting for it:
//
//	caller 1:  v0 ── f ──► v1   proposes  v0→v1 ┐
//	caller 2:  v1 ── f ──► v2   proposes  v1→v2 ├─ one entry, one commit, three revisions
//	caller 3:  v2 ── f ──► v3   proposes  v2→v3 ┘
//
// Every one is a compare-and-swap: when somebody else has written in between, the rest
// of the chain fails, and begins anew from the value that the first failure reports.
//
// If chains at several members went on like that, each would break the others again and
// again. So one that has seen somebody else's value goes in rounds for a while: callers
// gather while a round is open, which then wins or loses as a whole, and one that has
// won leaves the key alone for twice as long as it took, for the others to win one.
type updateChain struct {
	mu    sync.Mutex
	users int // callers; guarded by updateChains.mu
	// tail is what the next update builds on while some are open.
	tail  updateLink
	open  int
	epoch uint64 // counts failures that have reset the tail

	// rounds is how many are still to come, 0 while nobody else is about.
	rounds int
	// waiting is how many callers wait for the next one, joins how many of those may
	// still join the one that is open, over is closed at its end, and lost tells that
	// some of it failed.
	waiting int
	joins   int
	over    chan struct{}
	lost    bool
	// begun is when it began, and resume when the next one may.
	begun, resume time.Time
	own           int64 // the revision of the last success
}

const (
	// contendedRounds is for how many rounds a chain remembers that others write, too.
	contendedRounds = 16
	// yieldMax bounds the time that a chain leaves to the others.
	yieldMax = 20 * time.Millisecond
)

// chainValueMax bounds the values that are compared as such, in bytes: it doubles what
// an update puts into the log. With larger ones updates of a key wait for their turn.
const chainValueMax = 16 << 10

// updateChains are the chains in use, by key.
type updateChains struct {
	mu    sync.Mutex
	byKey map[string]*updateChain
}

func (u *updateChains) acquire(key []byte) *updateChain {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.byKey[string(key)]
	if c == nil {
		c = &updateChain{}
		if u.byKey == nil {
			u.byKey = map[string]*updateChain{}
		}
		u.byKey[string(key)] = c
	}
	c.users++
	return c
}

func (u *updateChains) release(key []byte, c *updateChain) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if c.users--; c.users == 0 {
		delete(u.byKey, string(key))
	}
}

// Update is the function Update. Callers at the same member line up: n of them cost one
// round of commits, not n. Members whose callers meet at a key take turns, more or less:
// some make progress, the others try again, with the new value, until their context
// ends. f must not update the same key itself.
func (s *Store) Update(ctx context.Context, key []byte, f UpdateFunc) (revision int64, err error) {
	c := s.updates.acquire(key)
	defer s.updates.release(key, c)
	for {
		r, epoch, err := s.proposeUpdate(ctx, c, key, f)
		if err != nil {
			return 0, notApplied(err)
		}
		if r == nil {
			if r, err = s.proposeSettled(ctx, c, key, f); err != nil {
				return 0, notApplied(err)
			}
		}
		res, err := s.await(ctx, r)
		c.settle(&res, epoch)
		if err != nil || res.txn.Succeeded {
			return res.txn.Revision, err
		}
	}
}

// proposeUpdate runs f on the end of the chain and proposes what it returns. Without an
// error and a request, f has failed on a value that may not come to be, or the value is
// too large for a chain.
func (s *Store) proposeUpdate(ctx context.Context, c *updateChain, key []byte, f UpdateFunc) (*request, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.await(ctx); err != nil {
		return nil, 0, err
	}
	if c.open == 0 {
		// This may be older than what others have written: the compare will tell.
		kv, _, err := s.kv.Lookup(key, 0)
		if err != nil {
			return nil, 0, err
		}
		c.tail = linkTo(kv)
		c.begin(kv.ModRevision)
	}
	if c.tail.revision == 0 && len(c.tail.value) > chainValueMax {
		return nil, c.epoch, nil
	}
	next, err := f(c.tail.value, c.tail.exists)
	if err != nil {
		return nil, c.epoch, nil
	}
	r, err := s.startSwap(ctx, &c.tail, key, next)
	if err != nil {
		return nil, 0, err
	}
	c.open++
	c.tail = updateLink{value: bytes.Clone(next), exists: true}
	return r, c.epoch, nil
}

// proposeSettled is proposeUpdate for a value that was committed, and no older than the
// call. If f fails here, the update does.
func (s *Store) proposeSettled(ctx context.Context, c *updateChain, key []byte, f UpdateFunc) (*request, error) {
	if err := s.barrier(ctx); err != nil {
		return nil, err
	}
	kv, _, err := s.kv.Lookup(key, 0)
	if err != nil {
		return nil, err
	}
	link := linkTo(kv)
	next, err := f(link.value, link.exists)
	if err != nil {
		return nil, err
	}
	r, err := s.startSwap(ctx, &link, key, next)
	if err == nil {
		c.mu.Lock()
		if c.open == 0 {
			c.begin(link.revision)
		}
		c.open++
		c.mu.Unlock()
	}
	return r, err
}

// await waits for a round that the caller may begin or join. c.mu is held before and
// after, not while it waits.
func (c *updateChain) await(ctx context.Context) error {
	for c.rounds > 0 {
		var turn <-chan time.Time
		switch yield := time.Until(c.resume); {
		case c.open > 0 && c.joins > 0:
			c.joins--
			return nil
		case c.open == 0 && yield <= 0:
			return nil
		case c.open == 0:
			turn = time.After(yield)
		}
		over := c.over
		if turn != nil {
			over = nil
		}
		c.waiting++
		c.mu.Unlock()
		var err error
		select {
		case <-over:
		case <-turn:
		case <-ctx.Done():
			err = contextReason(ctx)
		}
		c.mu.Lock()
		c.waiting--
		if err != nil {
			return err
		}
	}
	return nil
}

// begin opens a round that builds on the value of a revision.
func (c *updateChain) begin(revision int64) {
	if c.own != 0 && revision > c.own {
		c.rounds = contendedRounds
	}
	c.begun, c.joins, c.lost = time.Now(), c.waiting, false
	c.over = make(chan struct{})
}

// end closes a round when all of it is settled.
func (c *updateChain) end() {
	if c.rounds > 0 && !c.lost {
		c.rounds--
		c.resume = time.Now().Add(min(2*time.Since(c.begun), yieldMax))
	}
	close(c.over)
}

func (s *Store) startSwap(ctx context.Context, link *updateLink, key, next []byte) (*request, error) {
	t := link.swap(key, next)
	if err := mvcc.Validate(&t, s.limits()); err != nil {
		return nil, err
	}
	if err := s.reserve(ctx, txnCost(&t)); err != nil {
		return nil, err
	}
	r := newRequest(commandTxn)
	r.body = appendTxn(r.body, &t)
	return r, s.start(ctx, r)
}

// settle takes the outcome of one update. The first failure of an epoch says what the
// next updates build on; the others have failed because of it.
func (c *updateChain) settle(res *result, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	switch {
	case res.err == nil && res.txn.Succeeded:
		c.own = max(c.own, res.txn.Revision)
	case res.err == nil:
		c.rounds, c.lost = contendedRounds, true
	}
	if c.open == 0 {
		c.end()
	}
	if res.err != nil || res.txn.Succeeded || epoch != c.epoch {
		return
	}
	c.epoch++
	c.tail = updateLink{}
	if kvs := res.txn.Results[0].Range.KVs; len(kvs) > 0 {
		c.tail = linkTo(kvs[0])
	}
}
