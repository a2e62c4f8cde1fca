package wal

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/raft/v3/raftpb"
)

// The rest of a torn write is overwritten with zeros before the log goes on, durably:
// what lies behind the last batch later is then of a later write, whatever crashes.
func TestTornWriteIsZeroedDurably(t *testing.T) {
	torn := 0
	for seed := range uint64(40) {
		fs := NewMemFS()
		w, _ := mustOpen(t, fs)
		w.AppendEntries([]*pb.Entry{entry(1, 1, "flushed")})
		require.NoError(t, w.Flush())
		end := w.off
		f, err := fs.Open(filepath.Join("data", segmentName(1)))
		require.NoError(t, err)
		_, err = f.WriteAt(bytes.Repeat([]byte{0xaa}, 3000), end)
		require.NoError(t, err)
		fs = fs.Crash(rand.New(rand.NewPCG(seed, 3)))
		w, rec := mustOpen(t, fs)
		require.Len(t, rec.Entries, 1)
		if rec.TornBytes > 0 {
			torn++
		}
		require.NoError(t, w.Abort())
		inode := fs.dirs["data"].now[segmentName(1)]
		require.True(t, allZero(inode.durable[end:]), "seed %d", seed)
	}
	require.Greater(t, torn, 10)
}
