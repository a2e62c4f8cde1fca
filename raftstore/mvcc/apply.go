package mvcc

import (
	"bytes"
	"cmp"
	"math"
)

// Apply runs a transaction. On an error nothing has changed. The outcome
// depends on the store's contents and t alone, so that members that apply the
// same sequence stay equal; limits are not its business (see Validate).
//
// As in etcd, all conditions are evaluated and all operations of the chosen
// path are checked against the state before the transaction; the operations
// then run in order, and reads among them see the writes before them.
func (s *Store) Apply(t *Txn) (TxnResult, error) {
	if err := checkTxn(t, math.MaxInt, maxTxnDepth); err != nil {
		return TxnResult{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := s.live.choosePath(t, s.path[:0])
	s.path = path
	if _, err := s.live.checkPath(t, path); err != nil {
		return TxnResult{}, err
	}
	x := executor{s: s, v: &s.live, path: path}
	undo := x.mark(t)
	result, err := x.txn(t)
	if err != nil {
		x.rollback(undo)
		return TxnResult{}, err
	}
	s.commit()
	result.Revision = s.live.revision
	return result, nil
}

// Put is Apply of a single put.
func (s *Store) Put(r *PutRequest) (PutResult, error) {
	if err := r.check(); err != nil {
		return PutResult{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.live.checkPut(r); err != nil {
		return PutResult{}, err
	}
	x := executor{s: s, v: &s.live}
	result, err := x.put(r)
	if err != nil {
		return PutResult{}, err
	}
	s.commit()
	return result, nil
}

// Delete is Apply of a single delete.
func (s *Store) Delete(r *DeleteRequest) (DeleteResult, error) {
	if err := r.check(); err != nil {
		return DeleteResult{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := executor{s: s, v: &s.live}
	result := x.deleteRange(r)
	s.commit()
	return result, nil
}

// ApplyReadOnly answers a transaction that is ReadOnly, without being the
// writer: from a snapshot, like any read.
func (s *Store) ApplyReadOnly(t *Txn) (TxnResult, error) {
	return s.Snapshot().Txn(t)
}

// Txn answers a transaction that is ReadOnly.
func (sn *Snapshot) Txn(t *Txn) (TxnResult, error) {
	if err := checkTxn(t, math.MaxInt, maxTxnDepth); err != nil {
		return TxnResult{}, err
	}
	if !t.ReadOnly() {
		return TxnResult{}, &RequestError{Field: "txn", Detail: "it writes, expected reads only", Err: ErrInvalidOp}
	}
	path := sn.view.choosePath(t, nil)
	if _, err := sn.view.checkPath(t, path); err != nil {
		return TxnResult{}, err
	}
	x := executor{v: &sn.view, path: path}
	result, err := x.txn(t)
	result.Revision = sn.view.revision
	return result, err
}

// choosePath evaluates the conditions and appends which branch runs: for the
// transaction, then for the nested ones of that branch, in order.
func (v *view) choosePath(t *Txn, path []bool) []bool {
	holds := true
	for i := range t.If {
		if !v.holds(&t.If[i]) {
			holds = false
			break
		}
	}
	path = append(path, holds)
	for i, ops := 0, t.branch(holds); i < len(ops); i++ {
		if n := ops[i].Txn; n != nil {
			path = v.choosePath(n, path)
		}
	}
	return path
}

func (t *Txn) branch(then bool) []Op {
	if then {
		return t.Then
	}
	return t.Else
}

// holds evaluates a condition.
func (v *view) holds(c *Compare) bool {
	holds, found := true, false
	v.scan(c.Key, c.End, v.revision, func(ver version) bool {
		found = true
		holds = v.compare(c, ver)
		return holds
	})
	if !found {
		// There is no value to compare with: not even with the empty one.
		return c.Target != CompareValue && v.compare(c, version{})
	}
	return holds
}

func (v *view) compare(c *Compare, ver version) bool {
	order := 0
	switch c.Target {
	case CompareValue:
		order = bytes.Compare(v.dir.value(&ver), c.Value)
	case CompareVersion:
		order = cmp.Compare(ver.version, c.Number)
	case CompareCreateRevision:
		order = cmp.Compare(ver.create, c.Number)
	case CompareModRevision:
		order = cmp.Compare(ver.mod, c.Number)
	case CompareLease:
		order = cmp.Compare(ver.lease, c.Number)
	}
	switch c.Operator {
	case Equal:
		return order == 0
	case NotEqual:
		return order != 0
	case Greater:
		return order > 0
	default:
		return order < 0
	}
}

// checkPath checks what will run against the state before it runs, and returns
// what is left of the path.
func (v *view) checkPath(t *Txn, path []bool) (rest []bool, err error) {
	ops, branch := t.branch(path[0]), branchName(path[0])
	rest = path[1:]
	for i := range ops {
		switch op := &ops[i]; {
		case op.Range != nil:
			err = v.checkRange(op.Range)
		case op.Put != nil:
			err = v.checkPut(op.Put)
		case op.Txn != nil:
			rest, err = v.checkPath(op.Txn, rest)
		}
		if err != nil {
			return nil, inField(err, branch, i)
		}
	}
	return rest, nil
}

// checkRange is stricter than a range by itself: etcd takes a negative revision
// for the latest one there, for a compacted one here.
func (v *view) checkRange(o *RangeOptions) error {
	if o.Revision < 0 && o.Revision < v.floor {
		return &CompactedError{Revision: o.Revision, Floor: v.floor}
	}
	_, err := v.readRevision(o.Revision, v.revision)
	return err
}

func branchName(then bool) string {
	if then {
		return "then"
	}
	return "else"
}

func (v *view) checkPut(r *PutRequest) error {
	if r.Lease != 0 && !v.leases.Has(Lease{ID: r.Lease}) {
		return leaseNotFound("put.lease", r.Lease)
	}
	if r.IgnoreValue || r.IgnoreLease {
		if _, ok := v.get(r.Key, v.revision); !ok {
			return keyNotFound(r.Key)
		}
	}
	return nil
}

// executor runs the operations of one request. Records that it appends belong
// to the next revision, which commit makes the present one.
type executor struct {
	s    *Store // nil when only reading
	v    *view
	path []bool
}

// current is the revision that operations see and report.
func (x *executor) current() int64 {
	if x.s != nil && x.v.history.end != x.s.applied {
		return x.v.revision + 1
	}
	return x.v.revision
}

func (x *executor) txn(t *Txn) (TxnResult, error) {
	result := TxnResult{Succeeded: x.path[0]}
	ops := t.branch(x.path[0])
	x.path = x.path[1:]
	if len(ops) > 0 {
		result.Results = make([]OpResult, len(ops))
	}
	puts := make([]PutResult, countPuts(ops))
	for i := range ops {
		if ops[i].Put != nil {
			result.Results[i].Put, puts = &puts[0], puts[1:]
		}
		if err := x.op(&ops[i], &result.Results[i]); err != nil {
			return result, inField(err, branchName(result.Succeeded), i)
		}
	}
	return result, nil
}

// countPuts is how many results of puts a branch needs, which are allocated together.
func countPuts(ops []Op) (n int) {
	for i := range ops {
		if ops[i].Put != nil {
			n++
		}
	}
	return n
}

// op runs one operation. There is room for the result of a put.
func (x *executor) op(op *Op, result *OpResult) (err error) {
	switch {
	case op.Range != nil:
		r, err := x.v.rangeAt(op.Range, x.current())
		result.Range = &r
		return err
	case op.Put != nil:
		*result.Put, err = x.put(op.Put)
		return err
	case op.Delete != nil:
		r := x.deleteRange(op.Delete)
		result.Delete = &r
		return nil
	default:
		r, err := x.txn(op.Txn)
		result.Txn = &r
		return err
	}
}

func (x *executor) put(r *PutRequest) (PutResult, error) {
	v := x.v
	at := v.root.get(v.dir, r.Key)
	previous, exists := v.latestOf(at.item())
	value, lease := r.Value, r.Lease
	if r.IgnoreValue || r.IgnoreLease {
		if !exists { // deleted by an operation before this one
			return PutResult{}, keyNotFound(r.Key)
		}
		if r.IgnoreValue {
			value = v.dir.value(&previous)
		}
		if r.IgnoreLease {
			lease = previous.lease
		}
	}
	result := PutResult{Revision: v.revision + 1}
	if r.PrevKV && exists {
		kv := v.keyValue(&previous)
		result.PrevKV = &kv
	}
	change := version{mod: v.revision + 1, create: v.revision + 1, version: 1, lease: lease}
	if exists {
		change.create, change.version = previous.create, previous.version+1
	}
	x.s.write(r.Key, value, at, change)
	x.s.moveLease(r.Key, previous.lease, lease)
	return result, nil
}

func (x *executor) deleteRange(r *DeleteRequest) DeleteResult {
	var doomed []version
	x.v.scan(r.Key, r.End, x.current(), func(ver version) bool {
		doomed = append(doomed, ver)
		return true
	})
	result := DeleteResult{Deleted: int64(len(doomed))}
	if r.PrevKV && len(doomed) > 0 {
		result.PrevKVs = make([]KeyValue, len(doomed))
		for i, ver := range doomed {
			result.PrevKVs[i] = x.v.keyValue(&ver)
		}
	}
	for _, ver := range doomed {
		x.s.tombstone(ver)
	}
	result.Revision = x.current()
	return result
}

// undoMark is the state to which a transaction goes back.
type undoMark struct {
	needed bool
	view   view
	length int
}

// mark prepares for going back, when t can fail half-way: only a put that
// needs its key can, after a delete.
func (x *executor) mark(t *Txn) undoMark {
	deletes, needsKey := t.risks()
	if !deletes || !needsKey {
		return undoMark{}
	}
	return undoMark{needed: true, view: x.s.freeze(), length: x.s.index.length}
}

func (t *Txn) risks() (deletes, needsKey bool) {
	for _, ops := range [...][]Op{t.Then, t.Else} {
		for i := range ops {
			switch op := &ops[i]; {
			case op.Delete != nil:
				deletes = true
			case op.Put != nil:
				needsKey = needsKey || op.Put.IgnoreValue || op.Put.IgnoreLease
			case op.Txn != nil:
				d, n := op.Txn.risks()
				deletes, needsKey = deletes || d, needsKey || n
			}
		}
	}
	return deletes, needsKey
}

func (x *executor) rollback(undo undoMark) {
	if undo.needed {
		x.s.thaw(undo)
	}
}

func keyNotFound(key []byte) error {
	return &RequestError{Field: "put.key", Detail: quoteKey(key), Err: ErrKeyNotFound}
}
