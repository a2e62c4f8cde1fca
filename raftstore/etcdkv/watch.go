package etcdkv

import (
	"context"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// watcher is a watch of the client.
type watcher struct {
	in     clientv3.WatchChan
	cancel context.CancelFunc
	done   chan struct{} // closed by Close
	once   sync.Once
	start  int64 // the revision that it began with

	mu  sync.Mutex
	err error // what has ended it
}

// Watch implements raftstore.KV. It returns when etcd has opened the watch.
//
// The present is that of the cluster, asked for by a linearizable read: the member of
// etcd that serves the watch may be behind the one that answered the last write, and its
// own present would show that write again.
func (k *KV) Watch(ctx context.Context, o raftstore.WatchOptions) (raftstore.Watcher, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if o.StartRevision == 0 {
		now, err := k.client.Get(ctx, "\x00", clientv3.WithCountOnly())
		if err != nil {
			return nil, readError(ctx, err)
		}
		o.StartRevision = now.Header.Revision + 1
	}
	key, opts, err := watchOptions(&o)
	if err != nil {
		return nil, err
	}
	// The watch outlives the call.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &watcher{in: k.client.Watch(life, key, opts...), cancel: cancel, done: make(chan struct{}), start: o.StartRevision}
	for {
		select {
		case r, ok := <-w.in:
			if !ok || r.Canceled {
				cancel()
				return nil, w.ended(&r, ok)
			}
			if r.Created {
				return w, nil
			}
		case <-ctx.Done():
			cancel()
			return nil, context.Cause(ctx)
		}
	}
}

func watchOptions(o *raftstore.WatchOptions) (key string, opts []clientv3.OpOption, err error) {
	if o.StartRevision < 0 {
		return "", nil, &mvcc.CompactedError{Revision: o.StartRevision}
	}
	key = string(o.Key)
	if key == "" {
		key = "\x00"
	}
	opts = []clientv3.OpOption{clientv3.WithRev(o.StartRevision), clientv3.WithCreatedNotify()}
	if len(o.End) > 0 {
		opts = append(opts, clientv3.WithRange(string(o.End)))
	}
	if o.PrevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if o.NoPut {
		opts = append(opts, clientv3.WithFilterPut())
	}
	if o.NoDelete {
		opts = append(opts, clientv3.WithFilterDelete())
	}
	return key, opts, nil
}

// Next implements raftstore.Watcher.
func (w *watcher) Next(ctx context.Context) (raftstore.WatchBatch, error) {
	w.mu.Lock()
	err := w.err
	w.mu.Unlock()
	if err != nil {
		return raftstore.WatchBatch{}, err
	}
	for {
		select {
		case <-w.done:
			return raftstore.WatchBatch{}, mvcc.ErrWatcherClosed
		default:
		}
		select {
		case r, ok := <-w.in:
			if !ok || r.Canceled {
				return raftstore.WatchBatch{}, w.end(w.ended(&r, ok))
			}
			if len(r.Events) > 0 {
				return batch(&r), nil
			}
		case <-w.done:
		case <-ctx.Done():
			return raftstore.WatchBatch{}, context.Cause(ctx)
		}
	}
}

// batch has the revision of its last event: that of the header may be one that
// other events of the watch have not been sent for.
func batch(r *clientv3.WatchResponse) raftstore.WatchBatch {
	b := raftstore.WatchBatch{Events: make([]raftstore.Event, len(r.Events))}
	for i, e := range r.Events {
		b.Events[i] = event(e)
	}
	b.Revision = b.Events[len(b.Events)-1].KV.ModRevision
	return b
}

// ended is the error for the end of a watch.
func (w *watcher) ended(r *clientv3.WatchResponse, open bool) error {
	select {
	case <-w.done:
		return mvcc.ErrWatcherClosed
	default:
	}
	switch {
	case !open:
		return raftstore.ErrClosed // the client was closed
	case r.CompactRevision != 0:
		return &mvcc.CompactedError{Revision: w.start, Floor: r.CompactRevision}
	case r.Err() != nil && strings.Contains(r.Err().Error(), mvcc.ErrEmptyWatchRange.Error()):
		return &mvcc.RequestError{Field: "watch.end", Err: mvcc.ErrEmptyWatchRange}
	}
	return readError(context.Background(), r.Err())
}

func (w *watcher) end(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
		w.cancel()
	}
	return w.err
}

// Close implements raftstore.Watcher.
func (w *watcher) Close() {
	w.once.Do(func() {
		close(w.done)
		w.cancel()
	})
}
