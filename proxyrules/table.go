package proxyrules

import (
	"encoding/binary"
	"net/netip"
)

// kindSet holds one bit for each FrontendKind.
type kindSet uint8

func (s kindSet) has(k FrontendKind) bool { return s&(1<<k) != 0 }

// capture is what is known about one (address, protocol, port): the policy
// that holds it, and the fields of the Service that name it.
type capture struct {
	policy *Policy
	kinds  kindSet
}

// key4 packs an IPv4 frontend, or a node port with address 0, into a word;
// a map over words is about twice as fast as one over netip.Addr.
type key4 uint64

type key6 struct {
	hi, lo       uint64
	portProtocol uint32
}

// table answers which policy captures a destination.
type table struct {
	v4         map[key4]capture
	v6         map[key6]capture
	nodePorts  map[uint32]*Policy // port<<8 | protocol
	clusterIPs map[netip.Addr]struct{}
	hairpin    map[hairpinKey]struct{}
	health     map[uint16]struct{} // health check node ports, TCP
	// crossed: some backend's address is one that a filter looks at, so that
	// DNAT is not the end of the story.
	crossed bool
}

// hairpinKey is an element of nftables' set hairpin-connections.
type hairpinKey struct {
	endpoint netip.AddrPort
	protocol Protocol
}

func portProtocol(port uint16, p Protocol) uint32 { return uint32(port)<<8 | uint32(p) }

func packKey4(a netip.Addr, port uint16, p Protocol) key4 {
	b := a.As4()
	return key4(binary.BigEndian.Uint32(b[:]))<<32 | key4(portProtocol(port, p))
}

func packKey6(a netip.Addr, port uint16, p Protocol) key6 {
	b := a.As16()
	return key6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), portProtocol(port, p)}
}

func newTable(r *RuleSet) *table {
	t := &table{
		nodePorts:  map[uint32]*Policy{},
		clusterIPs: make(map[netip.Addr]struct{}, len(r.policies)),
		hairpin:    map[hairpinKey]struct{}{},
		health:     map[uint16]struct{}{},
	}
	if r.node.family == IPv4 {
		t.v4 = make(map[key4]capture, len(r.frontends))
	} else {
		t.v6 = make(map[key6]capture, len(r.frontends))
	}
	for _, f := range r.frontends {
		t.add(f)
	}
	for _, p := range r.policies {
		t.clusterIPs[p.ClusterIP] = struct{}{}
		if p.HealthCheckNodePort != 0 {
			t.health[p.HealthCheckNodePort] = struct{}{}
		}
		for i := range p.Reachable {
			if b := &p.Reachable[i]; b.Local {
				t.hairpin[hairpinKey{b.Address, p.Key.Protocol}] = struct{}{}
			}
		}
	}
	t.crossed = r.crosses(t)
	return t
}

// crosses looks for backends that filters might stop.
func (r *RuleSet) crosses(t *table) bool {
	for _, p := range r.policies {
		for i := range p.Reachable {
			a := p.Reachable[i].Address
			_, captured := t.at(a.Addr(), a.Port(), p.Key.Protocol)
			_, clusterIP := t.clusterIPs[a.Addr()]
			if captured || clusterIP || prefixesContain(r.node.serviceCIDRs, a.Addr()) ||
				r.node.isLocal(a.Addr()) && t.nodePorts[portProtocol(a.Port(), p.Key.Protocol)] != nil {
				return true
			}
		}
	}
	return false
}

func (t *table) add(f Frontend) {
	if f.Kind == NodePortFrontend {
		t.nodePorts[portProtocol(f.Port, f.Protocol)] = f.Policy
		return
	}
	if t.v4 != nil {
		k := packKey4(f.Address, f.Port, f.Protocol)
		t.v4[k] = capture{f.Policy, t.v4[k].kinds | 1<<f.Kind}
		return
	}
	k := packKey6(f.Address, f.Port, f.Protocol)
	t.v6[k] = capture{f.Policy, t.v6[k].kinds | 1<<f.Kind}
}

// at finds the capture of an address of the table's family.
func (t *table) at(a netip.Addr, port uint16, p Protocol) (capture, bool) {
	if t.v4 != nil {
		c, ok := t.v4[packKey4(a, port, p)]
		return c, ok
	}
	c, ok := t.v6[packKey6(a, port, p)]
	return c, ok
}
