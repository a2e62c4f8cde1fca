package etcdapi

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// meteredCodec is gRPC's codec for protobuf, except that it knows how many bytes of
// encoded responses there are: gRPC takes a response from its handler at once and
// keeps it until the client has read it, however long that takes.
type meteredCodec struct {
	encoding.CodecV2
	bytes *atomic.Int64
}

func newMeteredCodec(bytes *atomic.Int64) meteredCodec {
	return meteredCodec{encoding.GetCodecV2(grpcproto.Name), bytes}
}

// Marshal implements encoding.CodecV2.
func (c meteredCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("etcdapi: response is a %T, expected a message of protobuf", v)
	}
	size := proto.Size(m)
	if mem.IsBelowBufferPoolingThreshold(size) { // less than the call takes that it answers
		b, err := proto.MarshalOptions{UseCachedSize: true}.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(b)}, err
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(size)
	if _, err := (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend((*buf)[:0], m); err != nil {
		pool.Put(buf)
		return nil, err
	}
	return mem.BufferSlice{mem.NewBuffer(buf, c.take(size, pool))}, nil
}

// lentBuffer is the pool that one encoded response goes back to.
type lentBuffer struct {
	mem.BufferPool
	bytes   *atomic.Int64
	size    int64
	dropped runtime.Cleanup
}

// take counts a response until its buffer is given back, or collected as garbage:
// gRPC drops those of a connection that breaks.
func (c meteredCodec) take(size int, pool mem.BufferPool) *lentBuffer {
	b := &lentBuffer{BufferPool: pool, bytes: c.bytes, size: int64(size)}
	b.bytes.Add(b.size)
	bytes := c.bytes
	b.dropped = runtime.AddCleanup(b, func(size int64) { bytes.Add(-size) }, b.size)
	return b
}

// Put implements mem.BufferPool.
func (b *lentBuffer) Put(buf *[]byte) {
	b.dropped.Stop()
	b.bytes.Add(-b.size)
	b.BufferPool.Put(buf)
}
