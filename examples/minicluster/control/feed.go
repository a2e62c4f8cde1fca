package control

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// Feed brings one controller's view forward. It keeps the newest change of each
// key only, so a slow controller costs at most one entry per object; controllers
// act on the state, not on the steps that led there.
type Feed struct {
	plurals map[string]bool
	signal  chan struct{} // has room for one wake-up

	mu       sync.Mutex
	pending  map[string]Change
	revision int64
	err      error
}

func newFeed(kinds []api.Kind) *Feed {
	f := &Feed{plurals: map[string]bool{}, signal: make(chan struct{}, 1), pending: map[string]Change{}}
	for _, k := range kinds {
		f.plurals[k.Plural] = true
	}
	return f
}

// publish adds changes and says that everything up to revision is in.
func (f *Feed) publish(changes []Change, revision int64) {
	f.mu.Lock()
	for _, c := range changes {
		if f.plurals[c.Plural] {
			f.pending[c.Key] = c
		}
	}
	f.revision = max(f.revision, revision)
	f.mu.Unlock()
	f.wake()
}

// fail ends the feed: Advance returns err.
func (f *Feed) fail(err error) {
	f.mu.Lock()
	f.err = err
	f.mu.Unlock()
	f.wake()
}

func (f *Feed) wake() {
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// Advance waits until the feed has reached a revision and there is news, or until
// the timer rings, and applies what has come to the view. It returns the changes
// in the order of their keys. Waiting for one's own last revision is what makes
// decisions safe against acting twice on an old view.
func (f *Feed) Advance(ctx context.Context, view *View, atLeast int64, timer <-chan time.Time) ([]Change, error) {
	rang := false
	for {
		changes, ok, err := f.take(view, atLeast, rang)
		if err != nil || ok {
			return changes, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer:
			rang = true
		case <-f.signal:
		}
	}
}

func (f *Feed) take(view *View, atLeast int64, rang bool) ([]Change, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, false, f.err
	}
	if f.revision == 0 || f.revision < atLeast || len(f.pending) == 0 && !rang {
		return nil, false, nil
	}
	changes := make([]Change, 0, len(f.pending))
	for _, key := range slices.Sorted(maps.Keys(f.pending)) {
		changes = append(changes, f.pending[key])
	}
	clear(f.pending)
	for _, c := range changes {
		view.Apply(c)
	}
	view.Revision = f.revision
	return changes, true, nil
}
