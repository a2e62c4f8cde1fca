package proxyrules

import "net/netip"

// passing is a packet on its way through the filter hooks: with the
// destination it came with, or with that of its backend after DNAT.
type passing struct {
	protocol     Protocol
	src, dst     netip.Addr
	port         uint16
	dnat, marked bool
}

// filter judges a packet at the hooks that it passes. Packets that found a
// backend are accepted, unless the backend's own address is one that another
// service port captures.
func (r *RuleSet) filter(pk passing) (Verdict, *Policy) {
	if r.node.mode == NFTables {
		return r.filterNFT(pk)
	}
	return r.filterIPTables(pk)
}

// missing is the verdict for an address of p that has no backend to offer.
func (p *Policy) missing() Verdict {
	if p.HasEndpoints {
		return Drop
	}
	return Reject
}

// lacksExternal: traffic from outside to p has no backend.
func (p *Policy) lacksExternal() bool {
	return !p.HasEndpoints || p.ExternalLocal && len(p.Local) == 0
}

// lacks: some address with these kinds has no backend in nftables' maps.
func (p *Policy) lacks(kinds kindSet) bool {
	return kinds.has(ClusterIPFrontend) && len(p.internal()) == 0 || !kinds.onlyClusterIP() && p.lacksExternal()
}

// filterNFT: output for packets of the node, which come back through input
// when it talks to itself; input for packets to it; forward for the rest.
func (r *RuleSet) filterNFT(pk passing) (Verdict, *Policy) {
	outbound, inbound := r.node.isLocal(pk.src), r.node.isLocal(pk.dst)
	if inbound && !outbound {
		if v, p := r.nodePortMissingNFT(pk); v != Accept {
			return v, p
		}
	}
	if c := r.table.at(pk.dst, pk.port, pk.protocol); c != nil && c.policy.lacks(c.kinds) {
		return c.policy.missing(), c.policy
	}
	if outbound || !inbound {
		if r.table.isClusterIP(pk.dst) {
			return Reject, nil
		}
		if prefixesContain(r.node.serviceCIDRs, pk.dst) {
			return Drop, nil
		}
	}
	if inbound && outbound {
		return r.nodePortMissingNFT(pk)
	}
	return Accept, nil
}

func (r *RuleSet) nodePortMissingNFT(pk passing) (Verdict, *Policy) {
	p := r.table.nodePort(pk.port, pk.protocol)
	if p == nil || !p.lacksExternal() || !r.node.acceptsNodePort(pk.dst) {
		return Accept, nil
	}
	return p.missing(), p
}

// filterIPTables walks OUTPUT, INPUT and FORWARD in their order of jumps.
func (r *RuleSet) filterIPTables(pk passing) (Verdict, *Policy) {
	n := r.node
	outbound, inbound := n.isLocal(pk.src), n.isLocal(pk.dst)
	c := r.table.at(pk.dst, pk.port, pk.protocol)
	if n.localhostPorts && pk.dst.IsLoopback() && !pk.src.IsLoopback() && !pk.dnat {
		return Drop, nil // KUBE-FIREWALL: martians, since route_localnet is set
	}
	if c != nil && c.kinds.has(LoadBalancerFrontend) && c.policy.HasEndpoints && len(c.policy.SourceRanges) > 0 {
		return Drop, c.policy
	}
	forwarded := !outbound && !inbound
	if forwarded && pk.marked {
		return Accept, nil // KUBE-FORWARD
	}
	if c != nil && (outbound || forwarded) && c.kinds.has(ClusterIPFrontend) && len(c.policy.internal()) == 0 {
		return c.policy.missing(), c.policy
	}
	if outbound && !inbound {
		return Accept, nil // KUBE-EXTERNAL-SERVICES is not in OUTPUT
	}
	if inbound && pk.protocol == TCP {
		if r.table.has(tableKey{use: useHealth | uint32(pk.port)}) {
			return Accept, nil
		}
	}
	return r.externalMissing(pk, c, inbound)
}

// externalMissing is chain KUBE-EXTERNAL-SERVICES: rules in the order of the
// policies, so the smaller key decides when both an address and a node port
// match.
func (r *RuleSet) externalMissing(pk passing, c *entry, inbound bool) (Verdict, *Policy) {
	var first *Policy
	if c != nil && !c.kinds.onlyClusterIP() && c.policy.lacksExternal() {
		first = c.policy
	}
	if inbound {
		p := r.table.nodePort(pk.port, pk.protocol)
		if p != nil && p.lacksExternal() && (first == nil || p.Key.compare(first.Key) < 0) {
			first = p
		}
	}
	if first == nil {
		return Accept, nil
	}
	return first.missing(), first
}
