package etcdapi

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// errTimeout is the cause of a context that the server has ended.
var errTimeout = errors.New("etcdapi: request timed out")

// wireErrors gives each error of the store the one that etcd's clients know. The
// first that matches counts.
var wireErrors = []struct {
	store error
	wire  error
}{
	{mvcc.ErrEmptyKey, rpctypes.ErrGRPCEmptyKey},
	{mvcc.ErrKeyNotFound, rpctypes.ErrGRPCKeyNotFound},
	{mvcc.ErrValueProvided, rpctypes.ErrGRPCValueProvided},
	{mvcc.ErrLeaseProvided, rpctypes.ErrGRPCLeaseProvided},
	{mvcc.ErrTooManyOps, rpctypes.ErrGRPCTooManyOps},
	{mvcc.ErrDuplicateKey, rpctypes.ErrGRPCDuplicateKey},
	{mvcc.ErrInvalidSortOption, rpctypes.ErrGRPCInvalidSortOption},
	{mvcc.ErrInvalidOp, rpctypes.ErrGRPCKeyNotFound}, // what etcd says to an empty operation
	{mvcc.ErrCompacted, rpctypes.ErrGRPCCompacted},
	{mvcc.ErrFutureRevision, rpctypes.ErrGRPCFutureRev},
	{mvcc.ErrRequestTooLarge, rpctypes.ErrGRPCRequestTooLarge},
	{mvcc.ErrLeaseNotFound, rpctypes.ErrGRPCLeaseNotFound},
	{mvcc.ErrLeaseExists, rpctypes.ErrGRPCLeaseExist},
	{mvcc.ErrLeaseTTLTooLarge, rpctypes.ErrGRPCLeaseTTLTooLarge},

	{raftstore.ErrNoSpace, rpctypes.ErrGRPCNoSpace},
	{raftstore.ErrCorruptAlarm, rpctypes.ErrGRPCCorrupt},
	{raftstore.ErrTooManyRequests, rpctypes.ErrTooManyRequests}, // without a status of its own, as etcd sends it
	{raftstore.ErrLearnerNotReady, rpctypes.ErrGRPCLearnerNotReady},
	{raftstore.ErrUnknownMember, rpctypes.ErrGRPCMemberNotFound},
	{raftstore.ErrAddressTaken, rpctypes.ErrGRPCPeerURLExist},
	{raftstore.ErrUnhealthy, rpctypes.ErrGRPCUnhealthy},
	{raftstore.ErrNotLeader, rpctypes.ErrGRPCNotLeader},
	{raftstore.ErrNoLeader, rpctypes.ErrGRPCNoLeader},
	{raftstore.ErrRemoved, rpctypes.ErrGRPCStopped},
	{raftstore.ErrClosed, rpctypes.ErrGRPCStopped},
	{raftstore.ErrFailed, rpctypes.ErrGRPCStopped},
}

// wireError is what a client is told about an error of the store. Those of a
// context are told apart: a deadline of the client is the client's, one of the
// server is etcd's timeout.
func wireError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	for _, e := range wireErrors {
		if errors.Is(err, e.store) {
			return e.wire
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return causeError(cause)
	}
	if errors.Is(err, raftstore.ErrUnknownOutcome) {
		return rpctypes.ErrGRPCTimeout
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	var bad *mvcc.RequestError
	if errors.As(err, &bad) || errors.Is(err, raftstore.ErrAlarm) {
		return status.Error(codes.InvalidArgument, "etcdserver: "+err.Error())
	}
	return status.Error(codes.Unknown, err.Error())
}

// causeError is what a client is told about the end of a context.
func causeError(cause error) error {
	if errors.Is(cause, errTimeout) {
		return rpctypes.ErrGRPCTimeout
	}
	if _, ok := status.FromError(cause); ok {
		return cause // the server's own, such as a missing leader
	}
	return status.FromContextError(cause).Err()
}
