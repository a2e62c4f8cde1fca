package raftstore

import "context"

// Leases bind keys to the life of a client: it is granted a lease, attaches keys
// to it with PutRequest.Lease, and keeps it alive. When it stops doing so the lease
// expires and its keys are deleted, all in one revision.

// Lease is a lease as granted.
type Lease struct {
	ID int64
	// TTL is the granted time to live in seconds. It may be more than was asked for.
	TTL int64
}

// LeaseLife says how long a lease has yet.
type LeaseLife struct {
	Lease
	// Remaining is the time to live in whole seconds, as far as the leader knows now.
	// It is a minimum.
	Remaining int64
	// Keys are the keys attached to the lease, in order, if they were asked for.
	Keys [][]byte
}

// Leaser grants leases and keeps them. *Store implements it beside KV; nothing in it
// is particular to this store.
//
// Every error of Grant and Revoke matches either ErrNotApplied or ErrUnknownOutcome,
// as those of other writes. What names a lease that does not exist, or not any more,
// matches mvcc.ErrLeaseNotFound.
type Leaser interface {
	// Grant makes a lease. With the id 0 the store chooses one; otherwise it must be
	// free (mvcc.ErrLeaseExists). ttl is in seconds; less than the cluster can keep
	// is raised to what it can, more than mvcc.MaxLeaseTTL is refused
	// (mvcc.ErrLeaseTTLTooLarge).
	Grant(ctx context.Context, id, ttl int64) (Lease, error)
	// Revoke ends a lease and deletes its keys in one revision, which it returns.
	Revoke(ctx context.Context, id int64) (revision int64, err error)
	// KeepAlive gives a lease its whole time to live again, counted from some moment
	// during the call, and returns it. Call it every third of that.
	KeepAlive(ctx context.Context, id int64) (ttl int64, err error)
	// TimeToLive says how long a lease has yet and, if asked to, what is attached.
	TimeToLive(ctx context.Context, id int64, keys bool) (LeaseLife, error)
	// Leases lists the ids of all leases in order.
	Leases(ctx context.Context) ([]int64, error)
}
