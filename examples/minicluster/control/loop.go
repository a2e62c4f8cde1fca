package control

import (
	"context"
	"errors"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/raftstore"
)

// Controller decides. Reconcile compares what is with what should be and returns
// the actions that bring the two closer; it must not block, keep the view or do
// anything by itself. recheck, if positive, asks to be called again after that
// time even if nothing changes.
type Controller interface {
	Name() string
	Kinds() []api.Kind
	Reconcile(view *View, now time.Time) (actions []Action, recheck time.Duration, err error)
}

// Settler is a controller that wants to know what became of its actions before
// it decides again.
type Settler interface {
	Settle(results []Result)
}

// Env is what a controller's loop needs from outside.
type Env struct {
	KV  raftstore.KV
	Now func() time.Time
	// Done, if set, is told of every action that was committed.
	Done func(controller string, r Result)
}

// unsettledPause is the wait before a decision is made again because an action
// failed for another reason than a conflict.
const unsettledPause = 50 * time.Millisecond

// Run drives a controller by a feed: wait for news, decide, commit, wait until the
// view shows the commits, and so on until ctx ends.
func Run(ctx context.Context, c Controller, feed *Feed, env Env) error {
	view := NewView()
	own := int64(0) // the revision of this controller's last write
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if _, err := feed.Advance(ctx, view, own, timer.C); err != nil {
			return err
		}
		actions, recheck, err := c.Reconcile(view, env.Now())
		if err != nil {
			return err
		}
		results := CommitAll(ctx, env.KV, actions)
		for _, r := range results {
			own = max(own, r.Revision)
			switch {
			case r.Err == nil && env.Done != nil:
				env.Done(c.Name(), r)
			case r.Err != nil && !errors.Is(r.Err, ErrConflict) && (recheck <= 0 || recheck > unsettledPause):
				recheck = unsettledPause
			}
		}
		if s, ok := c.(Settler); ok {
			s.Settle(results)
		}
		timer.Stop()
		if recheck > 0 {
			timer.Reset(recheck)
		}
	}
}
