package objectcache

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/orchcore/orchcore/raftstore"
)

// Object is one decoded object.
type Object[T any] struct {
	// Key is the whole key, with the prefix.
	Key string
	// CreateRevision and Revision are those of the key's creation and last change.
	CreateRevision int64
	Revision       int64
	Value          T
}

// Handler is told of changes. Fields that are nil are not called.
type Handler[T any] struct {
	OnAdd func(Object[T])
	// OnUpdate is called with the object as it was last and as it is; at a resync both
	// are the same.
	OnUpdate func(before, after Object[T])
	OnDelete func(last Object[T])
}

// Config says what a cache holds.
type Config[T any] struct {
	// KV is the store. It must be set.
	KV raftstore.KV
	// Prefix is what the keys of all objects begin with. It must not be empty.
	Prefix []byte
	// Decode makes an object of a pair. It must be set, and copy what it keeps of
	// kv.Key and kv.Value.
	Decode func(kv raftstore.KeyValue) (T, error)
	// Indexes are functions by name that return the values under which Indexed finds an
	// object. They must depend on the object alone.
	Indexes map[string]func(Object[T]) []string
	// Handlers are told of changes from the first object on.
	Handlers []Handler[T]
	// Resync is the time between two calls of OnUpdate for objects that have not
	// changed; 0 is never. Less finds what went wrong sooner and costs a call for
	// every object each time.
	Resync time.Duration
	// PageSize is the number of objects that are read at a time; 0 is 500.
	PageSize int64
	// OnError, if set, is told of values that cannot be decoded (*DecodeError), and of
	// reads and watches that fail and are tried again.
	OnError func(error)
	// Sleep waits, between two attempts and two resyncs; nil is the real clock. It
	// returns ctx's error when that ends first.
	Sleep func(ctx context.Context, d time.Duration) error
}

const (
	defaultPageSize = 500
	retryMin        = 50 * time.Millisecond
	retryMax        = 10 * time.Second
)

// ErrConfig is matched by every error about a field of Config.
var ErrConfig = errors.New("objectcache: invalid config")

// ErrClosed is returned by waits on a cache after Close.
var ErrClosed = errors.New("objectcache: cache is closed")

// DecodeError reports a value that cannot be decoded.
type DecodeError struct {
	Key      string
	Revision int64
	Err      error
}

// Error states key, revision and reason.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("objectcache: value of %q at revision %d: %v", e.Key, e.Revision, e.Err)
}

// Unwrap returns what Decode returned.
func (e *DecodeError) Unwrap() error { return e.Err }

// Cache holds the objects of one range.
type Cache[T any] struct {
	config Config[T]

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	tables tables[T]
	// revision is what the tables show.
	revision int64
	synced   bool
	// changed is closed, and made anew, when revision or synced change.
	changed chan struct{}
	// news are handlers that have not been told of what is there; resync says that
	// OnUpdate is due for all. interrupt has the feed look at both.
	news      []*Handler[T]
	resync    bool
	interrupt context.CancelFunc

	handlers []*Handler[T] // of the feed
}

// Open starts a cache. It returns at once; WaitSynced waits until it is filled.
func Open[T any](config Config[T]) (*Cache[T], error) {
	bad := func(field, found, expected string) error {
		return fmt.Errorf("%w: %s is %s, expected %s", ErrConfig, field, found, expected)
	}
	switch {
	case config.KV == nil:
		return nil, bad("KV", "nil", "a store")
	case len(config.Prefix) == 0:
		return nil, bad("Prefix", "empty", "what the keys begin with")
	case config.Decode == nil:
		return nil, bad("Decode", "nil", "a function")
	case config.Resync < 0:
		return nil, bad("Resync", config.Resync.String(), "0 or more")
	case config.PageSize < 0:
		return nil, bad("PageSize", fmt.Sprint(config.PageSize), "0 or more")
	}
	for name, f := range config.Indexes {
		if f == nil {
			return nil, bad(fmt.Sprintf("Indexes[%q]", name), "nil", "a function")
		}
	}
	if config.PageSize == 0 {
		config.PageSize = defaultPageSize
	}
	if config.Sleep == nil {
		config.Sleep = sleep
	}
	if config.OnError == nil {
		config.OnError = func(error) {}
	}
	config.Prefix = slices.Clone(config.Prefix)
	c := &Cache[T]{config: config, tables: newTables(config.Indexes), changed: make(chan struct{})}
	for i := range config.Handlers {
		h := config.Handlers[i]
		c.handlers = append(c.handlers, &h)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.running.Go(c.feed)
	if config.Resync > 0 {
		c.running.Go(c.resyncs)
	}
	return c, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the cache and waits until no handler runs any more. It must not be called
// by one. The objects can still be read, as they were last.
func (c *Cache[T]) Close() {
	c.cancel()
	c.running.Wait()
}

// AddHandler adds a handler. It is told of what is there first, as added.
func (c *Cache[T]) AddHandler(h Handler[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.news = append(c.news, &h)
	c.poke()
}

// poke interrupts the feed while it waits for changes. c.mu is held.
func (c *Cache[T]) poke() {
	if c.interrupt != nil {
		c.interrupt()
	}
}

// resyncs has the feed resync from time to time.
func (c *Cache[T]) resyncs() {
	for c.config.Sleep(c.ctx, c.config.Resync) == nil {
		c.mu.Lock()
		c.resync = true
		c.poke()
		c.mu.Unlock()
	}
}

// Synced reports whether the cache has been filled.
func (c *Cache[T]) Synced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.synced
}

// WaitSynced waits until the cache has been filled and handlers were told of it.
func (c *Cache[T]) WaitSynced(ctx context.Context) error {
	return c.wait(ctx, func() bool { return c.synced })
}

// Revision is the revision that the cache shows: every change of an object up to it is
// in the cache. It is that of the last change seen, so it may be lower than the store's.
func (c *Cache[T]) Revision() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.revision
}

// WaitRevision waits until the cache shows a revision at which an object has changed:
// then the caller finds its own write in it.
func (c *Cache[T]) WaitRevision(ctx context.Context, revision int64) error {
	return c.wait(ctx, func() bool { return c.revision >= revision })
}

func (c *Cache[T]) wait(ctx context.Context, reached func() bool) error {
	for {
		c.mu.Lock()
		ok, changed := reached(), c.changed
		c.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.ctx.Done():
			return ErrClosed
		}
	}
}

// announce wakes whoever waits. c.mu is held.
func (c *Cache[T]) announce() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Get returns the object under a key, and whether there is one.
func (c *Cache[T]) Get(key string) (Object[T], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tables.objects.Get(Object[T]{Key: key})
}

// Len returns the number of objects.
func (c *Cache[T]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tables.objects.Len()
}

// List returns all objects whose keys begin with prefix, in the order of the keys, as
// they are at the moment of the call.
func (c *Cache[T]) List(prefix string) iter.Seq[Object[T]] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tables.list(prefix)
}

// Indexed returns the objects for which an index function has returned a value, in the
// order of the keys. An index that is not in the config is an error.
func (c *Cache[T]) Indexed(index, value string) ([]Object[T], error) {
	if c.config.Indexes[index] == nil {
		return nil, fmt.Errorf("%w: there is no index %q", ErrConfig, index)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tables.indexed(index, value), nil
}
