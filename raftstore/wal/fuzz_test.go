package wal

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/raft/v3/raftpb"
)

// FuzzOpen opens logs that were changed in any place. Open never panics, and either
// refuses with an error that says where, or returns a prefix of what was there. A
// prefix that lacks a batch is accepted only if nothing behind it is left: damage
// that reaches the end looks like a torn write.
func FuzzOpen(f *testing.F) {
	f.Add(uint16(0), []byte{1})
	f.Add(uint16(48), []byte{0, 1, 0, 0, 0, 0, 0, 0})
	f.Add(uint16(512), []byte("junk where the first batch was"))
	f.Add(uint16(516), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint16(900), make([]byte, 600))
	f.Add(uint16(589), bytes.Repeat([]byte("0"), 240))
	f.Fuzz(func(t *testing.T, at uint16, patch []byte) {
		fs := NewMemFS()
		w, _ := mustOpen(t, fs)
		var want []string
		var ends []int64
		for i := uint64(1); i <= 6; i++ {
			e := entry(i, i, "some data that is worth keeping")
			w.AppendEntries([]*pb.Entry{e})
			w.AppendState(HardState{Term: i})
			require.NoError(t, w.Flush())
			want = append(want, texts([]*pb.Entry{e})...)
			ends = append(ends, w.off)
		}
		require.NoError(t, w.Close())
		file, err := fs.Open(filepath.Join("data", segmentName(1)))
		require.NoError(t, err)
		_, err = file.WriteAt(append([]byte{}, patch...), int64(at)%(8<<10))
		require.NoError(t, err)

		// Read finds what Open finds and leaves everything as it is.
		shown := 0
		read, readErr := Read("data", Options{FS: fs}, func(Record) { shown++ })

		w, rec, err := Open("data", testOptions(fs))
		if !errors.Is(err, ErrForeign) { // Read takes whoever's log it is
			require.Equal(t, err, readErr)
		}
		if err != nil {
			var corrupt *CorruptError
			require.True(t, errors.As(err, &corrupt) || errors.Is(err, ErrForeign), "%v", err)
			return
		}
		defer w.Close()
		require.Equal(t, rec.TornBytes, read.TornBytes)
		require.Equal(t, rec.State, read.State)
		got := texts(rec.Entries)
		require.Equal(t, got, texts(read.Entries))
		require.GreaterOrEqual(t, shown, 2*len(got))
		if lastBatch := ends[len(ends)-2]; int64(at)%(8<<10)+int64(len(patch)) <= lastBatch {
			require.Len(t, got, len(want), "a whole batch followed what was dropped")
		}
		require.Equal(t, want[:len(got)], got)
	})
}
