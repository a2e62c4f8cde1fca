package raftstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// A write has three outcomes: it was applied (no error), it was definitely not
// applied (ErrNotApplied), or nobody here can know (ErrUnknownOutcome). Every error
// of a write matches exactly one of the two, so a caller can decide about a retry
// with errors.Is alone; the reason, such as mvcc.ErrLeaseNotFound, matches as well.
var (
	// ErrNotApplied is matched by every error of a write that has not changed
	// anything and never will. Repeating such a write is safe.
	ErrNotApplied = errors.New("raftstore: not applied")
	// ErrUnknownOutcome is matched when a write was proposed but its result was
	// not seen: the caller gave up waiting, or the member stopped. It may be
	// applied already, later, or never.
	ErrUnknownOutcome = errors.New("raftstore: outcome unknown")
)

// The reasons below are wrapped together with one of the two outcomes above.
var (
	// ErrClosed is returned by every call on a store after Close.
	ErrClosed = errors.New("raftstore: store is closed")
	// ErrFailed is matched when the member has stopped for good after a fault of
	// its disk or its state; Store.Err tells which one.
	ErrFailed = errors.New("raftstore: member has failed")
	// ErrTooManyRequests is returned when a queue is full. Nothing was proposed.
	ErrTooManyRequests = errors.New("raftstore: too many requests")
	// ErrRequestTooLarge is returned when a request exceeds Config.RequestSizeMax.
	ErrRequestTooLarge = mvcc.ErrRequestTooLarge
	// ErrNoLeader is returned when an operation needs a leader and none is known.
	ErrNoLeader = errors.New("raftstore: no leader")
	// ErrNotLeader is returned by TransferLeadership on a member that does not lead.
	ErrNotLeader = errors.New("raftstore: not the leader")
	// ErrRemoved is returned by a member that was removed from the cluster.
	ErrRemoved = errors.New("raftstore: member was removed from the cluster")
	// ErrUnknownMember is returned when a member id does not belong to the cluster.
	ErrUnknownMember = errors.New("raftstore: unknown member")
	// ErrMembership is matched when a change of the members is refused.
	ErrMembership = errors.New("raftstore: membership change refused")
	// ErrAddressTaken is matched, with ErrMembership, when another member has the
	// address that a member is to have.
	ErrAddressTaken = errors.New("raftstore: address is another member's")
	// ErrUnhealthy is matched, with ErrMembership, when a change of the members would
	// leave fewer active voters than a quorum.
	ErrUnhealthy = errors.New("raftstore: too few voters are active")
	// ErrLearnerNotReady is matched when a learner is to be promoted too early.
	ErrLearnerNotReady = errors.New("raftstore: learner has not caught up")
	// ErrWrongCluster is returned by Open when a directory belongs to another
	// cluster or another member.
	ErrWrongCluster = errors.New("raftstore: directory belongs to another cluster or member")
	// ErrForgotten is matched when a member has stopped because it was started on an
	// empty directory under an id that was in use. Remove it and add a new one.
	ErrForgotten = errors.New("raftstore: member has lost its past")
	// ErrConfig is matched by every error about a field of Config.
	ErrConfig = errors.New("raftstore: invalid config")
)

// errChangePending is the reason of ErrMembership while another change is on its way.
var errChangePending = fmt.Errorf("%w: another change is not finished", ErrMembership)

// outcomeError joins an outcome with its reason; errors.Is finds both.
type outcomeError struct {
	outcome error
	reason  error
}

func (e *outcomeError) Error() string   { return e.outcome.Error() + ": " + e.reason.Error() }
func (e *outcomeError) Unwrap() []error { return []error{e.outcome, e.reason} }

func notApplied(reason error) error { return &outcomeError{ErrNotApplied, reason} }
func unknown(reason error) error    { return &outcomeError{ErrUnknownOutcome, reason} }

// contextReason is the reason of a call that ended with its context.
func contextReason(ctx context.Context) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != nil && cause != err {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// configError says which field was wrong, what it held and what was expected.
func configError(field string, value any, expected string) error {
	return fmt.Errorf("%w: %s is %v, expected %s", ErrConfig, field, value, expected)
}
