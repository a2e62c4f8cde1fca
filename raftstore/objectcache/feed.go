package objectcache

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// feed keeps the tables as the store is, until the cache is closed.
func (c *Cache[T]) feed() {
	retry := retryMin
	for listed := false; ; {
		begun := c.Revision()
		var err error
		fresh := !listed
		if fresh {
			err = c.relist()
			listed = err == nil
		}
		if err == nil {
			err = c.watch()
		}
		if c.ctx.Err() != nil {
			return
		}
		if c.Revision() > begun {
			retry = retryMin
		}
		if errors.Is(err, mvcc.ErrCompacted) {
			if listed = false; !fresh {
				continue
			}
		}
		c.config.OnError(fmt.Errorf("objectcache: %q: %w", c.config.Prefix, err))
		if c.config.Sleep(c.ctx, retry) != nil {
			return
		}
		retry = min(2*retry, retryMax)
	}
}

// relist reads everything and applies the difference.
func (c *Cache[T]) relist() error {
	found := map[string]bool{}
	var pairs []raftstore.KeyValue
	o := raftstore.RangeOptions{Key: c.config.Prefix, End: raftstore.PrefixEnd(c.config.Prefix), Limit: c.config.PageSize}
	for more := true; more; {
		r, err := c.config.KV.Range(c.ctx, o)
		if err != nil {
			return err
		}
		if o.Revision == 0 {
			o.Revision = r.Revision
		}
		pairs = append(pairs, r.KVs...)
		if more = r.More && len(r.KVs) > 0; more {
			o.Key = append([]byte(nil), r.KVs[len(r.KVs)-1].Key...)
			o.Key = append(o.Key, 0)
		}
	}
	for i := range pairs {
		found[string(pairs[i].Key)] = true
	}
	c.mu.Lock()
	all := c.tables.list("")
	c.mu.Unlock()
	for old := range all {
		if !found[old.Key] {
			c.remove(old.Key)
		}
	}
	for _, kv := range pairs {
		c.put(kv)
	}
	c.mu.Lock()
	c.revision = max(c.revision, o.Revision)
	c.synced = true
	c.announce()
	c.mu.Unlock()
	return nil
}

// watch applies changes until the watch ends.
func (c *Cache[T]) watch() error {
	w, err := c.config.KV.Watch(c.ctx, raftstore.WatchOptions{
		Key: c.config.Prefix, End: raftstore.PrefixEnd(c.config.Prefix), StartRevision: c.Revision() + 1,
	})
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		ctx, interrupt := context.WithCancel(c.ctx)
		c.attend(interrupt)
		batch, err := w.Next(ctx)
		interrupted := err != nil && ctx.Err() != nil && c.ctx.Err() == nil
		interrupt()
		switch {
		case interrupted:
			continue
		case err != nil:
			return err
		}
		for i := range batch.Events {
			if e := &batch.Events[i]; e.Type == raftstore.EventDelete {
				c.remove(string(e.KV.Key))
			} else {
				c.put(e.KV)
			}
		}
		c.mu.Lock()
		c.revision = max(c.revision, batch.Revision)
		c.announce()
		c.mu.Unlock()
	}
}

// attend does what others have asked for, and lets them interrupt the wait that comes.
func (c *Cache[T]) attend(interrupt context.CancelFunc) {
	c.mu.Lock()
	news, resync := c.news, c.resync
	c.news, c.resync = nil, false
	c.interrupt = interrupt
	var all iter.Seq[Object[T]]
	if resync || len(news) > 0 {
		all = c.tables.list("")
	}
	c.mu.Unlock()
	if resync {
		for o := range all {
			c.tell(func(h *Handler[T]) { h.update(o, o) })
		}
	}
	for _, h := range news {
		for o := range all {
			if c.ctx.Err() == nil && h.OnAdd != nil {
				h.OnAdd(o)
			}
		}
		c.handlers = append(c.handlers, h)
	}
}

// put takes a pair that is new, changed, or what it was.
func (c *Cache[T]) put(kv raftstore.KeyValue) {
	key := string(kv.Key)
	before, known := c.Get(key)
	if known && before.Revision >= kv.ModRevision {
		return
	}
	value, err := c.config.Decode(kv)
	if err != nil {
		c.config.OnError(&DecodeError{Key: key, Revision: kv.ModRevision, Err: err})
		return
	}
	if known && before.CreateRevision != kv.CreateRevision {
		c.remove(key)
		known = false
	}
	o := Object[T]{Key: key, CreateRevision: kv.CreateRevision, Revision: kv.ModRevision, Value: value}
	c.mu.Lock()
	c.tables.put(o)
	c.mu.Unlock()
	c.tell(func(h *Handler[T]) {
		if known {
			h.update(before, o)
		} else if h.OnAdd != nil {
			h.OnAdd(o)
		}
	})
}

// remove takes an object out that may be there.
func (c *Cache[T]) remove(key string) {
	c.mu.Lock()
	last, found := c.tables.remove(key)
	c.mu.Unlock()
	if !found {
		return
	}
	c.tell(func(h *Handler[T]) {
		if h.OnDelete != nil {
			h.OnDelete(last)
		}
	})
}

// tell calls handlers, unless the cache was closed.
func (c *Cache[T]) tell(call func(*Handler[T])) {
	for _, h := range c.handlers {
		if c.ctx.Err() == nil {
			call(h)
		}
	}
}

func (h *Handler[T]) update(before, after Object[T]) {
	if h.OnUpdate != nil {
		h.OnUpdate(before, after)
	}
}
