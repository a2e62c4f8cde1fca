package etcdapi

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestDeepNesting(t *testing.T) {
	c := newCluster(t, 1, nil)
	kv := pb.NewKVClient(c.client().ActiveConnection())
	nest := func(depth int) *pb.TxnRequest {
		r := &pb.TxnRequest{}
		for range depth {
			r = &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: r}}}}
		}
		return r
	}
	_, err := kv.Txn(c.ctx(), nest(100))
	require.NoError(t, err)
	_, err = kv.Txn(c.ctx(), nest(200))
	require.ErrorIs(t, rpctypes.Error(err), rpctypes.ErrTooManyOps)
	_, err = kv.Txn(c.ctx(), nest(4000)) // as deep as the codec goes
	require.Error(t, err)
}

// What a client asks for and does not read is bounded.
func TestHugeRanges(t *testing.T) {
	c := newCluster(t, 1, func(cfg *Config) {
		cfg.ResponseSizeMax = 4 << 20
		cfg.ResponsesSizeMax = 6 << 20
	})
	client, ctx := c.client(), c.ctx()
	for i := range 50 {
		_, err := client.Put(ctx, fmt.Sprintf("k/%02d", i), strings.Repeat("v", 100<<10))
		require.NoError(t, err)
	}
	_, err := client.Get(ctx, "k/", clientv3.WithPrefix())
	require.Equal(t, codes.ResourceExhausted, status.Code(rawError(err)), "%v", err)
	for range 20 { // each is forgotten when it is done
		r, err := client.Get(ctx, "k/", clientv3.WithPrefix(), clientv3.WithLimit(30))
		require.NoError(t, err)
		require.Len(t, r.Kvs, 30)
	}
	require.Eventually(t, func() bool { return c.nodes[1].server.responses.Load() == 0 }, 10*time.Second, tick)
	server := c.nodes[1].server
	server.responses.Add(5 << 20) // as if somebody did not read
	_, err = client.Get(ctx, "k/", clientv3.WithPrefix(), clientv3.WithLimit(30))
	require.ErrorIs(t, err, rpctypes.ErrTooManyRequests)
	server.responses.Add(-5 << 20)
}

func rawError(err error) error {
	if e, ok := err.(rpctypes.EtcdError); ok {
		return status.Error(e.Code(), e.Error())
	}
	return err
}

func TestConnectionsAreBounded(t *testing.T) {
	c := newCluster(t, 1, func(cfg *Config) { cfg.ConnectionsMax = 3 })
	var open []net.Conn
	defer func() {
		for _, conn := range open {
			_ = conn.Close()
		}
	}()
	alive := func() int {
		n := 0
		for _, conn := range open {
			_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
				n++
			}
		}
		return n
	}
	for range 6 {
		conn, err := net.Dial("tcp", c.clients[1])
		require.NoError(t, err)
		open = append(open, conn)
	}
	require.Eventually(t, func() bool { return alive() == 3 }, 10*time.Second, tick)
	for _, conn := range open {
		_ = conn.Close()
	}
	open = nil
	_, err := c.client().Put(c.ctx(), "a", "v") // there is room again
	require.NoError(t, err)
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// Bytes that are no HTTP/2, and messages that are none of etcd's.
func TestNonsense(t *testing.T) {
	c := newCluster(t, 1, nil)
	conn, err := net.Dial("tcp", c.clients[1])
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	require.NoError(t, err)

	client, ctx := c.client(), c.ctx()
	bad := metadata.AppendToOutgoingContext(ctx, rpctypes.MetadataClientAPIVersionKey, "3.7")
	_, err = client.Get(bad, "a")
	require.NoError(t, err)
	s := rawWatch(t, c)
	require.NoError(t, s.Send(&pb.WatchRequest{}))
	for _, r := range []*pb.WatchCreateRequest{{WatchId: -1}, {StartRevision: -5}, {Key: []byte("b"), RangeEnd: []byte("a")}} {
		require.NoError(t, s.Send(createWatch(r)))
		got, err := s.Recv()
		require.NoError(t, err)
		require.True(t, got.Canceled && got.Created && got.WatchId == -1, "%v", got)
		require.NotEmpty(t, got.CancelReason)
	}
	_, err = pb.NewKVClient(client.ActiveConnection()).Txn(ctx, &pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("a"), Target: 77}}})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

// A server without a quorum answers with etcd's timeout, not after the client's.
func TestTimeout(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.RequestTimeout = 300 * time.Millisecond })
	c.kill(2)
	c.kill(3)
	kv := pb.NewKVClient(c.client(1).ActiveConnection())
	_, err := kv.Put(c.ctx(), &pb.PutRequest{Key: []byte("a")})
	require.ErrorIs(t, rpctypes.Error(err), rpctypes.ErrTimeout)
	_, err = kv.Range(c.ctx(), &pb.RangeRequest{Key: []byte("a")})
	require.ErrorContains(t, err, "request timed out")
	call, cancel := context.WithTimeout(c.ctx(), 50*time.Millisecond)
	defer cancel()
	_, err = kv.Put(call, &pb.PutRequest{Key: []byte("a")})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
}
