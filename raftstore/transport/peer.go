package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// peer is the sending side towards one member.
type peer struct {
	id      uint64
	address string
	cancel  context.CancelFunc
	lanes   [Lanes]*lane
}

func (p *peer) stop() { p.cancel() }

// startPeer starts the lanes of a peer. t.mu is held.
func (t *TCP) startPeer(id uint64, address string) *peer {
	ctx, cancel := context.WithCancel(t.ctx)
	p := &peer{id: id, address: address, cancel: cancel}
	for i := range p.lanes {
		l := &lane{t: t, peer: p, lane: Lane(i), wake: make(chan struct{}, 1)}
		p.lanes[i] = l
		t.done.Go(func() { l.run(ctx) })
	}
	return p
}

// lane is a queue of frames, already in wire form, and the connection they go to.
// Whoever sends a small frame while nothing is queued writes it at once, as far as the
// socket takes it; the rest is for the lane's goroutine. Two buffers alternate there:
// senders fill one while the other is written, so under load many frames cost one
// system call, and none costs an allocation.
type lane struct {
	t    *TCP
	peer *peer
	lane Lane
	wake chan struct{}

	mu      sync.Mutex
	pending []byte
	frames  uint64
	down    bool // not reachable just now: what is queued would only be old
	// socket is where senders may write; nil while there is no connection, or the
	// goroutine writes, or the connection is encrypted.
	socket *socket
	// torn tells that pending begins within a frame, whose first part was sent.
	torn bool
}

// directSizeMax is up to which size a frame is written by its sender, in bytes: above,
// the copy takes longer than waking the lane's goroutine.
const directSizeMax = 64 << 10

// enqueue adds a frame unless the peer is unreachable or too far behind.
func (l *lane) enqueue(group uint32, payload []byte) bool {
	l.mu.Lock()
	if l.down || len(l.pending) > 0 && len(l.pending)+len(payload)+frameHeaderSize > l.t.cfg.QueueSizeMax {
		l.mu.Unlock()
		return false
	}
	direct := l.socket != nil && len(l.pending) == 0 && len(payload) <= directSizeMax
	l.pending = appendFrame(l.pending, l.lane, group, payload)
	l.frames++
	if direct && l.writeDirect() {
		l.mu.Unlock()
		return true
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// writeDirect writes what is pending without waiting. False means that something is
// left, which the goroutine writes, and finds out what was wrong. l.mu is held.
func (l *lane) writeDirect() bool {
	n := l.socket.tryWrite(l.pending)
	l.t.sentBytes.Add(uint64(n))
	if n < len(l.pending) {
		l.pending = l.pending[:copy(l.pending, l.pending[n:])]
		l.torn = n > 0
		return false
	}
	l.t.sentFrames.Add(l.frames)
	l.pending, l.frames = l.pending[:0], 0
	return true
}

// take swaps the queue for an empty buffer, and keeps senders from the socket until
// release.
func (l *lane) take(empty []byte) (batch []byte, frames uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, frames = l.pending, l.frames
	l.pending, l.frames = empty[:0], 0
	l.socket, l.torn = nil, false
	return batch, frames
}

// release lets senders write to a connection when all that was taken has been written.
func (l *lane) release(s *socket) {
	l.mu.Lock()
	l.socket = s
	l.mu.Unlock()
}

// abandon ends the use of a connection that the peer has closed. The rest of a frame
// that was begun on it means nothing on the next one.
func (l *lane) abandon() {
	l.mu.Lock()
	torn := l.torn
	if torn {
		l.t.dropped.Add(l.frames)
		l.pending, l.frames = l.pending[:0], 0
	}
	l.socket, l.torn = nil, false
	l.mu.Unlock()
	if torn {
		l.t.cfg.Handler.Unreachable(l.peer.id)
	}
}

// keepMax is the largest buffer that a lane keeps when it has been written.
const keepMax = 1 << 20

// run connects when there is something to send and writes batch after batch.
func (l *lane) run(ctx context.Context) {
	var conn net.Conn
	var direct *socket
	defer func() {
		l.release(nil)
		if conn != nil {
			conn.Close()
		}
	}()
	var spare []byte
	gone := make(chan net.Conn, 1)
	for {
		select {
		case <-ctx.Done():
			return
		case dead := <-gone:
			if dead == conn {
				l.abandon()
				conn = nil
			}
			continue
		case <-l.wake:
		}
		if conn == nil {
			if conn = l.connect(ctx, gone); conn == nil {
				return
			}
			direct = newSocket(conn)
		}
		batch, frames := l.take(spare)
		if err := l.write(conn, batch, frames); err != nil {
			conn.Close()
			conn = nil
			l.t.cfg.Handler.Unreachable(l.peer.id)
		} else {
			l.release(direct)
		}
		if spare = batch; cap(spare) > keepMax {
			spare = nil
		}
	}
}

func (l *lane) write(conn net.Conn, batch []byte, frames uint64) error {
	if len(batch) == 0 {
		return nil
	}
	if err := conn.SetWriteDeadline(time.Now().Add(l.t.cfg.FrameTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(batch); err != nil {
		return err
	}
	// Senders write without a deadline: they do not wait.
	if err := conn.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	l.t.sentFrames.Add(frames)
	l.t.sentBytes.Add(uint64(len(batch)))
	return nil
}

// retryMin is the first pause after a failed attempt to connect.
const retryMin = 10 * time.Millisecond

// connect tries until it succeeds or ctx ends. While the peer is down the queue is
// kept empty: Raft sends again what is still worth sending.
func (l *lane) connect(ctx context.Context, gone chan net.Conn) net.Conn {
	for pause := retryMin; ; pause = min(2*pause, l.t.cfg.RetryMax) {
		conn, err := l.dial(ctx)
		if err == nil {
			l.setDown(false)
			l.t.done.Go(func() { l.watch(ctx, conn, gone) })
			return conn
		}
		if ctx.Err() != nil {
			return nil
		}
		l.setDown(true)
		l.t.cfg.Handler.Unreachable(l.peer.id)
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

func (l *lane) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		l.t.dropped.Add(l.frames)
		l.pending, l.frames = l.pending[:0], 0
	}
}

func (l *lane) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, l.t.cfg.DialTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", l.peer.address)
	if err != nil {
		return nil, err
	}
	if l.t.cfg.TLS != nil {
		host, _, err := net.SplitHostPort(l.peer.address)
		if err != nil {
			conn.Close()
			return nil, err
		}
		conn = tls.Client(conn, clientTLS(l.t.cfg.TLS, host))
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = l.greet(conn)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (l *lane) greet(conn net.Conn) error {
	h := hello{clusterID: l.t.cfg.ClusterID, from: l.t.cfg.MemberID, to: l.peer.id, lane: l.lane}
	if _, err := conn.Write(h.encode()); err != nil {
		return err
	}
	v, notice, err := readAnswer(conn)
	if err != nil {
		return err
	}
	if v != verdictWelcome {
		if v == verdictRemoved {
			l.t.cfg.Handler.Removed(l.peer.id, notice)
		}
		return fmt.Errorf("%w: %v", ErrHandshake, v)
	}
	return nil
}

// watch waits for the peer to close the connection, on which it never sends
// anything after its answer. Without this the first frames after a restart of the
// peer would go into a dead socket.
func (l *lane) watch(ctx context.Context, conn net.Conn, gone chan<- net.Conn) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var b [1]byte
	_, _ = conn.Read(b[:])
	conn.Close()
	select {
	case gone <- conn:
	case <-ctx.Done():
	}
}
