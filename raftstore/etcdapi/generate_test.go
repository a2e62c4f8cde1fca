package etcdapi

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// generator draws requests over few keys, so that they meet. Inside a transaction
// puts and deletes have keys of their own: etcd panics, or loses values, over some
// of the others (package mvcc says which), and what the store makes of those is
// compared elsewhere.
type generator struct {
	r        *rand.Rand
	revision int64
	floor    int64
	watches  int
	start    int64 // the highest that a watch begins with
}

type call func(context.Context, *side) (proto.Message, error)

var (
	keys    = []string{"a", "b", "b\x00", "c", "d", "p/1", "p/2", "p/3", "p/4", "\xff"}
	victims = []string{"v/1", "v/2", "v/3"} // deleted in transactions
)

func (g *generator) one(n int) bool { return g.r.IntN(n) == 0 }

func pick[T any](g *generator, list []T) T { return list[g.r.IntN(len(list))] }

func (g *generator) key() []byte {
	switch {
	case g.one(60):
		return nil
	case g.one(5):
		return []byte(pick(g, victims))
	}
	return []byte(pick(g, keys))
}

func (g *generator) end() []byte {
	switch g.r.IntN(6) {
	case 0:
		return []byte{0}
	case 1:
		return []byte(pick(g, keys))
	case 2:
		return []byte("p0")
	}
	return nil
}

func (g *generator) value() []byte {
	if g.one(6) {
		return nil
	}
	return fmt.Appendf(nil, "v%d", g.r.IntN(6))
}

// near is a revision around those that exist.
func (g *generator) near() int64 {
	low := max(0, g.floor-2)
	return low + g.r.Int64N(g.revision-low+3)
}

// follow takes note of how far the store is.
func (g *generator) follow(m proto.Message) {
	if h, ok := m.(interface{ GetHeader() *pb.ResponseHeader }); ok && h.GetHeader() != nil {
		g.revision = max(g.revision, h.GetHeader().Revision)
	}
}

func (g *generator) step() (kind string, c call) {
	switch n := g.r.IntN(100); {
	case n < 30:
		r := g.put()
		return "put", func(ctx context.Context, s *side) (proto.Message, error) { return s.kv.Put(ctx, r) }
	case n < 38:
		r := &pb.DeleteRangeRequest{Key: g.key(), RangeEnd: g.end(), PrevKv: g.one(2)}
		return "delete", func(ctx context.Context, s *side) (proto.Message, error) { return s.kv.DeleteRange(ctx, r) }
	case n < 42:
		r := g.rangeRequest()
		if !g.one(4) { // mostly what streams take
			r.SortOrder, r.SortTarget = 0, 0
			r.MinModRevision, r.MaxModRevision, r.MinCreateRevision, r.MaxCreateRevision = 0, 0, 0, 0
		}
		if r.SortOrder == pb.RangeRequest_NONE {
			r.SortTarget = pb.RangeRequest_KEY // etcd takes others and leaves keys out: see doc.go
		}
		return "stream", func(ctx context.Context, s *side) (proto.Message, error) { return s.stream(ctx, r) }
	case n < 60:
		r := g.rangeRequest()
		return "range", func(ctx context.Context, s *side) (proto.Message, error) { return s.kv.Range(ctx, r) }
	case n < 90:
		r := g.txn(2)
		return "txn", func(ctx context.Context, s *side) (proto.Message, error) { return s.kv.Txn(ctx, r) }
	case n < 92:
		r := &pb.CompactionRequest{Revision: g.near(), Physical: g.one(2)}
		if r.Revision <= g.revision {
			g.floor = max(g.floor, r.Revision)
		}
		return "compact", func(ctx context.Context, s *side) (proto.Message, error) { return s.kv.Compact(ctx, r) }
	case n < 94:
		r := g.watch()
		return "watch", func(ctx context.Context, s *side) (proto.Message, error) {
			return &pb.ResponseHeader{}, s.openOrCancel(ctx, r)
		}
	default:
		return g.leaseStep()
	}
}

func (g *generator) put() *pb.PutRequest {
	r := &pb.PutRequest{Key: g.key(), Value: g.value(), PrevKv: g.one(3)}
	if g.one(4) {
		r.Lease = g.r.Int64N(5)
	}
	if g.one(8) {
		r.IgnoreValue = true
		if !g.one(8) {
			r.Value = nil
		}
	}
	if g.one(8) {
		r.IgnoreLease = true
		if !g.one(8) {
			r.Lease = 0
		}
	}
	return r
}

func (g *generator) rangeRequest() *pb.RangeRequest {
	r := &pb.RangeRequest{Key: g.key(), RangeEnd: g.end(), KeysOnly: g.one(4), CountOnly: g.one(8)}
	if g.one(2) {
		r.Limit = g.r.Int64N(8)
	}
	if g.one(3) {
		r.Revision = g.near()
	}
	if g.one(2) {
		r.SortOrder, r.SortTarget = pb.RangeRequest_SortOrder(g.r.IntN(3)), pb.RangeRequest_SortTarget(g.r.IntN(5))
		if g.one(20) {
			r.SortOrder = pick(g, []pb.RangeRequest_SortOrder{3, -1, 256, 1 << 30})
		}
		if g.one(20) {
			r.SortTarget = pick(g, []pb.RangeRequest_SortTarget{5, -1, 256, 1 << 30})
		}
	}
	for _, bound := range []*int64{&r.MinModRevision, &r.MaxModRevision, &r.MinCreateRevision, &r.MaxCreateRevision} {
		if g.one(8) {
			*bound = g.near()
		}
	}
	return r
}

func (g *generator) txn(depth int) *pb.TxnRequest {
	r := &pb.TxnRequest{Success: g.ops(depth), Failure: g.ops(depth)}
	for range g.r.IntN(3) {
		r.Compare = append(r.Compare, g.compare())
	}
	return r
}

func (g *generator) ops(depth int) []*pb.RequestOp {
	var list []*pb.RequestOp
	n := g.r.IntN(4)
	if g.one(50) {
		n = 127 + g.r.IntN(3)
	}
	for i := range n {
		switch k := g.r.IntN(20); {
		case k < 6:
			list = append(list, &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: g.rangeRequest()}})
		case k < 13:
			r := g.put()
			if n > 10 {
				r.Key = fmt.Appendf(nil, "many/%d", i)
			}
			list = append(list, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}})
		case k < 16:
			list = append(list, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{
				Key: []byte(pick(g, victims)), PrevKv: g.one(2),
			}}})
		case k == 16 && g.one(10):
			list = append(list, &pb.RequestOp{})
		case depth > 0:
			list = append(list, &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: g.txn(depth - 1)}})
		}
	}
	for _, op := range list {
		if p := op.GetRequestPut(); p != nil && len(p.Key) > 0 && p.Key[0] == 'v' {
			p.Key = []byte("a")
		}
	}
	return list
}

func (g *generator) compare() *pb.Compare {
	c := &pb.Compare{
		Result: pb.Compare_CompareResult(g.r.IntN(4)), Target: pb.Compare_CompareTarget(g.r.IntN(5)),
		Key: g.key(), RangeEnd: g.end(),
	}
	// One in a while has the operand of another target.
	target := c.Target
	if g.one(20) {
		target = pb.Compare_CompareTarget(g.r.IntN(5))
	}
	number := g.r.Int64N(4)
	if g.one(2) {
		number = g.near()
	}
	switch target {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: number}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: number}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: number}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: number}
	default:
		c.TargetUnion = &pb.Compare_Value{Value: g.value()}
	}
	return c
}

// watch makes a request to create a watch, mostly, or to cancel one.
func (g *generator) watch() *pb.WatchRequest {
	if g.watches > 0 && g.one(4) && g.start <= g.revision {
		id := g.r.Int64N(int64(g.watches) + 2)
		return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}
	}
	r := &pb.WatchCreateRequest{Key: g.key(), RangeEnd: g.end(), PrevKv: g.one(2), Fragment: g.one(4)}
	switch g.r.IntN(8) {
	case 0:
		r.StartRevision = max(g.floor+1, g.near())
	case 1:
		r.StartRevision = g.revision + g.r.Int64N(20)
	case 2:
		r.StartRevision = -1
	case 3:
		r.StartRevision = max(0, g.floor-1)
	}
	if g.one(8) {
		// Not one that was used before: etcd keeps the id of a watch that a compaction has
		// ended until the client cancels it.
		r.WatchId = pick(g, []int64{1000 + int64(g.watches), fenceWatch})
	}
	for _, f := range []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT, pb.WatchCreateRequest_NODELETE, 7} {
		if g.one(10) {
			r.Filters = append(r.Filters, f)
		}
	}
	g.watches++
	g.start = max(g.start, r.StartRevision)
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}
}

func (g *generator) leaseStep() (string, call) {
	id := 1 + g.r.Int64N(4)
	switch g.r.IntN(6) {
	case 0, 1:
		ttl := int64(1000)
		if g.one(8) {
			ttl = 9_000_000_000 + g.r.Int64N(2)
		}
		return "grant", func(ctx context.Context, s *side) (proto.Message, error) {
			return s.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
		}
	case 2:
		return "revoke", func(ctx context.Context, s *side) (proto.Message, error) {
			return s.lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: id})
		}
	case 3:
		return "keepalive", func(ctx context.Context, s *side) (proto.Message, error) { return s.keepAlive(ctx, id) }
	case 4:
		return "leases", func(ctx context.Context, s *side) (proto.Message, error) {
			r, err := s.lease.LeaseLeases(ctx, &pb.LeaseLeasesRequest{})
			if err == nil {
				slices.SortFunc(r.Leases, func(a, b *pb.LeaseStatus) int { return cmp.Compare(a.ID, b.ID) })
			}
			return r, err
		}
	}
	keys := g.one(2)
	return "ttl", func(ctx context.Context, s *side) (proto.Message, error) {
		r, err := s.lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: id, Keys: keys})
		if err == nil {
			slices.SortFunc(r.Keys, bytes.Compare)
			r.TTL = min(r.TTL, 1) // the clock runs
		}
		return r, err
	}
}

// stream reads a range as a stream and puts its pieces together, whose size is no
// difference.
func (s *side) stream(ctx context.Context, r *pb.RangeRequest) (proto.Message, error) {
	pieces, err := s.kv.RangeStream(ctx, r)
	if err != nil {
		return nil, err
	}
	whole := &pb.RangeResponse{}
	for {
		piece, err := pieces.Recv()
		if err == io.EOF {
			return whole, nil
		}
		if err != nil {
			return nil, err
		}
		proto.Merge(whole, piece.RangeResponse)
	}
}

func (s *side) keepAlive(ctx context.Context, id int64) (proto.Message, error) {
	stream, err := s.lease.LeaseKeepAlive(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.CloseSend()
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
		return nil, err
	}
	return stream.Recv()
}
