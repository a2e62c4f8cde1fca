package etcdapi

import (
	"crypto/sha256"
	"hash"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// A snapshot is a backup of the store (raftstore.Restore reads it), filled up with
// zeros to whole sectors and followed by its SHA-256, which is the form that etcd's
// clients expect of a file; its content is not bbolt, and etcdutl cannot read it.
//
//	backup · zeros up to a multiple of 512 · SHA-256 of all before

const (
	sectorBytes = 512
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
	if over := w.sent % sectorBytes; over != 0 {
		if _, err := w.Write(make([]byte, sectorBytes-over)); err != nil {
			return err
		}
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
