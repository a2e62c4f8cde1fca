package admit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
)

// The ranges that addresses and ports are given out from.
var (
	// ServiceCIDR is the range of cluster IPs.
	ServiceCIDR = netip.MustParsePrefix("10.96.0.0/16")
	// PodCIDR is the range of pod addresses; each node gets a /23 of it.
	PodCIDR = netip.MustParsePrefix("10.128.0.0/10")
	// NodeCIDR is the range of the addresses of nodes that come without one.
	NodeCIDR = netip.MustParsePrefix("172.18.0.0/16")
)

const (
	nodePortFirst = 30000
	nodePortLast  = 32767
	podCIDRBits   = 23
)

// ErrExhausted is returned when a range has nothing left to give.
var ErrExhausted = errors.New("range is exhausted")

// pool gives out numbers below size. The number depends on the name alone unless
// it is taken, so that one more object does not move those of the others.
type pool struct {
	size  int
	taken map[int]string // who has it
}

func newPool(size int) pool { return pool{size: size, taken: map[int]string{}} }

// claim takes one number for a name; it returns the holder if there is another.
func (p *pool) claim(n int, name string) (holder string, ok bool) {
	if h, taken := p.taken[n]; taken && h != name {
		return h, false
	}
	p.taken[n] = name
	return "", true
}

func (p *pool) take(name string) (int, error) {
	if len(p.taken) >= p.size {
		return 0, ErrExhausted
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	n := int(h.Sum32()) % p.size
	for {
		if _, taken := p.taken[n]; !taken {
			p.taken[n] = name
			return n, nil
		}
		n = (n + 1) % p.size
	}
}

// Allocator gives out cluster IPs, node ports, node addresses and pod ranges.
type Allocator struct {
	clusterIPs, nodePorts, nodeIPs, podCIDRs pool
	foreign                                  map[netip.Addr]string // cluster IPs outside the range
}

// NewAllocator returns an allocator from which nothing is taken, apart from the
// first address of each range, which is never given out.
func NewAllocator() *Allocator {
	a := &Allocator{
		clusterIPs: newPool(1 << (32 - ServiceCIDR.Bits())),
		nodePorts:  newPool(nodePortLast - nodePortFirst + 1),
		nodeIPs:    newPool(1 << (32 - NodeCIDR.Bits())),
		podCIDRs:   newPool(1 << (podCIDRBits - PodCIDR.Bits())),
		foreign:    map[netip.Addr]string{},
	}
	for _, p := range []*pool{&a.clusterIPs, &a.nodeIPs} {
		p.taken[0], p.taken[p.size-1] = "(network)", "(broadcast)"
	}
	a.clusterIPs.taken[1], a.nodeIPs.taken[1] = "(API server)", "(gateway)"
	return a
}

// ClaimClusterIP reserves an address that a service already has.
func (a *Allocator) ClaimClusterIP(ip, service string) error {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return err
	}
	holder, ok := "", true
	if ServiceCIDR.Contains(addr) {
		holder, ok = a.clusterIPs.claim(offset(ServiceCIDR, addr), service)
	} else if h := a.foreign[addr]; h != "" && h != service {
		holder, ok = h, false
	} else {
		a.foreign[addr] = service
	}
	if !ok {
		return fmt.Errorf("want an address that is free; %s has it", holder)
	}
	return nil
}

// ClaimNodePort reserves a port that a service already has.
func (a *Allocator) ClaimNodePort(port int32, service string) error {
	if port < nodePortFirst || port > nodePortLast {
		return fmt.Errorf("want %d to %d", nodePortFirst, nodePortLast)
	}
	// As upstream, TCP and UDP do not share a number here, except within one service.
	if holder, ok := a.nodePorts.claim(int(port-nodePortFirst), service); !ok {
		return fmt.Errorf("want a port that is free; %s has it", holder)
	}
	return nil
}

// ClusterIP gives a service an address.
func (a *Allocator) ClusterIP(service string) (string, error) {
	n, err := a.clusterIPs.take(service)
	return at(ServiceCIDR, n).String(), err
}

// NodePort gives a service's port a node port.
func (a *Allocator) NodePort(service, port string) (int32, error) {
	n, err := a.nodePorts.take(service + ":" + port)
	return int32(nodePortFirst + n), err
}

// ClaimNode reserves what a node already has.
func (a *Allocator) ClaimNode(name, internalIP, podCIDR string) {
	if addr, err := netip.ParseAddr(internalIP); err == nil && NodeCIDR.Contains(addr) {
		a.nodeIPs.claim(offset(NodeCIDR, addr), name)
	}
	if p, err := netip.ParsePrefix(podCIDR); err == nil && PodCIDR.Contains(p.Addr()) {
		a.podCIDRs.claim(offset(PodCIDR, p.Addr())>>(32-podCIDRBits), name)
	}
}

// NodeIP gives a node an address.
func (a *Allocator) NodeIP(name string) (string, error) {
	n, err := a.nodeIPs.take(name)
	return at(NodeCIDR, n).String(), err
}

// PodRange gives a node a range for its pods.
func (a *Allocator) PodRange(name string) (string, error) {
	n, err := a.podCIDRs.take(name)
	return netip.PrefixFrom(at(PodCIDR, n<<(32-podCIDRBits)), podCIDRBits).String(), err
}

func offset(p netip.Prefix, addr netip.Addr) int {
	base, ip := p.Masked().Addr().As4(), addr.As4()
	return int(binary.BigEndian.Uint32(ip[:]) - binary.BigEndian.Uint32(base[:]))
}

func at(p netip.Prefix, n int) netip.Addr {
	base := p.Masked().Addr().As4()
	binary.BigEndian.PutUint32(base[:], binary.BigEndian.Uint32(base[:])+uint32(n))
	return netip.AddrFrom4(base)
}
