package etcdapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// A snapshot is a backup of the store, filled up to whole sectors and followed by its
// SHA-256, which is the form that etcd's clients expect of a file; its content is not
// bbolt, and etcdutl cannot read it.
//
//	backup · zeros · length of the backup, 8 bytes, little-endian · SHA-256 of all before
//	└──────────────── a multiple of 512 bytes ───────────────────┘

const (
	sectorBytes = 512
	lengthBytes = 8
	pieceBytes  = 32 << 10
)

// Snapshot implements pb.MaintenanceServer. How many bytes remain is not known in
// advance and reported as 0.
func (s maintenanceServer) Snapshot(_ *pb.SnapshotRequest, out grpc.ServerStreamingServer[pb.SnapshotResponse]) error {
	ctx := out.Context()
	w := &snapshotWriter{out: out, sum: sha256.New()}
	if err := s.store.Backup(ctx, w); err != nil {
		return wireError(ctx, err)
	}
	tail := make([]byte, sectorBytes-(w.sent+lengthBytes)%sectorBytes)
	if _, err := w.Write(binary.LittleEndian.AppendUint64(tail, uint64(w.sent))); err != nil {
		return err
	}
	return out.Send(&pb.SnapshotResponse{Blob: w.sum.Sum(nil)})
}

type snapshotWriter struct {
	out  grpc.ServerStreamingServer[pb.SnapshotResponse]
	sum  hash.Hash
	sent int64
}

// Write sends p in pieces.
func (w *snapshotWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		// A message belongs to the transport once it is sent.
		piece := append([]byte(nil), p[n:min(len(p), n+pieceBytes)]...)
		if err := w.out.Send(&pb.SnapshotResponse{Blob: piece}); err != nil {
			return n, err
		}
		w.sum.Write(piece)
		n += len(piece)
		w.sent += int64(len(piece))
	}
	return n, nil
}

// ErrCorruptSnapshot is returned by OpenSnapshot for what is no whole snapshot.
var ErrCorruptSnapshot = errors.New("etcdapi: corrupt snapshot")

// OpenSnapshot checks a snapshot that a client has saved, and returns the backup in
// it for raftstore.Restore. It reads everything once.
func OpenSnapshot(r io.ReaderAt, sizeBytes int64) (io.Reader, error) {
	body := sizeBytes - sha256.Size
	if body < sectorBytes || body%sectorBytes != 0 {
		return nil, fmt.Errorf("%w: %d bytes, expected whole sectors of %d and a checksum", ErrCorruptSnapshot, sizeBytes, sectorBytes)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(r, 0, body)); err != nil {
		return nil, err
	}
	var tail [lengthBytes + sha256.Size]byte
	if _, err := r.ReadAt(tail[:], body-lengthBytes); err != nil && err != io.EOF {
		return nil, err
	}
	if !bytes.Equal(sum.Sum(nil), tail[lengthBytes:]) {
		return nil, fmt.Errorf("%w: its SHA-256 is not that of its content", ErrCorruptSnapshot)
	}
	length := binary.LittleEndian.Uint64(tail[:])
	if length > uint64(body-lengthBytes) {
		return nil, fmt.Errorf("%w: a backup of %d bytes in %d", ErrCorruptSnapshot, length, body)
	}
	return io.NewSectionReader(r, 0, int64(length)), nil
}
