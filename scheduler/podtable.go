package scheduler

import (
	"hash/maphash"
	"math/bits"
)

// podTable is a hash table of pods that is cheap to copy: copies share the
// buckets that they have in common.
//
//	buckets  ──►[ • | • | • | • ]        one copy of this list per version
//	              │   └──► entries       shared until one version changes it
//	              └──────► entries
//
// A version is built by edit, changed only through the podEdit, and immutable
// afterwards. The zero value is empty.
type podTable struct {
	seed    maphash.Seed
	buckets [][]podEntry // a power of two long, or empty
	len     int
}

type podEntry struct {
	hash  uint64
	state *podState
}

// podsPerBucket is how many pods a bucket holds when the table is sized: small
// enough to copy and search a bucket at once, large enough to keep the list of
// buckets short.
const podsPerBucket = 16

// get returns the pod, or nil.
func (t *podTable) get(key podKey) *podState {
	if len(t.buckets) == 0 {
		return nil
	}
	h := maphash.Comparable(t.seed, key)
	for _, e := range t.buckets[h&uint64(len(t.buckets)-1)] {
		if e.hash == h && e.state.info.key == key {
			return e.state
		}
	}
	return nil
}

// podEdit is a new version of a podTable that is being made.
type podEdit struct {
	podTable
	own []bool // by bucket: it is not shared
}

// edit begins a new version that is to hold about so many pods.
func (t *podTable) edit(size int) *podEdit {
	want := 1 << bits.Len(uint(size/podsPerBucket))
	if len(t.buckets) == 0 || len(t.buckets) < want/2 || len(t.buckets) > 4*want {
		e := &podEdit{podTable{seed: maphash.MakeSeed(), buckets: make([][]podEntry, want)}, make([]bool, want)}
		for _, bucket := range t.buckets {
			for i := range bucket {
				e.put(bucket[i].state)
			}
		}
		return e
	}
	buckets := append([][]podEntry(nil), t.buckets...)
	return &podEdit{podTable{t.seed, buckets, t.len}, make([]bool, len(buckets))}
}

// put adds or replaces a pod.
func (e *podEdit) put(state *podState) {
	h := maphash.Comparable(e.seed, state.info.key)
	bucket := e.bucket(h)
	for i := range *bucket {
		if b := &(*bucket)[i]; b.hash == h && b.state.info.key == state.info.key {
			b.state = state
			return
		}
	}
	*bucket = append(*bucket, podEntry{h, state})
	e.len++
}

// drop removes a pod, if it is there.
func (e *podEdit) drop(key podKey) {
	h := maphash.Comparable(e.seed, key)
	bucket := e.bucket(h)
	for i := range *bucket {
		if b := (*bucket)[i]; b.hash == h && b.state.info.key == key {
			last := len(*bucket) - 1
			(*bucket)[i] = (*bucket)[last]
			(*bucket)[last] = podEntry{}
			*bucket = (*bucket)[:last]
			e.len--
			return
		}
	}
}

// bucket returns the bucket of a hash, to be changed.
func (e *podEdit) bucket(h uint64) *[]podEntry {
	i := h & uint64(len(e.buckets)-1)
	if !e.own[i] {
		e.buckets[i] = append([]podEntry(nil), e.buckets[i]...)
		e.own[i] = true
	}
	return &e.buckets[i]
}
