//go:build !unix

package transport

import "net"

// socket would write to a connection without waiting.
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (*socket) tryWrite([]byte) int { return 0 }
