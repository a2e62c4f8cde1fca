package transport

import "crypto/tls"

// Transport sends frames to other members. Frames may be lost, and after a
// reconnection arrive out of order, but not damaged. Implementations are safe for
// concurrent use.
type Transport interface {
	// Send queues a frame and returns at once; the payload may be reused. It returns
	// false when the frame was dropped because the peer is unknown, cannot be
	// reached or is too far behind.
	Send(to uint64, lane Lane, group uint32, payload []byte) bool
	// SetPeer adds a peer or changes its address. Doing it twice is no change.
	SetPeer(id uint64, address string)
	// RemovePeer forgets a peer for good: its frames are refused from now on.
	RemovePeer(id uint64)
	// SetNotice replaces what removed peers are told besides that they were removed, at
	// most NoticeSizeMax bytes.
	SetNotice(notice []byte)
	// Stats returns counters since the start.
	Stats() Stats
	// Close ends all connections and waits for the goroutines.
	Close() error
}

// NoticeSizeMax bounds a notice in bytes.
const NoticeSizeMax = 4 << 10

// Handler takes what arrives. Its methods are called by several goroutines and
// must not wait for anything.
type Handler interface {
	Receive(Frame)
	// Unreachable reports that frames to a peer have been lost.
	Unreachable(peer uint64)
	// Removed reports that a peer said this member was removed from the cluster, with
	// the notice set there.
	Removed(by uint64, notice []byte)
}

// Stats counts what a transport has done.
type Stats struct {
	SentFrames     uint64
	SentBytes      uint64
	ReceivedFrames uint64
	ReceivedBytes  uint64
	// DroppedFrames were not sent, since a queue was full or a peer unreachable.
	DroppedFrames uint64
	// RefusedConnections did not pass the handshake; BrokenConnections were closed
	// for sending what is not a frame.
	RefusedConnections uint64
	BrokenConnections  uint64
}

// serverTLS and clientTLS derive the two sides of a connection between members
// from one config: both show a certificate and both check the other's.
func serverTLS(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
	return c
}

func clientTLS(c *tls.Config, host string) *tls.Config {
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
	if c.ServerName == "" {
		c.ServerName = host
	}
	return c
}
