//go:build linux && (amd64 || arm64)

package iptwatch

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"github.com/orchcore/orchcore/proxyrules"
)

// From linux/netfilter_ipv4/ip_tables.h; IPv6 has the same numbers.
const (
	getInfo    = 64 // IPT_SO_GET_INFO
	getEntries = 65 // IPT_SO_GET_ENTRIES

	nameSize    = 32
	infoSize    = nameSize + 13*4 // struct ipt_getinfo
	infoEntries = nameSize + 11*4 // its num_entries
	infoBytes   = nameSize + 12*4 // its size
	entriesHead = nameSize + 8    // struct ipt_get_entries, aligned
	bytesMax    = 1 << 30         // of one table
)

var tables = [...]string{"filter", "nat"}

// Watch remembers what the tables were like. It is for one goroutine.
type Watch struct {
	socket, level int
	layout        layout
	generation    uint32
	seen          bool
	infos         [len(tables)][infoSize]byte
	sums          [len(tables)][sha256.Size]byte
	summed        bool // sums are of the rules with these infos
	buffer        []byte
}

// Open starts to watch tables filter and nat of iptables-legacy (or
// ip6tables-legacy), in the network namespace of the calling thread. It needs
// CAP_NET_ADMIN and CAP_NET_RAW there.
func Open(family proxyrules.Family) (*Watch, error) {
	w := &Watch{socket: -1}
	domain := syscall.AF_INET
	switch family {
	case proxyrules.IPv4, "":
		w.level, w.layout = syscall.IPPROTO_IP, layout4
	case proxyrules.IPv6:
		domain, w.level, w.layout = syscall.AF_INET6, syscall.IPPROTO_IPV6, layout6
	default:
		return nil, fmt.Errorf("iptwatch: family %q: expected IPv4 or IPv6", family)
	}
	fd, err := syscall.Socket(domain, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.IPPROTO_RAW)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	w.socket = fd
	return w, nil
}

// Close ends the watch.
func (w *Watch) Close() error {
	fd := w.socket
	w.socket = -1
	return os.NewSyscallError("close", syscall.Close(fd))
}

// Observe compares the sizes of the tables with those of the last call. After
// an error nothing is known: a new Watch and the zero proxyrules.Guard start
// over.
func (w *Watch) Observe() (proxyrules.Observation, error) { return w.observe(false) }

// ObserveAll compares the rules, too. The first call, and the first after a
// change, have none to compare with: they read the rules to compare with next.
func (w *Watch) ObserveAll() (proxyrules.Observation, error) { return w.observe(true) }

func (w *Watch) observe(all bool) (proxyrules.Observation, error) {
	infos, err := w.readInfos()
	changed := !w.seen || infos != w.infos
	if err == nil && all {
		var sums [len(tables)][sha256.Size]byte
		if sums, err = w.readSums(&infos); err == nil {
			changed = changed || w.summed && sums != w.sums
			w.sums = sums
		}
	}
	if err != nil {
		return proxyrules.Observation{}, err
	}
	w.summed = all || w.summed && !changed
	w.seen, w.infos = true, infos
	now := proxyrules.Observation{}
	if changed {
		w.generation++
		now.Commits = []proxyrules.Commit{{Generation: w.generation, Touched: true}}
	}
	now.Generation = w.generation
	return now, nil
}

func (w *Watch) readInfos() (infos [len(tables)][infoSize]byte, err error) {
	for i, name := range tables {
		b := infos[i][:]
		copy(b, name)
		switch err := w.ask(getInfo, b); err {
		case nil:
		case syscall.ENOENT: // no such table
			clear(b)
		default:
			return infos, err
		}
	}
	return infos, nil
}

func (w *Watch) readSums(infos *[len(tables)][infoSize]byte) (sums [len(tables)][sha256.Size]byte, err error) {
	for i, name := range tables {
		size := int(binary.NativeEndian.Uint32(infos[i][infoBytes:]))
		if size == 0 {
			continue
		}
		if size > bytesMax {
			return sums, fmt.Errorf("%w: table %s has %d bytes, expected at most %d", errTable, name, size, bytesMax)
		}
		if cap(w.buffer) < entriesHead+size {
			w.buffer = make([]byte, entriesHead+size)
		}
		b := w.buffer[:entriesHead+size]
		clear(b) // the kernel does not write what is behind the end of names
		copy(b, name)
		binary.NativeEndian.PutUint32(b[nameSize:], uint32(size))
		if err := w.ask(getEntries, b); err != nil {
			return sums, err // EAGAIN: it changed since its size was asked
		}
		h := sha256.New()
		if err := w.layout.sum(h, b[entriesHead:]); err != nil {
			return sums, err
		}
		h.Sum(sums[i][:0])
	}
	return sums, nil
}

// ask is getsockopt with a buffer that is question and answer.
func (w *Watch) ask(option int, b []byte) error {
	size := uint32(len(b))
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, uintptr(w.socket), uintptr(w.level), uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0)
	switch {
	case errno == syscall.ENOENT:
		return syscall.ENOENT
	case errno != 0:
		return os.NewSyscallError("getsockopt", errno)
	case int(size) != len(b):
		return fmt.Errorf("%w: %d bytes, expected %d", errTable, size, len(b))
	}
	return nil
}
