package etcdapi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// hostileConn speaks HTTP/2 without gRPC's manners: it begins calls, and reads of the
// answers no more than it is told to.
type hostileConn struct {
	t      *testing.T
	conn   net.Conn
	framer *http2.Framer
	next   uint32

	headers *hpack.Decoder
	code    string // of the last status that was read
	message string
}

func newHostileConn(t *testing.T, address string) *hostileConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	h := &hostileConn{t: t, conn: conn, framer: http2.NewFramer(conn, conn), next: 1}
	h.headers = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		switch f.Name {
		case "grpc-status":
			h.code = f.Value
		case "grpc-message":
			h.message = f.Value
		}
	})
	require.NoError(t, h.framer.WriteSettings())
	return h
}

// begin starts a call and sends the first bytes of its messages.
func (h *hostileConn) begin(method string, body []byte) (stream uint32) {
	h.t.Helper()
	stream = h.next
	h.next += 2
	var fields bytes.Buffer
	enc := hpack.NewEncoder(&fields)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "x"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		require.NoError(h.t, enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
	}
	require.NoError(h.t, h.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: fields.Bytes(), EndHeaders: true,
	}))
	require.NoError(h.t, h.framer.WriteData(stream, false, body))
	return stream
}

// status waits for the end of a call.
func (h *hostileConn) status(stream uint32) (code, message string) {
	h.t.Helper()
	require.NoError(h.t, h.conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	for h.code = ""; h.code == ""; {
		f, err := h.framer.ReadFrame()
		require.NoError(h.t, err)
		if f, ok := f.(*http2.HeadersFrame); ok {
			_, err = h.headers.Write(f.HeaderBlockFragment())
			require.NoError(h.t, err)
			if f.StreamID != stream {
				h.code = ""
			}
		}
	}
	return h.code, h.message
}

// grpcMessage is a message behind its length, which may lie.
func grpcMessage(body []byte, length uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0}, length)
	return append(b, body...)
}

func requestOf(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	require.NoError(t, err)
	return grpcMessage(b, uint32(len(b)))
}

// heapBytes is what is alive on the heap.
func heapBytes() int64 {
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Messages that claim to be giant are refused by their length: nobody waits for them.
func TestGiantMessages(t *testing.T) {
	c := newCluster(t, 1, nil)
	h := newHostileConn(t, c.clients[1])
	before := heapBytes()
	for range 50 {
		code, message := h.status(h.begin("/etcdserverpb.KV/Put", grpcMessage(nil, 1<<30)))
		require.Equal(t, fmt.Sprint(int(codes.ResourceExhausted)), code, message)
	}
	require.Less(t, heapBytes()-before, int64(1<<20), "50 messages of 1 GiB")
	_, err := pb.NewKVClient(c.client().ActiveConnection()).Put(c.ctx(), &pb.PutRequest{Key: []byte("k"), Value: make([]byte, 1600<<10)})
	require.ErrorIs(t, rpctypes.Error(err), rpctypes.ErrRequestTooLarge, "it fits into a message and not into a request")
}

// Answers that nobody reads are bounded, also if each of them is small.
func TestUnreadAnswers(t *testing.T) {
	const most = 8 << 20
	c := newCluster(t, 1, func(cfg *Config) { cfg.ResponsesSizeMax = most })
	client, ctx := c.client(), c.ctx()
	for _, n := range []int{2 << 10, 1 << 20} {
		_, err := client.Put(ctx, fmt.Sprint("k", n), string(make([]byte, n)))
		require.NoError(t, err)
	}
	for _, n := range []int{1 << 20, 2 << 10} {
		t.Run(fmt.Sprint("size=", n), func(t *testing.T) {
			h := newHostileConn(t, c.clients[1])
			body := requestOf(t, &pb.RangeRequest{Key: fmt.Append(nil, "k", n)})
			before := heapBytes()
			for range 6000 {
				h.begin("/etcdserverpb.KV/Range", body)
			}
			server := c.nodes[1].server
			require.Eventually(t, func() bool { return server.responses.Load() > most-int64(n) }, 20*time.Second, tick)
			// What is refused is refused at once, and held by nobody.
			_, err := client.Get(ctx, "k1048576")
			require.Equal(t, rpctypes.ErrTooManyRequests, err)
			_, err = client.Put(ctx, "small", "answers go on")
			require.NoError(t, err)
			grown := heapBytes() - before
			t.Logf("6000 answers of %d bytes wait: the heap has grown by %d KiB", n, grown>>10)
			require.LessOrEqual(t, server.responses.Load(), int64(2*most))
			require.Less(t, grown, int64(4*most+6000*16<<10), "beside 16 KiB a call")
			require.NoError(t, h.conn.Close())
			require.Eventually(t, func() bool {
				runtime.GC() // gRPC forgets what was for a connection that is gone
				return server.responses.Load() == 0
			}, 20*time.Second, tick)
		})
	}
}

// Transactions of very many operations are refused, and cost no more than a multiple
// of what was sent.
func TestManyOperations(t *testing.T) {
	c := newCluster(t, 1, nil)
	kv := pb.NewKVClient(c.client().ActiveConnection())
	r := &pb.TxnRequest{}
	for range 500_000 { // two bytes each on the wire
		r.Success = append(r.Success, &pb.RequestOp{})
	}
	before := heapBytes()
	for range 5 {
		_, err := kv.Txn(c.ctx(), r)
		require.ErrorIs(t, rpctypes.Error(err), rpctypes.ErrTooManyOps)
	}
	require.Less(t, heapBytes()-before, int64(8<<20))
}
