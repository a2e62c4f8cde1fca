package selector

import (
	"math/bits"
	"sync"
)

// dictionary numbers the postings of an Index: 0 is never used, every label,
// every key, and every bit of a key's integer values has a number. Numbers are
// never reused, so that snapshots and the live index can share a dictionary;
// an index with too many unused numbers moves to a new dictionary instead.
type dictionary struct {
	mu    sync.RWMutex // writers of the index add while snapshots look up
	keys  map[string]*keyEntry
	pairs []pairEntry // by number; only the index's writer reads it
}

// keyEntry holds the numbers of one key.
type keyEntry struct {
	name   string
	any    uint32            // objects that have the key
	values map[string]uint32 // objects that have it with this value
	ints   *intEntry         // nil if no value ever was an int64
}

// intEntry holds the numbers of a bit-sliced index on a key's integer values.
type intEntry struct {
	any  uint32     // objects whose value is an int64
	bits [64]uint32 // objects in whose ordinal the bit is set, 0 if none ever was
}

// pairEntry is what the number of a label stands for; key is nil for the
// numbers that stand for no label.
type pairEntry struct {
	key   *keyEntry
	value string
}

func newDictionary() *dictionary {
	return &dictionary{keys: make(map[string]*keyEntry), pairs: make([]pairEntry, 1)}
}

// ordinal maps int64 to uint64 and keeps the order.
func ordinal(n int64) uint64 { return uint64(n) ^ 1<<63 }

// number returns the number of a label; fresh tells that it was made just now.
func (d *dictionary) number(key, value string) (no uint32, fresh bool) {
	if k := d.keys[key]; k != nil { // only the writer adds, and it is the caller
		if no, ok := k.values[value]; ok {
			return no, false
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.keys[key]
	if k == nil {
		k = &keyEntry{name: key, any: d.next(pairEntry{}), values: make(map[string]uint32)}
		d.keys[key] = k
	}
	no = d.next(pairEntry{k, value})
	k.values[value] = no
	if n, ok := parseInt(value); ok {
		d.numberInt(k, n)
	}
	return no, true
}

// numberInt makes sure that all postings of a number have theirs.
func (d *dictionary) numberInt(k *keyEntry, n int64) {
	if k.ints == nil {
		k.ints = &intEntry{any: d.next(pairEntry{})}
	}
	for o := ordinal(n); o != 0; o &= o - 1 {
		if bit := bits.TrailingZeros64(o); k.ints.bits[bit] == 0 {
			k.ints.bits[bit] = d.next(pairEntry{})
		}
	}
}

func (d *dictionary) next(e pairEntry) uint32 {
	d.pairs = append(d.pairs, e)
	return uint32(len(d.pairs) - 1)
}
