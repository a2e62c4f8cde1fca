package mvcc

// KeyValue is one key at one revision. Key and Value are views of the store's
// immutable memory: they stay valid for ever and must not be modified.
type KeyValue struct {
	Key   []byte
	Value []byte
	// CreateRevision is the revision of the put that began the key's present
	// life; ModRevision is that of the last put.
	CreateRevision int64
	ModRevision    int64
	// Version counts the puts of this life: 1 at creation.
	Version int64
	// Lease is the lease that the key is attached to; 0 is none.
	Lease int64
}

// EventType says what happened to a key.
type EventType uint8

// The two things that can happen to a key.
const (
	EventPut EventType = iota
	EventDelete
)

// String returns PUT or DELETE, as etcd's clients print it.
func (t EventType) String() string {
	if t == EventDelete {
		return "DELETE"
	}
	return "PUT"
}

// Event is one change of one key. The KV of an EventDelete has only Key and
// ModRevision, the revision of the deletion.
type Event struct {
	Type EventType
	KV   KeyValue
	// PrevKV is the key before the revision of the event; nil when the key did
	// not exist, was not asked for, or has been compacted.
	PrevKV *KeyValue
}

// IsCreate reports whether the event began the key's life.
func (e *Event) IsCreate() bool {
	return e.Type == EventPut && e.KV.CreateRevision == e.KV.ModRevision
}

// SortOrder orders the result of a range.
type SortOrder uint8

// The orders, numbered as in etcd. With SortNone a target other than
// SortByKey sorts ascending.
const (
	SortNone SortOrder = iota
	SortAscend
	SortDescend
)

// SortTarget is the field that a range is ordered by.
type SortTarget uint8

// The targets, numbered as in etcd.
const (
	SortByKey SortTarget = iota
	SortByVersion
	SortByCreateRevision
	SortByModRevision
	SortByValue
)

// RangeOptions asks for the keys of [Key, End) as they were at one revision.
type RangeOptions struct {
	// Key is the first key and must not be empty. End is exclusive: empty
	// means Key alone, a single zero byte means every key from Key on.
	Key []byte
	End []byte
	// Revision is the revision to read at; 0 or less is the latest.
	Revision int64
	// Limit bounds the number of pairs returned; 0 or less is no limit.
	Limit int64

	SortOrder  SortOrder
	SortTarget SortTarget

	// KeysOnly leaves the values out, and (as etcd does) the leases too unless
	// the order is by value. CountOnly returns Count alone.
	KeysOnly  bool
	CountOnly bool

	// The four bounds drop keys whose revision lies outside; 0 is no bound.
	// They apply before Limit and do not change Count.
	MinModRevision    int64
	MaxModRevision    int64
	MinCreateRevision int64
	MaxCreateRevision int64

	// Serializable asks the layer above for a local read that may be old. This
	// package, which only knows local state, ignores it.
	Serializable bool
}

// RangeResult is the answer to a range.
type RangeResult struct {
	KVs []KeyValue
	// Count is the number of keys in [Key, End), whatever Limit and the
	// revision bounds left out.
	Count int64
	// More reports that Limit cut the result.
	More bool
	// Revision is the store's revision when it answered, not the one asked for.
	Revision int64
}

// PutRequest sets one key.
type PutRequest struct {
	Key   []byte
	Value []byte
	// Lease is the lease to attach the key to; it must exist. 0 detaches.
	Lease int64
	// PrevKV returns the pair that the put replaces.
	PrevKV bool
	// IgnoreValue keeps the present value (Value must be empty), IgnoreLease
	// the present lease (Lease must be 0). Either needs the key to exist.
	IgnoreValue bool
	IgnoreLease bool
}

// PutResult is the answer to a put.
type PutResult struct {
	Revision int64
	PrevKV   *KeyValue
}

// DeleteRequest deletes the keys of [Key, End); see RangeOptions for End.
type DeleteRequest struct {
	Key []byte
	End []byte
	// PrevKV returns the pairs that were deleted.
	PrevKV bool
}

// DeleteResult is the answer to a delete.
type DeleteResult struct {
	Revision int64
	Deleted  int64
	PrevKVs  []KeyValue
}

// CompareTarget is the field of a key that a Compare looks at.
type CompareTarget uint8

// The targets, numbered as in etcd.
const (
	CompareVersion CompareTarget = iota
	CompareCreateRevision
	CompareModRevision
	CompareValue
	CompareLease
)

// CompareOperator relates the stored field (left) to the given one (right).
type CompareOperator uint8

// The operators, numbered as in etcd.
const (
	Equal CompareOperator = iota
	Greater
	Less
	NotEqual
)

// Compare is one condition of a Txn. Over a range it must hold for every key
// of it. A missing key, or an empty range, has version, revisions and lease 0;
// CompareValue never holds for it.
type Compare struct {
	Target   CompareTarget
	Operator CompareOperator
	Key      []byte
	End      []byte
	// Value is compared for CompareValue, Number for every other target.
	Value  []byte
	Number int64
}

// Op is one operation of a Txn: exactly one of its fields is set.
type Op struct {
	Range  *RangeOptions
	Put    *PutRequest
	Delete *DeleteRequest
	Txn    *Txn
}

// Txn runs Then if every condition of If holds, Else otherwise: all of it in
// one revision, or none of it.
type Txn struct {
	If   []Compare
	Then []Op
	Else []Op
}

// ReadOnly reports whether no path of the transaction can write.
func (t *Txn) ReadOnly() bool { return readOnly(t.Then) && readOnly(t.Else) }

func readOnly(ops []Op) bool {
	for i := range ops {
		op := &ops[i]
		if op.Put != nil || op.Delete != nil || op.Txn != nil && !op.Txn.ReadOnly() {
			return false
		}
	}
	return true
}

// OpResult is the answer to one Op: the field that the Op had is set.
type OpResult struct {
	Range  *RangeResult
	Put    *PutResult
	Delete *DeleteResult
	Txn    *TxnResult
}

// TxnResult is the answer to a Txn. Results has one element for each
// operation of the branch that ran.
type TxnResult struct {
	Succeeded bool
	// Revision is the store's revision after the transaction. It is 0 in the
	// result of a nested transaction, which has no revision of its own.
	Revision int64
	Results  []OpResult
}

// Lease is one entry of the lease table. Countdown and expiry belong to the
// layer above: here a lease ends when it is revoked.
type Lease struct {
	ID int64
	// TTL is the granted time to live in seconds.
	TTL int64
	// Remaining is what was left of TTL at the last LeaseCheckpoint, in seconds; 0
	// means all of it.
	Remaining int64
	// Serial numbers the grants of the store: an identifier may be granted again.
	Serial uint64
}
