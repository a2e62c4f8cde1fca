//go:build unix

package transport

import (
	"net"
	"syscall"
)

// socket writes to a connection without waiting.
type socket struct {
	conn syscall.RawConn
	// b and n are the argument and the result of once, which is made only once.
	b    []byte
	n    int
	once func(fd uintptr) bool
}

// newSocket returns nil for connections whose bytes are not those of the socket.
func newSocket(conn net.Conn) *socket {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{conn: raw}
	s.once = func(fd uintptr) bool {
		s.n, _ = syscall.Write(int(fd), s.b)
		return true // whatever came of it, do not wait
	}
	return s
}

// tryWrite returns how many bytes the socket has taken: fewer than given when it is
// full or broken.
func (s *socket) tryWrite(b []byte) int {
	s.b, s.n = b, 0
	err := s.conn.Write(s.once)
	s.b = nil
	if err != nil {
		return 0
	}
	return max(s.n, 0)
}
