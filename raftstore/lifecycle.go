package raftstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Status describes the member now. It works after Close, too.
func (s *Store) Status() Status {
	var status Status
	done := make(chan struct{})
	n := s.node
	if n.call(func() { status = n.replica.status(); close(done) }) {
		select {
		case <-done:
			return status
		case <-n.stopped:
		}
	}
	<-n.stopped
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last
}

// Err returns the fault that has stopped the member, nil while it works or when
// it was closed.
func (s *Store) Err() error {
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	return s.node.failure
}

// TransferLeadership hands leadership to the member with the given id, or to the
// one that is closest behind when id is 0, and waits until this member has
// stopped leading. Writes wait meanwhile. To itself it has nothing to hand over.
func (s *Store) TransferLeadership(ctx context.Context, id uint64) error {
	for {
		answer := make(chan error, 1)
		if !s.node.call(func() { answer <- s.node.replica.transferTo(id) }) {
			return s.node.ended()
		}
		select {
		case err := <-answer:
			if err != nil {
				return err
			}
		case <-s.node.stopped:
			return s.node.ended()
		case <-ctx.Done():
			return contextReason(ctx)
		}
		if id == s.MemberID() {
			return nil
		}
		// Raft gives up after an election timeout; then it is asked again.
		if moved, err := s.waitNotLeading(ctx); moved || err != nil {
			return err
		}
	}
}

func (r *replica) transferTo(id uint64) error {
	if r.role() != Leader {
		return ErrNotLeader
	}
	if id == 0 {
		if id = r.successor(); id == 0 {
			return fmt.Errorf("%w: no other voter can be reached", ErrNoLeader)
		}
	}
	if id == r.id {
		return nil
	}
	if !slices.Contains(r.core.state.conf.GetVoters(), id) {
		return fmt.Errorf("%w: %x is not a voter", ErrUnknownMember, id)
	}
	r.core.transfer(id)
	return nil
}

func (s *Store) waitNotLeading(ctx context.Context) (moved bool, err error) {
	ticker := time.NewTicker(s.cfg.TickInterval)
	defer ticker.Stop()
	for range s.cfg.ElectionTicks + 1 {
		if status := s.Status(); status.Role != Leader {
			return true, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return false, contextReason(ctx)
		}
	}
	return false, nil
}

// Close hands leadership over if this member leads, ends all calls and watchers
// and stops. No goroutine survives it.
func (s *Store) Close() error {
	s.close.Do(func() {
		timeout := 2 * time.Duration(s.cfg.ElectionTicks) * s.cfg.TickInterval
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		// Without a successor there is nothing to hand over, and nobody to wait for.
		_ = s.TransferLeadership(ctx, 0)
		s.closed = s.shut(s.node.replica.wal.Close)
	})
	return s.closed
}

// Abort stops the member as a crash of the process would: nothing is handed over
// and nothing more is written. What was acknowledged is on disk all the same.
func (s *Store) Abort() error {
	s.close.Do(func() { s.closed = s.shut(s.node.replica.wal.Abort) })
	return s.closed
}

func (s *Store) shut(closeLog func() error) error {
	n := s.node
	n.stop()
	err := n.net.Close()
	s.kv.Close()
	for _, o := range n.replica.sending {
		err = errors.Join(err, o.file.Close())
	}
	if in := n.replica.receiving; in != nil && !in.verifying {
		err = errors.Join(err, in.file.Close())
	}
	closeErr := closeLog()
	if n.failure != nil {
		closeErr = nil // said already, by every call since
	}
	return errors.Join(err, closeErr)
}
