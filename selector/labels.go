package selector

import (
	"iter"
	"math/bits"
	"slices"
	"strings"
	"unique"
)

// Labels is an immutable set of labels, sorted by key, built once and matched
// many times. The zero value is the empty set. Labels is a small handle: pass
// it by value. Compare two sets with Equal, not with ==.
type Labels struct{ set *labelSet }

// labelSet keeps, apart from the labels, one tag byte per key, eight to a
// word, so that one comparison of a word finds the few labels worth reading.
type labelSet struct {
	first uint64   // tags of labels 0 to 7
	rest  []uint64 // tags of labels 8 and up; not nil for more than eight labels
	pairs []label  // sorted by key
	ints  []int64  // of sets of at most eight labels, if any value spells a number: that number
	isInt uint8    // bit i: the value of label i spells an int64
}

// label is a label twice interned: two pairs are equal if and only if their
// handles are, and so are two keys, so that comparing costs one comparison of
// pointers. Pairs and keys are shared by all sets and selectors of the
// process. The runtime collects unused ones, so labels of passing objects do
// not pile up.
type label struct {
	pair handle
	key  keyHandle
}

type pair struct{ key, value string }

type (
	handle    = unique.Handle[pair]
	keyHandle = unique.Handle[string]
)

func handleOf(key, value string) handle { return unique.Make(pair{key, value}) }

func (l label) value() string { return l.pair.Value().value }

// taggedMax is the size up to which going through the tags beats a binary
// search. Larger sets are searched, so that a set made of colliding keys, which
// somebody may send on purpose, costs no more than others.
const taggedMax = 64

// NewLabels copies m into a sorted immutable set. Nothing is validated: labels
// of stored objects are taken as they are.
func NewLabels(m map[string]string) Labels {
	if len(m) == 0 {
		return Labels{}
	}
	labels := make([]label, 0, len(m))
	for key, value := range m {
		labels = append(labels, label{handleOf(key, value), unique.Make(key)})
	}
	return labelsOf(labels)
}

// labelsOf takes labels with distinct keys, in any order, and owns the slice.
func labelsOf(labels []label) Labels {
	if len(labels) == 0 {
		return Labels{}
	}
	slices.SortFunc(labels, func(a, b label) int { return strings.Compare(a.key.Value(), b.key.Value()) })
	set := &labelSet{pairs: labels}
	if words := (min(len(labels), taggedMax) - 1) / 8; words > 0 {
		set.rest = make([]uint64, words)
	}
	for i, l := range labels[:min(len(labels), taggedMax)] {
		tag := uint64(keyTag(l.key.Value())) << (i % 8 * 8)
		if i < 8 {
			set.first |= tag
		} else {
			set.rest[i/8-1] |= tag
		}
	}
	if len(labels) <= 8 {
		set.readInts()
	}
	return Labels{set}
}

// readInts spares Gt and Lt the reading of values.
func (s *labelSet) readInts() {
	for i, l := range s.pairs {
		if n, ok := parseInt(l.value()); ok {
			if s.ints == nil {
				s.ints = make([]int64, len(s.pairs))
			}
			s.ints[i] = n
			s.isInt |= 1 << i
		}
	}
}

// Len is the number of labels.
func (l Labels) Len() int {
	if l.set == nil {
		return 0
	}
	return len(l.set.pairs)
}

// Lookup returns the value of the label with this key and whether there is one.
func (l Labels) Lookup(key string) (string, bool) {
	if l.set == nil {
		return "", false
	}
	return l.set.find(key, tagWord(key))
}

// All yields the labels in key order.
func (l Labels) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if l.set == nil {
			return
		}
		for _, x := range l.set.pairs {
			if p := x.pair.Value(); !yield(p.key, p.value) {
				return
			}
		}
	}
}

// Map copies the labels into a new map; the empty set gives nil.
func (l Labels) Map() map[string]string {
	if l.Len() == 0 {
		return nil
	}
	m := make(map[string]string, l.Len())
	for key, value := range l.All() {
		m[key] = value
	}
	return m
}

// Equal reports whether both sets hold the same labels.
func (l Labels) Equal(other Labels) bool {
	if l.set == other.set {
		return true
	}
	return l.Len() == other.Len() && (l.Len() == 0 || slices.Equal(l.set.pairs, other.set.pairs))
}

// String prints "k=v" joined by commas, sorted as whole strings like upstream
// prints a label set; the empty set prints as "".
func (l Labels) String() string {
	if l.Len() == 0 {
		return ""
	}
	texts := make([]string, 0, l.Len())
	for key, value := range l.All() {
		texts = append(texts, key+"="+value)
	}
	slices.Sort(texts)
	return strings.Join(texts, ",")
}

// find returns the value of the label with this key, whose tags are given.
func (s *labelSet) find(key string, tags uint64) (string, bool) {
	if len(s.pairs) > taggedMax {
		i, found := slices.BinarySearchFunc(s.pairs, key, func(l label, key string) int { return strings.Compare(l.key.Value(), key) })
		if !found {
			return "", false
		}
		return s.pairs[i].value(), true
	}
	for word, base := s.first, 0; ; base += 8 {
		for hits := equalBytes(word, tags); hits != 0; hits &= hits - 1 {
			if p := s.pairs[base+slot(hits)].pair.Value(); p.key == key {
				return p.value, true
			}
		}
		if base/8 >= len(s.rest) {
			return "", false
		}
		word = s.rest[base/8]
	}
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// equalBytes sets the high bit of each byte in which the two words agree. It
// is exact: no carry crosses a byte, so an unused slot (tag 0) never answers.
func equalBytes(a, b uint64) uint64 {
	x := a ^ b
	return ^((x&^highBits + ^uint64(highBits)) | x) & highBits
}

// slot is the number of the lowest byte that equalBytes marked.
func slot(hits uint64) int { return int(uint(bits.TrailingZeros64(hits)) / 8) }

// tagWord repeats the tag of key in every byte.
func tagWord(key string) uint64 { return uint64(keyTag(key)) * lowBits }

// keyTag maps a key to 1..255; 0 marks an unused slot. It need not be strong:
// keys that collide, by chance or on purpose, cost one comparison more.
func keyTag(key string) byte {
	const multiplier = 0x9E3779B97F4A7C15
	var h uint64
	switch n := len(key); {
	case n >= 8:
		h = load64(key[:8])*multiplier ^ load64(key[n-8:])
	case n >= 4:
		h = uint64(load32(key[:4]))<<32 | uint64(load32(key[n-4:]))
	case n > 0:
		h = uint64(key[0])<<16 | uint64(key[n/2])<<8 | uint64(key[n-1])
	}
	h = (h ^ uint64(len(key))) * multiplier
	return max(byte(h>>56), 1)
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load32(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}
