package etcdapi

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/orchcore/orchcore/raftstore"
)

// bytesCodec sends bytes as they are.
type bytesCodec struct{}

var _ encoding.CodecV2 = bytesCodec{}

func (bytesCodec) Name() string { return "proto" }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// FuzzTxn sends arbitrary bytes as a transaction. Whatever they are, the server goes
// on, and either answers, with a response of the form of the request, or refuses with
// one of the codes that are for that.
func FuzzTxn(f *testing.F) {
	nested := &pb.TxnRequest{}
	for range 150 {
		nested = &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: nested}}}}
	}
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k"), Value: []byte("v")}}}
	for _, r := range []*pb.TxnRequest{
		{}, nested, {Success: []*pb.RequestOp{put, {}}}, {Failure: []*pb.RequestOp{put, put}},
		{Compare: []*pb.Compare{{Target: 77, Result: -1, Key: []byte("k"), RangeEnd: []byte("a")}}, Success: []*pb.RequestOp{put}},
	} {
		b, err := proto.Marshal(r)
		require.NoError(f, err)
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}) // an operation of 4 GiB
	conn, kv := fuzzServer(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		var answer []byte
		err := conn.Invoke(ctx, "/etcdserverpb.KV/Txn", b, &answer, grpc.ForceCodecV2(bytesCodec{}))
		request, response := &pb.TxnRequest{}, &pb.TxnResponse{}
		malformed := proto.Unmarshal(b, request) != nil
		switch code := status.Code(err); {
		case malformed:
			require.Equal(t, codes.Internal, code, "%v", err)
		case err == nil:
			require.NoError(t, proto.Unmarshal(answer, response))
			want := request.Failure
			if response.Succeeded {
				want = request.Success
			}
			require.Len(t, response.Responses, len(want))
		default:
			require.Contains(t, []codes.Code{
				codes.InvalidArgument, codes.NotFound, codes.OutOfRange, codes.ResourceExhausted,
			}, code, "%v: %v", request, err)
		}
		_, err = kv.Range(ctx, &pb.RangeRequest{Key: []byte("k"), Limit: 1})
		require.NoError(t, err)
	})
}

// fuzzServer is one member on loopback.
func fuzzServer(f *testing.F) (*grpc.ClientConn, pb.KVClient) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(f, err)
	store, err := raftstore.Open(f.TempDir(), raftstore.Config{ID: 1, TickInterval: tick, SegmentSizeBytes: 1 << 20})
	require.NoError(f, err)
	server, err := New(store, Config{})
	require.NoError(f, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{l.Addr().String()}, Logger: zap.NewNop()})
	require.NoError(f, err)
	f.Cleanup(func() {
		_ = client.Close()
		server.Close()
		require.NoError(f, <-served)
		require.NoError(f, store.Close())
	})
	require.NoError(f, store.WaitReady(context.Background()))
	return client.ActiveConnection(), pb.NewKVClient(client.ActiveConnection())
}
