package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/node"
	"github.com/orchcore/orchcore/examples/minicluster/rest"
	"github.com/orchcore/orchcore/raftstore"
)

// plane is the control plane and the nodes, each a loop that is driven by watches.
type plane struct {
	kv       raftstore.LeasedKV
	ctx      context.Context
	cancel   context.CancelCauseFunc
	wg       sync.WaitGroup
	informer *control.Informer
	env      control.Env
	feed     *control.Feed
	view     *control.View
	seed     uint64
	say      func(string, ...any)
}

func startPlane(ctx context.Context, kv raftstore.LeasedKV, seed uint64, say func(string, ...any)) *plane {
	p := &plane{
		kv: kv, informer: control.NewInformer(kv), env: control.Env{KV: kv, Now: time.Now},
		view: control.NewView(), seed: seed, say: say,
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.feed = p.informer.Feed(api.Kinds()...)
	nodes := []control.Controller{&node.Fleet{Pace: node.DefaultPace()}, &node.Heartbeats{}, &node.Proxies{}}
	for _, c := range append(rest.Controllers(seed), nodes...) {
		p.run(c.Name(), func() error {
			return control.Run(p.ctx, c, p.informer.Feed(c.Kinds()...), p.env)
		})
	}
	p.run("scheduler", p.schedule)
	p.run("informer", func() error { return p.informer.Run(p.ctx) })
	return p
}

// run starts a loop; if it fails, everything ends.
func (p *plane) run(name string, loop func() error) {
	p.wg.Go(func() {
		if err := loop(); p.ctx.Err() == nil {
			p.cancel(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// lockPrefix is the lock of the schedulers, outside what the informer reads.
const lockPrefix = "minicluster-on-etcd/scheduler"

// schedule places pods while it holds the lock of the schedulers. Every binding
// compares the key of the lock: a scheduler that has lost it cannot bind anything.
func (p *plane) schedule() error {
	mutex, err := raftstore.NewMutex(p.kv, raftstore.MutexConfig{Prefix: []byte(lockPrefix), TTL: 10})
	if err != nil {
		return err
	}
	for {
		hold, err := mutex.Lock(p.ctx)
		if err != nil {
			return err
		}
		p.say("scheduler: holds the lock, token %d", hold.Token())
		err = p.lead(hold)
		free, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 2*time.Second)
		unlockErr := hold.Unlock(free)
		cancel()
		if p.ctx.Err() != nil || !errors.Is(err, raftstore.ErrLockLost) {
			return errors.Join(err, unlockErr)
		}
	}
}

// lead schedules until the lock is lost.
func (p *plane) lead(hold *raftstore.Hold) error {
	// The key is written once, so that its create revision is that of its last change.
	scheduler, err := control.NewScheduler(gatherPeriod, &control.Write{Key: string(hold.Key()), Revision: hold.Token()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-hold.Lost():
			cancel(raftstore.ErrLockLost)
		case <-ctx.Done():
		}
	}()
	feed := p.informer.Feed(scheduler.Kinds()...)
	defer p.informer.Drop(feed)
	err = control.Run(ctx, scheduler, feed, p.env)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// gatherPeriod lets pods that are made together be placed together.
const gatherPeriod = 50 * time.Millisecond

// quietPeriod without a change is reason to ask whether there is anything to do.
const quietPeriod = 250 * time.Millisecond

// settle waits until nothing moves and nobody wants to do anything, and returns what
// the cluster then is.
func (p *plane) settle() (*control.View, error) {
	timer := time.NewTimer(quietPeriod)
	defer timer.Stop()
	for {
		timer.Reset(quietPeriod)
		changes, err := p.feed.Advance(p.ctx, p.view, 0, timer.C)
		if err != nil {
			return nil, errors.Join(context.Cause(p.ctx), err)
		}
		if len(changes) > 0 {
			continue
		}
		if open, err := rest.Unfinished(p.view, p.seed, time.Now()); err != nil || open == "" {
			return p.view, err
		}
	}
}

// stop ends every loop and waits until none is left.
func (p *plane) stop() {
	p.cancel(errStopped)
	p.wg.Wait()
}

var errStopped = errors.New("stopped")
