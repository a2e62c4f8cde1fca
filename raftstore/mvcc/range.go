package mvcc

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"sort"
)

// rangeAt answers a range. The current revision is that of the view, or the
// next one inside a transaction that has written.
func (v *view) rangeAt(o *RangeOptions, current int64) (RangeResult, error) {
	revision, err := v.readRevision(o.Revision, current)
	if err != nil {
		return RangeResult{}, err
	}
	result := RangeResult{Revision: current}
	count, known := v.countAt(o, revision, current)
	if o.CountOnly {
		if !known {
			v.scan(o.Key, o.End, revision, func(version) bool { count++; return true })
		}
		result.Count = count
		return result, nil
	}
	result.KVs, result.Count = v.collect(o, revision, count, known)
	sortKeyValues(result.KVs, o.SortTarget, o.SortOrder)
	if o.Limit > 0 && int64(len(result.KVs)) > o.Limit {
		result.KVs = result.KVs[:o.Limit:o.Limit]
		result.More = true
	}
	if o.KeysOnly {
		stripValues(result.KVs, o.SortTarget)
	}
	return result, nil
}

// readRevision resolves the revision of a request and checks that it is there.
func (v *view) readRevision(revision, current int64) (int64, error) {
	switch {
	case revision <= 0:
		return current, nil
	case revision > current:
		return 0, fmt.Errorf("%w: %d is above %d", ErrFutureRevision, revision, current)
	case revision < v.floor:
		return 0, &CompactedError{Revision: revision, Floor: v.floor}
	}
	return revision, nil
}

// filtered reports that the range has revision bounds.
func (o *RangeOptions) filtered() bool {
	return o.MinModRevision != 0 || o.MaxModRevision != 0 ||
		o.MinCreateRevision != 0 || o.MaxCreateRevision != 0
}

// excludes reports that a version lies outside the revision bounds.
func (o *RangeOptions) excludes(ver version) bool {
	return o.MaxModRevision != 0 && ver.mod > o.MaxModRevision ||
		o.MinModRevision != 0 && ver.mod < o.MinModRevision ||
		o.MaxCreateRevision != 0 && ver.create > o.MaxCreateRevision ||
		o.MinCreateRevision != 0 && ver.create < o.MinCreateRevision
}

// scanLimit returns how many pairs to collect before sorting: one more than
// asked for, which tells whether there are more. As in etcd, a target without
// an order sorts ascending, but only what the limit let through.
func (o *RangeOptions) scanLimit() int64 {
	ordered := o.SortOrder == SortNone || o.SortTarget == SortByKey && o.SortOrder == SortAscend
	if o.Limit <= 0 || o.Limit == math.MaxInt64 || !ordered || o.filtered() {
		return math.MaxInt64
	}
	return o.Limit + 1
}

// countAt returns the number of keys in the range when it need not be counted:
// at the current revision, where the tree knows it.
func (v *view) countAt(o *RangeOptions, revision, current int64) (int64, bool) {
	if revision != current || len(o.End) == 0 {
		return 0, false
	}
	return int64(v.root.count(v.dir, o.Key, rangeEnd(o.End))), true
}

// collect returns the pairs to sort and cut, and the size of the range.
func (v *view) collect(o *RangeOptions, revision, count int64, known bool) ([]KeyValue, int64) {
	limit := o.scanLimit()
	if known && !o.filtered() {
		return v.first(o.Key, int(min(count, limit))), count
	}
	var kvs []KeyValue
	found := int64(0)
	v.scan(o.Key, o.End, revision, func(ver version) bool {
		found++
		if int64(len(kvs)) < limit && !o.excludes(ver) {
			kvs = append(kvs, v.keyValue(&ver))
		}
		return !known || int64(len(kvs)) < limit
	})
	if known {
		return kvs, count
	}
	return kvs, found
}

// first returns the n first pairs from a key on at the latest revision, of which there
// must be as many.
func (v *view) first(from []byte, n int) []KeyValue {
	if n == 0 {
		return nil
	}
	kvs := make([]KeyValue, n)
	i := 0
	v.root.ascend(v.dir, from, bound{open: true}, true, func(it *item) bool {
		if it.live() != 0 {
			v.dir.fill(&kvs[i], v.latestEntry(it))
			i++
		}
		return i < n
	})
	return kvs
}

// stripValues makes a keys-only result. etcd 3.7 answers it from its index,
// which knows no leases, unless the order needs the values.
func stripValues(kvs []KeyValue, target SortTarget) {
	for i := range kvs {
		kvs[i].Value = nil
		if target != SortByValue {
			kvs[i].Lease = 0
		}
	}
}

// sortKeyValues orders pairs that are in key order. It is sort.Sort with
// etcd's comparisons, so that pairs that compare equal come out in the same
// order as there, which a stable sort would not give.
func sortKeyValues(kvs []KeyValue, target SortTarget, order SortOrder) {
	if target == SortByKey && order != SortDescend {
		return
	}
	by := keyValueSort{kvs: kvs, less: keyValueLess(target)}
	if order == SortDescend {
		sort.Sort(sort.Reverse(by))
	} else {
		sort.Sort(by)
	}
}

type keyValueSort struct {
	kvs  []KeyValue
	less func(a, b *KeyValue) bool
}

func (s keyValueSort) Len() int           { return len(s.kvs) }
func (s keyValueSort) Swap(i, j int)      { s.kvs[i], s.kvs[j] = s.kvs[j], s.kvs[i] }
func (s keyValueSort) Less(i, j int) bool { return s.less(&s.kvs[i], &s.kvs[j]) }

func keyValueLess(target SortTarget) func(a, b *KeyValue) bool {
	switch target {
	case SortByVersion:
		return func(a, b *KeyValue) bool { return cmp.Less(a.Version, b.Version) }
	case SortByCreateRevision:
		return func(a, b *KeyValue) bool { return cmp.Less(a.CreateRevision, b.CreateRevision) }
	case SortByModRevision:
		return func(a, b *KeyValue) bool { return cmp.Less(a.ModRevision, b.ModRevision) }
	case SortByValue:
		return func(a, b *KeyValue) bool { return bytes.Compare(a.Value, b.Value) < 0 }
	default:
		return func(a, b *KeyValue) bool { return bytes.Compare(a.Key, b.Key) < 0 }
	}
}
