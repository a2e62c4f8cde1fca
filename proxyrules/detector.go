package proxyrules

import (
	"net/netip"
	"strconv"
)

// detector tells traffic of this node's pods from other traffic: by source
// address, or by the interface that it came in on. The zero value knows no
// pods. (kube-proxy 1.36, --detect-local-mode)
type detector struct {
	cidr   netip.Prefix
	words  wordRange // cidr
	iface  string    // name of an interface, or how the names of several begin
	prefix bool
}

// interfaceNameMax is what the kernel's IFNAMSIZ leaves for a name. A pattern
// has one character of it for its wildcard.
const interfaceNameMax = 15

func (n *node) compileDetector(c *Config, cluster []netip.Prefix) error {
	d := &n.pods
	named := c.BridgeInterface != "" || c.InterfaceNamePrefix != ""
	switch {
	case c.BridgeInterface != "" && c.InterfaceNamePrefix != "":
		return refuse("Config", "InterfaceNamePrefix", c.InterfaceNamePrefix, "nothing beside BridgeInterface: one way to tell local traffic")
	case named && len(c.ClusterCIDRs) > 0:
		return refuse("Config", "ClusterCIDRs", c.ClusterCIDRs[0].String(), "nothing beside an interface: one way to tell local traffic")
	case c.BridgeInterface != "":
		if !isInterfaceName(c.BridgeInterface, interfaceNameMax) {
			return refuse("Config", "BridgeInterface", c.BridgeInterface, "at most 15 letters, digits, dots, underscores and hyphens")
		}
		d.iface = c.BridgeInterface
	case c.InterfaceNamePrefix != "":
		if !isInterfaceName(c.InterfaceNamePrefix, interfaceNameMax-1) {
			return refuse("Config", "InterfaceNamePrefix", c.InterfaceNamePrefix, "at most 14 letters, digits, dots, underscores and hyphens")
		}
		d.iface, d.prefix = c.InterfaceNamePrefix, true
	case len(cluster) > 0:
		d.cidr, d.words = cluster[0], wordRangeOf(cluster[0])
	}
	return nil
}

// isInterfaceName is stricter than the kernel, which takes any character but
// spaces, slashes and colons: these mean nothing else in a rule text.
func isInterfaceName(s string, lenMax int) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= lenMax && s[0] != '-' && s != "." && s != ".."
}

// exists: there is a way to tell.
func (d *detector) exists() bool { return d.iface != "" || d.cidr.IsValid() }

// isPod judges the first packet of a flow. in is "" for packets of the node
// itself, which came in nowhere.
func (d *detector) isPod(src words, in string) bool {
	if d.iface == "" {
		return d.cidr.IsValid() && d.words.contains(src)
	}
	return d.matches(in)
}

func (d *detector) matches(in string) bool {
	if d.prefix {
		return len(in) >= len(d.iface) && in[:len(d.iface)] == d.iface
	}
	return in == d.iface
}

// in is the interface that the rules see.
func (n *node) in(f *Flow) string {
	if n.pods.iface == "" || n.isLocal(f.Source.Addr().Unmap()) {
		return ""
	}
	return f.Interface
}

// iptables spells the match.
func (d *detector) iptables() string {
	switch {
	case d.prefix:
		return "-i " + d.iface + "+"
	case d.iface != "":
		return "-i " + d.iface
	}
	return "-s " + d.cidr.String()
}

// nft spells the match, negated where not is "!= ".
func (d *detector) nft(ip, not string) string {
	switch {
	case d.prefix:
		return "iifname " + not + strconv.Quote(d.iface+"*")
	case d.iface != "":
		return "iifname " + not + strconv.Quote(d.iface)
	}
	return ip + " saddr " + not + d.cidr.String()
}
