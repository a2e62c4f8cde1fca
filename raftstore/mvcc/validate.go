package mvcc

import "fmt"

// Limits bound what Validate accepts. They are the proposer's: members with
// different limits still apply alike.
type Limits struct {
	// MaxTxnOps bounds the conditions and the operations of each branch of a
	// transaction; nested ones get what their parent leaves. 0 is 128.
	MaxTxnOps int
	// MaxRequestBytes bounds the sum of keys and values; 0 is 1.5 MiB.
	MaxRequestBytes int
}

const (
	maxTxnOpsDefault       = 128
	maxRequestBytesDefault = 3 << 19
	// maxTxnDepth bounds the nesting that Apply follows, whatever the limits
	// of the proposer were.
	maxTxnDepth = 256
)

func (l Limits) maxTxnOps() int {
	if l.MaxTxnOps > 0 {
		return l.MaxTxnOps
	}
	return maxTxnOpsDefault
}

func (l Limits) maxRequestBytes() int {
	if l.MaxRequestBytes > 0 {
		return l.MaxRequestBytes
	}
	return maxRequestBytesDefault
}

// Validate checks a transaction before it is proposed: its form, its size, and
// that no path through it writes a key twice. What passes can fail in Apply
// only on the store's contents: a lease, key or revision that is missing.
//
// Like etcd, it does not see that a delete with End "\x00" (every key from Key
// on) covers the key of a put beside it; Apply runs such operations in order.
func Validate(t *Txn, l Limits) error {
	if err := checkTxn(t, l.maxTxnOps(), maxTxnDepth); err != nil {
		return err
	}
	for _, ops := range [...][]Op{t.Then, t.Else} {
		if apart(ops) {
			continue
		}
		if _, err := checkOverlap(ops); err != nil {
			return err
		}
	}
	return checkBytes(t.bytes(), l)
}

// ValidateRange checks the form of a range.
func ValidateRange(o *RangeOptions) error { return o.check() }

// ValidatePut checks the form and the size of a put.
func ValidatePut(r *PutRequest, l Limits) error {
	if err := r.check(); err != nil {
		return err
	}
	return checkBytes(len(r.Key)+len(r.Value), l)
}

// ValidateDelete checks the form of a delete.
func ValidateDelete(r *DeleteRequest) error { return r.check() }

func checkBytes(n int, l Limits) error {
	if n <= l.maxRequestBytes() {
		return nil
	}
	detail := fmt.Sprintf("%d bytes of keys and values, at most %d allowed", n, l.maxRequestBytes())
	return &RequestError{Field: "request", Detail: detail, Err: ErrRequestTooLarge}
}

// checkTxn checks form and count. A nested transaction may use what its parent
// leaves of the limit.
func checkTxn(t *Txn, limit, depth int) error {
	if t == nil {
		return missing("txn")
	}
	if depth == 0 {
		detail := fmt.Sprintf("nested deeper than %d", maxTxnDepth)
		return &RequestError{Field: "txn", Detail: detail, Err: ErrTooManyOps}
	}
	n := max(len(t.If), len(t.Then), len(t.Else))
	if n > limit {
		detail := fmt.Sprintf("%d conditions or operations, at most %d allowed here", n, limit)
		return &RequestError{Field: "txn", Detail: detail, Err: ErrTooManyOps}
	}
	for i := range t.If {
		if err := t.If[i].check(); err != nil {
			return inField(err, "if", i)
		}
	}
	if err := checkOps(t.Then, "then", limit-n, depth-1); err != nil {
		return err
	}
	return checkOps(t.Else, "else", limit-n, depth-1)
}

func checkOps(ops []Op, branch string, limit, depth int) error {
	for i := range ops {
		if err := ops[i].check(limit, depth); err != nil {
			return inField(err, branch, i)
		}
	}
	return nil
}

func (op *Op) check(limit, depth int) error {
	kinds := 0
	for _, set := range [...]bool{op.Range != nil, op.Put != nil, op.Delete != nil, op.Txn != nil} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		detail := fmt.Sprintf("%d of range, put, delete and txn are set", kinds)
		return &RequestError{Field: "op", Detail: detail, Err: ErrInvalidOp}
	case op.Range != nil:
		return op.Range.check()
	case op.Put != nil:
		return op.Put.check()
	case op.Delete != nil:
		return op.Delete.check()
	default:
		return checkTxn(op.Txn, limit, depth)
	}
}

// inField puts the place of an operation before the field of its error.
func inField(err error, list string, i int) error {
	if r, ok := err.(*RequestError); ok {
		r.Field = fmt.Sprintf("%s[%d].%s", list, i, r.Field)
	}
	return err
}

func (c *Compare) check() error {
	switch {
	case len(c.Key) == 0:
		return &RequestError{Field: "compare.key", Err: ErrEmptyKey}
	case c.Target > CompareLease:
		detail := fmt.Sprintf("%d, expected 0 to %d", c.Target, CompareLease)
		return &RequestError{Field: "compare.target", Detail: detail, Err: ErrInvalidCompare}
	case c.Operator > NotEqual:
		detail := fmt.Sprintf("%d, expected 0 to %d", c.Operator, NotEqual)
		return &RequestError{Field: "compare.operator", Detail: detail, Err: ErrInvalidCompare}
	}
	return nil
}

func (o *RangeOptions) check() error {
	switch {
	case o == nil:
		return missing("range")
	case len(o.Key) == 0:
		return &RequestError{Field: "range.key", Err: ErrEmptyKey}
	case o.SortOrder > SortDescend:
		detail := fmt.Sprintf("%d, expected 0 to %d", o.SortOrder, SortDescend)
		return &RequestError{Field: "range.sortOrder", Detail: detail, Err: ErrInvalidSortOption}
	case o.SortTarget > SortByValue:
		detail := fmt.Sprintf("%d, expected 0 to %d", o.SortTarget, SortByValue)
		return &RequestError{Field: "range.sortTarget", Detail: detail, Err: ErrInvalidSortOption}
	}
	return nil
}

func (r *PutRequest) check() error {
	switch {
	case r == nil:
		return missing("put")
	case len(r.Key) == 0:
		return &RequestError{Field: "put.key", Err: ErrEmptyKey}
	case len(r.Key) > maxEntryPartBytes || len(r.Value) > maxEntryPartBytes:
		detail := fmt.Sprintf("%d bytes, at most %d possible", max(len(r.Key), len(r.Value)), maxEntryPartBytes)
		return &RequestError{Field: "put", Detail: detail, Err: ErrRequestTooLarge}
	case r.IgnoreValue && len(r.Value) != 0:
		detail := fmt.Sprintf("%d bytes beside ignoreValue", len(r.Value))
		return &RequestError{Field: "put.value", Detail: detail, Err: ErrValueProvided}
	case r.IgnoreLease && r.Lease != 0:
		detail := fmt.Sprintf("%d beside ignoreLease", r.Lease)
		return &RequestError{Field: "put.lease", Detail: detail, Err: ErrLeaseProvided}
	}
	return nil
}

func (r *DeleteRequest) check() error {
	switch {
	case r == nil:
		return missing("delete")
	case len(r.Key) == 0:
		return &RequestError{Field: "delete.key", Err: ErrEmptyKey}
	}
	return nil
}

func missing(field string) error {
	return &RequestError{Field: field, Detail: "nil, expected a request", Err: ErrInvalidOp}
}

// bytes returns the size of the keys and values of a transaction.
func (t *Txn) bytes() int {
	n := 0
	for i := range t.If {
		n += len(t.If[i].Key) + len(t.If[i].End) + len(t.If[i].Value)
	}
	for _, ops := range [...][]Op{t.Then, t.Else} {
		for i := range ops {
			n += ops[i].bytes()
		}
	}
	return n
}

func (op *Op) bytes() int {
	switch {
	case op.Range != nil:
		return len(op.Range.Key) + len(op.Range.End)
	case op.Put != nil:
		return len(op.Put.Key) + len(op.Put.Value)
	case op.Delete != nil:
		return len(op.Delete.Key) + len(op.Delete.End)
	default:
		return op.Txn.bytes()
	}
}
