package wal

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/raft/v3/raftpb"
)

func testOptions(fs FS) Options {
	return Options{FS: fs, SegmentSizeBytes: 8 << 10, ClusterID: 0xc, MemberID: 3}
}

func entry(term, index uint64, data string) *pb.Entry {
	return &pb.Entry{Term: &term, Index: &index, Type: pb.EntryNormal.Enum(), Data: []byte(data)}
}

func texts(entries []*pb.Entry) []string {
	out := []string{}
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%d/%d:%d:%s", e.GetTerm(), e.GetIndex(), e.GetType(), e.GetData()))
	}
	return out
}

func mustOpen(t testing.TB, fs FS) (*WAL, *Recovered) {
	t.Helper()
	w, rec, err := Open("data", testOptions(fs))
	require.NoError(t, err)
	return w, rec
}

func TestReopenReturnsWhatWasFlushed(t *testing.T) {
	fs := NewMemFS()
	w, rec := mustOpen(t, fs)
	require.True(t, rec.Fresh)
	w.AppendMeta(7, []byte("boot"))
	w.AppendState(HardState{Term: 1, Vote: 3, Commit: 0})
	conf := entry(1, 2, "conf")
	conf.Type = pb.EntryConfChangeV2.Enum()
	w.AppendEntries([]*pb.Entry{entry(1, 1, ""), conf, entry(1, 3, "c")})
	require.NoError(t, w.Flush())
	w.AppendEntries([]*pb.Entry{entry(2, 3, "x"), entry(2, 4, "y")}) // replaces 3
	w.AppendState(HardState{Term: 2, Vote: 1, Commit: 2})
	w.AppendMark(Mark{Index: 2, Term: 1})
	require.NoError(t, w.Close())

	w, rec = mustOpen(t, fs)
	defer w.Close()
	require.False(t, rec.Fresh)
	require.Equal(t, uint64(0xc), rec.ClusterID)
	require.Equal(t, HardState{2, 1, 2}, rec.State)
	require.Equal(t, []Mark{{Index: 2, Term: 1}}, rec.Marks)
	require.Equal(t, []string{"1/1:0:", "1/2:2:conf", "2/3:0:x", "2/4:0:y"}, texts(rec.Entries))
	require.Equal(t, map[uint8][]byte{7: []byte("boot")}, rec.Meta)
	require.Zero(t, rec.TornBytes)
}

func TestReadShowsEveryRecordAndRefusesAnOpenLog(t *testing.T) {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	w.AppendMeta(7, nil)
	w.AppendState(HardState{Term: 1, Vote: 3})
	w.AppendEntries([]*pb.Entry{entry(1, 1, "a"), entry(1, 2, "b")})
	require.NoError(t, w.Flush())
	w.AppendEntries([]*pb.Entry{entry(2, 2, "c")}) // replaces b
	w.AppendMark(Mark{Index: 1, Term: 1})
	_, err := Read("data", Options{FS: fs}, nil)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, w.Close())

	var shown []string
	rec, err := Read("data", Options{FS: fs}, func(r Record) {
		switch {
		case r.Entry != nil:
			shown = append(shown, texts([]*pb.Entry{r.Entry})...)
		case r.State != nil:
			shown = append(shown, fmt.Sprint("state ", *r.State))
		case r.Mark != nil:
			shown = append(shown, fmt.Sprint("mark ", *r.Mark))
		case r.Meta != nil:
			shown = append(shown, fmt.Sprint("meta ", r.MetaKey))
		}
	})
	require.NoError(t, err)
	require.Equal(t, []string{"meta 7", "state {1 3 0}", "1/1:0:a", "1/2:0:b", "2/2:0:c", "mark {1 1 false}"}, shown)
	require.Equal(t, []string{"1/1:0:a", "2/2:0:c"}, texts(rec.Entries))
	require.Equal(t, uint64(3), rec.MemberID)

	_, err = Read("nowhere", Options{FS: fs}, nil)
	require.Error(t, err)
}

func TestResetMarkReplacesTheLog(t *testing.T) {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	w.AppendEntries([]*pb.Entry{entry(1, 1, "a"), entry(1, 2, "b")})
	w.AppendMark(Mark{Index: 1, Term: 1})
	w.AppendMark(Mark{Index: 90, Term: 4, Reset: true})
	w.AppendEntries([]*pb.Entry{entry(4, 91, "c")})
	require.NoError(t, w.Close())
	_, rec := mustOpen(t, fs)
	require.Equal(t, []Mark{{Index: 90, Term: 4, Reset: true}}, rec.Marks)
	require.Equal(t, []string{"4/91:0:c"}, texts(rec.Entries))
}

func TestSegmentsAreCutCarriedAndReleased(t *testing.T) {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	w.AppendMeta(1, []byte("identity"))
	w.AppendState(HardState{Term: 1, Vote: 2})
	var want []string
	for i := uint64(1); i <= 60; i++ {
		e := entry(1, i, string(make([]byte, 700)))
		w.AppendEntries([]*pb.Entry{e})
		if i%2 == 0 && w.NeedsPrepare() {
			require.NoError(t, w.Prepare())
		}
		if i == 30 || i == 40 {
			w.AppendMark(Mark{Index: i, Term: 1})
		}
		require.NoError(t, w.Flush())
		want = append(want, texts([]*pb.Entry{e})...)
	}
	before := w.Segments()
	require.Greater(t, before, 4)
	remove := w.Release(30)
	require.NotNil(t, remove)
	require.NoError(t, remove())
	require.Nil(t, w.Release(30), "there is nothing left to give up")
	require.Less(t, w.Segments(), before)
	require.NoError(t, w.Close())

	w, rec := mustOpen(t, fs)
	defer w.Close()
	first := int(rec.Entries[0].GetIndex())
	require.LessOrEqual(t, first, 31, "nothing above the released index may go")
	require.Greater(t, first, 10)
	require.Equal(t, want[first-1:], texts(rec.Entries))
	require.Equal(t, HardState{Term: 1, Vote: 2}, rec.State)
	require.Equal(t, []Mark{{Index: 30, Term: 1}, {Index: 40, Term: 1}}, rec.Marks)
	require.Equal(t, []byte("identity"), rec.Meta[1])
}

func TestBatchLargerThanASegment(t *testing.T) {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	big := entry(1, 1, string(make([]byte, 50_000)))
	w.AppendEntries([]*pb.Entry{big})
	require.NoError(t, w.Flush())
	w.AppendEntries([]*pb.Entry{entry(1, 2, "small")})
	require.NoError(t, w.Close())
	_, rec := mustOpen(t, fs)
	require.Equal(t, texts([]*pb.Entry{big, entry(1, 2, "small")}), texts(rec.Entries))
}

func TestOpenRefusesForeignAndLockedLogs(t *testing.T) {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	_, _, err := Open("data", testOptions(fs))
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, w.Close())
	for _, o := range []Options{
		{FS: fs, ClusterID: 0xd, MemberID: 3},
		{FS: fs, ClusterID: 0xc, MemberID: 4},
	} {
		_, _, err := Open("data", o)
		require.ErrorIs(t, err, ErrForeign)
	}
	w, rec, err := Open("data", Options{FS: fs, MemberID: 3})
	require.NoError(t, err)
	require.Equal(t, uint64(0xc), rec.ClusterID, "an unknown cluster id is taken from the log")
	require.NoError(t, w.Close())
}

func TestOpenRefusesBadOptions(t *testing.T) {
	for _, o := range []Options{
		{ClusterID: 1},
		{MemberID: 1},
		{ClusterID: 1, MemberID: 1, SegmentSizeBytes: 100},
		{ClusterID: 1, MemberID: 1, SegmentSizeBytes: SegmentSizeMax + 1},
	} {
		o.FS = NewMemFS()
		_, _, err := Open("data", o)
		require.Error(t, err, "%+v", o)
	}
}

func TestFailedSyncIsFinal(t *testing.T) {
	for _, op := range []Op{OpWrite, OpSync} {
		fs := NewMemFS()
		w, _ := mustOpen(t, fs)
		w.AppendEntries([]*pb.Entry{entry(1, 1, "kept")})
		require.NoError(t, w.Flush())
		boom := errors.New("no space left on device")
		fs.Fault = func(o Op, name string) error {
			if o == op {
				return boom
			}
			return nil
		}
		w.AppendEntries([]*pb.Entry{entry(1, 2, "lost")})
		err := w.Flush()
		require.ErrorIs(t, err, boom)
		require.ErrorIs(t, err, ErrFailed)
		fs.Fault = nil
		require.ErrorIs(t, w.Flush(), ErrFailed, "a second attempt must not look like success")
		require.Nil(t, w.Release(1))
		require.ErrorIs(t, w.Close(), ErrFailed)

		after := fs.Crash(rand.New(rand.NewPCG(1, 1)))
		_, rec := mustOpen(t, after)
		require.Equal(t, []string{"1/1:0:kept"}, texts(rec.Entries))
	}
}

// filled returns a file system with a closed log of several segments and the
// offset and size of each batch in them.
func filled(t testing.TB) *MemFS {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	for i := uint64(1); i <= 40; i++ {
		w.AppendEntries([]*pb.Entry{entry(1, i, fmt.Sprintf("%0400d", i))})
		w.AppendState(HardState{Term: 1, Vote: 1, Commit: i - 1})
		require.NoError(t, w.Flush())
	}
	require.NoError(t, w.Close())
	return fs
}

// Every byte of every batch is covered: a flip in any of them is found, and only
// in the very last batch it may pass for a torn write.
func TestEveryFlippedByteIsFound(t *testing.T) {
	pristine := filled(t)
	names, err := pristine.List("data")
	require.NoError(t, err)
	var segments []string
	for _, name := range names {
		if _, ok := parseSegmentName(name); ok {
			segments = append(segments, name)
		}
	}
	require.Greater(t, len(segments), 2)
	rng := rand.New(rand.NewPCG(5, 5))
	for i, name := range segments {
		path := filepath.Join("data", name)
		inode := pristine.dirs["data"].now[name]
		end := len(inode.now)
		for end > 0 && inode.now[end-1] == 0 {
			end--
		}
		for range 400 {
			off := int64(rng.IntN(end))
			mask := byte(1 << rng.IntN(8))
			require.NoError(t, pristine.Corrupt(path, off, mask))
			w, rec, err := Open("data", testOptions(pristine))
			require.NoError(t, pristine.Corrupt(path, off, mask)) // flip back
			if err != nil {
				if !errors.Is(err, ErrForeign) {
					require.ErrorIs(t, err, ErrCorrupt, "%s at %d", name, off)
					require.Contains(t, err.Error(), name)
				}
				continue
			}
			require.NoError(t, w.Abort())
			require.Equal(t, len(segments)-1, i, "flip at %s %d was accepted", name, off)
			require.Equal(t, 39, len(rec.Entries), "flip at %s %d lost more than the last batch", name, off)
			pristine = filled(t) // the tail was zeroed
		}
	}
}

func TestMissingSegmentIsFound(t *testing.T) {
	fs := filled(t)
	require.NoError(t, fs.Remove(filepath.Join("data", segmentName(2))))
	_, _, err := Open("data", testOptions(fs))
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, segmentName(2))
}

func TestTailOfZerosThatHidesABatchIsCorrupt(t *testing.T) {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	var offsets []int64
	for i := uint64(1); i <= 5; i++ {
		offsets = append(offsets, w.off)
		w.AppendEntries([]*pb.Entry{entry(1, i, "value")})
		require.NoError(t, w.Flush())
	}
	require.NoError(t, w.Close())
	f, err := fs.Open(filepath.Join("data", segmentName(1)))
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, offsets[3]-offsets[2]), offsets[2])
	require.NoError(t, err)
	_, _, err = Open("data", testOptions(fs))
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, offsets[2], corrupt.Offset)
}

// reused returns a file system with a closed log whose segments all were others before.
func reused(t testing.TB) *MemFS {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	for i := uint64(1); i <= 200; i++ {
		w.AppendEntries([]*pb.Entry{entry(1, i, fmt.Sprintf("%0400d", i))})
		w.AppendState(HardState{Term: 1, Vote: 1, Commit: i - 1})
		require.NoError(t, w.Flush())
		if remove := w.Release(max(i, 50) - 50); remove != nil {
			require.NoError(t, remove())
		}
	}
	for _, s := range w.segments {
		require.True(t, s.header.reused, s.name)
	}
	require.NoError(t, w.Close())
	return fs
}

func TestReleasedSegmentsAreUsedAgain(t *testing.T) {
	fs := reused(t)
	w, rec := mustOpen(t, fs)
	require.Zero(t, rec.TornBytes, "what a file held before is not a torn write")
	require.Equal(t, uint64(200), rec.Entries[len(rec.Entries)-1].GetIndex())
	for i, e := range rec.Entries {
		require.Equal(t, rec.Entries[0].GetIndex()+uint64(i), e.GetIndex())
		require.Equal(t, fmt.Sprintf("%0400d", e.GetIndex()), string(e.GetData()))
	}
	// More than is kept is deleted, and Open deletes what a crash has left.
	for i := uint64(201); i <= 400; i++ {
		w.AppendEntries([]*pb.Entry{entry(1, i, fmt.Sprintf("%0400d", i))})
		require.NoError(t, w.Flush())
	}
	require.NoError(t, w.Release(390)())
	require.Len(t, w.spares, sparesMax)
	fs = fs.Crash(rand.New(rand.NewPCG(1, 1)))
	w, rec = mustOpen(t, fs)
	require.Equal(t, uint64(400), rec.Entries[len(rec.Entries)-1].GetIndex())
	names, err := fs.List("data")
	require.NoError(t, err)
	for _, name := range names {
		require.NotContains(t, name, preparedSuffix)
	}
}

// A restart makes no file anew that is there, and takes none that is something else.
func TestSparesOutliveARestart(t *testing.T) {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	require.NoError(t, w.Prepare())
	require.NoError(t, w.Abort())
	size := w.opts.SegmentSizeBytes
	for name, sizeBytes := range map[string]int64{
		"next-7.spare": size, "next-8.spare": size - 1, "next-9.tmp": size, "next-x.spare": size, "next-18446744073709551615.spare": size,
		"next-10.spare": size, "next-11.spare": size, "next-12.spare": size,
	} {
		f, err := fs.Create(filepath.Join("data", name))
		require.NoError(t, err)
		require.NoError(t, f.Truncate(sizeBytes))
		_, err = f.WriteAt([]byte("what was here before"), 0)
		require.NoError(t, err)
		require.NoError(t, f.Sync())
	}
	for _, crash := range []bool{false, true} {
		if crash {
			require.NoError(t, w.Abort())
			fs = fs.Crash(rand.New(rand.NewPCG(1, 1)))
		}
		w, _ = mustOpen(t, fs)
		names, err := fs.List("data")
		require.NoError(t, err)
		require.Equal(t, []string{segmentName(1), "next-10.spare", "next-11.spare", "next-12.spare", "next-2.spare"}, names)
	}
	require.False(t, w.NeedsPrepare())
	for i := uint64(1); len(w.segments) < 5; i++ {
		w.AppendEntries([]*pb.Entry{entry(1, i, fmt.Sprintf("%0400d", i))})
		require.NoError(t, w.Flush())
	}
	require.Equal(t, uint64(12), w.prepares, "no file was made, and no name is used twice")
	require.NoError(t, w.Close())
	_, rec := mustOpen(t, fs)
	require.Equal(t, w.lastIndex, uint64(len(rec.Entries)))
}

// Damage is found in files that hold older batches, too.
func TestEveryFlippedByteIsFoundInReusedSegments(t *testing.T) {
	pristine := reused(t)
	w, rec := mustOpen(t, pristine)
	want, segments, end := texts(rec.Entries), w.segments, w.off
	require.NoError(t, w.Abort())
	require.Greater(t, len(segments), 2)
	rng := rand.New(rand.NewPCG(6, 6))
	for i, s := range segments {
		last := i == len(segments)-1
		for range 300 {
			off := rng.Int64N(int64(s.header.size))
			if last {
				off = rng.Int64N(end)
			}
			mask, path := byte(1<<rng.IntN(8)), filepath.Join("data", s.name)
			require.NoError(t, pristine.Corrupt(path, off, mask))
			w, rec, err := Open("data", testOptions(pristine))
			require.NoError(t, pristine.Corrupt(path, off, mask)) // flip back
			if err != nil {
				if !errors.Is(err, ErrForeign) {
					require.ErrorIs(t, err, ErrCorrupt, "%s at %d", s.name, off)
					require.Contains(t, err.Error(), s.name)
				}
				continue
			}
			require.NoError(t, w.Abort())
			got := texts(rec.Entries)
			if last && len(got) == len(want)-1 {
				pristine = reused(t) // it has passed for a torn write
				continue
			}
			require.Equal(t, want, got, "flip at %s %d", s.name, off)
		}
	}
}

// A log under random appends, cuts, releases and crashes recovers everything that
// was flushed, and nothing that was never appended.
func TestCrashesLoseNothingFlushed(t *testing.T) {
	reused := 0
	for seed := uint64(0); seed < 60; seed++ {
		reused += crashRun(t, seed)
	}
	require.Greater(t, reused, 100, "batches in files that were segments before")
}

type model struct {
	state   HardState
	entries map[uint64]string
	last    uint64
	// released is the index that a snapshot covers: never replaced.
	released uint64
}

func (m model) clone() model {
	c := m
	c.entries = maps.Clone(m.entries)
	return c
}

func (m model) matches(rec *Recovered) bool {
	if rec.State != m.state {
		return false
	}
	last := uint64(0)
	for _, e := range rec.Entries {
		if m.entries[e.GetIndex()] != string(e.GetData()) {
			return false
		}
		last = e.GetIndex()
	}
	return last == m.last
}

// crashRun returns how many batches were flushed to files that had been other segments.
func crashRun(t *testing.T, seed uint64) (reused int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := NewMemFS()
	durable := model{entries: map[uint64]string{}}
	for life := range 6 {
		pending := durable.clone()
		steps := rng.IntN(400)
		fs.Fault = func(Op, string) error {
			if steps--; steps < 0 {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		w, rec, err := Open("data", testOptions(fs))
		if err == nil {
			require.True(t, durable.matches(rec), "seed %d life %d", seed, life)
			for err == nil {
				pending = durable.clone()
				appendRandom(rng, w, &pending)
				if rng.IntN(4) == 0 {
					_ = w.Prepare()
				}
				if err = w.Flush(); err == nil {
					durable = pending
					durable.readable(t, rng, w)
				}
				if w.segments[len(w.segments)-1].header.reused {
					reused++
				}
				if err == nil && rng.IntN(8) == 0 && durable.last > 10 {
					durable.released = max(durable.released, durable.last-10)
					if remove := w.Release(durable.released); remove != nil {
						err = remove()
					}
				}
			}
		} else {
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "seed %d life %d", seed, life)
		}
		fs = fs.Crash(rng)
		w, rec, err = Open("data", testOptions(fs))
		require.NoError(t, err, "seed %d life %d", seed, life)
		if !durable.matches(rec) {
			// The flush that failed may have reached the disk nevertheless.
			require.True(t, pending.matches(rec), "seed %d life %d: %+v", seed, life, rec.State)
			durable = pending
		}
		require.NoError(t, w.Abort())
	}
	return reused
}

// readable reads some entries of the log back.
func (m *model) readable(t *testing.T, rng *rand.Rand, w *WAL) {
	t.Helper()
	if m.last <= m.released {
		return
	}
	fault := w.opts.FS.(*MemFS).Fault
	w.opts.FS.(*MemFS).Fault = nil
	defer func() { w.opts.FS.(*MemFS).Fault = fault }()
	lo := m.released + 1 + rng.Uint64N(m.last-m.released)
	hi := lo + 1 + rng.Uint64N(m.last-lo+1)
	sizeMax := rng.Uint64N(4000)
	for lo < hi {
		entries, err := w.Entries(lo, hi, sizeMax)
		require.NoError(t, err)
		require.NotEmpty(t, entries)
		for _, e := range entries {
			require.Equal(t, lo, e.GetIndex())
			require.Equal(t, m.entries[lo], string(e.Data))
			lo++
		}
	}
	require.LessOrEqual(t, w.firstEntry(), m.released+1)
	_, err := w.Entries(m.last+1, m.last+2, 0)
	require.Error(t, err)
}

func appendRandom(rng *rand.Rand, w *WAL, m *model) {
	for range 1 + rng.IntN(3) {
		first := m.last + 1
		if rng.IntN(6) == 0 && m.last > m.released+3 {
			first -= uint64(rng.IntN(3)) // replace a suffix
			for i := first; i <= m.last; i++ {
				delete(m.entries, i)
			}
		}
		m.state.Term++
		var entries []*pb.Entry
		for i := range uint64(1 + rng.IntN(4)) {
			width := rng.IntN(900)
			if rng.IntN(40) == 0 {
				width += largeMin
			}
			data := fmt.Sprintf("%d-%0*d", m.state.Term, width, rng.Uint32())
			entries = append(entries, entry(m.state.Term, first+i, data))
			m.entries[first+i] = data
			m.last = first + i
		}
		w.AppendEntries(entries)
		w.AppendState(m.state)
	}
}

func TestOwingIsWhatAnswersDependOn(t *testing.T) {
	w, _ := mustOpen(t, NewMemFS())
	defer w.Close()
	owes := func(want bool, add func()) {
		t.Helper()
		add()
		require.Equal(t, want, w.Owing())
		require.NoError(t, w.Flush())
		require.False(t, w.Owing())
	}
	owes(true, func() { w.AppendState(HardState{Term: 1}) })
	owes(true, func() { w.AppendState(HardState{Term: 1, Vote: 2}) })
	owes(false, func() { w.AppendState(HardState{Term: 1, Vote: 2, Commit: 7}) })
	owes(false, func() { w.AppendEntries(nil) })
	owes(true, func() { w.AppendEntries([]*pb.Entry{entry(1, 1, "a")}) })
	owes(true, func() { w.AppendMark(Mark{Index: 1, Term: 1}) })
	owes(true, func() { w.AppendMeta(1, nil) })
	owes(true, func() {
		w.AppendState(HardState{Term: 2})
		w.AppendState(HardState{Term: 2, Commit: 9})
	})
}
