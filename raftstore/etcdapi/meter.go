package etcdapi

import (
	"context"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/stats"
)

// A response stays in memory until its client has read it. A client that asks for
// much and reads nothing would fill the memory, so what is on its way is counted, and
// what would be too much is refused: as keys and values from the moment that the store
// has found them until the call is done, and as encoded bytes until the connection has
// taken them (codec.go).

// responseMeter forgets the responses of a call when the call has ended.
type responseMeter struct{ s *Server }

type meterKey struct{}

// TagRPC implements stats.Handler.
func (m responseMeter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, meterKey{}, new(atomic.Int64))
}

// HandleRPC implements stats.Handler.
func (m responseMeter) HandleRPC(ctx context.Context, e stats.RPCStats) {
	if _, ok := e.(*stats.End); !ok {
		return
	}
	if n, ok := ctx.Value(meterKey{}).(*atomic.Int64); ok {
		m.s.responses.Add(-n.Swap(0))
	}
}

// TagConn implements stats.Handler.
func (m responseMeter) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (m responseMeter) HandleConn(context.Context, stats.ConnStats) {}

// meterMin is the size below which a response is not worth counting: the call that it
// answers takes more.
const meterMin = 1 << 10

// admit counts a response until the call has ended, or refuses it.
func (s *Server) admit(ctx context.Context, sizeBytes int) error {
	switch {
	case sizeBytes > s.cfg.ResponseSizeMax:
		return rpctypes.ErrGRPCRequestTooManyRequests
	case sizeBytes < meterMin:
		return nil
	}
	n, ok := ctx.Value(meterKey{}).(*atomic.Int64)
	if !ok {
		return nil
	}
	if s.responses.Add(int64(sizeBytes)) > s.cfg.ResponsesSizeMax {
		s.responses.Add(-int64(sizeBytes))
		return rpctypes.ErrGRPCRequestTooManyRequests
	}
	n.Add(int64(sizeBytes))
	return nil
}
