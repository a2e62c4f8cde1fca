package proxyrules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Family is an IP family, spelled as in the Kubernetes API. A RuleSet is for
// one family; a dual-stack node compiles two.
type Family string

// The two families.
const (
	IPv4 Family = "IPv4"
	IPv6 Family = "IPv6"
)

// Mode is the data plane whose behaviour Lookup and Trace answer with.
type Mode string

// The two data planes of kube-proxy on Linux. They differ on purpose in a
// number of corners; doc.go lists them.
const (
	IPTables Mode = "iptables"
	NFTables Mode = "nftables"
)

// Config holds what a proxy knows about its node and how it was set up. The
// zero value compiles IPv4 rules for a node without a name or addresses.
type Config struct {
	// NodeName decides which endpoints are local. Empty: none is.
	NodeName string
	// NodeIPs are the node's own addresses, both families mixed. The first
	// of each family is its node IP; loopback is always understood.
	NodeIPs []netip.Addr
	// NodeLabels is read for topology.kubernetes.io/zone only.
	NodeLabels map[string]string
	// Family selects what is compiled. Empty means IPv4.
	Family Family
	// Mode selects the behaviour of Lookup and Trace; both texts can be
	// rendered whatever it is. Empty means IPTables.
	Mode Mode
	// ClusterCIDRs are the pod ranges of this cluster, or of this node; the
	// first of the compiled family tells pod traffic from other traffic. With
	// neither ranges nor an interface, traffic to a ClusterIP is never
	// masqueraded and pods get no short circuit around externalTrafficPolicy
	// Local.
	ClusterCIDRs []netip.Prefix
	// BridgeInterface, in place of ClusterCIDRs, tells pod traffic by the one
	// interface that it comes in on; Flow.Interface says which a flow did.
	BridgeInterface string
	// InterfaceNamePrefix, in place of both, is how the names of all such
	// interfaces begin.
	InterfaceNamePrefix string
	// MasqueradeAll rewrites the source of all ClusterIP traffic.
	MasqueradeAll bool
	// MasqueradeBit is the bit of the packet mark used for masquerading.
	// 0 means 14, as in kube-proxy, so bit 0 itself cannot be chosen.
	MasqueradeBit int
	// NodePortAddresses are the ranges whose node addresses accept NodePort
	// traffic. None of the compiled family: all local addresses. kube-proxy's
	// word "primary" is spelled by passing each node IP as a /32 or /128.
	NodePortAddresses []netip.Prefix
	// LocalhostNodePorts lets 127.0.0.0/8 accept NodePort traffic: iptables
	// and IPv4 only. kube-proxy's own default is true.
	LocalhostNodePorts bool
	// TCPBeLiberal says that the node sets nf_conntrack_tcp_be_liberal.
	// iptables rules drop forwarded packets that belong to no connection
	// unless it does, since the kernel would answer some of them with RST.
	TCPBeLiberal bool
	// ServiceCIDRs are the ranges ClusterIPs come from; nftables drops
	// traffic to unused addresses inside them.
	ServiceCIDRs []netip.Prefix
	// SkipRefused makes Compile leave out objects that it must refuse, and
	// list them in RuleSet.Refused, instead of failing as a whole.
	SkipRefused bool
}

const masqueradeBitDefault = 14

// node is a checked Config, reduced to one family.
type node struct {
	name           string
	zone           string
	family         Family
	mode           Mode
	ips            []netip.Addr // of the family, in the order given
	pods           detector
	masqueradeAll  bool
	tcpBeLiberal   bool
	mark           uint32
	nodePorts      []netip.Prefix // nil: all local addresses
	nodePortIPs    []netip.Addr   // the addresses nodePorts matches, sorted; loopback included
	localhostPorts bool
	serviceCIDRs   []netip.Prefix
	// An IPv4 source outside the pods: source&podsMask != podsBase. Means
	// nothing where pods are told by interface.
	podsMask, podsBase uint32
	watched            []wordRange // where filters look at backends: the node itself, serviceCIDRs
}

func (c *Config) compile() (*node, error) {
	n := &node{
		name: c.NodeName, zone: c.NodeLabels[labelZone],
		family: c.Family, mode: c.Mode, masqueradeAll: c.MasqueradeAll, tcpBeLiberal: c.TCPBeLiberal,
	}
	switch n.family {
	case "":
		n.family = IPv4
	case IPv4, IPv6:
	default:
		return nil, refuse("Config", "Family", string(c.Family), "IPv4 or IPv6")
	}
	switch n.mode {
	case "":
		n.mode = IPTables
	case IPTables, NFTables:
	default:
		return nil, refuse("Config", "Mode", string(c.Mode), "iptables or nftables")
	}
	bit := c.MasqueradeBit
	if bit == 0 {
		bit = masqueradeBitDefault
	}
	if bit < 0 || bit > 31 {
		return nil, refuse("Config", "MasqueradeBit", fmt.Sprint(c.MasqueradeBit), "a bit from 1 to 31, or 0 for 14")
	}
	n.mark = 1 << bit
	if err := n.compileAddresses(c); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *node) compileAddresses(c *Config) error {
	for i, ip := range c.NodeIPs {
		if !ip.IsValid() || ip.Zone() != "" {
			return refuse("Config", fmt.Sprintf("NodeIPs[%d]", i), ip.String(), "an IP address without zone")
		}
		if ip = ip.Unmap(); familyOf(ip) == n.family {
			n.ips = append(n.ips, ip)
		}
	}
	cluster, err := n.prefixes("ClusterCIDRs", c.ClusterCIDRs)
	if err != nil {
		return err
	}
	if err := n.compileDetector(c, cluster); err != nil {
		return err
	}
	if n.serviceCIDRs, err = n.prefixes("ServiceCIDRs", c.ServiceCIDRs); err != nil {
		return err
	}
	if n.nodePorts, err = n.prefixes("NodePortAddresses", c.NodePortAddresses); err != nil {
		return err
	}
	if slices.ContainsFunc(n.nodePorts, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		n.nodePorts = nil
	}
	n.localhostPorts = c.LocalhostNodePorts && n.family == IPv4 && n.nodePortsCoverLoopback()
	n.nodePortIPs = n.matchNodePortIPs()
	n.compileRanges()
	return nil
}

func (n *node) compileRanges() {
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	if n.family == IPv6 {
		loopback = netip.MustParsePrefix("::1/128")
	}
	switch d := &n.pods; {
	case n.masqueradeAll:
		n.podsMask, n.podsBase = 0, 1
	case d.cidr.IsValid() && n.family == IPv4:
		n.podsMask, n.podsBase = uint32(d.words.mask.lo), uint32(d.words.base.lo)
	}
	n.watched = append(n.watched, wordRangeOf(loopback))
	for _, ip := range n.ips {
		n.watched = append(n.watched, wordRangeOf(netip.PrefixFrom(ip, ip.BitLen())))
	}
	for _, p := range n.serviceCIDRs {
		n.watched = append(n.watched, wordRangeOf(p))
	}
}

// nodePortsCoverLoopback tells whether the NodePort ranges include 127.0.0.0
// or are a part of the loopback range. kube-proxy 1.36 turns localhost node
// ports off otherwise.
func (n *node) nodePortsCoverLoopback() bool {
	if n.nodePorts == nil {
		return true
	}
	start := netip.AddrFrom4([4]byte{127, 0, 0, 0})
	return slices.ContainsFunc(n.nodePorts, func(p netip.Prefix) bool {
		return p.Addr().IsLoopback() || p.Contains(start)
	})
}

func (n *node) matchNodePortIPs() []netip.Addr {
	if n.nodePorts == nil {
		return nil
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if n.family == IPv6 {
		loopback = netip.IPv6Loopback()
	}
	var out []netip.Addr
	for _, ip := range append([]netip.Addr{loopback}, n.ips...) {
		if prefixesContain(n.nodePorts, ip) {
			out = append(out, ip)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// prefixes keeps the family's ranges, masked; what is not a range is refused.
func (n *node) prefixes(field string, in []netip.Prefix) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for i, p := range in {
		if !p.IsValid() {
			return nil, refuse("Config", fmt.Sprintf("%s[%d]", field, i), p.String(), "a CIDR range")
		}
		if p.Addr().Is4In6() {
			return nil, refuse("Config", fmt.Sprintf("%s[%d]", field, i), p.String(), "a CIDR range that is not IPv4-mapped")
		}
		if familyOf(p.Addr()) == n.family {
			out = append(out, p.Masked())
		}
	}
	return out, nil
}

// isLocal reports whether ip is an address of the node itself.
func (n *node) isLocal(ip netip.Addr) bool {
	return ip.IsLoopback() || slices.Contains(n.ips, ip)
}

func (n *node) nodeIP() (netip.Addr, bool) {
	if len(n.ips) == 0 {
		return netip.Addr{}, false
	}
	return n.ips[0], true
}

func familyOf(ip netip.Addr) Family {
	if ip.Is4() || ip.Is4In6() {
		return IPv4
	}
	return IPv6
}

func prefixesContain(ps []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// parseAddr reads an address as the Kubernetes API does: zeros may lead the
// numbers of an IPv4 address, an IPv4-mapped IPv6 address is its IPv4
// address, and zones are refused.
func parseAddr(s string) (netip.Addr, bool) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.Unmap(), ip.Zone() == ""
	}
	if strings.Contains(s, ":") {
		return netip.Addr{}, false
	}
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, p := range parts {
		v, ok := octet(p)
		if !ok {
			return netip.Addr{}, false
		}
		b[i] = v
	}
	return netip.AddrFrom4(b), true
}

func octet(s string) (byte, bool) {
	if s == "" {
		return 0, false
	}
	v := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if v = v*10 + int(s[i]-'0'); v > 255 {
			return 0, false
		}
	}
	return byte(v), true
}
