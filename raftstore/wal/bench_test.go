package wal

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/raft/v3/raftpb"
)

// BenchmarkFlush measures durable batches on the real disk, in a log whose old segments
// are released as snapshots do it, and beside them what the disk itself can do: the
// same bytes to a zero-filled file, without a log.
func BenchmarkFlush(b *testing.B) {
	for _, size := range []int{256, 4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("bytes=%d/by=wal", size), func(b *testing.B) {
			dir := b.TempDir()
			w, _, err := Open(dir, Options{ClusterID: 1, MemberID: 1})
			require.NoError(b, err)
			index := uint64(0)
			var background sync.WaitGroup
			var busy atomic.Bool
			later := func(work func() error) {
				busy.Store(true)
				background.Go(func() {
					defer busy.Store(false)
					if err := work(); err != nil {
						b.Error(err)
					}
				})
			}
			upkeep := func() {
				if w.Segments() > segmentsKept {
					later(w.Release(w.segments[0].lastIndex))
				} else if w.NeedsPrepare() {
					later(w.Prepare)
				}
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				index++
				w.AppendEntries([]*pb.Entry{entryOf(index, benchData[:size])})
				if err := w.Flush(); err != nil {
					b.Fatal(err)
				}
				if !busy.Load() {
					upkeep()
				}
			}
			b.StopTimer()
			background.Wait()
			require.NoError(b, w.Close())
			_, rec, err := Open(dir, Options{MemberID: 1})
			require.NoError(b, err)
			require.Equal(b, index, rec.Entries[len(rec.Entries)-1].GetIndex())
			require.Equal(b, index-rec.Entries[0].GetIndex()+1, uint64(len(rec.Entries)))
		})
		b.Run(fmt.Sprintf("bytes=%d/by=disk", size), func(b *testing.B) {
			p, err := prepareFile(OS, filepath.Join(b.TempDir(), "raw"), DefaultSegmentSize)
			require.NoError(b, err)
			defer p.file.Close()
			off := int64(0)
			b.SetBytes(int64(size))
			for b.Loop() {
				if off+int64(size) > p.size {
					off = 0
				}
				if _, err := p.file.WriteAt(benchData[:size], off); err != nil {
					b.Fatal(err)
				}
				if err := p.file.Sync(); err != nil {
					b.Fatal(err)
				}
				off += int64(size)
			}
		})
	}
}

// segmentsKept is how many segments a log keeps in BenchmarkFlush.
const segmentsKept = 2

var benchData = make([]byte, 1<<20)

func entryOf(index uint64, data []byte) *pb.Entry {
	return &pb.Entry{Term: new(uint64(1)), Index: new(index), Data: data}
}
