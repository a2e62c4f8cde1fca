package wal

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/raft/v3/raftpb"
)

func TestEntriesReadsBackWhatCounts(t *testing.T) {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	flush := func(entries ...*pb.Entry) {
		w.AppendEntries(entries)
		require.NoError(t, w.Flush())
	}
	flush(entry(1, 1, "a"), entry(1, 2, "b"), entry(1, 3, "c"))
	w.AppendEntries([]*pb.Entry{entry(2, 4, "old"), entry(2, 5, "old")})
	flush(entry(3, 3, "C"), entry(3, 4, "D")) // replaces 3 of the batch before, 4 and 5 of its own
	w.AppendState(HardState{Term: 3, Commit: 3})
	require.NoError(t, w.Flush())
	flush(entry(3, 5, "E"))

	read := func(w *WAL, lo, hi, sizeMax uint64) (found string) {
		for lo < hi {
			entries, err := w.Entries(lo, hi, sizeMax)
			require.NoError(t, err)
			for _, e := range entries {
				require.Equal(t, lo, e.GetIndex())
				found += string(e.Data)
				lo++
			}
		}
		return found
	}
	for _, sizeMax := range []uint64{0, 60, 1 << 20} {
		require.Equal(t, "abCDE", read(w, 1, 6, sizeMax))
		require.Equal(t, "bC", read(w, 2, 4, sizeMax))
	}
	_, err := w.Entries(6, 7, 100)
	require.Error(t, err)
	_, err = w.Entries(3, 3, 100)
	require.Error(t, err)
	require.NoError(t, w.Close())

	opts := testOptions(fs)
	opts.HeadsOnly = true
	w, rec, err := Open("data", opts)
	require.NoError(t, err)
	require.Empty(t, rec.Entries)
	require.Equal(t, []EntryHead{{1, 1, 1}, {2, 1, 1}, {3, 3, 1}, {4, 3, 1}, {5, 3, 1}}, rec.Heads)
	require.Equal(t, "abCDE", read(w, 1, 6, 1<<20))
	w.AppendEntries([]*pb.Entry{entry(3, 6, "lost")})
	w.AppendMark(Mark{Index: 90, Term: 4, Reset: true})
	require.NoError(t, w.Flush())
	require.Zero(t, w.firstEntry())
	flush(entry(4, 91, "x"))
	require.Equal(t, uint64(91), w.firstEntry())
	require.Equal(t, "x", read(w, 91, 92, 1))
	_, err = w.Entries(5, 6, 100)
	require.Error(t, err)
	require.NoError(t, w.Close())
}

func TestEntriesVerifiesWhatItReads(t *testing.T) {
	fs := NewMemFS()
	w, _ := mustOpen(t, fs)
	w.AppendEntries([]*pb.Entry{entry(1, 1, "the data of an entry")})
	require.NoError(t, w.Flush())
	_, err := w.Entries(1, 2, 100)
	require.NoError(t, err)
	f, err := fs.Open("data/" + segmentName(1))
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	require.NoError(t, err)
	at := bytes.Index(b, []byte("the data"))
	require.Positive(t, at)
	_, err = f.WriteAt([]byte{'T'}, int64(at))
	require.NoError(t, err)
	_, err = w.Entries(1, 2, 100)
	require.ErrorIs(t, err, ErrCorrupt)
	require.NoError(t, w.Close())
}

// firstEntry is the index of the oldest entry that Entries can read, 0 if there is none.
func (w *WAL) firstEntry() uint64 {
	if len(w.spans.list) == 0 {
		return 0
	}
	return w.spans.list[0].first
}
