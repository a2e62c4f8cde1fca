package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// Sessions and leases: what binds requests, or keys, to the life of a client.

// numberOf reads a number above 0 of the query, 0 if there is none.
func numberOf(r *http.Request, name string) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, usagef("%s is %.64q, expected a number above 0", name, text)
	}
	return n, nil
}

// openSession opens a session.
func (s *server) openSession(ctx context.Context, _ *http.Request) (answer, error) {
	session, err := s.store.NewSession(ctx)
	if err != nil {
		return answer{}, err
	}
	return answer{Session: session.ID()}, nil
}

// attempt is the write of a session that a request asks for, nil for a request
// without one. Whoever repeats the request with the same number, at whatever member,
// gets the same answer.
func (s *server) attempt(r *http.Request) (*raftstore.Attempt, error) {
	session, err := numberOf(r, "session")
	if err != nil {
		return nil, err
	}
	sequence, err := numberOf(r, "sequence")
	if err != nil {
		return nil, err
	}
	if (session == 0) != (sequence == 0) {
		return nil, usagef("session is %d and sequence %d, expected both or neither", session, sequence)
	}
	if session == 0 {
		return nil, nil
	}
	return s.store.ResumeSession(uint64(session), uint64(sequence)).Begin(), nil
}

// grant grants a lease.
func (s *server) grant(ctx context.Context, r *http.Request) (answer, error) {
	ttl, err := numberOf(r, "ttl")
	if err != nil {
		return answer{}, err
	}
	if ttl == 0 || ttl > mvcc.MaxLeaseTTL {
		return answer{}, usagef("ttl is %d, expected 1 to %d seconds", ttl, int64(mvcc.MaxLeaseTTL))
	}
	lease, err := s.store.Grant(ctx, 0, ttl)
	return answer{Lease: lease.ID, TTL: lease.TTL}, err
}

// keepAlive gives a lease its whole time again. A lease that is gone has none.
func (s *server) keepAlive(ctx context.Context, r *http.Request) (answer, error) {
	id, err := numberOf(r, "lease")
	if err == nil && id == 0 {
		err = usagef("lease is missing, expected ?lease=…")
	}
	if err != nil {
		return answer{}, err
	}
	ttl, err := s.store.KeepAlive(ctx, id)
	if errors.Is(err, mvcc.ErrLeaseNotFound) {
		return answer{Lease: id}, nil
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", raftstore.ErrUnknownOutcome, err)
	}
	return answer{Lease: id, TTL: ttl}, err
}
