//go:build unix

package transport

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// connected returns two members of which the first has a connection to the second, free
// for senders.
func connected(t testing.TB) (l *lane, b *recorder) {
	a, _ := startTCP(t, 7, 1, nil)
	peer, b := startTCP(t, 7, 2, nil)
	a.SetPeer(2, peer.Addr().String())
	a.Send(2, LaneAppend, 0, []byte("first"))
	a.mu.Lock()
	l = a.peers[2].lanes[LaneAppend]
	a.mu.Unlock()
	eventually(t, "a socket for senders", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.socket != nil
	})
	return l, b
}

func TestSendersWriteSmallFramesThemselves(t *testing.T) {
	l, b := connected(t)
	before := l.t.Stats()
	require.True(t, l.enqueue(0, []byte("second")))
	require.Empty(t, l.pending)
	after := l.t.Stats()
	require.Equal(t, before.SentFrames+1, after.SentFrames)
	require.Equal(t, before.SentBytes+frameHeaderSize+6, after.SentBytes)
	eventually(t, "both frames", func() bool { return b.count() == 2 })
	require.Equal(t, "second", string(b.frames[1].Payload))
}

func TestFramesKeepTheirOrderWhoeverWritesThem(t *testing.T) {
	l, b := connected(t)
	var want [][]byte
	for i := range 300 {
		payload := bytes.Repeat([]byte{byte(i)}, 1+i*i*7%(3*directSizeMax))
		for !l.enqueue(0, payload) {
			eventually(t, "room", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return len(l.pending) == 0 })
		}
		want = append(want, payload)
	}
	eventually(t, "all frames", func() bool { return b.count() == 1+len(want) })
	for i, payload := range want {
		require.True(t, bytes.Equal(payload, b.frames[i+1].Payload), "frame %d", i)
	}
}

// A socket that takes only a part of a frame leaves the rest to the goroutine; when the
// connection ends there, the rest must not begin the next one.
func TestTornFrameEndsWithItsConnection(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	client, err := net.Dial("tcp", server.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	silent, err := server.Accept()
	require.NoError(t, err)
	defer silent.Close()

	tr, rec := startTCP(t, 7, 1, nil)
	l := &lane{t: tr, peer: &peer{id: 2}, wake: make(chan struct{}, 1), socket: newSocket(client)}
	sent := 0
	for len(l.pending) == 0 {
		require.True(t, l.enqueue(0, make([]byte, directSizeMax)))
		require.Less(t, sent, 10_000, "a socket that nobody reads takes everything")
		sent++
	}
	require.True(t, l.torn || len(l.pending)%(frameHeaderSize+directSizeMax) == 0)
	l.torn = true
	l.abandon()
	require.Empty(t, l.pending)
	require.False(t, l.torn)
	require.Equal(t, 1, rec.unreachable[2])
	require.Equal(t, uint64(1), tr.Stats().DroppedFrames)

	// Whole frames wait for the next connection.
	require.True(t, l.enqueue(0, []byte("whole")))
	l.abandon()
	require.Len(t, l.pending, frameHeaderSize+5)
	require.Equal(t, 1, rec.unreachable[2])
}

func TestBrokenSocketTakesNothing(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	require.Nil(t, newSocket(a), "only TCP has a socket")

	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	client, err := net.Dial("tcp", server.Addr().String())
	require.NoError(t, err)
	s := newSocket(client)
	require.Equal(t, 4, s.tryWrite([]byte("good")))
	accepted, err := server.Accept()
	require.NoError(t, err)
	defer accepted.Close()
	got := make([]byte, 4)
	_, err = io.ReadFull(accepted, got)
	require.NoError(t, err)
	require.Equal(t, "good", string(got))
	require.NoError(t, client.Close())
	require.Zero(t, s.tryWrite([]byte("lost")))
}
