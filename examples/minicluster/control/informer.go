package control

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// Informer follows the store: it lists everything under api.Root once, watches
// from there, decodes each change once and hands it to every feed. One watch over
// all kinds keeps the order in which things happened across kinds, so each view
// is a state that the cluster really was in.
type Informer struct {
	kv      raftstore.KV
	decoder *View // for its tables' types only
	known   map[string]int64

	mu       sync.Mutex
	feeds    []*Feed
	revision int64
	current  map[string]Change
}

// NewInformer returns an informer; Run makes it work.
func NewInformer(kv raftstore.KV) *Informer {
	return &Informer{kv: kv, decoder: NewView(), known: map[string]int64{}, current: map[string]Change{}}
}

// Feed opens a feed of some kinds. It begins with everything known already.
func (n *Informer) Feed(kinds ...api.Kind) *Feed {
	f := newFeed(kinds)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.feeds = append(n.feeds, f)
	if n.revision > 0 {
		for _, c := range n.current {
			if f.plurals[c.Plural] {
				f.pending[c.Key] = c
			}
		}
		f.revision = n.revision
		f.wake()
	}
	return f
}

// Drop closes a feed: it gets no more changes.
func (n *Informer) Drop(f *Feed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, other := range n.feeds {
		if other == f {
			n.feeds = append(n.feeds[:i], n.feeds[i+1:]...)
			return
		}
	}
}

// retryPause is the wait before a lost watch is opened again.
const retryPause = 20 * time.Millisecond

// Run follows the store until ctx ends or an object cannot be decoded; every feed
// then ends with the reason. A member that fails costs a new watch from the last
// revision on another one: nothing is missed and nothing comes twice.
func (n *Informer) Run(ctx context.Context) error {
	err := n.follow(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.feeds {
		f.fail(err)
	}
	return err
}

func (n *Informer) follow(ctx context.Context) error {
	listed := false
	for {
		if !listed {
			if err := n.list(ctx); err != nil {
				var broken *decodeError
				if errors.As(err, &broken) {
					return err
				}
			} else {
				listed = true
			}
		}
		if listed {
			err := n.watch(ctx)
			var broken *decodeError
			if errors.As(err, &broken) {
				return err
			}
			// The history that was asked for is gone: begin again with a list.
			listed = !errors.Is(err, mvcc.ErrCompacted)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

// decodeError is an object in the store that is not what its key says: no retry helps.
type decodeError struct{ err error }

func (e *decodeError) Error() string { return "informer: " + e.err.Error() }
func (e *decodeError) Unwrap() error { return e.err }

// pageSize bounds the objects read at a time.
const pageSize = 500

// list reads all objects at one revision and publishes what differs from before.
func (n *Informer) list(ctx context.Context) error {
	var changes []Change
	seen := map[string]bool{}
	key, end := []byte(api.Root), raftstore.PrefixEnd([]byte(api.Root))
	revision := int64(0)
	for {
		page, err := n.kv.Range(ctx, raftstore.RangeOptions{Key: key, End: end, Limit: pageSize, Revision: revision})
		if err != nil {
			return err
		}
		if revision == 0 {
			revision = page.Revision
		}
		for _, kv := range page.KVs {
			seen[string(kv.Key)] = true
			if n.known[string(kv.Key)] == kv.ModRevision {
				continue
			}
			if changes, err = n.decode(changes, kv); err != nil {
				return err
			}
		}
		if !page.More {
			break
		}
		last := page.KVs[len(page.KVs)-1].Key
		key = append(slices.Clone(last), 0)
	}
	for gone := range n.known {
		if !seen[gone] {
			changes = append(changes, n.deletion(gone, revision))
		}
	}
	n.publish(changes, revision)
	return nil
}

// watch publishes events until the watch ends.
func (n *Informer) watch(ctx context.Context) error {
	w, err := n.kv.Watch(ctx, raftstore.WatchOptions{
		Key: []byte(api.Root), End: raftstore.PrefixEnd([]byte(api.Root)), StartRevision: n.revision + 1,
	})
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		batch, err := w.Next(ctx)
		if err != nil {
			return err
		}
		var changes []Change
		for _, e := range batch.Events {
			if e.Type == raftstore.EventDelete {
				changes = append(changes, n.deletion(string(e.KV.Key), e.KV.ModRevision))
				continue
			}
			if changes, err = n.decode(changes, e.KV); err != nil {
				return err
			}
		}
		n.publish(changes, batch.Revision)
	}
}

func (n *Informer) decode(changes []Change, kv raftstore.KeyValue) ([]Change, error) {
	n.known[string(kv.Key)] = kv.ModRevision
	c, ok, err := n.decoder.Decode(string(kv.Key), kv.ModRevision, kv.Value)
	if err != nil {
		return changes, &decodeError{err}
	}
	if ok {
		changes = append(changes, c)
	}
	return changes, nil
}

func (n *Informer) deletion(key string, revision int64) Change {
	delete(n.known, key)
	plural, _, _, _ := api.SplitKey(key)
	return Change{Key: key, Plural: plural, Revision: revision}
}

func (n *Informer) publish(changes []Change, revision int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range changes {
		if c.Entry == nil {
			delete(n.current, c.Key)
		} else {
			n.current[c.Key] = c
		}
	}
	n.revision = max(n.revision, revision)
	for _, f := range n.feeds {
		f.publish(changes, revision)
	}
}

// Snapshot reads the whole cluster once.
func Snapshot(ctx context.Context, kv raftstore.KV) (*View, error) {
	n := NewInformer(kv)
	feed := n.Feed(append(api.Kinds(), api.Leases)...)
	if err := n.list(ctx); err != nil {
		return nil, err
	}
	view := NewView()
	rang := make(chan time.Time, 1)
	rang <- time.Time{}
	_, err := feed.Advance(ctx, view, 0, rang)
	return view, err
}
