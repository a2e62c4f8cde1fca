package proxyrules

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/proxyrules"
)

// connections is how many a sample makes; its value is their median.
const connections = 1000

// openFirstPacket measures how long a connection to the cluster IP of service
// i takes to be established, through the whole of both sides' nft rules: the
// first packet is the one that meets them. Client and backends are the node.
func openFirstPacket(i int) (*measure.Pair, error) {
	b, err := newBig(proxyrules.NFTables)
	if err != nil {
		return nil, err
	}
	r, err := proxyrules.Compile(b.state.Config, b.state.Services, b.state.Slices)
	if err != nil {
		return nil, err
	}
	g, err := b.generator()
	if err != nil {
		return nil, err
	}
	sync1(g, &b.set, b.services, b.slices)
	ours, err := b.dialer(i, r.AppendNFT(nil))
	if err != nil {
		return nil, err
	}
	peer, err := b.dialer(i, []byte(g.text()))
	if err != nil {
		ours.close()
		return nil, err
	}
	return &measure.Pair{
		Ours: ours.sample, Peer: peer.sample,
		Check: func() error { return errors.Join(ours.check(), peer.check()) },
		Close: func() { ours.close(); peer.close() },
	}, nil
}

// dialer is a namespace with rules, which has the backends of one service.
type dialer struct {
	*namespace
	listener int
	service  netip.AddrPort
	backends map[netip.Addr]int // connections accepted
}

func (b *big) dialer(i int, rules []byte) (*dialer, error) {
	n, err := newNamespace()
	if err != nil {
		return nil, err
	}
	d := &dialer{namespace: n, listener: -1, service: b.flow(i).Destination, backends: map[netip.Addr]int{}}
	// Everything is on lo, also what has no other route: the address of a
	// service must have one until it is rewritten.
	script := "link set lo up\n"
	for _, e := range b.state.Slices[i].Endpoints {
		script += "addr add " + e.Addresses[0] + "/32 dev lo\n"
		d.backends[netip.MustParseAddr(e.Addresses[0])] = 0
	}
	script += "route add default dev lo\n"
	err = n.do(func() error {
		cmd := exec.Command("ip", "-batch", "-")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out))
		}
		if err := load(rules); err != nil {
			return err
		}
		return d.listen(int(*b.state.Slices[i].Ports[0].Port))
	})
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *dialer) listen(port int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	d.listener = fd
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return os.NewSyscallError("listen", syscall.Listen(fd, 16))
}

func (d *dialer) close() {
	if d.listener >= 0 {
		syscall.Close(d.listener)
	}
	d.namespace.close()
}

func (d *dialer) sample() (measure.Sample, error) {
	took := make([]time.Duration, connections)
	err := d.do(func() error {
		for i := range took {
			var err error
			if took[i], err = d.connect(); err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(took)
	return measure.Sample{Value: float64(took[connections/2].Nanoseconds())}, err
}

// connect makes one connection and ends it by a reset, so that nothing of it
// waits for its port to be free.
func (d *dialer) connect() (time.Duration, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer syscall.Close(fd)
	if err := syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	start := time.Now()
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Addr: d.service.Addr().As4(), Port: int(d.service.Port())})
	took := time.Since(start)
	if err != nil {
		return 0, os.NewSyscallError("connect", err)
	}
	accepted, _, err := syscall.Accept4(d.listener, syscall.SOCK_CLOEXEC)
	if err != nil {
		return 0, os.NewSyscallError("accept", err)
	}
	defer syscall.Close(accepted)
	name, err := syscall.Getsockname(accepted)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	if a, ok := name.(*syscall.SockaddrInet4); ok {
		d.backends[netip.AddrFrom4(a.Addr)]++
	}
	return took, nil
}

// check: all backends, and nobody else, took connections.
func (d *dialer) check() error {
	if len(d.backends) != ratioEndpoints {
		return fmt.Errorf("connections to %s reached %v: want %d backends", d.service, d.backends, ratioEndpoints)
	}
	for a, n := range d.backends {
		if n < connections/ratioEndpoints/2 {
			return fmt.Errorf("connections to %s: %s got %d of at least %d", d.service, a, n, connections)
		}
	}
	return nil
}
