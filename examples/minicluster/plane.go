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
)

// plane is the control plane and the nodes: everything that works by watches.
type plane struct {
	cancel   context.CancelCauseFunc
	ctx      context.Context
	wg       sync.WaitGroup
	informer *control.Informer
	env      control.Env
	proxies  *node.Proxies

	candidates []*candidate

	// What the run itself sees of the cluster.
	feed *control.Feed
	view *control.View
	seed uint64
}

// startPlane starts all loops. Controllers and kubelets use different members of
// the store, so that forwarding of writes is at work, too.
func startPlane(ctx context.Context, m *members, o options, tl *timeline) (*plane, error) {
	p := &plane{
		informer: control.NewInformer(m.endpoints.Client(2)),
		env:      control.Env{KV: m.endpoints.Client(0), Now: time.Now, Done: tl.note},
		proxies:  &node.Proxies{},
		view:     control.NewView(),
		seed:     o.seed,
	}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.feed = p.informer.Feed(api.Kinds()...)
	for _, c := range append(rest.Controllers(o.seed), &node.Heartbeats{}, p.proxies) {
		p.loop(c, p.env)
	}
	onNodes := p.env
	onNodes.KV = m.endpoints.Client(1)
	p.loop(&node.Fleet{Pace: node.DefaultPace()}, onNodes)
	for i := range o.schedulers {
		c, err := p.startCandidate(fmt.Sprintf("scheduler-%d", i+1), m.endpoints.Client(i), o, tl)
		if err != nil {
			p.stop()
			return nil, err
		}
		p.candidates = append(p.candidates, c)
	}
	p.wg.Go(func() {
		if err := p.informer.Run(p.ctx); !errors.Is(err, context.Canceled) {
			p.cancel(err)
		}
	})
	return p, nil
}

// loop runs one controller; if it fails, everything ends.
func (p *plane) loop(c control.Controller, env control.Env) {
	feed := p.informer.Feed(c.Kinds()...)
	p.wg.Go(func() {
		if err := control.Run(p.ctx, c, feed, env); p.ctx.Err() == nil {
			p.cancel(fmt.Errorf("controller %s: %w", c.Name(), err))
		}
	})
}

// stop ends every loop and waits until none is left.
func (p *plane) stop() {
	p.cancel(errStopped)
	p.wg.Wait()
}

var errStopped = errors.New("stopped")

// quietPeriod without a change is quiet.
const quietPeriod = 250 * time.Millisecond

// settle waits until the cluster is at rest: nothing moves any more and nobody wants
// to do anything. A cluster in which nothing happens for a while although it is not
// at rest, or which never stops moving, is left to the checks, which name what is
// wrong; open is then what was still to be done.
func (p *plane) settle() (open string, err error) {
	start := time.Now()
	last := start
	timer := time.NewTimer(quietPeriod)
	defer timer.Stop()
	for {
		timer.Reset(quietPeriod)
		changes, err := p.feed.Advance(p.ctx, p.view, 0, timer.C)
		now := time.Now()
		switch {
		case err != nil:
			return "", p.cause(err)
		case len(changes) > 0 && now.Sub(start) < settleLimit:
			last = now
			continue
		}
		if open, err = rest.Unfinished(p.view, p.seed, now); err != nil || open == "" {
			return open, err
		}
		if now.Sub(last) > stuckLimit || now.Sub(start) > settleLimit {
			return open, nil
		}
	}
}

// How long a cluster may stand still without being at rest, and how long it may
// take to come to rest.
const (
	stuckLimit  = 15 * time.Second
	settleLimit = 10 * time.Minute
)

// cause is why the plane has ended, if it has.
func (p *plane) cause(err error) error {
	if c := context.Cause(p.ctx); c != nil {
		return c
	}
	return err
}
