package transport

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// recorder is a Handler that keeps what it gets.
type recorder struct {
	mu          sync.Mutex
	frames      []Frame
	unreachable map[uint64]int
	removed     map[uint64]int
	notice      []byte
}

func newRecorder() *recorder {
	return &recorder{unreachable: map[uint64]int{}, removed: map[uint64]int{}}
}

func (r *recorder) Receive(f Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, f)
}

func (r *recorder) Unreachable(peer uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unreachable[peer]++
}

func (r *recorder) Removed(by uint64, notice []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed[by]++
	r.notice = notice
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.frames)
}

func startTCP(t testing.TB, cluster, member uint64, change func(*Config)) (*TCP, *recorder) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	rec := newRecorder()
	cfg := Config{ClusterID: cluster, MemberID: member, Listener: l, Handler: rec, RetryMax: 20 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	tr, err := NewTCP(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr, rec
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, time.Millisecond, what)
}

func TestFramesArriveWholeAndInOrderPerLane(t *testing.T) {
	a, _ := startTCP(t, 7, 1, nil)
	b, got := startTCP(t, 7, 2, nil)
	a.SetPeer(2, b.Addr().String())
	const each = 200
	for i := range each {
		for lane := range Lane(Lanes) {
			payload := bytes.Repeat([]byte{byte(i)}, i*17)
			require.True(t, a.Send(2, lane, uint32(lane)+40, payload))
		}
	}
	eventually(t, "all frames", func() bool { return got.count() == each*Lanes })
	next := [Lanes]int{}
	for _, f := range got.frames {
		require.Equal(t, uint64(1), f.From)
		require.Equal(t, uint32(f.Lane)+40, f.Group)
		require.Equal(t, bytes.Repeat([]byte{byte(next[f.Lane])}, next[f.Lane]*17), f.Payload)
		next[f.Lane]++
	}
	require.Equal(t, uint64(each*Lanes), a.Stats().SentFrames)
	require.Equal(t, uint64(each*Lanes), b.Stats().ReceivedFrames)
}

func TestReconnectsAfterThePeerRestarts(t *testing.T) {
	a, down := startTCP(t, 7, 1, nil)
	b, got := startTCP(t, 7, 2, nil)
	address := b.Addr().String()
	a.SetPeer(2, address)
	require.True(t, a.Send(2, LaneControl, 0, []byte("one")))
	eventually(t, "first frame", func() bool { return got.count() == 1 })
	require.NoError(t, b.Close())

	eventually(t, "peer reported", func() bool {
		a.Send(2, LaneControl, 0, []byte("lost"))
		down.mu.Lock()
		defer down.mu.Unlock()
		return down.unreachable[2] > 0
	})
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	_, again := startTCP(t, 7, 2, func(c *Config) { c.Listener.Close(); c.Listener = l })
	eventually(t, "frame after restart", func() bool {
		a.Send(2, LaneControl, 0, []byte("two"))
		return again.count() > 0
	})
}

func TestStrangersAreRefused(t *testing.T) {
	a, _ := startTCP(t, 7, 1, nil)
	for name, h := range map[string]hello{
		"other cluster":  {clusterID: 8, from: 2, to: 1},
		"other member":   {clusterID: 7, from: 2, to: 3},
		"from nobody":    {clusterID: 7, from: 0, to: 1},
		"from ourselves": {clusterID: 7, from: 1, to: 1},
	} {
		conn, err := net.Dial("tcp", a.Addr().String())
		require.NoError(t, err)
		_, err = conn.Write(h.encode())
		require.NoError(t, err)
		answer := make([]byte, answerSize)
		_, err = io.ReadFull(conn, answer)
		require.NoError(t, err, name)
		require.NotEqual(t, byte(verdictWelcome), answer[8], name)
		_, err = conn.Read(answer)
		require.ErrorIs(t, err, io.EOF, name)
		conn.Close()
	}
	eventually(t, "refusals", func() bool { return a.Stats().RefusedConnections == 4 })
}

func TestARemovedMemberIsTold(t *testing.T) {
	a, _ := startTCP(t, 7, 1, nil)
	b, told := startTCP(t, 7, 2, nil)
	b.SetPeer(1, a.Addr().String())
	a.SetNotice([]byte("so it is"))
	a.RemovePeer(2)
	a.SetPeer(2, b.Addr().String())
	require.False(t, a.Send(2, LaneControl, 0, nil), "an id is never used again")
	eventually(t, "told", func() bool {
		b.Send(1, LaneControl, 0, []byte("hello"))
		told.mu.Lock()
		defer told.mu.Unlock()
		return told.removed[1] > 0 && string(told.notice) == "so it is"
	})
}

// Whatever bytes come, the connection ends and nothing reaches the handler.
func TestHostileBytesEndTheConnection(t *testing.T) {
	a, got := startTCP(t, 7, 1, func(c *Config) {
		c.FrameSizeMax = 1000
		c.DialTimeout = 50 * time.Millisecond
		c.FrameTimeout = 50 * time.Millisecond
	})
	good := hello{clusterID: 7, from: 2, to: 1, lane: LaneAppend}.encode()
	frame := appendFrame(nil, LaneAppend, 0, []byte("content"))
	flipped := bytes.Clone(frame)
	flipped[len(flipped)-1] ^= 1
	for name, b := range map[string][]byte{
		"nothing at all":   {},
		"http":             []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n0123456789012345678901234567890123456789"),
		"half a hello":     good[:20],
		"damaged hello":    append(bytes.Clone(good[:36]), 1, 2, 3, 4),
		"oversize frame":   append(bytes.Clone(good), appendFrame(nil, LaneAppend, 0, make([]byte, 1001))...),
		"huge length":      append(bytes.Clone(good), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0),
		"wrong lane":       append(bytes.Clone(good), appendFrame(nil, LaneControl, 0, nil)...),
		"damaged frame":    append(bytes.Clone(good), flipped...),
		"slow second half": append(bytes.Clone(good), frame[:len(frame)-2]...),
	} {
		conn, err := net.Dial("tcp", a.Addr().String())
		require.NoError(t, err)
		_, err = conn.Write(b)
		require.NoError(t, err, name)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
		_, err = io.Copy(io.Discard, conn)
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Fatalf("%s: connection stays open", name)
		}
		conn.Close()
	}
	require.Zero(t, got.count())
	stats := a.Stats()
	require.Equal(t, uint64(4), stats.RefusedConnections)
	require.Equal(t, uint64(4), stats.BrokenConnections)
}

func TestConnectionsAreBounded(t *testing.T) {
	a, _ := startTCP(t, 7, 1, func(c *Config) { c.ConnectionsMax = 3 })
	for range 3 {
		conn, err := net.Dial("tcp", a.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
	}
	eventually(t, "three tracked", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.conns) == 3
	})
	conn, err := net.Dial("tcp", a.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	eventually(t, "refused", func() bool { return a.Stats().RefusedConnections == 1 })
}

// A peer that does not read costs one queue of memory and nobody any time.
func TestAStalledPeerDropsInsteadOfBlocking(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.ReadFull(conn, make([]byte, helloSize))
			conn.Write(encodeAnswer(verdictWelcome, nil))
			defer conn.Close()
		}
	}()
	a, _ := startTCP(t, 7, 1, func(c *Config) { c.QueueSizeMax = 64 << 10 })
	a.SetPeer(2, l.Addr().String())
	payload := make([]byte, 16<<10)
	dropped := false
	for range 10_000 {
		if !a.Send(2, LaneAppend, 0, payload) {
			dropped = true
			break
		}
	}
	require.True(t, dropped)
	require.Equal(t, uint64(1), a.Stats().DroppedFrames)
	require.True(t, a.Send(2, LaneControl, 0, []byte("beat")), "lanes do not share a queue")
}

func TestSendAllocatesNothing(t *testing.T) {
	a, _ := startTCP(t, 7, 1, nil)
	b, _ := startTCP(t, 7, 2, nil)
	a.SetPeer(2, b.Addr().String())
	p := a.peers[2].lanes[LaneAppend]
	payload := make([]byte, 300)
	p.pending = make([]byte, 0, 4<<20)
	allocs := testing.AllocsPerRun(1000, func() {
		p.enqueue(0, payload)
		p.mu.Lock()
		p.pending = p.pending[:0]
		p.mu.Unlock()
	})
	require.Zero(t, allocs)
}

func FuzzReadFrame(f *testing.F) {
	f.Add(appendFrame(nil, LaneAppend, 3, []byte("payload")))
	f.Add(appendFrame(nil, LaneAppend, 0, nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := readFrame(bufio.NewReader(bytes.NewReader(b)), LaneAppend, 1<<20)
		if err != nil {
			return
		}
		again := appendFrame(nil, frame.Lane, frame.Group, frame.Payload)
		require.Equal(t, b[:len(again)], again, "what is accepted has one form")
	})
}

func FuzzHello(f *testing.F) {
	f.Add(hello{clusterID: 1, from: 2, to: 3, lane: LaneSnapshot}.encode())
	f.Add([]byte(helloMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHello(b)
		if err != nil {
			require.ErrorIs(t, err, ErrHandshake)
			return
		}
		require.Equal(t, b, h.encode())
	})
}

func BenchmarkSend(b *testing.B) {
	for _, size := range []int{256, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			from, _ := startTCP(b, 7, 1, nil)
			to, got := startTCP(b, 7, 2, nil)
			from.SetPeer(2, to.Addr().String())
			payload := make([]byte, size)
			require.True(b, from.Send(2, LaneAppend, 0, payload))
			eventually(b, "first frame", func() bool { return got.count() == 1 })
			require.Len(b, got.frames[0].Payload, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for !from.Send(2, LaneAppend, 0, payload) {
					time.Sleep(time.Microsecond)
				}
			}
		})
	}
}
