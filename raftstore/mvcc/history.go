package mvcc

import "sort"

// record is one change of one key: what the change was is in its entry. Records are
// written once, in the order of application, and hold no pointers.
type record struct {
	entry ref
	// prev is the position of the key's previous record. When that lies before
	// the start of the history, the key's base (see item) is what came before.
	prev uint64
}

const blockRecords = 1024

type block [blockRecords]record

// history is the sequence of records between two positions. The value is a
// view: appending to a history leaves older copies of it as they were, since
// they never look beyond their own end.
type history struct {
	blocks []*block
	first  uint64 // position of blocks[0][0]
	start  uint64 // first valid position
	end    uint64 // first position not written
}

// newHistory returns an empty history. Position 0 is never used: it means none.
func newHistory() history { return history{first: 1, start: 1, end: 1} }

func (h *history) at(position uint64) *record {
	p := position - h.first
	return &h.blocks[p/blockRecords][p%blockRecords]
}

// append adds a record and returns its position.
func (h *history) append(r record) uint64 {
	p := h.end
	if p-h.first == uint64(len(h.blocks))*blockRecords {
		h.blocks = append(h.blocks, new(block))
	}
	*h.at(p) = r
	h.end++
	return p
}

// dropBefore makes start the first valid position and lets go of the blocks
// before it. The list of blocks is copied, since snapshots may share it.
func (h *history) dropBefore(start uint64) {
	h.start = start
	n := (start - h.first) / blockRecords
	if n == 0 {
		return
	}
	h.blocks = append([]*block(nil), h.blocks[n:]...)
	h.first += n * blockRecords
}

// search returns the position of the first record at revision or above.
func (v *view) search(revision int64) uint64 {
	h := &v.history
	n := sort.Search(int(h.end-h.start), func(i int) bool {
		return v.mod(h.start+uint64(i)) >= revision
	})
	return h.start + uint64(n)
}

// change returns the version that a record has made.
func (v *view) change(position uint64) version { return v.dir.version(v.history.at(position).entry) }

// mod returns the revision of a record.
func (v *view) mod(position uint64) int64 { return v.dir.mod(v.history.at(position).entry) }
