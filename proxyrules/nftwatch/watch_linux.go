package nftwatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/orchcore/orchcore/proxyrules"
)

const (
	netfilter     = 12 // NETLINK_NETFILTER
	notifications = 7  // NFNLGRP_NFTABLES
	bufferBytes   = 4 << 20
	// answerMax is how long the kernel may take to say what a transaction
	// did that it has counted already.
	answerMax = time.Second
)

// Watch holds the sockets. It is for one goroutine.
type Watch struct {
	reader
	events, requests int // sockets
	buffer           []byte
	sequence         uint32
}

// Open starts to watch table kube-proxy of a family, in the network namespace
// of the calling thread. It needs CAP_NET_ADMIN there.
func Open(family proxyrules.Family) (*Watch, error) { return open(family, inTable) }

// OpenIPTables does the same for the rules of iptables-nft (ip6tables-nft): all
// chains KUBE-… in tables filter and nat, and the chains of the kernel there.
func OpenIPTables(family proxyrules.Family) (*Watch, error) { return open(family, inIPTables) }

func open(family proxyrules.Family, ours func(kind byte, attrs []byte) bool) (*Watch, error) {
	w := &Watch{events: -1, requests: -1, buffer: make([]byte, messageSize)}
	w.ours = ours
	switch family {
	case proxyrules.IPv4, "":
		w.family = syscall.AF_INET
	case proxyrules.IPv6:
		w.family = syscall.AF_INET6
	default:
		return nil, fmt.Errorf("nftwatch: family %q: expected IPv4 or IPv6", family)
	}
	var err error
	if w.events, err = socket(1 << (notifications - 1)); err == nil {
		w.requests, err = socket(0)
	}
	if err == nil {
		var generation uint32
		generation, err = w.generation()
		w.distrust(generation)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func socket(groups uint32) (int, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, netfilter)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	timeout := syscall.NsecToTimeval(answerMax.Nanoseconds())
	err = syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: groups})
	}
	if err != nil {
		syscall.Close(fd)
		return -1, os.NewSyscallError("netlink", err)
	}
	// A large buffer holds more notifications; a small one will do.
	syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, bufferBytes)
	return fd, nil
}

// Close ends the watch.
func (w *Watch) Close() error {
	var errs []error
	for _, fd := range []*int{&w.events, &w.requests} {
		if *fd >= 0 {
			errs = append(errs, os.NewSyscallError("close", syscall.Close(*fd)))
			*fd = -1
		}
	}
	return errors.Join(errs...)
}

// Observe reads what happened since the last call. After an error nothing is
// known: a new Watch and the zero proxyrules.Guard start over.
func (w *Watch) Observe() (proxyrules.Observation, error) {
	generation, err := w.generation()
	if err != nil {
		return proxyrules.Observation{}, err
	}
	lost, err := w.drain(generation)
	if err == nil && lost {
		// Transactions that begin from here on find an empty buffer.
		if generation, err = w.generation(); err == nil {
			w.distrust(generation)
		}
	}
	now := proxyrules.Observation{Generation: generation, Commits: w.commits}
	if int32(w.last-generation) > 0 {
		now.Generation = w.last // one more came in meanwhile
	}
	w.commits = nil
	return now, err
}

// drain reads the notifications that are there. The kernel counts a
// transaction before it tells about it, so drain waits for those on the
// transaction that made the generation.
func (w *Watch) drain(generation uint32) (lost bool, err error) {
	for {
		flags := 0
		if lost || int32(w.last-generation) >= 0 {
			flags = syscall.MSG_DONTWAIT
		}
		n, _, got, from, err := syscall.Recvmsg(w.events, w.buffer, nil, flags)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return lost || int32(w.last-generation) < 0, nil
		case err == syscall.ENOBUFS:
			lost = true
		case err != nil:
			return lost, os.NewSyscallError("recvmsg", err)
		case !fromKernel(from):
		case got&syscall.MSG_TRUNC != 0:
			lost = true
		default:
			if err := w.read(w.buffer[:n]); err != nil {
				return lost, err
			}
		}
	}
}

// fromKernel: other processes may send to the socket, too.
func fromKernel(from syscall.Sockaddr) bool {
	a, ok := from.(*syscall.SockaddrNetlink)
	return ok && a.Pid == 0
}

// generation asks the kernel.
func (w *Watch) generation() (uint32, error) {
	w.sequence++
	request := make([]byte, headerSize+genmsgSize)
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], subsystem<<8|getGen)
	binary.NativeEndian.PutUint16(request[6:], syscall.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(request[8:], w.sequence)
	if err := syscall.Sendto(w.requests, request, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	for {
		n, _, _, from, err := syscall.Recvmsg(w.requests, w.buffer, nil, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, os.NewSyscallError("recvmsg", err)
		}
		b := w.buffer[:n]
		if !fromKernel(from) || n < headerSize || binary.NativeEndian.Uint32(b[8:]) != w.sequence {
			continue
		}
		if kind := binary.NativeEndian.Uint16(b[4:]); kind != subsystem<<8|newGen {
			return 0, fmt.Errorf("%w: message type %#x", errRefused, kind)
		}
		return generationOf(b[headerSize:])
	}
}
