package mvcc

import (
	"bytes"
	"context"
	"fmt"
	"sync"
)

// WatchOptions selects what a watcher sees.
type WatchOptions struct {
	// Key and End are a range as in RangeOptions; an empty Key is "\x00".
	Key []byte
	End []byte
	// StartRevision is the first revision to deliver; 0 is the one after the
	// store's present. It may lie in the future.
	StartRevision int64
	// PrevKV fills Event.PrevKV.
	PrevKV bool
	// NoPut and NoDelete leave events of that type out.
	NoPut    bool
	NoDelete bool
	// BatchEvents is the number of events after which a batch is closed at the
	// next end of a revision; 0 is 1000. More saves wake-ups and costs memory.
	BatchEvents int
}

const batchEventsDefault = 1000

// WatchBatch is what a watcher delivers at a time: all matching events of one
// or more whole revisions, in order.
type WatchBatch struct {
	// Events may be shared with other watchers and must not be modified.
	Events []Event
	// Revision says that every matching event up to it has been delivered.
	Revision int64
}

// Watcher is a cursor into the store's history. It holds no events: a slow
// one costs no memory. Its methods may be called from one goroutine at a
// time, Close from any.
type Watcher struct {
	store   *Store
	options WatchOptions
	group   *watchGroup
	ready   chan struct{} // capacity 1
	notify  func()        // written and read under the store's lock
	done    chan struct{}
	once    sync.Once

	// Both are written under the store's lock, or under its read lock by the
	// goroutine of the watcher: never at the same time.
	//
	// next is the lowest revision not yet looked at, as far as the watcher
	// itself knows; pending, if not 0, the lowest that may hold a matching
	// event. Without pending there is nothing to deliver up to the store's
	// present revision.
	next    int64
	pending int64
}

// Watch opens a watcher. A StartRevision below the floor is an ErrCompacted.
func (s *Store) Watch(o WatchOptions) (*Watcher, error) {
	if o.StartRevision < 0 {
		return nil, &CompactedError{Revision: o.StartRevision, Floor: s.CompactedRevision()}
	}
	if len(o.Key) == 0 {
		o.Key = []byte{0} // as etcd does; with End "\x00" that is every key
	}
	if len(o.End) != 0 && !rangeEnd(o.End).open && bytes.Compare(o.Key, o.End) >= 0 {
		detail := fmt.Sprintf("end %q is not above %s", o.End, quoteKey(o.Key))
		return nil, &RequestError{Field: "watch.end", Detail: detail, Err: ErrEmptyWatchRange}
	}
	if o.BatchEvents <= 0 {
		o.BatchEvents = batchEventsDefault
	}
	o.Key, o.End = bytes.Clone(o.Key), bytes.Clone(o.End)
	w := &Watcher{store: s, options: o, ready: make(chan struct{}, 1), done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch.closed {
		return nil, ErrClosed
	}
	switch {
	case o.StartRevision == 0:
		w.next = s.live.revision + 1
	case o.StartRevision < s.live.floor:
		return nil, &CompactedError{Revision: o.StartRevision, Floor: max(s.live.floor, 0)}
	default:
		w.next = o.StartRevision
		if w.next <= s.live.revision {
			w.pending = w.next
			w.wake()
		}
	}
	s.watch.add(w)
	return w, nil
}

// Next returns the next batch that has events, waiting for it if need be.
func (w *Watcher) Next(ctx context.Context) (WatchBatch, error) {
	for {
		batch, ok, err := w.Poll()
		if ok || err != nil {
			return batch, err
		}
		select {
		case <-w.ready:
		case <-w.done:
		case <-ctx.Done():
			return WatchBatch{}, context.Cause(ctx)
		}
	}
}

// Poll is Next without waiting: false means that there is nothing to deliver;
// the batch's Revision then is the progress made.
func (w *Watcher) Poll() (WatchBatch, bool, error) {
	for {
		batch, more, err := w.poll()
		if err != nil || len(batch.Events) > 0 {
			return batch, err == nil, err
		}
		if !more {
			return batch, false, nil
		}
	}
}

// recordsPerRead bounds the records that a watcher looks at under the lock.
// Only a revision of more records than that holds it longer.
const recordsPerRead = 4096

func (w *Watcher) poll() (batch WatchBatch, more bool, err error) {
	select {
	case <-w.done:
		return WatchBatch{}, false, ErrWatcherClosed
	default:
	}
	s := w.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.watch.closed:
		return WatchBatch{}, false, ErrClosed
	case w.pending == 0:
		return WatchBatch{Revision: w.progress()}, false, nil
	case w.pending < s.live.floor:
		return WatchBatch{}, false, &CompactedError{Revision: w.pending, Floor: s.live.floor}
	}
	batch = w.group.shared(w, &s.live)
	w.next = batch.Revision + 1
	w.pending = 0
	if w.next <= s.live.revision {
		w.pending = w.next
	}
	return batch, w.pending != 0, nil
}

// read takes the next batch out of the history.
func (w *Watcher) read(v *view) WatchBatch {
	var events []Event
	revision := v.revision
	first := v.search(w.pending)
	for p := first; p < v.history.end; p++ {
		change := v.change(p)
		enough := len(events) >= w.options.BatchEvents || p-first >= recordsPerRead
		if enough && change.mod != v.mod(p-1) {
			revision = change.mod - 1
			break
		}
		if w.wantsType(&change) && w.covers(v.dir.key(change.entry)) {
			events = append(events, w.event(v, p, &change))
		}
	}
	return WatchBatch{Events: events, Revision: revision}
}

func (w *Watcher) wantsType(change *version) bool {
	if change.create == 0 {
		return !w.options.NoDelete
	}
	return !w.options.NoPut
}

func (w *Watcher) covers(key []byte) bool {
	if len(w.options.End) == 0 {
		return bytes.Equal(key, w.options.Key)
	}
	return bytes.Compare(key, w.options.Key) >= 0 && !rangeEnd(w.options.End).excludes(key)
}

func (w *Watcher) event(v *view, position uint64, change *version) Event {
	e := Event{KV: v.keyValue(change)}
	if change.create == 0 {
		e.Type = EventDelete
	}
	if w.options.PrevKV && !e.IsCreate() {
		e.PrevKV = v.previous(position)
	}
	return e
}

// Ready returns a channel that receives when Poll may have something to say.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Notify has f called whenever Poll may have something to say, and now if it may
// already; Ready then receives nothing more. One goroutine can so serve any number
// of watchers. f runs under the store's lock: it must neither wait nor call the
// store.
func (w *Watcher) Notify(f func()) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.notify = f
	if w.pending != 0 || w.store.watch.closed {
		f()
	}
}

// Progress returns the revision up to which all matching events have been
// delivered: a bookmark to resume from.
func (w *Watcher) Progress() int64 {
	w.store.mu.RLock()
	defer w.store.mu.RUnlock()
	return w.progress()
}

func (w *Watcher) progress() int64 {
	if w.pending != 0 {
		return w.pending - 1
	}
	return max(w.store.live.revision, w.next-1)
}

// Close ends the watcher: Next returns ErrWatcherClosed.
func (w *Watcher) Close() {
	w.once.Do(func() {
		w.store.mu.Lock()
		w.store.watch.remove(w)
		w.store.mu.Unlock()
		close(w.done)
	})
}

func (w *Watcher) wake() {
	if w.notify != nil {
		w.notify()
		return
	}
	select {
	case w.ready <- struct{}{}:
	default:
	}
}
