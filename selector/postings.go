package selector

import (
	"math/bits"
	"slices"
)

// A posting is the set of object ids that have a label, a key, or one bit of a
// number. Ids are grouped in chunks of idsPerChunk; a chunk keeps few ids as a
// sorted list and many as a bitmap, as Roaring bitmaps do, with smaller chunks
// so that a copy on write stays small.
const (
	chunkBits   = 14
	idsPerChunk = 1 << chunkBits
	chunkWords  = idsPerChunk / 64

	// A list of listMax ids is as large as a bitmap. Below listMin a bitmap
	// turns back into a list; the gap keeps it from turning to and fro.
	listMax = idsPerChunk / 16
	listMin = listMax / 2
)

// words is the bitmap of a chunk, and the scratch in which queries combine them.
type words [chunkWords]uint64

// posting is a set of ids. Nearly all postings of a busy cluster are either
// large or hold one id (a pod's own name), so one id needs no list.
//
// Invariant: list is nil when n < 2; only is the id when n == 1.
type posting struct {
	n    uint32
	only uint32
	list *chunkList
}

// chunkList and chunk carry the epoch in which they were made or last copied:
// what is of an older epoch may be in a snapshot and is copied before a write.
type chunkList struct {
	epoch  uint64
	chunks []chunk // ascending by no, none empty
}

type chunk struct {
	no    uint32 // holds the ids from no*idsPerChunk on
	n     uint32
	epoch uint64
	ids   []uint16 // ascending offsets; nil when bitmap is set
	bits  *words
}

// add inserts id; it reports whether id was new.
func (p *posting) add(id uint32, epoch uint64) bool {
	switch {
	case p.n == 0:
		p.only = id
		p.n = 1
		return true
	case p.n == 1:
		if p.only == id {
			return false
		}
		p.list = &chunkList{epoch: epoch}
		p.list.chunk(p.only>>chunkBits, epoch).add(uint16(p.only % idsPerChunk))
	default:
		p.own(epoch)
	}
	if !p.list.chunk(id>>chunkBits, epoch).add(uint16(id % idsPerChunk)) {
		return false
	}
	p.n++
	return true
}

// remove deletes id; it reports whether id was there.
func (p *posting) remove(id uint32, epoch uint64) bool {
	if p.n < 2 {
		if p.n == 0 || p.only != id {
			return false
		}
		p.n = 0
		return true
	}
	at, found := p.list.search(id >> chunkBits)
	if !found || !p.list.chunks[at].has(uint16(id%idsPerChunk)) {
		return false
	}
	p.own(epoch)
	c := &p.list.chunks[at]
	c.own(epoch)
	c.remove(uint16(id % idsPerChunk))
	if c.n == 0 {
		p.list.chunks = slices.Delete(p.list.chunks, at, at+1)
	}
	if p.n--; p.n == 1 {
		last := &p.list.chunks[0]
		p.only = last.no<<chunkBits | uint32(last.first())
		p.list = nil
	}
	return true
}

func (p *posting) own(epoch uint64) {
	if p.list.epoch != epoch {
		p.list = &chunkList{epoch: epoch, chunks: slices.Clone(p.list.chunks)}
	}
}

// or adds the ids of chunk no to acc; it reports whether there are any.
func (p *posting) or(no uint32, acc *words) bool {
	if p.n == 1 && p.only>>chunkBits == no {
		acc.set(uint16(p.only % idsPerChunk))
		return true
	}
	if p.n < 2 {
		return false
	}
	c := p.list.find(no)
	if c == nil {
		return false
	}
	if c.bits != nil {
		acc.or(c.bits)
		return true
	}
	for _, o := range c.ids {
		acc.set(o)
	}
	return true
}

// andNot takes the ids of chunk no out of acc.
func (p *posting) andNot(no uint32, acc *words) {
	if p.n == 1 && p.only>>chunkBits == no {
		acc.clear(uint16(p.only % idsPerChunk))
	}
	if p.n < 2 {
		return
	}
	c := p.list.find(no)
	switch {
	case c == nil:
	case c.bits != nil:
		acc.andNot(c.bits)
	default:
		for _, o := range c.ids {
			acc.clear(o)
		}
	}
}

// bitmap returns the bitmap of chunk no, if there is one and it is one.
func (p *posting) bitmap(no uint32) *words {
	if p.n < 2 {
		return nil
	}
	if c := p.list.find(no); c != nil {
		return c.bits
	}
	return nil
}

func (l *chunkList) search(no uint32) (int, bool) {
	if n := len(l.chunks); n > 0 && l.chunks[n-1].no < no {
		return n, false // ids mostly grow
	}
	return slices.BinarySearchFunc(l.chunks, no, func(c chunk, no uint32) int { return int(c.no) - int(no) })
}

func (l *chunkList) find(no uint32) *chunk {
	if int(no) < len(l.chunks) && l.chunks[no].no == no {
		return &l.chunks[no] // no gaps before it
	}
	if at, found := l.search(no); found {
		return &l.chunks[at]
	}
	return nil
}

// chunk returns chunk no for writing, made if need be.
func (l *chunkList) chunk(no uint32, epoch uint64) *chunk {
	at, found := l.search(no)
	if !found {
		l.chunks = slices.Insert(l.chunks, at, chunk{no: no, epoch: epoch})
	}
	c := &l.chunks[at]
	c.own(epoch)
	return c
}

func (c *chunk) own(epoch uint64) {
	if c.epoch == epoch {
		return
	}
	c.epoch = epoch
	if c.bits != nil {
		copied := *c.bits
		c.bits = &copied
	} else {
		c.ids = slices.Clone(c.ids)
	}
}

func (c *chunk) has(offset uint16) bool {
	if c.bits != nil {
		return c.bits[offset/64]>>(offset%64)&1 != 0
	}
	_, found := slices.BinarySearch(c.ids, offset)
	return found
}

func (c *chunk) first() uint16 {
	if c.bits == nil {
		return c.ids[0]
	}
	for i, w := range c.bits {
		if w != 0 {
			return uint16(i*64 + bits.TrailingZeros64(w))
		}
	}
	return 0
}

func (c *chunk) add(offset uint16) bool {
	if c.bits != nil {
		if c.has(offset) {
			return false
		}
		c.bits.set(offset)
		c.n++
		return true
	}
	at := len(c.ids)
	if at > 0 && c.ids[at-1] >= offset {
		var found bool
		if at, found = slices.BinarySearch(c.ids, offset); found {
			return false
		}
	}
	if c.n++; c.n > listMax {
		c.bits = new(words)
		for _, o := range c.ids {
			c.bits.set(o)
		}
		c.bits.set(offset)
		c.ids = nil
		return true
	}
	c.ids = slices.Insert(c.ids, at, offset)
	return true
}

func (c *chunk) remove(offset uint16) {
	c.n--
	if c.bits == nil {
		at, _ := slices.BinarySearch(c.ids, offset)
		c.ids = slices.Delete(c.ids, at, at+1)
		return
	}
	c.bits[offset/64] &^= 1 << (offset % 64)
	if c.n < listMin {
		c.ids = make([]uint16, 0, c.n)
		for i, w := range c.bits {
			for ; w != 0; w &= w - 1 {
				c.ids = append(c.ids, uint16(i*64+bits.TrailingZeros64(w)))
			}
		}
		c.bits = nil
	}
}

func (w *words) set(offset uint16) { w[offset/64%chunkWords] |= 1 << (offset % 64) }

func (w *words) clear(offset uint16) { w[offset/64%chunkWords] &^= 1 << (offset % 64) }

func (w *words) or(other *words) {
	for i := range w {
		w[i] |= other[i]
	}
}

func (w *words) and(other *words) {
	for i := range w {
		w[i] &= other[i]
	}
}

func (w *words) andNot(other *words) {
	for i := range w {
		w[i] &^= other[i]
	}
}

func (w *words) orAnd(a, b *words) {
	for i := range w {
		w[i] |= a[i] & b[i]
	}
}

func (w *words) orAndNot(a, b *words) {
	for i := range w {
		w[i] |= a[i] &^ b[i]
	}
}

func (w *words) count() int {
	n := 0
	for _, word := range w {
		n += bits.OnesCount64(word)
	}
	return n
}
