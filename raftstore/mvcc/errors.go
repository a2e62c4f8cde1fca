package mvcc

import (
	"errors"
	"fmt"
)

// The errors of requests and reads. They have etcd's meaning one by one, so
// that a wire layer can map them; test with errors.Is, since they come wrapped
// with the field or revision at fault.
var (
	// ErrCompacted is returned by reads and watches below the compaction floor,
	// and by Compact at or below it. The chain holds a *CompactedError.
	ErrCompacted = errors.New("mvcc: required revision has been compacted")
	// ErrFutureRevision is returned by reads and Compact above the store's revision.
	ErrFutureRevision = errors.New("mvcc: required revision is a future revision")
	// ErrEmptyKey is returned for every request without a key.
	ErrEmptyKey = errors.New("mvcc: key is not provided")
	// ErrKeyNotFound is returned by a put with IgnoreValue or IgnoreLease on a
	// key that does not exist.
	ErrKeyNotFound = errors.New("mvcc: key not found")
	// ErrValueProvided is returned by a put with IgnoreValue and a value.
	ErrValueProvided = errors.New("mvcc: value is provided")
	// ErrLeaseProvided is returned by a put with IgnoreLease and a lease.
	ErrLeaseProvided = errors.New("mvcc: lease is provided")
	// ErrTooManyOps is returned by Validate for a transaction above MaxTxnOps.
	ErrTooManyOps = errors.New("mvcc: too many operations in txn request")
	// ErrDuplicateKey is returned by Validate when one path of a transaction
	// may write a key twice.
	ErrDuplicateKey = errors.New("mvcc: duplicate key given in txn request")
	// ErrInvalidSortOption is returned for a sort order or target out of range.
	ErrInvalidSortOption = errors.New("mvcc: invalid sort option")
	// ErrInvalidCompare is returned for a compare target or operator out of range.
	ErrInvalidCompare = errors.New("mvcc: invalid compare")
	// ErrInvalidOp is returned for an Op with no field set, or several, for a nil
	// request, and for a write where only reads are expected.
	ErrInvalidOp = errors.New("mvcc: operation must have exactly one kind")
	// ErrRequestTooLarge is returned by Validate above MaxRequestBytes.
	ErrRequestTooLarge = errors.New("mvcc: request is too large")

	// ErrLeaseNotFound is returned by puts and revokes that name an unknown lease.
	ErrLeaseNotFound = errors.New("mvcc: requested lease not found")
	// ErrLeaseExists is returned by LeaseGrant for an identifier in use.
	ErrLeaseExists = errors.New("mvcc: lease already exists")
	// ErrLeaseTTLTooLarge is returned by LeaseGrant above MaxLeaseTTL.
	ErrLeaseTTLTooLarge = errors.New("mvcc: too large lease TTL")
	// ErrInvalidLease is returned by LeaseGrant for the identifier 0 and for a
	// TTL that is not positive.
	ErrInvalidLease = errors.New("mvcc: invalid lease")

	// ErrEmptyWatchRange is returned by Watch when End is not above Key.
	ErrEmptyWatchRange = errors.New("mvcc: watcher range is empty")
	// ErrWatcherClosed is returned by a watcher after its Close.
	ErrWatcherClosed = errors.New("mvcc: watcher is closed")
	// ErrClosed is returned by watchers after the store's Close.
	ErrClosed = errors.New("mvcc: store is closed")

	// ErrCorruptImage is returned by Load for bytes that are no whole image.
	ErrCorruptImage = errors.New("mvcc: corrupt image")
)

// CompactedError is ErrCompacted with the revisions at hand.
type CompactedError struct {
	// Revision is what was asked for, Floor the lowest that can be read.
	Revision int64
	Floor    int64
}

// Error states both revisions.
func (e *CompactedError) Error() string {
	return fmt.Sprintf("%v: %d is below the floor %d", ErrCompacted, e.Revision, e.Floor)
}

// Is makes the error match ErrCompacted.
func (e *CompactedError) Is(target error) bool { return target == ErrCompacted }

// RequestError is a bad request: which field of it, and what is wrong.
type RequestError struct {
	// Field is the path to the field, such as "then[2].put.lease".
	Field string
	// Detail states the value found and what was expected.
	Detail string
	// Err is one of the sentinels above.
	Err error
}

// Error states field, sentinel and detail.
func (e *RequestError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("%v: %s", e.Err, e.Field)
	}
	return fmt.Sprintf("%v: %s: %s", e.Err, e.Field, e.Detail)
}

// Unwrap returns the sentinel.
func (e *RequestError) Unwrap() error { return e.Err }
