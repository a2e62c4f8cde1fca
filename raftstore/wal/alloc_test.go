package wal

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/raft/v3/raftpb"
)

// discardFS keeps sizes and forgets contents.
type discardFS struct{}

type discardFile struct{ size int64 }

func (discardFS) MkdirAll(string) error                  { return nil }
func (discardFS) List(string) ([]string, error)          { return nil, nil }
func (discardFS) Create(string) (File, error)            { return &discardFile{}, nil }
func (discardFS) Open(string) (File, error)              { return &discardFile{}, nil }
func (discardFS) Rename(string, string) error            { return nil }
func (discardFS) Remove(string) error                    { return nil }
func (discardFS) SyncDir(string) error                   { return nil }
func (discardFS) Lock(string) (io.Closer, error)         { return &discardFile{}, nil }
func (f *discardFile) Close() error                      { return nil }
func (f *discardFile) Sync() error                       { return nil }
func (f *discardFile) Size() (int64, error)              { return f.size, nil }
func (f *discardFile) Truncate(size int64) error         { f.size = size; return nil }
func (f *discardFile) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
func (f *discardFile) WriteAt(p []byte, off int64) (int, error) {
	f.size = max(f.size, off+int64(len(p)))
	return len(p), nil
}

func TestAppendAndFlushAllocateNothing(t *testing.T) {
	o := testOptions(discardFS{})
	o.SegmentSizeBytes = 64 << 20
	w, _, err := Open("data", o)
	require.NoError(t, err)
	entries := []*pb.Entry{entry(1, 1, string(make([]byte, 256))), entry(1, 2, "x"), entry(1, 3, string(make([]byte, largeMin)))}
	allocs := testing.AllocsPerRun(1000, func() {
		w.AppendEntries(entries)
		w.AppendState(HardState{Term: 1, Commit: 1})
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	})
	require.Zero(t, allocs)
}
