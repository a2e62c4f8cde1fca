package etcdkv

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// storeErrors gives each of etcd's errors the one that users of a store know.
var storeErrors = []struct {
	wire  error
	store error
}{
	{rpctypes.ErrEmptyKey, mvcc.ErrEmptyKey},
	{rpctypes.ErrKeyNotFound, mvcc.ErrKeyNotFound},
	{rpctypes.ErrValueProvided, mvcc.ErrValueProvided},
	{rpctypes.ErrLeaseProvided, mvcc.ErrLeaseProvided},
	{rpctypes.ErrTooManyOps, mvcc.ErrTooManyOps},
	{rpctypes.ErrDuplicateKey, mvcc.ErrDuplicateKey},
	{rpctypes.ErrInvalidSortOption, mvcc.ErrInvalidSortOption},
	{rpctypes.ErrCompacted, mvcc.ErrCompacted},
	{rpctypes.ErrFutureRev, mvcc.ErrFutureRevision},
	{rpctypes.ErrRequestTooLarge, mvcc.ErrRequestTooLarge},
	{rpctypes.ErrLeaseNotFound, mvcc.ErrLeaseNotFound},
	{rpctypes.ErrLeaseExist, mvcc.ErrLeaseExists},
	{rpctypes.ErrLeaseTTLTooLarge, mvcc.ErrLeaseTTLTooLarge},
	{rpctypes.ErrNoSpace, raftstore.ErrNoSpace},
	{rpctypes.ErrCorrupt, raftstore.ErrCorruptAlarm},
	{rpctypes.ErrTooManyRequests, raftstore.ErrTooManyRequests},
	{rpctypes.ErrNoLeader, raftstore.ErrNoLeader},
}

// outcomeError joins an outcome with its reason; errors.Is finds both.
type outcomeError struct {
	outcome error
	reason  error
}

func (e *outcomeError) Error() string   { return e.outcome.Error() + ": " + e.reason.Error() }
func (e *outcomeError) Unwrap() []error { return []error{e.outcome, e.reason} }

func notApplied(reason error) error { return &outcomeError{raftstore.ErrNotApplied, reason} }
func unknown(reason error) error    { return &outcomeError{raftstore.ErrUnknownOutcome, reason} }

// started refuses a write whose context has ended before it began.
func started(ctx context.Context) error {
	if ctx.Err() != nil {
		return notApplied(context.Cause(ctx))
	}
	return nil
}

// readError is an error of etcd as one of a store.
func readError(ctx context.Context, err error) error {
	for _, e := range storeErrors {
		if errors.Is(rpctypes.Error(err), e.wire) {
			return fmt.Errorf("%w: %w", e.store, err)
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// writeError says as well what became of the write.
func writeError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	reason := readError(ctx, err)
	if refused(err) {
		return notApplied(reason)
	}
	return unknown(reason)
}

// refused tells whether etcd has answered that it does not want a request. All other
// answers, and none, leave open what happens to it. The code alone would not do:
// ResourceExhausted comes from gRPC as well, for an answer that is too large.
func refused(err error) bool {
	switch code(err) {
	case codes.InvalidArgument, codes.OutOfRange, codes.NotFound, codes.FailedPrecondition,
		codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return true
	case codes.ResourceExhausted:
		e := rpctypes.Error(err)
		return errors.Is(e, rpctypes.ErrNoSpace) || errors.Is(e, rpctypes.ErrTooManyRequests)
	}
	return errors.Is(rpctypes.Error(err), rpctypes.ErrCorrupt)
}

func code(err error) codes.Code {
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return e.Code()
	}
	return status.Code(err)
}
