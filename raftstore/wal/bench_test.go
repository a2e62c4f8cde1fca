package wal

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/raft/v3/raftpb"
)

// BenchmarkFlush measures durable batches on the real disk and, in turn with them, what
// the disk itself can do: the same bytes to a zero-filled file, without a log. Its old
// segments are released as snapshots do it. The time per flush is ns/op; disk-ns is that
// of the bare write and sync beside it, share how much of the disk's rate the log has,
// and share-with-upkeep the same when making and releasing segments is counted, which a
// member does beside its writes.
func BenchmarkFlush(b *testing.B) {
	for _, size := range []int{256, 4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			dir := b.TempDir()
			w, _, err := Open(dir, Options{ClusterID: 1, MemberID: 1})
			require.NoError(b, err)
			disk := newBareDisk(b)
			index := uint64(0)
			var flushing, upkeep, bare time.Duration
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				index++
				begun := time.Now()
				w.AppendEntries([]*pb.Entry{entryOf(index, benchData[:size])})
				if err := w.Flush(); err != nil {
					b.Fatal(err)
				}
				flushed := time.Now()
				if err := keepUp(w); err != nil {
					b.Fatal(err)
				}
				kept := time.Now()
				if err := disk.write(benchData[:size]); err != nil {
					b.Fatal(err)
				}
				flushing, upkeep, bare = flushing+flushed.Sub(begun), upkeep+kept.Sub(flushed), bare+time.Since(kept)
			}
			n := float64(b.N)
			b.ReportMetric(float64(flushing.Nanoseconds())/n, "ns/op")
			b.ReportMetric(n*float64(size)/1e6/flushing.Seconds(), "MB/s")
			b.ReportMetric(float64(bare.Nanoseconds())/n, "disk-ns")
			b.ReportMetric(bare.Seconds()/flushing.Seconds(), "share")
			b.ReportMetric(bare.Seconds()/(flushing+upkeep).Seconds(), "share-with-upkeep")
			require.NoError(b, w.Close())
			w, rec, err := Open(dir, Options{MemberID: 1})
			require.NoError(b, err)
			require.Equal(b, index, rec.Entries[len(rec.Entries)-1].GetIndex())
			require.Equal(b, index-rec.Entries[0].GetIndex()+1, uint64(len(rec.Entries)))
			require.NoError(b, w.Close())
		})
	}
}

// keepUp does with segments what snapshots do, at once.
func keepUp(w *WAL) error {
	if w.Segments() > segmentsKept {
		return w.Release(w.segments[0].lastIndex)()
	}
	if w.NeedsPrepare() {
		return w.Prepare()
	}
	return nil
}

// bareDisk is a zero-filled file that is overwritten from front to back, again and again.
type bareDisk struct {
	*prepared
	off int64
}

func newBareDisk(b *testing.B) *bareDisk {
	p, err := prepareFile(OS, filepath.Join(b.TempDir(), "bare"), DefaultSegmentSize)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, p.file.Close()) })
	return &bareDisk{prepared: p}
}

func (d *bareDisk) write(data []byte) error {
	if d.off+int64(len(data)) > d.size {
		d.off = 0
	}
	if _, err := d.file.WriteAt(data, d.off); err != nil {
		return err
	}
	d.off += int64(len(data))
	return d.file.Sync()
}

// segmentsKept is how many segments a log keeps in BenchmarkFlush.
const segmentsKept = 2

var benchData = make([]byte, 1<<20)

func entryOf(index uint64, data []byte) *pb.Entry {
	return &pb.Entry{Term: new(uint64(1)), Index: new(index), Data: data}
}
