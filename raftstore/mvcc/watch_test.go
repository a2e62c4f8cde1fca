package mvcc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// truth is what a writer did: all events of each revision, in order, with the
// pairs before it.
type truth struct {
	mu     sync.RWMutex
	events []Event
	state  map[string]KeyValue
}

// add runs a transaction of puts and deletes of distinct keys and books it.
func (h *truth) add(t *testing.T, s *Store, r *rand.Rand) {
	var txn Txn
	for _, i := range r.Perm(20)[:1+r.IntN(4)] {
		key := fmt.Appendf(nil, "k/%02d", i)
		if r.IntN(4) == 0 {
			txn.Then = append(txn.Then, Op{Delete: &DeleteRequest{Key: key}})
		} else {
			value := fmt.Appendf(nil, "v%d", r.IntN(1000))
			txn.Then = append(txn.Then, Op{Put: &PutRequest{Key: key, Value: value}})
		}
	}
	h.mu.Lock() // before Apply: a watcher may see the events before it returns
	defer h.mu.Unlock()
	result, err := s.Apply(&txn)
	require.NoError(t, err)
	before := map[string]KeyValue{}
	for k, kv := range h.state {
		before[k] = kv
	}
	for _, op := range txn.Then {
		var e Event
		if op.Delete != nil {
			if _, ok := h.state[string(op.Delete.Key)]; !ok {
				continue
			}
			e = Event{Type: EventDelete, KV: KeyValue{Key: op.Delete.Key, ModRevision: result.Revision}}
			delete(h.state, string(op.Delete.Key))
		} else {
			kv := h.state[string(op.Put.Key)]
			kv.Key, kv.Value, kv.ModRevision, kv.Version = op.Put.Key, op.Put.Value, result.Revision, kv.Version+1
			if kv.Version == 1 {
				kv.CreateRevision = result.Revision
			}
			e = Event{KV: kv}
			h.state[string(kv.Key)] = kv
		}
		if old, ok := before[string(e.KV.Key)]; ok {
			e.PrevKV = &old
		}
		h.events = append(h.events, e)
	}
}

// between returns the events of a range in the revisions [from, to].
func (h *truth) between(o WatchOptions, from, to int64) []Event {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var events []Event
	for _, e := range h.events {
		if e.KV.ModRevision >= from && e.KV.ModRevision <= to && inRange(string(e.KV.Key), o.Key, o.End) {
			events = append(events, e)
		}
	}
	return events
}

// watchSegment is what one watcher delivered between its start and its end.
type watchSegment struct {
	options     WatchOptions
	from, until int64 // revisions covered
	batches     []WatchBatch
}

// validate checks etcd's seven watch guarantees on a segment.
func (h *truth) validate(t *testing.T, s *watchSegment) {
	t.Helper()
	var got []Event
	last := s.from - 1
	for _, b := range s.batches {
		require.NotEmpty(t, b.Events)
		// Atomic and bookmarkable: a batch holds whole revisions, all of them
		// above what an earlier batch has vouched for.
		require.Greater(t, b.Events[0].KV.ModRevision, last, "a revision was split, or the bookmark lied")
		for i, e := range b.Events {
			if i > 0 { // ordered
				require.GreaterOrEqual(t, e.KV.ModRevision, b.Events[i-1].KV.ModRevision)
			}
			require.LessOrEqual(t, e.KV.ModRevision, b.Revision)
		}
		last = b.Revision
		got = append(got, b.Events...)
	}
	// Unique, reliable, resumable: the segment is history, no more and no less.
	want := h.between(s.options, s.from, s.until)
	require.Len(t, got, len(want))
	for i := range got {
		require.Equal(t, want[i].Type, got[i].Type)
		require.Equal(t, want[i].KV, got[i].KV)
		switch { // previous pairs are history's, or compacted
		case !s.options.PrevKV:
			require.Nil(t, got[i].PrevKV)
		case got[i].PrevKV != nil:
			require.Equal(t, want[i].PrevKV, got[i].PrevKV)
		}
	}
}

// follow watches until stop is closed and all has been seen, resuming now and
// then with a new watcher, and starting anew at the floor when overtaken.
func follow(t *testing.T, s *Store, h *truth, r *rand.Rand, stop <-chan struct{}) {
	o := WatchOptions{Key: fmt.Appendf(nil, "k/%02d", r.IntN(20)), PrevKV: r.IntN(2) == 0, BatchEvents: r.IntN(20)}
	switch r.IntN(3) {
	case 0:
		o.Key, o.End = []byte{0}, []byte{0}
	case 1:
		o.End = fmt.Appendf(nil, "k/%02d", 21)
	}
	for next, done := int64(1), false; !done; {
		o.StartRevision = next
		w, err := s.Watch(o)
		if errors.Is(err, ErrCompacted) {
			next = s.CompactedRevision()
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		segment := &watchSegment{options: o, from: next, until: next - 1}
		for range 1 + r.IntN(30) {
			if r.IntN(4) == 0 {
				time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			batch, err := w.Next(ctx)
			cancel()
			var compacted *CompactedError
			switch {
			case err == nil:
				segment.batches = append(segment.batches, batch)
				segment.until = batch.Revision
			case errors.As(err, &compacted):
				next = compacted.Floor
			case !errors.Is(err, context.DeadlineExceeded):
				t.Error(err)
				return
			}
			if err != nil {
				break
			}
		}
		if next == o.StartRevision { // not compacted: the bookmark holds
			segment.until = w.Progress()
			next = segment.until + 1
		}
		w.Close()
		h.validate(t, segment)
		select {
		case <-stop:
			done = next > s.Revision()
		default:
		}
	}
}

// Writers, compactions, image reloads and slow watchers at once.
func TestWatchGuarantees(t *testing.T) {
	s, h := New(), &truth{state: map[string]KeyValue{}}
	stop := make(chan struct{})
	var watchers sync.WaitGroup
	for i := range 8 {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		watchers.Go(func() { follow(t, s, h, r, stop) })
	}
	readers := readConsistently(t, s, stop)
	r := rand.New(rand.NewPCG(1, 7))
	for i := range 3000 {
		h.add(t, s, r)
		if i%50 == 49 {
			require.NoError(t, s.Compact(s.Revision()-int64(r.IntN(40))))
		}
		if i%500 == 499 {
			var b bytes.Buffer
			_, err := s.Snapshot().WriteTo(&b)
			require.NoError(t, err)
			loaded, err := Load(&b)
			require.NoError(t, err)
			s.Restore(loaded)
		}
		if i%20 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	close(stop)
	watchers.Wait()
	readers.Wait()
	checkInvariants(t, s)
}

// readConsistently reads snapshots and old revisions beside the writer: the
// same question about the same revision always has the same answer.
func readConsistently(t *testing.T, s *Store, stop <-chan struct{}) *sync.WaitGroup {
	var readers sync.WaitGroup
	for i := range 2 {
		r := rand.New(rand.NewPCG(uint64(i), 8))
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				sn := s.Snapshot()
				o := &RangeOptions{Key: []byte{0}, End: []byte{0}, Revision: max(1, sn.Revision()-r.Int64N(5))}
				first, err := sn.Range(o)
				if errors.Is(err, ErrCompacted) {
					continue
				}
				second, err2 := s.Range(o)
				if errors.Is(err2, ErrCompacted) {
					continue
				}
				if err != nil || err2 != nil || !slices.EqualFunc(first.KVs, second.KVs, sameKeyValue) {
					t.Errorf("revision %d: %v %v, then %v %v", o.Revision, first, err, second, err2)
					return
				}
			}
		})
	}
	return &readers
}

func sameKeyValue(a, b KeyValue) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && a.ModRevision == b.ModRevision &&
		a.CreateRevision == b.CreateRevision && a.Version == b.Version && a.Lease == b.Lease
}

func mustPut(t testing.TB, s *Store, key, value string) int64 {
	t.Helper()
	r, err := s.Put(&PutRequest{Key: []byte(key), Value: []byte(value)})
	require.NoError(t, err)
	return r.Revision
}

func TestWatchEnds(t *testing.T) {
	s := New()
	w, err := s.Watch(WatchOptions{Key: []byte("a")})
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	_, err = w.Next(ctx)
	require.ErrorIs(t, err, cause)

	ended := make(chan error, 1)
	go func() {
		_, err := w.Next(t.Context())
		ended <- err
	}()
	w.Close()
	require.ErrorIs(t, <-ended, ErrWatcherClosed)
	w.Close()

	w, err = s.Watch(WatchOptions{Key: []byte("a")})
	require.NoError(t, err)
	go func() {
		_, err := w.Next(t.Context())
		ended <- err
	}()
	s.Close()
	require.ErrorIs(t, <-ended, ErrClosed)
	_, err = s.Watch(WatchOptions{Key: []byte("a")})
	require.ErrorIs(t, err, ErrClosed)
	w.Close()
	require.Empty(t, s.watch.keys, "closed watchers leave nothing behind")
}

// A watcher that has seen more than a restored store has does not see the same
// revisions again (etcd #15271).
func TestWatchRestoreNeverGoesBack(t *testing.T) {
	s := New()
	mustPut(t, s, "a", "1")
	var b bytes.Buffer
	_, err := s.Snapshot().WriteTo(&b)
	require.NoError(t, err)
	w, err := s.Watch(WatchOptions{Key: []byte("a"), StartRevision: 1})
	require.NoError(t, err)
	mustPut(t, s, "a", "2")
	behind, err := s.Watch(WatchOptions{Key: []byte("a"), StartRevision: 1})
	require.NoError(t, err)
	batch, err := w.Next(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, batch.Revision)

	old, err := Load(&b)
	require.NoError(t, err)
	s.Restore(old)
	require.EqualValues(t, 2, s.Revision())
	mustPut(t, s, "a", "other 2")
	_, ok, err := w.Poll()
	require.NoError(t, err)
	require.False(t, ok, "revision 3 was delivered before")
	batch, err = behind.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, "other 2", string(batch.Events[1].KV.Value), "not what the other watcher saw of it")
	mustPut(t, s, "a", "3")
	batch, err = w.Next(t.Context())
	require.NoError(t, err)
	require.Len(t, batch.Events, 1)
	require.EqualValues(t, 4, batch.Events[0].KV.ModRevision)
}

func TestWatchCompacted(t *testing.T) {
	s := New()
	lagging, err := s.Watch(WatchOptions{Key: []byte("a")})
	require.NoError(t, err)
	idle, err := s.Watch(WatchOptions{Key: []byte("b")})
	require.NoError(t, err)
	for range 10 {
		mustPut(t, s, "a", "x")
	}
	require.NoError(t, s.Compact(5))
	_, err = lagging.Next(t.Context())
	var compacted *CompactedError
	require.ErrorAs(t, err, &compacted)
	require.ErrorIs(t, err, ErrCompacted)
	require.Equal(t, CompactedError{Revision: 2, Floor: 5}, *compacted)
	_, ok, err := idle.Poll()
	require.NoError(t, err, "nothing was missed")
	require.False(t, ok)
	require.EqualValues(t, 11, idle.Progress())
	_, err = s.Watch(WatchOptions{Key: []byte("a"), StartRevision: 4})
	require.ErrorIs(t, err, ErrCompacted)
	w, err := s.Watch(WatchOptions{Key: []byte("a"), StartRevision: 5})
	require.NoError(t, err)
	batch, err := w.Next(t.Context())
	require.NoError(t, err)
	require.Len(t, batch.Events, 7)
}

// The interval tree finds what a look at every range finds.
func TestWatchIndex(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	s := New()
	bytesOf := func() []byte { return []byte{byte('a' + r.IntN(6)), byte('a' + r.IntN(6))}[:1+r.IntN(2)] }
	var open []*Watcher
	for range 3000 {
		switch n := r.IntN(10); {
		case n < 3:
			o := WatchOptions{Key: bytesOf()}
			if r.IntN(3) > 0 {
				o.End = bytesOf()
			} else if r.IntN(2) == 0 {
				o.End = []byte{0}
			}
			if w, err := s.Watch(o); err == nil {
				open = append(open, w)
			}
		case n < 5 && len(open) > 0:
			i := r.IntN(len(open))
			open[i].Close()
			open = slices.Delete(open, i, i+1)
		default:
			key := bytesOf()
			mustPut(t, s, string(key), "")
			for _, w := range open {
				require.Equal(t, inRange(string(key), w.options.Key, w.options.End), w.pending != 0)
				_, ok, err := w.Poll()
				require.NoError(t, err)
				require.Equal(t, inRange(string(key), w.options.Key, w.options.End), ok)
			}
		}
	}
	for _, w := range open {
		w.Close()
	}
	require.Nil(t, s.watch.ranges)
	require.Empty(t, s.watch.spans)
}

// A hundred thousand watches cost a write what matches, and leave nothing.
func TestManyWatches(t *testing.T) {
	const n = 100_000
	s := New()
	open := make([]*Watcher, n)
	for i := range open {
		o := WatchOptions{Key: fmt.Appendf(nil, "key-%06d", i)}
		if i%2 == 0 {
			o.End = fmt.Appendf(nil, "key-%06d", i+3)
		}
		w, err := s.Watch(o)
		require.NoError(t, err)
		open[i] = w
	}
	mustPut(t, s, "key-050002", "x")
	woken := 0
	for _, w := range open {
		if len(w.ready) > 0 {
			woken++
		}
	}
	require.Equal(t, 2, woken, "[50000, 50003) and [50002, 50005)")
	require.Less(t, treapDepth(s.watch.ranges), 60)
	for _, w := range open {
		w.Close()
	}
	require.Equal(t, 0, s.Stats().Watchers)
	require.Nil(t, s.watch.ranges)
}

func treapDepth(n *rangeNode) int {
	if n == nil {
		return 0
	}
	return 1 + max(treapDepth(n.left), treapDepth(n.right))
}

func TestWatchNotify(t *testing.T) {
	s := New()
	put := func(key string) {
		_, err := s.Apply(&Txn{Then: []Op{{Put: &PutRequest{Key: []byte(key)}}}})
		require.NoError(t, err)
	}
	w, err := s.Watch(WatchOptions{Key: []byte("a")})
	require.NoError(t, err)
	calls := 0
	w.Notify(func() { calls++ })
	require.Zero(t, calls, "nothing has happened")
	put("b")
	require.Zero(t, calls, "nor to this key")
	put("a")
	put("a")
	require.Equal(t, 1, calls, "it was told and has not looked yet")
	batch, ok, err := w.Poll()
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, batch.Events, 2)
	put("a")
	require.Equal(t, 2, calls)

	late, err := s.Watch(WatchOptions{Key: []byte("a"), StartRevision: 2})
	require.NoError(t, err)
	told := 0
	late.Notify(func() { told++ })
	require.Equal(t, 1, told, "the past waits for it")
	s.Close()
	require.Equal(t, []int{3, 2}, []int{calls, told}, "the end is something to say")
	_, _, err = late.Poll()
	require.ErrorIs(t, err, ErrClosed)
}
