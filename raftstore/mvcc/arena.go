package mvcc

// The arena keeps keys and values as bytes in large chunks, so that the
// garbage collector sees one object for thousands of pairs:
//
//	chunk   ┌───────┬───────┬────────────┬───────┬ ─ ─ ─ ─ ┐
//	        │ entry │ entry │   entry    │ entry │  unused
//	        └───────┴───────┴────────────┴───────┴ ─ ─ ─ ─ ┘
//
// version.go says what an entry is. A chunk is dropped from the
// directory when nothing in it is live; whoever still holds an older directory
// (a snapshot, a returned value) keeps it from the collector.

const (
	chunkBytesMin     = 32 << 10
	chunkBytesMax     = 1 << 20
	maxEntryPartBytes = 1<<31 - 1
)

// ref locates an entry: chunk number in the upper half, offset in the lower.
type ref uint64

// noRef is no entry: chunk 0 is never used.
const noRef ref = 0

func makeRef(chunk, offset int) ref { return ref(uint64(chunk)<<32 | uint64(uint32(offset))) }

func (r ref) chunk() int  { return int(r >> 32) }
func (r ref) offset() int { return int(uint32(r)) }

// directory maps chunk numbers to chunks. A directory is immutable: changing it means
// replacing it. Adding a chunk may write behind its end, where whoever holds an older
// one never looks.
type directory [][]byte

// chunkUse is what the writer knows about a chunk.
type chunkUse struct {
	// used is the number of bytes written, live that of entries still needed.
	used int
	live int
	// newest is the highest revision written to the chunk.
	newest int64
}

// arena is the writer's side: it appends entries and counts what is live.
type arena struct {
	dir  directory
	use  []chunkUse
	tail int // number of the chunk that is appended to; 0 is none
	free []int
	// usedBytes and liveBytes are the sums over all chunks.
	usedBytes int
	liveBytes int
}

func newArena() arena {
	return arena{dir: make(directory, 1), use: make([]chunkUse, 1)}
}

// append writes the entry of a version. Those of records in the history count with their
// revision; what only the index needs has revision 0.
func (a *arena) append(key, value []byte, ver *version, revision int64) ref {
	if n := entryBytesMax(key, value); a.tail == 0 || a.use[a.tail].used+n > len(a.dir[a.tail]) {
		a.grow(n)
	}
	use := &a.use[a.tail]
	r := makeRef(a.tail, use.used)
	b := a.dir[a.tail][use.used:]
	n := len(appendEntry(b[:0], key, value, ver))
	use.used += n
	use.live += n
	use.newest = max(use.newest, revision)
	a.usedBytes += n
	a.liveBytes += n
	return r
}

// grow starts a new tail chunk with room for n bytes. Chunks double up to the
// maximum, so that a small store stays small.
func (a *arena) grow(n int) {
	size := chunkBytesMin
	if a.tail != 0 {
		size = min(2*len(a.dir[a.tail]), chunkBytesMax)
	}
	chunk := make([]byte, max(size, n))
	if k := len(a.free); k > 0 {
		a.tail = a.free[k-1]
		a.free = a.free[:k-1]
		a.setChunk(a.tail, chunk)
		return
	}
	a.tail = len(a.dir)
	a.dir = append(a.dir, chunk)
	a.use = append(a.use, chunkUse{})
}

// drop forgets a chunk without live entries.
func (a *arena) drop(chunk int) {
	a.usedBytes -= a.use[chunk].used
	a.liveBytes -= a.use[chunk].live
	a.setChunk(chunk, nil)
	a.free = append(a.free, chunk)
}

func (a *arena) setChunk(chunk int, b []byte) {
	dir := make(directory, len(a.dir))
	copy(dir, a.dir)
	dir[chunk] = b
	a.dir = dir
	a.use[chunk] = chunkUse{}
}

// release notes that an entry is needed no more.
func (a *arena) release(r ref) {
	n := a.dir.entryBytes(r)
	a.use[r.chunk()].live -= n
	a.liveBytes -= n
}
