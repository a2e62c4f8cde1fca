package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/orchcore/orchcore/raftstore"
)

// Endpoints is the list of the store's members, as the members come and go.
type Endpoints struct {
	mu      sync.Mutex
	members []raftstore.KV // nil where a member is down
}

// NewEndpoints returns a list of count members that are all down.
func NewEndpoints(count int) *Endpoints {
	return &Endpoints{members: make([]raftstore.KV, count)}
}

// Set says that member i serves, or with nil that it is down.
func (e *Endpoints) Set(i int, kv raftstore.KV) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.members[i] = kv
}

func (e *Endpoints) at(i int) raftstore.KV {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.members[i%len(e.members)]
}

// ErrNoMember is returned when no member of the store is up.
var ErrNoMember = errors.New("no member of the store is up")

// attemptMax bounds one attempt at one member.
const attemptMax = 2 * time.Second

// Client is a raftstore.KV over whichever member answers. It stays with a member
// until a call fails there. Reads move on after any error; a write moves on only if
// it was definitely not applied, since nobody but the caller knows whether doing
// it twice is harmless.
type Client struct {
	endpoints *Endpoints

	mu      sync.Mutex
	current int
}

var _ raftstore.KV = (*Client)(nil)

// Client returns a client that prefers member i.
func (e *Endpoints) Client(i int) *Client { return &Client{endpoints: e, current: i} }

// try calls f on members in turn until it succeeds, again says no, ctx ends, or
// every member had its chance.
func (c *Client) try(ctx context.Context, again func(error) bool, f func(context.Context, raftstore.KV) error) error {
	var last error = ErrNoMember
	for range len(c.endpoints.members) {
		c.mu.Lock()
		i := c.current
		c.mu.Unlock()
		if kv := c.endpoints.at(i); kv != nil {
			attempt, cancel := context.WithTimeout(ctx, attemptMax)
			err := f(attempt, kv)
			cancel()
			if err == nil {
				return nil
			}
			last = err
		}
		c.leave(i)
		if ctx.Err() != nil || !again(last) {
			break
		}
	}
	return last
}

// leave makes the next attempt go to another member than i.
func (c *Client) leave(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == i {
		c.current = (i + 1) % len(c.endpoints.members)
	}
}

func anyError(error) bool { return true }

func notApplied(err error) bool { return errors.Is(err, raftstore.ErrNotApplied) }

// Put implements raftstore.KV.
func (c *Client) Put(ctx context.Context, r raftstore.PutRequest) (out raftstore.PutResult, err error) {
	err = c.try(ctx, notApplied, func(ctx context.Context, kv raftstore.KV) (err error) {
		out, err = kv.Put(ctx, r)
		return err
	})
	return out, err
}

// Range implements raftstore.KV.
func (c *Client) Range(ctx context.Context, o raftstore.RangeOptions) (out raftstore.RangeResult, err error) {
	err = c.try(ctx, anyError, func(ctx context.Context, kv raftstore.KV) (err error) {
		out, err = kv.Range(ctx, o)
		return err
	})
	return out, err
}

// DeleteRange implements raftstore.KV.
func (c *Client) DeleteRange(ctx context.Context, r raftstore.DeleteRequest) (out raftstore.DeleteResult, err error) {
	err = c.try(ctx, notApplied, func(ctx context.Context, kv raftstore.KV) (err error) {
		out, err = kv.DeleteRange(ctx, r)
		return err
	})
	return out, err
}

// Txn implements raftstore.KV.
func (c *Client) Txn(ctx context.Context, t raftstore.Txn) (out raftstore.TxnResult, err error) {
	again := notApplied
	if t.ReadOnly() {
		again = anyError
	}
	err = c.try(ctx, again, func(ctx context.Context, kv raftstore.KV) (err error) {
		out, err = kv.Txn(ctx, t)
		return err
	})
	return out, err
}

// Watch implements raftstore.KV. The watcher stays with its member and ends with it.
func (c *Client) Watch(ctx context.Context, o raftstore.WatchOptions) (out raftstore.Watcher, err error) {
	err = c.try(ctx, anyError, func(ctx context.Context, kv raftstore.KV) (err error) {
		out, err = kv.Watch(ctx, o)
		return err
	})
	return out, err
}

// Compact implements raftstore.KV.
func (c *Client) Compact(ctx context.Context, revision int64) error {
	return c.try(ctx, notApplied, func(ctx context.Context, kv raftstore.KV) error {
		return kv.Compact(ctx, revision)
	})
}
