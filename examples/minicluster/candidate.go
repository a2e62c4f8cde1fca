package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/raftstore"
)

// candidate is one scheduler of several. It works while it holds the lead.
type candidate struct {
	name    string
	cancel  context.CancelFunc
	done    chan struct{}
	leading atomic.Bool
}

// gatherPeriod lets pods that are made together be placed together.
const gatherPeriod = 50 * time.Millisecond

// fenceKey is written by each scheduler that takes the lead. Its bindings depend
// on that write being the last: a scheduler that still believes it leads when
// another one does cannot bind anything. A lease alone would not do that.
var fenceKey = api.Leases.Key(systemNamespace, "kube-scheduler-fence")

// lead schedules until ctx ends.
func (p *plane) lead(ctx context.Context, c *candidate, kv raftstore.KV, tl *timeline) error {
	fence, err := takeFence(ctx, kv, c.name)
	if err != nil {
		return err
	}
	scheduler, err := control.NewScheduler(gatherPeriod, fence)
	if err != nil {
		return err
	}
	c.leading.Store(true)
	defer c.leading.Store(false)
	tl.say("scheduler", "%s leads, fence at revision %d", c.name, fence.Revision)
	feed := p.informer.Feed(scheduler.Kinds()...)
	defer p.informer.Drop(feed)
	env := p.env
	env.KV = kv
	return control.Run(ctx, scheduler, feed, env)
}

// takeFence writes the fence, again and again until it is known to be written.
func takeFence(ctx context.Context, kv raftstore.KV, name string) (*control.Write, error) {
	value, err := json.Marshal(api.Lease{
		TypeMeta: api.TypeMeta{APIVersion: api.Leases.APIVersion, Kind: api.Leases.Name},
		Metadata: api.ObjectMeta{Namespace: systemNamespace, Name: "kube-scheduler-fence"},
		Spec:     api.LeaseSpec{HolderIdentity: name},
	})
	if err != nil {
		return nil, err
	}
	for {
		r, err := kv.Put(ctx, raftstore.PutRequest{Key: []byte(fenceKey), Value: value})
		if err == nil {
			return &control.Write{Key: fenceKey, Revision: r.Revision}, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), fmt.Errorf("fence: %w", err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// crash ends a candidate without a word: it does not give up its lease.
func (c *candidate) crash() {
	c.cancel()
	<-c.done
}

// leader returns the candidate that leads now, nil if none does.
func (p *plane) leader() *candidate {
	for _, c := range p.candidates {
		if c.leading.Load() {
			return c
		}
	}
	return nil
}

// startCandidate makes a scheduler compete for the lead, again whenever it has
// lost it. The name outlives the process: a scheduler that comes back after a
// crash finds its own lease and need not wait for its end.
func (p *plane) startCandidate(name string, kv raftstore.KV, o options, tl *timeline) (*candidate, error) {
	election, err := raftstore.NewElection(leaseStore{kv, "kube-scheduler"}, raftstore.ElectionConfig{
		Identity:      name,
		LeaseDuration: o.leaseDuration,
		RenewDeadline: o.renewDeadline,
		RetryPeriod:   o.retryPeriod,
		Seed:          o.seed,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(p.ctx)
	c := &candidate{name: name, cancel: cancel, done: make(chan struct{})}
	p.wg.Go(func() {
		defer close(c.done)
		for ctx.Err() == nil {
			var failed error
			err := election.Run(ctx, func(ctx context.Context) { failed = p.lead(ctx, c, kv, tl) })
			if failed != nil && ctx.Err() == nil && !errors.Is(failed, context.Canceled) {
				p.cancel(fmt.Errorf("%s: %w", name, failed))
				return
			}
			if errors.Is(err, raftstore.ErrLeadershipLost) {
				tl.say("scheduler", "%s: %v", name, err)
			}
		}
	})
	return c, nil
}
