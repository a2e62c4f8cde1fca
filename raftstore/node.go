package raftstore

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orchcore/orchcore/raftstore/transport"
)

// node runs a replica: one goroutine owns it, everybody else leaves what they want
// in the inbox and wakes it. Nobody ever waits for the owner with a lock held.
type node struct {
	replica *replica
	// answered is how many requests were given back since await.
	answered int
	net      transport.Transport
	cfg      Config

	wake    chan struct{}
	stopped chan struct{} // closed when the owner has ended
	owner   sync.WaitGroup
	// leadership is what Store.Leadership returns.
	leadership atomic.Pointer[Leadership]
	work       sync.WaitGroup // of replica.background

	mu    sync.Mutex
	inbox inbox
	// closing refuses everything new; failure is why the owner has ended by itself.
	closing bool
	failure error
	pending pending
	last    Status // when the owner has ended
}

// inbox is what has arrived since the owner looked last.
type inbox struct {
	frames      []transport.Frame
	frameBytes  int
	requests    []*request
	calls       []func()
	unreachable []uint64
	stop        bool
}

// pending counts what waits at this member, from its arrival to its result.
type pending struct {
	writes, reads, bytes int
}

// inboxSizeMax bounds the bytes of frames that wait for the owner; the network may
// lose what is beyond, and Raft will send it again.
const inboxSizeMax = 64 << 20

var _ transport.Handler = (*node)(nil)

// Receive implements transport.Handler.
func (n *node) Receive(f transport.Frame) {
	n.mu.Lock()
	if n.closing || n.inbox.frameBytes > inboxSizeMax {
		n.mu.Unlock()
		return
	}
	n.inbox.frames = append(n.inbox.frames, f)
	n.inbox.frameBytes += len(f.Payload)
	n.mu.Unlock()
	n.poke()
}

// Unreachable implements transport.Handler.
func (n *node) Unreachable(peer uint64) {
	n.mu.Lock()
	n.inbox.unreachable = append(n.inbox.unreachable, peer)
	n.mu.Unlock()
	n.poke()
}

// Removed implements transport.Handler.
func (n *node) Removed(by uint64, notice []byte) {
	n.call(func() { n.replica.toldRemoved(by, notice) })
}

func (n *node) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// call has the owner run f. False means that it never will.
func (n *node) call(f func()) bool {
	n.mu.Lock()
	if n.closing {
		n.mu.Unlock()
		return false
	}
	n.inbox.calls = append(n.inbox.calls, f)
	n.mu.Unlock()
	n.poke()
	return true
}

// background implements replica.background.
func (n *node) background(work, done func()) {
	n.work.Go(func() {
		work()
		n.mu.Lock()
		n.inbox.calls = append(n.inbox.calls, done)
		n.mu.Unlock()
		n.poke()
	})
}

const (
	// pauseShare is how many times longer a snapshot pauses than it works: it has time,
	// and clients have not.
	pauseShare = 4
	// pauseMax is the longest pause between two parts of a snapshot.
	pauseMax = 10 * time.Millisecond
)

// pacer makes a function that pauses for pauseShare times as long as the work since
// its last pause has taken, except when somebody waits for the end.
func (n *node) pacer() func() {
	last := time.Now()
	return func() {
		if n.ended() == nil {
			time.Sleep(min(pauseShare*time.Since(last), pauseMax))
		}
		last = time.Now()
	}
}

// submit leaves a request to the owner. An error means that it was not taken.
func (n *node) submit(r *request) error {
	n.mu.Lock()
	if err := n.refusal(r); err != nil {
		n.mu.Unlock()
		return err
	}
	if r.kind == 0 {
		n.pending.reads++
	} else {
		n.pending.writes++
		n.pending.bytes += len(r.body)
	}
	n.inbox.requests = append(n.inbox.requests, r)
	n.mu.Unlock()
	n.poke()
	return nil
}

// refusal says why a request cannot be taken. n.mu is held.
func (n *node) refusal(r *request) error {
	switch p := n.pending; {
	case n.failure != nil:
		return n.failure
	case n.closing:
		return ErrClosed
	case r.kind == 0 && p.reads >= n.cfg.PendingMax:
		return fmt.Errorf("%w: %d reads are waiting", ErrTooManyRequests, p.reads)
	case r.kind != 0 && p.writes >= n.cfg.PendingMax:
		return fmt.Errorf("%w: %d writes are waiting", ErrTooManyRequests, p.writes)
	case r.kind != 0 && p.bytes+len(r.body) > n.cfg.PendingSizeMax:
		return fmt.Errorf("%w: %d bytes of writes are waiting", ErrTooManyRequests, p.bytes)
	}
	return nil
}

// complete implements replica.complete.
func (n *node) complete(requests []*request) {
	n.mu.Lock()
	for _, r := range requests {
		if r.internal {
			continue
		}
		if r.kind == 0 {
			n.pending.reads--
		} else {
			n.pending.writes--
			n.pending.bytes -= len(r.body)
		}
	}
	n.mu.Unlock()
	for _, r := range requests {
		r.done <- struct{}{}
	}
	n.answered += len(requests)
}

// ended says why the member answers nothing any more, nil while it works.
func (n *node) ended() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failure != nil {
		return n.failure
	}
	if n.closing {
		return ErrClosed
	}
	return nil
}

// start runs the owner.
func (n *node) start() {
	n.owner.Go(func() {
		err := n.run()
		n.end(err)
		if errors.Is(err, ErrForgotten) {
			n.work.Wait() // some of it writes the log
			n.replica.rememberForgotten(n.replica.core.fault)
		}
		// It may end the process, so it comes last.
		if err != nil && n.cfg.OnFailure != nil {
			go n.cfg.OnFailure(err)
		}
	})
}

// run is the life of the owner. Ticks that were missed while the process was
// paused are not made up for: a leader that wakes up must hear from a quorum
// before it counts time against anybody.
func (n *node) run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", ErrFailed, p, debug.Stack())
		}
	}()
	ticker := time.NewTicker(n.cfg.TickInterval)
	defer ticker.Stop()
	var spare inbox
	for {
		tick := false
		select {
		case <-n.wake:
		case <-ticker.C:
			tick = true
		}
		in := n.take(spare)
		if in.stop {
			return nil
		}
		n.feed(&in)
		if tick {
			n.replica.tick()
		}
		if err := n.replica.turn(); err != nil {
			if errors.Is(err, ErrRemoved) || errors.Is(err, ErrDiverged) {
				return err
			}
			return fmt.Errorf("%w: %w", ErrFailed, err)
		}
		n.publish()
		spare = in.emptied()
		if n.await(); n.replica.holdsNotices() && len(n.wake) == 0 {
			n.replica.sendNotices()
		}
	}
}

// yieldsMax is how often the owner lets others run in the hope for company: a few times
// are enough to run the clients that were answered, when there is a processor for them.
const yieldsMax = 4

// await lets the clients run that were answered: most come back at once, and what they
// bring then shares an entry, or a question to a quorum. One client alone is waited for
// only if its next write saves notices.
func (n *node) await() {
	wanted := n.answered
	if n.answered = 0; wanted == 1 && !n.replica.holdsNotices() {
		return
	}
	for range yieldsMax {
		n.mu.Lock()
		enough := len(n.inbox.requests) >= wanted
		n.mu.Unlock()
		if enough {
			return
		}
		runtime.Gosched()
	}
}

// take swaps the inbox for an empty one.
func (n *node) take(empty inbox) inbox {
	n.mu.Lock()
	defer n.mu.Unlock()
	in := n.inbox
	n.inbox = empty
	n.inbox.stop = in.stop
	return in
}

func (in *inbox) emptied() inbox {
	clear(in.frames)
	clear(in.requests)
	clear(in.calls)
	return inbox{
		frames: in.frames[:0], requests: in.requests[:0],
		calls: in.calls[:0], unreachable: in.unreachable[:0],
	}
}

// feed gives what has arrived to the replica.
func (n *node) feed(in *inbox) {
	for _, f := range in.calls {
		f()
	}
	for _, peer := range in.unreachable {
		n.replica.unreachable(peer)
	}
	for _, f := range in.frames {
		n.replica.receive(f)
	}
	for _, r := range in.requests {
		switch {
		case r.lease != nil:
			n.replica.leases.submit(r)
		case r.kind == 0:
			n.replica.core.read(r)
		default:
			n.replica.core.write(r)
		}
	}
}

// end settles what is open when the owner has ended: nobody may wait for ever.
func (n *node) end(err error) {
	n.mu.Lock()
	n.closing = true
	n.failure = err
	left := n.inbox.requests
	n.inbox = inbox{}
	n.last = n.replica.lastStatus()
	n.last.Role, n.last.Err = Stopped, err
	n.mu.Unlock()
	reason := ErrClosed
	if err != nil {
		reason = err
		n.cfg.Logger.Error("member has stopped", "member", n.replica.id, "error", err)
	}
	core := n.replica.core
	left = append(left, core.writes.queue...)
	for _, r := range left {
		if r.kind == 0 {
			r.result.err = reason
		} else {
			r.result.err = notApplied(reason)
		}
	}
	for _, b := range core.writes.order {
		if !b.finished {
			for _, r := range b.requests {
				r.result.err = unknown(reason)
			}
			left = append(left, b.requests...)
		}
	}
	left = append(left, core.reads.fail(reason)...)
	left = append(left, n.replica.leases.fail(reason)...)
	left = append(left, core.fx.done...)
	n.complete(left)
	close(n.stopped)
}

// stop ends the owner and waits for it and its background work.
func (n *node) stop() {
	n.mu.Lock()
	n.closing = true
	n.inbox.stop = true
	n.mu.Unlock()
	n.poke()
	n.owner.Wait()
	n.work.Wait()
}
