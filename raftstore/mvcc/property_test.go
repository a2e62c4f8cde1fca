package mvcc

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// script draws random requests over a small set of keys, so that they meet.
type script struct{ r *rand.Rand }

// byteSource makes the bytes of a fuzzer the choices of a script, and goes on
// with a plain generator when they are used up.
type byteSource struct {
	data []byte
	rest *rand.PCG
}

func newByteSource(data []byte) *byteSource {
	return &byteSource{data: data, rest: rand.NewPCG(uint64(len(data)), 3)}
}

func (b *byteSource) Uint64() uint64 {
	if len(b.data) == 0 {
		return b.rest.Uint64()
	}
	// The highest bits decide (see rand.IntN); the others must not all be 0.
	n := uint64(b.data[0])<<56 | b.rest.Uint64()>>8
	b.data = b.data[1:]
	return n
}

var scriptKeys = []string{"a", "b", "b\x00", "c", "ca", "cb", "d", "\xff", "\xff\xff"}

func (s script) key() []byte { return []byte(scriptKeys[s.r.IntN(len(scriptKeys))]) }

func (s script) end() []byte {
	switch s.r.IntN(5) {
	case 0, 1:
		return nil
	case 2:
		return []byte{0}
	default:
		return s.key()
	}
}

func (s script) value() []byte { return []byte(fmt.Sprint("v", s.r.IntN(5))) }
func (s script) bool() bool    { return s.r.IntN(3) == 0 }

// lease is 0 most of the time, and often one that does not exist.
func (s script) lease() int64 {
	if s.r.IntN(3) > 0 {
		return 0
	}
	return int64(s.r.IntN(3) + 1)
}

func (s script) revision(current int64) int64 {
	if s.bool() {
		return s.r.Int64N(current+3) - 1
	}
	return 0
}

func (s script) put() *PutRequest {
	p := &PutRequest{Key: s.key(), Value: s.value(), Lease: s.lease(), PrevKV: s.bool()}
	if s.r.IntN(5) == 0 {
		p.IgnoreValue, p.Value = true, nil
	}
	if s.r.IntN(5) == 0 {
		p.IgnoreLease, p.Lease = true, 0
	}
	return p
}

func (s script) delete() *DeleteRequest {
	return &DeleteRequest{Key: s.key(), End: s.end(), PrevKV: s.bool()}
}

func (s script) rangeOptions(current int64) *RangeOptions {
	o := &RangeOptions{
		Key: s.key(), End: s.end(), Revision: s.revision(current), Limit: s.r.Int64N(6) - 1,
		KeysOnly: s.bool(), CountOnly: s.r.IntN(6) == 0,
	}
	if s.bool() {
		o.SortOrder, o.SortTarget = SortOrder(s.r.IntN(3)), SortTarget(s.r.IntN(5))
	}
	for _, bound := range []*int64{&o.MinModRevision, &o.MaxModRevision, &o.MinCreateRevision, &o.MaxCreateRevision} {
		if s.r.IntN(8) == 0 {
			*bound = s.r.Int64N(current + 2)
		}
	}
	return o
}

func (s script) compare(current int64) Compare {
	c := Compare{
		Target: CompareTarget(s.r.IntN(5)), Operator: CompareOperator(s.r.IntN(4)),
		Key: s.key(), End: s.end(), Value: s.value(), Number: s.r.Int64N(3),
	}
	if s.bool() {
		c.Number = s.r.Int64N(current + 1)
	}
	return c
}

func (s script) txn(current int64, depth int) *Txn {
	t := &Txn{Then: s.ops(current, depth), Else: s.ops(current, depth)}
	for range s.r.IntN(3) {
		t.If = append(t.If, s.compare(current))
	}
	return t
}

func (s script) ops(current int64, depth int) []Op {
	var ops []Op
	for range s.r.IntN(4) {
		switch n := s.r.IntN(10); {
		case n < 3:
			ops = append(ops, Op{Range: s.rangeOptions(current)})
		case n < 6:
			ops = append(ops, Op{Put: s.put()})
		case n < 8:
			ops = append(ops, Op{Delete: s.delete()})
		case depth > 0:
			ops = append(ops, Op{Txn: s.txn(current, depth-1)})
		}
	}
	return ops
}

// twins runs a script on a store and its model.
type twins struct {
	t        *testing.T
	script   script
	store    *Store
	model    *model
	watchers []*watchTwin
}

type watchTwin struct {
	watcher *Watcher
	options WatchOptions
	start   int64
	seen    []Event
	ended   bool
}

func newTwins(t *testing.T, r *rand.Rand) *twins {
	return &twins{t: t, script: script{r}, store: New(), model: newModel()}
}

// sameError compares by sentinel: the store's errors say more.
func (w *twins) sameError(want, got error) {
	if want == nil {
		require.NoError(w.t, got)
		return
	}
	require.ErrorIs(w.t, got, want)
}

func (w *twins) step() {
	s, m := w.script, w.model
	switch n := s.r.IntN(100); {
	case n < 30:
		r := s.put()
		want, wantErr := m.apply(&Txn{Then: []Op{{Put: r}}})
		got, err := w.store.Put(r)
		w.sameError(wantErr, err)
		if err == nil {
			require.Equal(w.t, *want.Results[0].Put, got)
		}
	case n < 38:
		r := s.delete()
		want, _ := m.apply(&Txn{Then: []Op{{Delete: r}}})
		got, err := w.store.Delete(r)
		require.NoError(w.t, err)
		require.Equal(w.t, *want.Results[0].Delete, got)
	case n < 65:
		w.txn(s.txn(m.revision, 2))
	case n < 78:
		o := s.rangeOptions(m.revision)
		want, wantErr := m.rangeKeys(o)
		got, err := w.store.Range(o)
		w.sameError(wantErr, err)
		require.Equal(w.t, want, got, "%+v", o)
	case n < 82:
		revision := m.revision - s.r.Int64N(12) + 2
		w.sameError(m.compact(revision), w.store.Compact(revision))
	case n < 85:
		w.store.Reclaim(s.r.IntN(6))
	case n < 90:
		w.lease()
	case n < 95:
		w.openWatcher()
	case n < 98:
		w.image()
	default:
		w.store.Snapshot() // writes must now copy
	}
	require.Equal(w.t, m.revision, w.store.Revision())
	require.Equal(w.t, max(m.floor, 0), w.store.CompactedRevision())
}

func (w *twins) txn(t *Txn) {
	want, wantErr := w.model.apply(t)
	got, err := w.store.Apply(t)
	w.sameError(wantErr, err)
	if err == nil {
		require.Equal(w.t, want, got)
	}
	if err == nil && t.ReadOnly() {
		again, err := w.store.ApplyReadOnly(t)
		require.NoError(w.t, err)
		require.Equal(w.t, got, again)
	}
}

func (w *twins) lease() {
	id := int64(w.script.r.IntN(3) + 1)
	if w.script.bool() {
		want, wantErr := w.model.revoke(id)
		l, _ := w.store.Lease(id)
		_, err := w.store.LeaseExpire(id, l.Serial+1)
		require.ErrorIs(w.t, err, ErrLeaseNotFound)
		revoke := func() (DeleteResult, error) { return w.store.LeaseRevoke(id) }
		if w.script.bool() {
			revoke = func() (DeleteResult, error) { return w.store.LeaseExpire(id, l.Serial) }
		}
		got, err := revoke()
		w.sameError(wantErr, err)
		require.Equal(w.t, want, got)
		return
	}
	if err := w.store.LeaseCheckpoint(id, 3); err == nil {
		l, _ := w.store.Lease(id)
		require.Equal(w.t, int64(3), l.Remaining)
	}
	err := w.store.LeaseGrant(id, 10)
	if _, ok := w.model.leases[id]; ok {
		require.ErrorIs(w.t, err, ErrLeaseExists)
		return
	}
	require.NoError(w.t, err)
	w.model.leases[id] = 10
}

func (w *twins) openWatcher() {
	o := WatchOptions{
		Key: w.script.key(), End: w.script.end(), StartRevision: w.script.revision(w.model.revision + 5),
		PrevKV: w.script.bool(), NoPut: w.script.r.IntN(6) == 0, NoDelete: w.script.r.IntN(6) == 0,
		BatchEvents: w.script.r.IntN(3),
	}
	watcher, err := w.store.Watch(o)
	empty := len(o.End) > 0 && string(o.End) != "\x00" && bytes.Compare(o.Key, o.End) >= 0
	switch {
	case o.StartRevision < 0:
		require.ErrorIs(w.t, err, ErrCompacted)
		return
	case empty:
		require.ErrorIs(w.t, err, ErrEmptyWatchRange)
		return
	case o.StartRevision != 0 && o.StartRevision < w.model.floor:
		require.ErrorIs(w.t, err, ErrCompacted)
		return
	}
	require.NoError(w.t, err)
	start := o.StartRevision
	if start == 0 {
		start = w.model.revision + 1
	}
	w.watchers = append(w.watchers, &watchTwin{watcher: watcher, options: o, start: start})
}

// drain reads what the watchers have, and compares: every event since the
// last drain, whole revisions, or a compaction that makes that impossible.
func (w *twins) drain() {
	for _, twin := range w.watchers {
		if twin.ended {
			continue
		}
		for {
			batch, ok, err := twin.watcher.Poll()
			if errors.Is(err, ErrCompacted) {
				last := twin.start
				require.Less(w.t, last, w.model.floor)
				twin.ended = true
				break
			}
			require.NoError(w.t, err)
			require.Equal(w.t, ok, len(batch.Events) > 0)
			want := w.model.events(twin.options, twin.start)
			want = want[:min(len(want), len(batch.Events))]
			require.Equal(w.t, want, append([]Event(nil), batch.Events...))
			require.GreaterOrEqual(w.t, batch.Revision, twin.start-1)
			twin.start = batch.Revision + 1
			require.Equal(w.t, batch.Revision, twin.watcher.Progress())
			if !ok {
				break
			}
		}
		if !twin.ended {
			require.Empty(w.t, w.model.events(twin.options, twin.start))
		}
	}
}

// image replaces the store by what its image says.
func (w *twins) image() {
	var b bytes.Buffer
	n, err := w.store.Snapshot().WriteTo(&b)
	require.NoError(w.t, err)
	require.EqualValues(w.t, n, b.Len())
	loaded, err := Load(&b)
	require.NoError(w.t, err)
	require.Equal(w.t, w.store.Hash(), loaded.Hash())
	require.Zero(w.t, b.Len())
	want, err := w.store.Snapshot().HashKV(0)
	require.NoError(w.t, err)
	got, err := loaded.Snapshot().HashKV(0)
	require.NoError(w.t, err)
	require.Equal(w.t, want, got)
	w.store.Restore(loaded)
}

// compareAll reads every revision that can be read.
func (w *twins) compareAll() {
	for revision := max(w.model.floor, 1); revision <= w.model.revision; revision++ {
		o := &RangeOptions{Key: []byte{0}, End: []byte{0}, Revision: revision}
		want, _ := w.model.rangeKeys(o)
		got, err := w.store.Range(o)
		require.NoError(w.t, err)
		require.Equal(w.t, want, got, "revision %d", revision)
	}
	for _, l := range w.store.Leases() {
		require.Equal(w.t, w.model.leases[l.ID], l.TTL)
		keys, err := w.store.LeaseKeys(l.ID)
		require.NoError(w.t, err)
		var got []string
		for _, key := range keys {
			got = append(got, string(key))
		}
		require.Equal(w.t, w.model.leaseKeys(l.ID), got)
	}
	require.Len(w.t, w.store.Leases(), len(w.model.leases))
	checkInvariants(w.t, w.store)
}

func runTwins(t *testing.T, r *rand.Rand, steps int) {
	w := newTwins(t, r)
	for range steps {
		w.step()
		if w.script.r.IntN(4) == 0 {
			w.drain()
		}
	}
	w.drain()
	w.compareAll()
}

func TestStoreEqualsModel(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			runTwins(t, rand.New(rand.NewPCG(seed, 1)), 150)
		})
	}
}

func FuzzStoreEqualsModel(f *testing.F) {
	for seed := range uint64(4) {
		data := make([]byte, 256)
		r := rand.New(rand.NewPCG(seed, 2))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		runTwins(t, rand.New(newByteSource(data)), min(len(data)/4, 200))
	})
}

// checkInvariants looks inside: what the index, the history and the arena say
// about each other.
func checkInvariants(t *testing.T, s *Store) {
	t.Helper()
	checkNode(t, s, s.index.root, true)
	live := make(map[int]int)
	seen := make(map[ref]bool)
	note := func(r ref) {
		if !seen[r] {
			seen[r] = true
			live[r.chunk()] += s.arena.dir.entryBytes(r)
		}
	}
	length := 0
	s.index.root.ascend(s.live.dir, nil, bound{open: true}, false, func(it *item) bool {
		length++
		note(it.key)
		require.True(t, it.base() || it.newest() != 0, "an item without any version")
		checkItem(t, &s.live, it)
		return true
	})
	require.Equal(t, s.index.length, length)
	for p := s.live.history.start; p < s.live.history.end; p++ {
		note(s.live.history.at(p).entry)
	}
	total := 0
	for chunk := range s.arena.use {
		require.Equal(t, live[chunk], s.arena.use[chunk].live, "chunk %d", chunk)
		total += live[chunk]
	}
	require.Equal(t, total, s.arena.liveBytes)
}

// checkItem holds the flags of an item against what they shorten.
func checkItem(t *testing.T, v *view, it *item) {
	t.Helper()
	newest, recorded := v.dir.version(it.key), it.newest() >= v.history.start
	if recorded {
		newest = v.change(it.newest())
	}
	require.Equal(t, newest.create != 0, it.live() != 0)
	require.Equal(t, recorded && newest.entry == it.key, it.sole())
	if it.base() {
		require.NotZero(t, v.dir.version(it.key).create)
		require.False(t, it.sole())
	}
	key := v.dir.key(it.key)
	for p := it.newest(); p >= v.history.start; p = v.history.at(p).prev {
		require.Equal(t, key, v.dir.key(v.history.at(p).entry))
		require.Equal(t, v.mod(p), v.change(p).mod)
	}
}

func checkNode(t *testing.T, s *Store, n *node, root bool) (live int) {
	t.Helper()
	if n == nil {
		return 0
	}
	require.LessOrEqual(t, len(n.items), nodeItemsMax)
	require.NotEmpty(t, n.items)
	for i := range n.items {
		live += n.items[i].live()
		key := s.live.dir.key(n.items[i].key)
		require.True(t, bytes.HasPrefix(key, n.prefix[:n.skip]))
		require.Equal(t, markOf(key, n.skip), n.marks[i])
		if i > 0 {
			require.Negative(t, bytes.Compare(s.live.dir.key(n.items[i-1].key), s.live.dir.key(n.items[i].key)))
		}
	}
	if n.children != nil {
		require.Len(t, n.children, len(n.items)+1)
	}
	for _, c := range n.children {
		live += checkNode(t, s, c, false)
	}
	require.Equal(t, n.live, live)
	return live
}
