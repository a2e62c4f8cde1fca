package mvcc

import (
	"bytes"
	"fmt"
	"maps"

	"github.com/google/btree"
)

// writes is what one branch of a transaction may write.
type writes struct {
	puts    map[string]struct{}
	deletes spanSet
}

// checkOverlap refuses a branch in which a path may put a key twice, or put and
// delete it, and returns what the branch may write. It decides as etcd does,
// in the order that etcd looks: the branch's own deletes, then the nested
// transactions one by one, then the branch's own puts. (So a nested put before
// a sibling's delete of the same key passes; the reverse does not.)
func checkOverlap(ops []Op) (writes, error) {
	w := writes{puts: make(map[string]struct{}), deletes: newSpanSet()}
	for i := range ops {
		if d := ops[i].Delete; d != nil {
			w.deletes.add(deleteSpan(d))
		}
	}
	for i := range ops {
		if t := ops[i].Txn; t != nil {
			if err := w.addNested(t); err != nil {
				return w, err
			}
		}
	}
	for i := range ops {
		if p := ops[i].Put; p != nil {
			key := string(p.Key)
			if _, twice := w.puts[key]; twice || w.deletes.covers(key) {
				return w, duplicateKey(key)
			}
			w.puts[key] = struct{}{}
		}
	}
	return w, nil
}

// apart reports, for the usual branch, what checkOverlap would find out with a map:
// that nothing in it can overlap. It has no nested transactions, and either deletes
// nothing and puts keys in ascending order, or only deletes.
func apart(ops []Op) bool {
	var previous []byte
	deletes := false
	for i := range ops {
		switch op := &ops[i]; {
		case op.Txn != nil || op.Put != nil && (deletes || bytes.Compare(op.Put.Key, previous) <= 0):
			return false
		case op.Put != nil:
			previous = op.Put.Key
		case op.Delete != nil:
			if previous != nil {
				return false
			}
			deletes = true
		}
	}
	return true
}

// addNested adds what either branch of a nested transaction may write. The two
// exclude each other, so they may overlap.
func (w *writes) addNested(t *Txn) error {
	then, err := checkOverlap(t.Then)
	if err != nil {
		return err
	}
	otherwise, err := checkOverlap(t.Else)
	if err != nil {
		return err
	}
	first, found := "", false // the least key, so that the error is always the same
	for _, branch := range [...]writes{then, otherwise} {
		for key := range branch.puts {
			if _, twice := w.puts[key]; twice || w.deletes.covers(key) {
				if !found || key < first {
					first, found = key, true
				}
			}
		}
	}
	if found {
		return duplicateKey(first)
	}
	maps.Copy(w.puts, then.puts)
	maps.Copy(w.puts, otherwise.puts)
	w.deletes.merge(then.deletes)
	w.deletes.merge(otherwise.deletes)
	return nil
}

func duplicateKey(key string) error {
	return &RequestError{Field: "txn", Detail: fmt.Sprintf("key %q", key), Err: ErrDuplicateKey}
}

// span is a range of keys [from, to).
type span struct{ from, to string }

// deleteSpan returns what a delete covers. As in etcd, the end "\x00" is not
// read as "no end" here: such a span is empty.
func deleteSpan(d *DeleteRequest) span {
	if len(d.End) == 0 {
		return span{from: string(d.Key), to: string(d.Key) + "\x00"}
	}
	return span{from: string(d.Key), to: string(d.End)}
}

// spanSet is a union of spans, kept disjoint and in order.
type spanSet struct{ spans *btree.BTreeG[span] }

func newSpanSet() spanSet {
	return spanSet{spans: btree.NewG(8, func(a, b span) bool { return a.from < b.from })}
}

// add unites the set with a span: it swallows those that it touches.
func (s *spanSet) add(n span) {
	if n.from >= n.to {
		return
	}
	var touched []span
	s.spans.DescendLessOrEqual(span{from: n.to}, func(o span) bool {
		if o.to < n.from {
			return false
		}
		touched = append(touched, o)
		return true
	})
	for _, o := range touched {
		n.from, n.to = min(n.from, o.from), max(n.to, o.to)
		s.spans.Delete(o)
	}
	s.spans.ReplaceOrInsert(n)
}

// merge unites two sets at the cost of the smaller one; the argument is used up.
func (s *spanSet) merge(o spanSet) {
	if s.spans.Len() < o.spans.Len() {
		s.spans, o.spans = o.spans, s.spans
	}
	o.spans.Ascend(func(n span) bool {
		s.add(n)
		return true
	})
}

func (s *spanSet) covers(key string) bool {
	covered := false
	s.spans.DescendLessOrEqual(span{from: key}, func(o span) bool {
		covered = key < o.to
		return false
	})
	return covered
}
