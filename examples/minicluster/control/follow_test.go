package control_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/raftstore"
)

func put(t *testing.T, kv raftstore.KV, key, value string) int64 {
	t.Helper()
	r, err := kv.Put(t.Context(), raftstore.PutRequest{Key: []byte(key), Value: []byte(value)})
	require.NoError(t, err)
	return r.Revision
}

func nodeJSON(name string) string {
	return `{"apiVersion":"v1","kind":"Node","metadata":{"name":"` + name + `"}}`
}

// follow starts an informer and returns a function that waits until a feed has
// reached a revision and tells what the view then has.
func follow(t *testing.T, kv raftstore.KV, kinds ...api.Kind) (feed *control.Feed, at func(revision int64) []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	informer := control.NewInformer(kv)
	feed = informer.Feed(kinds...)
	done := make(chan struct{})
	go func() { defer close(done); _ = informer.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	view := control.NewView()
	return feed, func(revision int64) (names []string) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ring := make(chan time.Time, 1)
		ring <- time.Time{}
		_, err := feed.Advance(ctx, view, revision, ring)
		require.NoError(t, err)
		require.GreaterOrEqual(t, view.Revision, revision)
		for n := range view.Nodes.All() {
			names = append(names, n.Object.Metadata.Name)
		}
		return names
	}
}

func TestInformerFollowsTheStore(t *testing.T) {
	kv := newMemKV()
	first := put(t, kv, "/registry/nodes/a", nodeJSON("a"))
	put(t, kv, "/registry/configmaps/x/y", "not even JSON: no controller reads it")
	put(t, kv, "/other/key", "outside")
	_, at := follow(t, kv, api.Nodes)
	require.Equal(t, []string{"a"}, at(first))
	put(t, kv, "/registry/nodes/b", nodeJSON("b"))
	last := put(t, kv, "/registry/nodes/c", nodeJSON("c"))
	require.Equal(t, []string{"a", "b", "c"}, at(last))
	r, err := kv.DeleteRange(t.Context(), raftstore.DeleteRequest{Key: []byte("/registry/nodes/b")})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "c"}, at(r.Revision))
}

func TestInformerReadsManyObjectsInPages(t *testing.T) {
	kv := newMemKV()
	last := int64(0)
	for i := range 1234 {
		last = put(t, kv, fmt.Sprintf("/registry/nodes/n%04d", i), nodeJSON(fmt.Sprintf("n%04d", i)))
	}
	_, at := follow(t, kv, api.Nodes)
	require.Len(t, at(last), 1234)
}

func TestInformerStopsAtWhatItCannotDecode(t *testing.T) {
	kv := newMemKV()
	put(t, kv, "/registry/nodes/a", `{"metadata":{"name":3}}`)
	informer := control.NewInformer(kv)
	feed := informer.Feed(api.Nodes)
	err := informer.Run(t.Context())
	require.ErrorContains(t, err, "/registry/nodes/a")
	_, err = feed.Advance(t.Context(), control.NewView(), 0, nil)
	require.ErrorContains(t, err, "/registry/nodes/a", "whoever waits is told")
}

// breaking is a store whose watches end again and again, and whose reads fail.
type breaking struct {
	*memKV
	mu      sync.Mutex
	watches int
	failing int
}

func (b *breaking) Watch(ctx context.Context, o raftstore.WatchOptions) (raftstore.Watcher, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watches++
	if b.failing > 0 {
		b.failing--
		return nil, errors.New("member is down")
	}
	w, err := b.memKV.Watch(ctx, o)
	if err != nil {
		return nil, err
	}
	return &shortWatch{Watcher: w, left: 2}, nil
}

type shortWatch struct {
	raftstore.Watcher
	left int
}

func (w *shortWatch) Next(ctx context.Context) (raftstore.WatchBatch, error) {
	if w.left == 0 {
		return raftstore.WatchBatch{}, raftstore.ErrClosed
	}
	w.left--
	return w.Watcher.Next(ctx)
}

func TestInformerMissesNothingWhenWatchesEnd(t *testing.T) {
	kv := &breaking{memKV: newMemKV(), failing: 1}
	_, at := follow(t, kv, api.Nodes)
	last := int64(0)
	for i := range 30 {
		last = put(t, kv, fmt.Sprintf("/registry/nodes/n%02d", i), nodeJSON(fmt.Sprintf("n%02d", i)))
		if i%7 == 0 {
			require.Len(t, at(last), i+1)
		}
	}
	require.Len(t, at(last), 30)
	require.Greater(t, kv.watches, 3)
}

func TestInformerListsAnewAfterCompaction(t *testing.T) {
	kv := &breaking{memKV: newMemKV()}
	put(t, kv, "/registry/nodes/a", nodeJSON("a"))
	last := put(t, kv, "/registry/nodes/b", nodeJSON("b"))
	_, at := follow(t, kv, api.Nodes)
	require.Len(t, at(last), 2)
	kv.mu.Lock()
	kv.failing = 5 // no watch for a while
	kv.mu.Unlock()
	for i := range 10 {
		put(t, kv, fmt.Sprintf("/registry/nodes/n%d", i), nodeJSON(fmt.Sprintf("n%d", i)))
	}
	r, err := kv.DeleteRange(t.Context(), raftstore.DeleteRequest{Key: []byte("/registry/nodes/a")})
	require.NoError(t, err)
	require.NoError(t, kv.Compact(t.Context(), r.Revision))
	require.NotContains(t, at(r.Revision), "a", "a deletion that nobody saw shows, too")
}

// A slow reader's feed holds one change per object, however many there were.
func TestFeedKeepsTheNewestOnly(t *testing.T) {
	kv := newMemKV()
	last := put(t, kv, "/registry/nodes/a", nodeJSON("a"))
	feed, at := follow(t, kv, api.Nodes)
	at(last)
	for range 100 {
		last = put(t, kv, "/registry/nodes/a", nodeJSON("a"))
	}
	changes, err := feed.Advance(t.Context(), control.NewView(), last, nil)
	require.NoError(t, err)
	require.Len(t, changes, 1)
	require.Equal(t, last, changes[0].Revision)
}

func TestAdvanceEndsWithItsContext(t *testing.T) {
	feed := control.NewInformer(newMemKV()).Feed(api.Nodes)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := feed.Advance(ctx, control.NewView(), 0, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// scripted is a member whose writes end as the test says.
type scripted struct {
	*memKV
	err   error
	calls int
}

func (s *scripted) Put(ctx context.Context, r raftstore.PutRequest) (raftstore.PutResult, error) {
	s.calls++
	if s.err != nil {
		return raftstore.PutResult{}, s.err
	}
	return s.memKV.Put(ctx, r)
}

func (s *scripted) Range(ctx context.Context, o raftstore.RangeOptions) (raftstore.RangeResult, error) {
	s.calls++
	if s.err != nil {
		return raftstore.RangeResult{}, s.err
	}
	return s.memKV.Range(ctx, o)
}

func TestClientGoesToAnotherMember(t *testing.T) {
	store := newMemKV()
	closed := fmt.Errorf("%w: %w", raftstore.ErrNotApplied, raftstore.ErrClosed)
	for _, c := range []struct {
		name        string
		err         error
		write, read bool // whether it succeeds in the end
	}{
		{"works", nil, true, true},
		{"certainly not applied", closed, true, true},
		{"outcome unknown", raftstore.ErrUnknownOutcome, false, true},
	} {
		broken, good := &scripted{memKV: store, err: c.err}, &scripted{memKV: store}
		e := control.NewEndpoints(3)
		e.Set(1, broken)
		e.Set(2, good)
		_, err := e.Client(1).Put(t.Context(), raftstore.PutRequest{Key: []byte("k")})
		require.Equal(t, c.write, err == nil, "%s: %v", c.name, err)
		if !c.write {
			require.ErrorIs(t, err, c.err)
			require.Zero(t, good.calls, "a write that may have happened is not repeated behind the caller's back")
		}
		_, err = e.Client(1).Range(t.Context(), raftstore.RangeOptions{Key: []byte("k")})
		require.Equal(t, c.read, err == nil, "%s: %v", c.name, err)
	}
	_, err := control.NewEndpoints(3).Client(0).Put(t.Context(), raftstore.PutRequest{Key: []byte("k")})
	require.ErrorIs(t, err, control.ErrNoMember)
}

func TestClientLeavesAMemberThatFails(t *testing.T) {
	store := newMemKV()
	broken, good := &scripted{memKV: store, err: raftstore.ErrUnknownOutcome}, &scripted{memKV: store}
	e := control.NewEndpoints(2)
	e.Set(0, broken)
	e.Set(1, good)
	client := e.Client(0)
	_, err := client.Put(t.Context(), raftstore.PutRequest{Key: []byte("k")})
	require.Error(t, err)
	_, err = client.Put(t.Context(), raftstore.PutRequest{Key: []byte("k")})
	require.NoError(t, err, "the next call goes elsewhere")
	require.Equal(t, 1, broken.calls)
}

func TestCommitIsAllOrNothing(t *testing.T) {
	kv := newMemKV()
	a := control.Action{Verb: "create", Object: "two", Writes: []control.Write{{Key: "/registry/a", Value: []byte("{}")}, {Key: "/registry/b", Value: []byte("{}")}}}
	revision, err := control.Commit(t.Context(), kv, a)
	require.NoError(t, err)
	_, err = control.Commit(t.Context(), kv, a)
	require.ErrorIs(t, err, control.ErrConflict, "they exist")
	mixed := control.Action{Writes: []control.Write{{Key: "/registry/a", Revision: revision, Value: []byte("1")}, {Key: "/registry/b", Revision: 77}}}
	_, err = control.Commit(t.Context(), kv, mixed)
	require.ErrorIs(t, err, control.ErrConflict)
	pair, ok, err := raftstore.Get(t.Context(), kv, []byte("/registry/a"))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "{}", string(pair.Value))
	_, err = control.Commit(t.Context(), kv, control.Put("delete", "", "/registry/a", revision, nil))
	require.NoError(t, err)
	_, ok, err = raftstore.Get(t.Context(), kv, []byte("/registry/a"))
	require.NoError(t, err)
	require.False(t, ok)
}
