package mvcc

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"
)

// model is the plain twin of Store: the list of all changes ever made. Every
// question is answered by replaying it.
type model struct {
	changes  []modelChange
	revision int64
	floor    int64
	leases   map[int64]int64
}

type modelChange struct {
	main   int64
	delete bool
	kv     KeyValue
}

func newModel() *model {
	return &model{revision: 1, floor: -1, leases: map[int64]int64{}}
}

// state returns the keys that exist after the changes up to revision.
func (m *model) state(revision int64) map[string]KeyValue {
	state := map[string]KeyValue{}
	for _, c := range m.changes {
		switch {
		case c.main > revision:
		case c.delete:
			delete(state, string(c.kv.Key))
		default:
			state[string(c.kv.Key)] = c.kv
		}
	}
	return state
}

func inRange(key string, from, end []byte) bool {
	switch {
	case len(end) == 0:
		return key == string(from)
	case string(end) == "\x00":
		return key >= string(from)
	default:
		return key >= string(from) && key < string(end)
	}
}

// pairs returns the keys of a range at a revision, in order.
func (m *model) pairs(from, end []byte, revision int64) []KeyValue {
	state := m.state(revision)
	var kvs []KeyValue
	for _, key := range slices.Sorted(maps.Keys(state)) {
		if inRange(key, from, end) {
			kvs = append(kvs, state[key])
		}
	}
	return kvs
}

// current is the revision that operations of a running transaction see.
func (m *model) current() int64 {
	if n := len(m.changes); n > 0 {
		return max(m.revision, m.changes[n-1].main)
	}
	return m.revision
}

func (m *model) rangeKeys(o *RangeOptions) (RangeResult, error) {
	current := m.current()
	revision := o.Revision
	switch {
	case revision <= 0:
		revision = current
	case revision > current:
		return RangeResult{}, ErrFutureRevision
	case revision < m.floor:
		return RangeResult{}, ErrCompacted
	}
	kvs := m.pairs(o.Key, o.End, revision)
	r := RangeResult{Count: int64(len(kvs)), Revision: current}
	if o.CountOnly {
		return r, nil
	}
	outside := func(n, least, most int64) bool { return least != 0 && n < least || most != 0 && n > most }
	kvs = slices.DeleteFunc(kvs, func(kv KeyValue) bool {
		return outside(kv.ModRevision, o.MinModRevision, o.MaxModRevision) ||
			outside(kv.CreateRevision, o.MinCreateRevision, o.MaxCreateRevision)
	})
	filtered := o.MinModRevision != 0 || o.MaxModRevision != 0 || o.MinCreateRevision != 0 || o.MaxCreateRevision != 0
	if o.SortOrder == SortNone && !filtered && o.Limit > 0 && int64(len(kvs)) > o.Limit+1 {
		kvs = kvs[:o.Limit+1] // etcd cuts before it sorts when no order is given
	}
	slices.SortStableFunc(kvs, func(a, b KeyValue) int {
		c := compareBy(o.SortTarget, a, b)
		if o.SortOrder == SortDescend {
			return -c
		}
		return c
	})
	if o.Limit > 0 && int64(len(kvs)) > o.Limit {
		kvs, r.More = kvs[:o.Limit], true
	}
	for i := range kvs {
		if o.KeysOnly {
			kvs[i].Value = nil
			if o.SortTarget != SortByValue {
				kvs[i].Lease = 0
			}
		}
	}
	if len(kvs) > 0 {
		r.KVs = kvs
	}
	return r, nil
}

func compareBy(target SortTarget, a, b KeyValue) int {
	switch target {
	case SortByVersion:
		return cmp.Compare(a.Version, b.Version)
	case SortByCreateRevision:
		return cmp.Compare(a.CreateRevision, b.CreateRevision)
	case SortByModRevision:
		return cmp.Compare(a.ModRevision, b.ModRevision)
	case SortByValue:
		return bytes.Compare(a.Value, b.Value)
	default:
		return bytes.Compare(a.Key, b.Key)
	}
}

// apply runs a transaction: the conditions and checks on the state before, the
// operations on the state as it becomes.
func (m *model) apply(t *Txn) (TxnResult, error) {
	before := m.changes
	branches := map[*Txn]bool{}
	m.decide(t, branches)
	if err := m.check(t, branches); err != nil {
		return TxnResult{}, err
	}
	result, err := m.run(t, branches)
	if err != nil {
		m.changes = before
		return TxnResult{}, err
	}
	m.revision = m.current()
	result.Revision = m.revision
	return result, nil
}

func (m *model) decide(t *Txn, branches map[*Txn]bool) {
	holds := true
	for _, c := range t.If {
		kvs := m.pairs(c.Key, c.End, m.revision)
		if len(kvs) == 0 {
			holds = holds && c.Target != CompareValue && modelCompare(c, KeyValue{})
		}
		for _, kv := range kvs {
			holds = holds && modelCompare(c, kv)
		}
	}
	branches[t] = holds
	for _, op := range t.branch(holds) {
		if op.Txn != nil {
			m.decide(op.Txn, branches)
		}
	}
}

func modelCompare(c Compare, kv KeyValue) bool {
	order := 0
	switch c.Target {
	case CompareValue:
		order = bytes.Compare(kv.Value, c.Value)
	case CompareVersion:
		order = cmp.Compare(kv.Version, c.Number)
	case CompareCreateRevision:
		order = cmp.Compare(kv.CreateRevision, c.Number)
	case CompareModRevision:
		order = cmp.Compare(kv.ModRevision, c.Number)
	case CompareLease:
		order = cmp.Compare(kv.Lease, c.Number)
	}
	return map[CompareOperator]bool{
		Equal: order == 0, NotEqual: order != 0, Greater: order > 0, Less: order < 0,
	}[c.Operator]
}

func (m *model) check(t *Txn, branches map[*Txn]bool) error {
	for _, op := range t.branch(branches[t]) {
		var err error
		switch {
		case op.Range != nil:
			_, err = m.rangeKeys(op.Range)
			if op.Range.Revision < 0 && op.Range.Revision < m.floor {
				err = ErrCompacted
			}
		case op.Put != nil:
			err = m.checkPut(op.Put)
		case op.Txn != nil:
			err = m.check(op.Txn, branches)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *model) checkPut(r *PutRequest) error {
	if _, ok := m.leases[r.Lease]; !ok && r.Lease != 0 {
		return ErrLeaseNotFound
	}
	if _, ok := m.state(m.current())[string(r.Key)]; !ok && (r.IgnoreValue || r.IgnoreLease) {
		return ErrKeyNotFound
	}
	return nil
}

func (m *model) run(t *Txn, branches map[*Txn]bool) (TxnResult, error) {
	result := TxnResult{Succeeded: branches[t]}
	for _, op := range t.branch(branches[t]) {
		var r OpResult
		var err error
		switch {
		case op.Range != nil:
			var got RangeResult
			got, err = m.rangeKeys(op.Range)
			r.Range = &got
		case op.Put != nil:
			var got PutResult
			got, err = m.put(op.Put)
			r.Put = &got
		case op.Delete != nil:
			got := m.deleteRange(op.Delete)
			r.Delete = &got
		default:
			var got TxnResult
			got, err = m.run(op.Txn, branches)
			r.Txn = &got
		}
		if err != nil {
			return result, err
		}
		result.Results = append(result.Results, r)
	}
	return result, nil
}

func (m *model) put(r *PutRequest) (PutResult, error) {
	if err := m.checkPut(r); err != nil {
		return PutResult{}, err
	}
	main := m.revision + 1
	kv := KeyValue{Key: r.Key, Value: r.Value, CreateRevision: main, ModRevision: main, Version: 1, Lease: r.Lease}
	old, exists := m.state(m.current())[string(r.Key)]
	result := PutResult{Revision: main}
	if exists {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
		if r.IgnoreValue {
			kv.Value = old.Value
		}
		if r.IgnoreLease {
			kv.Lease = old.Lease
		}
		if r.PrevKV {
			result.PrevKV = &old
		}
	}
	m.changes = append(slices.Clip(m.changes), modelChange{main: main, kv: kv})
	return result, nil
}

func (m *model) deleteRange(r *DeleteRequest) DeleteResult {
	kvs := m.pairs(r.Key, r.End, m.current())
	for _, kv := range kvs {
		m.remove(kv.Key)
	}
	result := DeleteResult{Revision: m.current(), Deleted: int64(len(kvs))}
	if r.PrevKV {
		result.PrevKVs = kvs
	}
	return result
}

func (m *model) remove(key []byte) {
	main := m.revision + 1
	m.changes = append(slices.Clip(m.changes), modelChange{
		main: main, delete: true, kv: KeyValue{Key: key, ModRevision: main},
	})
}

func (m *model) compact(revision int64) error {
	switch {
	case revision <= m.floor:
		return ErrCompacted
	case revision > m.revision:
		return ErrFutureRevision
	}
	m.floor = revision
	return nil
}

func (m *model) revoke(id int64) (DeleteResult, error) {
	if _, ok := m.leases[id]; !ok {
		return DeleteResult{}, ErrLeaseNotFound
	}
	delete(m.leases, id)
	keys := m.leaseKeys(id)
	for _, key := range keys {
		m.remove([]byte(key))
	}
	m.revision = m.current()
	return DeleteResult{Revision: m.revision, Deleted: int64(len(keys))}, nil
}

func (m *model) leaseKeys(id int64) []string {
	var keys []string
	for key, kv := range m.state(m.revision) {
		if kv.Lease == id {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}

// events returns what a watcher from start on has been told.
func (m *model) events(o WatchOptions, start int64) []Event {
	var events []Event
	for _, c := range m.changes {
		if c.main < start || !inRange(string(c.kv.Key), o.Key, o.End) ||
			c.delete && o.NoDelete || !c.delete && o.NoPut {
			continue
		}
		e := Event{KV: c.kv}
		if c.delete {
			e.Type = EventDelete
		}
		if o.PrevKV && !e.IsCreate() && c.main-1 >= m.floor {
			if old, ok := m.state(c.main - 1)[string(c.kv.Key)]; ok {
				e.PrevKV = &old
			}
		}
		events = append(events, e)
	}
	return events
}
