package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config of a TCP transport.
type Config struct {
	ClusterID uint64
	MemberID  uint64
	// Listener accepts the peers' connections; the transport closes it.
	Listener net.Listener
	// Handler takes what arrives. Required.
	Handler Handler
	// TLS, if set, is used by both sides of every connection; see raftstore.Config.
	TLS *tls.Config
	// QueueSizeMax bounds the bytes that wait for one peer on one lane. 0 is 16 MiB.
	QueueSizeMax int
	// FrameSizeMax bounds the payload of a frame, sent or received. 0 is 64 MiB.
	FrameSizeMax int
	// ConnectionsMax bounds the accepted connections. 0 is 256.
	ConnectionsMax int
	// DialTimeout bounds connecting and the handshake, on both sides. 0 is 3 s.
	DialTimeout time.Duration
	// FrameTimeout bounds the writing of a batch and the rest of a frame that has
	// begun to arrive. 0 is 10 s.
	FrameTimeout time.Duration
	// RetryMax is the longest pause between two attempts to connect. 0 is 500 ms.
	RetryMax time.Duration
}

func (c *Config) defaults() error {
	if c.ClusterID == 0 || c.MemberID == 0 {
		return fmt.Errorf("transport: ClusterID is %d and MemberID %d, expected both above 0", c.ClusterID, c.MemberID)
	}
	if c.Listener == nil || c.Handler == nil {
		return errors.New("transport: Listener or Handler is nil, expected both")
	}
	setDefault(&c.QueueSizeMax, 16<<20)
	setDefault(&c.FrameSizeMax, 64<<20)
	setDefault(&c.ConnectionsMax, 256)
	setDefault(&c.DialTimeout, 3*time.Second)
	setDefault(&c.FrameTimeout, 10*time.Second)
	setDefault(&c.RetryMax, 500*time.Millisecond)
	return nil
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// TCP is a Transport over TCP connections, one for each peer, lane and direction.
type TCP struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	peers   map[uint64]*peer
	removed map[uint64]bool
	conns   map[net.Conn]bool // accepted
	notice  []byte

	sentFrames, sentBytes         atomic.Uint64
	receivedFrames, receivedBytes atomic.Uint64
	dropped, refused, broken      atomic.Uint64
}

var _ Transport = (*TCP)(nil)

// NewTCP begins to accept connections.
func NewTCP(cfg Config) (*TCP, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	if cfg.TLS != nil {
		cfg.Listener = tls.NewListener(cfg.Listener, serverTLS(cfg.TLS))
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &TCP{
		cfg: cfg, ctx: ctx, cancel: cancel,
		peers:   map[uint64]*peer{},
		removed: map[uint64]bool{},
		conns:   map[net.Conn]bool{},
	}
	t.done.Go(t.accept)
	return t, nil
}

// Addr is the address that is listened on.
func (t *TCP) Addr() net.Addr { return t.cfg.Listener.Addr() }

// Send implements Transport.
func (t *TCP) Send(to uint64, lane Lane, group uint32, payload []byte) bool {
	if lane >= Lanes || len(payload) > t.cfg.FrameSizeMax {
		t.dropped.Add(1)
		return false
	}
	t.mu.Lock()
	p := t.peers[to]
	t.mu.Unlock()
	if p == nil || !p.lanes[lane].enqueue(group, payload) {
		t.dropped.Add(1)
		return false
	}
	return true
}

// SetPeer implements Transport.
func (t *TCP) SetPeer(id uint64, address string) {
	t.mu.Lock()
	old := t.peers[id]
	if t.closed || t.removed[id] || id == t.cfg.MemberID || old != nil && old.address == address {
		t.mu.Unlock()
		return
	}
	t.peers[id] = t.startPeer(id, address)
	t.mu.Unlock()
	if old != nil {
		old.stop()
	}
}

// RemovePeer implements Transport.
func (t *TCP) RemovePeer(id uint64) {
	t.mu.Lock()
	p := t.peers[id]
	delete(t.peers, id)
	t.removed[id] = true
	t.mu.Unlock()
	if p != nil {
		p.stop()
	}
}

// SetNotice implements Transport.
func (t *TCP) SetNotice(notice []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notice = bytes.Clone(notice[:min(len(notice), NoticeSizeMax)])
}

// Stats implements Transport.
func (t *TCP) Stats() Stats {
	return Stats{
		SentFrames: t.sentFrames.Load(), SentBytes: t.sentBytes.Load(),
		ReceivedFrames: t.receivedFrames.Load(), ReceivedBytes: t.receivedBytes.Load(),
		DroppedFrames:      t.dropped.Load(),
		RefusedConnections: t.refused.Load(),
		BrokenConnections:  t.broken.Load(),
	}
}

// Close implements Transport.
func (t *TCP) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	t.cancel()
	for conn := range t.conns {
		conn.Close()
	}
	t.mu.Unlock()
	err := t.cfg.Listener.Close()
	t.done.Wait()
	return err
}

func (t *TCP) accept() {
	for {
		conn, err := t.cfg.Listener.Accept()
		if err != nil {
			if t.ctx.Err() != nil {
				return
			}
			// Out of file descriptors, say: others may become free.
			if !sleep(t.ctx, 10*time.Millisecond) {
				return
			}
			continue
		}
		if !t.track(conn) {
			t.refused.Add(1)
			conn.Close()
			continue
		}
		t.done.Go(func() {
			defer t.untrack(conn)
			t.serve(conn)
		})
	}
}

// track registers an accepted connection so that Close can end it.
func (t *TCP) track(conn net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.conns) >= t.cfg.ConnectionsMax {
		return false
	}
	t.conns[conn] = true
	return true
}

func (t *TCP) untrack(conn net.Conn) {
	conn.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, conn)
}

// serve reads the frames of one connection until it ends.
func (t *TCP) serve(conn net.Conn) {
	h, err := t.welcome(conn)
	if err != nil {
		t.refused.Add(1)
		return
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		f, err := t.nextFrame(conn, r, h.lane)
		if err != nil {
			if t.ctx.Err() == nil && errors.Is(err, ErrFrame) {
				t.broken.Add(1)
			}
			return
		}
		if t.isRemoved(h.from) {
			return
		}
		t.receivedFrames.Add(1)
		t.receivedBytes.Add(uint64(frameHeaderSize + len(f.Payload)))
		f.From = h.from
		t.cfg.Handler.Receive(f)
	}
}

// nextFrame waits for a frame as long as it takes, but not for its second half.
func (t *TCP) nextFrame(conn net.Conn, r *bufio.Reader, lane Lane) (Frame, error) {
	if r.Buffered() == 0 {
		if err := conn.SetReadDeadline(time.Time{}); err != nil {
			return Frame{}, err
		}
		if _, err := r.Peek(1); err != nil {
			return Frame{}, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(t.cfg.FrameTimeout)); err != nil {
			return Frame{}, err
		}
	}
	return readFrame(r, lane, t.cfg.FrameSizeMax)
}

func (t *TCP) isRemoved(id uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.removed[id]
}

// welcome reads the hello of a connection and answers it. With TLS a stranger
// fails before it has seen a byte of the answer.
func (t *TCP) welcome(conn net.Conn) (hello, error) {
	if err := conn.SetDeadline(time.Now().Add(t.cfg.DialTimeout)); err != nil {
		return hello{}, err
	}
	b := make([]byte, helloSize)
	if _, err := io.ReadFull(conn, b); err != nil {
		return hello{}, err
	}
	h, err := decodeHello(b)
	if err != nil {
		return hello{}, err // not one of us: no answer
	}
	v := t.judge(h)
	if _, err := conn.Write(encodeAnswer(v, t.noticeFor(v))); err != nil {
		return hello{}, err
	}
	if v != verdictWelcome {
		return hello{}, fmt.Errorf("%w: %v", ErrHandshake, v)
	}
	return h, conn.SetDeadline(time.Time{})
}

// noticeFor is what is said with a verdict.
func (t *TCP) noticeFor(v verdict) []byte {
	if v != verdictRemoved {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.notice
}

func (t *TCP) judge(h hello) verdict {
	switch {
	case h.clusterID != t.cfg.ClusterID:
		return verdictWrongCluster
	case h.to != t.cfg.MemberID || h.from == 0 || h.from == t.cfg.MemberID:
		return verdictWrongMember
	case t.isRemoved(h.from):
		return verdictRemoved
	}
	return verdictWelcome
}

// sleep returns false when the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
