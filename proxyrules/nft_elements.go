package proxyrules

import (
	"net/netip"
	"strconv"
)

// element is one of a set, or of a map when it has a verdict.
type element struct {
	addr           netip.Addr // invalid in maps of node ports
	hairpin        bool       // addr is there twice
	protocol       Protocol   // 0 in the set of cluster IPs, and no port
	port           uint16
	verdict, chain string // "goto " and a chain, or a verdict alone
}

func (e *element) appendKey(dst []byte) []byte {
	if e.addr.IsValid() {
		dst = e.addr.AppendTo(dst)
		if e.hairpin {
			dst = e.addr.AppendTo(append(dst, " . "...))
		}
		if e.protocol == 0 {
			return dst
		}
		dst = append(dst, " . "...)
	}
	dst = append(append(dst, e.protocol.String()...), " . "...)
	return strconv.AppendUint(dst, uint64(e.port), 10)
}

func (e *element) appendTo(dst []byte) []byte {
	dst = e.appendKey(dst)
	if e.verdict == "" {
		return dst
	}
	return append(append(append(dst, " : "...), e.verdict...), e.chain...)
}

func (e *element) key() string    { return string(e.appendKey(nil)) }
func (e *element) value() string  { return e.verdict + e.chain }
func (e *element) String() string { return string(e.appendTo(nil)) }

// collect writes p's elements of the sets and maps, container by container.
func (w *nftText) collect(p *Policy, names nftNames, f *nftFragment) {
	for c := range w.found {
		w.found[c] = w.found[c][:0]
	}
	p.elements(names, func(c int, e element) { w.found[c] = append(w.found[c], e) })
	for c, list := range w.found {
		for i := range list {
			w.out = append(list[i].appendTo(w.out), ", "...)
		}
		f.end(c, len(w.out))
		f.counts[c] = int32(len(list))
	}
}

func hairpinElement(b *Backend, p Protocol) element {
	return element{addr: b.Address.Addr(), hairpin: true, protocol: p, port: b.Address.Port()}
}

// elements calls add for each element that p has in a set or map.
func (p *Policy) elements(names nftNames, add func(container int, e element)) {
	add(setClusterIPs, element{addr: p.ClusterIP})
	for i := range p.Reachable {
		if b := &p.Reachable[i]; b.Local {
			add(setHairpin, hairpinElement(b, p.Key.Protocol))
		}
	}
	missing := "goto reject-chain"
	if p.HasEndpoints {
		missing = "drop"
	}
	for k, kinds := range p.captures() {
		served, unserved := mapNodePorts, mapNoEndpointNodePorts
		if !kinds.has(NodePortFrontend) {
			served, unserved = mapServiceIPs, mapNoEndpointServices
		}
		to := func(verdict, chain string) element {
			return element{addr: k.addr, protocol: k.protocol, port: k.port, verdict: verdict, chain: chain}
		}
		switch {
		case !kinds.onlyClusterIP() && p.HasEndpoints:
			add(served, to("goto ", names.external))
		case kinds.has(ClusterIPFrontend) && len(p.internal()) > 0:
			add(served, to("goto ", names.internal(p)))
		}
		if p.lacks(kinds) {
			add(unserved, to(missing, ""))
		}
		if kinds.has(LoadBalancerFrontend) && p.hasFirewall() {
			add(mapFirewallIPs, to("goto ", names.firewall))
		}
	}
}
