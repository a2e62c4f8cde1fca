package raftstore

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/raftstore/wal"
	pb "go.etcd.io/raft/v3/raftpb"
)

func TestLogsCanBeReadByPeople(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Config{SegmentSizeBytes: 16 << 10})
	require.NoError(t, err)
	ctx := testContext(t)
	_, err = s.Put(ctx, PutRequest{Key: []byte("k"), Value: []byte("v")})
	require.NoError(t, err)
	_, _, err = CompareAndSwap(ctx, s, []byte("k"), []byte("w"), 2)
	require.NoError(t, err)
	_, err = s.DeleteRange(ctx, DeleteRequest{Key: []byte("a"), End: []byte(strings.Repeat("z", 90))})
	require.NoError(t, err)
	var image bytes.Buffer
	require.NoError(t, s.Backup(ctx, &image))
	status := s.Status()
	require.NoError(t, s.Close())

	var lines []string
	_, err = wal.Read(filepath.Join(dir, "wal"), wal.Options{}, func(r wal.Record) {
		if r.Entry != nil {
			lines = append(lines, DescribeEntry(r.Entry))
		}
	})
	require.NoError(t, err)
	require.Equal(t, []string{
		"first entry of a leader",
		`from 1.1 #1: put "k" (1 bytes)`,
		"from 1.1 #2: txn of 1 compares, 1 and 0 operations",
		`from 1.1 #3: delete "a" to "` + strings.Repeat("z", 60) + `"…`,
	}, lines)

	info, err := VerifyImage(bytes.NewReader(image.Bytes()))
	require.NoError(t, err)
	require.Equal(t, status.Revision, info.Revision)
	require.Equal(t, status.ClusterID, info.ClusterID)
	require.Equal(t, []uint64{1}, info.Voters)
	damaged := image.Bytes()
	damaged[len(damaged)/2] ^= 1
	_, err = VerifyImage(bytes.NewReader(damaged))
	require.ErrorIs(t, err, ErrCorruptSnapshot)
}

// FuzzDescribeEntry has it say something about everything.
func FuzzDescribeEntry(f *testing.F) {
	h := entryHeader{origin: 1, boot: 1, sequence: 1, floor: 1, count: 1}
	f.Add(uint8(0), appendCommand(h.append(nil), commandPut, appendPut(nil, &PutRequest{Key: []byte("k")})))
	f.Add(uint8(0), appendCommand(h.append(nil), commandSession, []byte{1, 1, 1, byte(commandSession), 1, 1, 1, 2}))
	f.Add(uint8(2), []byte{0x18, 1})
	f.Add(uint8(0), []byte{})
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		e := &pb.Entry{Type: pb.EntryType(kind % 3).Enum(), Data: data}
		require.NotEmpty(t, DescribeEntry(e))
	})
}
