package raftstore

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/raftstore"
)

// catchUpRow is what writers keep of their throughput while a follower that was away
// for so many keys catches up. Both sides are the same cluster of ours: the peer is
// its throughput with every member there.
func catchUpRow(clients, keys int) measure.Row {
	name := fmt.Sprintf("put-during-catchup/keys=%d/clients=%d/peer=itself", keys, clients)
	return measure.Row{Name: name, Unit: "puts/s", Open: func() (*measure.Pair, error) {
		c, err := openOurs()
		if err != nil {
			return nil, err
		}
		a := &catchUp{c: c, clients: clients, keys: keys, load: putLoad(clients)}
		return &measure.Pair{Ours: a.returning, Peer: a.complete, Check: a.check, Close: c.close}, nil
	}}
}

type catchUp struct {
	c             *ourCluster
	clients, keys int
	load          load
	// follower is the place in c.stores of the member that goes away.
	follower int
}

// complete measures puts with all members there.
func (a *catchUp) complete() (measure.Sample, error) {
	if err := a.write(); err != nil {
		return measure.Sample{}, err
	}
	return measure.Timed(func() (int, error) { return a.load.run(context.Background(), a.c) }, measure.Rate)
}

// write is what a member can miss. Clusters are compacted: a history that only grows
// would reach the quota. It comes before both samples, so that writers do the same work
// of compactions in both.
func (a *catchUp) write() error {
	if err := a.c.leader.Compact(context.Background(), a.c.leader.Status().Revision); err != nil {
		return err
	}
	return fillBatches(a.keys, a.c.putMany)
}

// returning measures puts from the opening of a member that was away until it has
// applied everything that was there when it came, and no shorter than a sample.
func (a *catchUp) returning() (measure.Sample, error) {
	c := a.c
	a.follower = slices.IndexFunc(c.stores, func(s *raftstore.Store) bool { return s != c.leader })
	if err := c.stores[a.follower].Close(); err != nil {
		return measure.Sample{}, err
	}
	if err := a.write(); err != nil {
		return measure.Sample{}, err
	}
	id := c.members[a.follower].ID
	target := c.leader.Status().Applied
	return measure.Timed(func() (int, error) {
		opened := make(chan error, 1)
		var caughtUp atomic.Bool
		go func() {
			s, err := raftstore.Open(filepath.Join(c.dir, fmt.Sprint(id)), raftstore.Config{ID: id, Members: c.members})
			if err == nil {
				c.stores[a.follower] = s
				err = waitApplied(s, target)
			}
			caughtUp.Store(true)
			opened <- err
		}()
		puts := 0
		for first := true; first || !caughtUp.Load(); first = false {
			n, err := a.load.run(context.Background(), c)
			if err != nil {
				<-opened
				return 0, err
			}
			puts += n
		}
		return puts, <-opened
	}, measure.Rate)
}

// check asserts that the follower has become what the leader is.
func (a *catchUp) check() error {
	follower, leader := a.c.stores[a.follower], a.c.leader
	if err := waitApplied(follower, leader.Status().Applied); err != nil {
		return err
	}
	revision := leader.Status().Revision
	ours, err := follower.HashKV(revision)
	if err != nil {
		return err
	}
	theirs, err := leader.HashKV(revision)
	if err == nil && ours != theirs {
		err = fmt.Errorf("at revision %d the follower has hash %x, the leader %x", revision, ours, theirs)
	}
	return err
}

func waitApplied(s *raftstore.Store, index uint64) error {
	deadline := time.Now().Add(callTimeout)
	for s.Status().Applied < index {
		if time.Now().After(deadline) {
			return fmt.Errorf("the follower has applied %d after %v, want %d", s.Status().Applied, callTimeout, index)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}
