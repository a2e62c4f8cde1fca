package etcdapi

import (
	"bytes"
	"context"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// RangeStream implements pb.KVServer: a range at one revision in pieces of about
// the size of a request. The last piece has the header, the count and whether the
// limit has cut something off.
func (s kvServer) RangeStream(r *pb.RangeRequest, out grpc.ServerStreamingServer[pb.RangeStreamResponse]) error {
	ctx := out.Context()
	o := rangeOptions(r)
	if err := checkStream(&o); err != nil {
		return wireError(ctx, err)
	}
	if !o.Serializable {
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
	o.Serializable = true // from here on the local state is new enough
	p := pieces{options: o, left: o.Limit, step: firstPiece}
	if p.left <= 0 {
		p.left = math.MaxInt64
	}
	for {
		res, last, err := s.piece(ctx, &p)
		if err != nil {
			return wireError(ctx, err)
		}
		if last {
			res.Header = s.header(p.revision)
		}
		if err := out.Send(&pb.RangeStreamResponse{RangeResponse: res}); err != nil {
			return err
		}
		if last {
			return nil
		}
	}
}

// checkStream refuses what etcd's streams refuse.
func checkStream(o *raftstore.RangeOptions) error {
	if err := mvcc.ValidateRange(o); err != nil {
		return err
	}
	if o.SortOrder == mvcc.SortDescend || o.SortTarget != mvcc.SortByKey {
		return status.Error(codes.Unimplemented, "RangeStream does not support custom sort orders")
	}
	if o.MinModRevision != 0 || o.MaxModRevision != 0 || o.MinCreateRevision != 0 || o.MaxCreateRevision != 0 {
		return status.Error(codes.Unimplemented, "RangeStream does not support revision filters")
	}
	return nil
}

// ready waits until the local state is as new as all that was acknowledged before.
func (s *Server) ready(ctx context.Context) error {
	call, cancel := s.bounded(ctx)
	defer cancel()
	return wireError(call, s.store.WaitReady(call))
}

// firstPiece is the number of pairs of the first piece; the following ones grow or
// shrink towards the size that is aimed at.
const firstPiece = 10

// pieces is how far a stream is.
type pieces struct {
	options raftstore.RangeOptions
	// revision is that of the store when the stream began: the one that is read
	// unless the client has named one, and the one that the header shows.
	revision int64
	left     int64 // of the client's limit
	step     int64
	count    int64
}

// piece reads the next one; last says that there is none after it.
func (s kvServer) piece(ctx context.Context, p *pieces) (res *pb.RangeResponse, last bool, err error) {
	p.options.Limit = min(p.step, p.left)
	r, err := s.store.Range(ctx, p.options)
	if err != nil {
		return nil, false, err
	}
	if p.revision == 0 {
		p.revision = r.Revision
		if p.options.Revision <= 0 {
			p.options.Revision = r.Revision
		}
	}
	if p.options.CountOnly {
		return &pb.RangeResponse{Count: r.Count}, true, nil
	}
	n := int64(len(r.KVs))
	res = &pb.RangeResponse{Kvs: keyValues(r.KVs)}
	p.left -= n
	if !r.More || p.left == 0 {
		res.More, res.Count = r.More, p.count+r.Count
		return res, true, nil
	}
	p.count += n
	p.options.Key = append(bytes.Clone(r.KVs[n-1].Key), 0)
	switch size := rangeSize(&r); {
	case size < s.cfg.RequestSizeMax/2:
		p.step *= 2
	case size > s.cfg.RequestSizeMax*2:
		p.step = max(1, p.step/2)
	}
	return res, false, nil
}
