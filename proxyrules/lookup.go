package proxyrules

import (
	"net/netip"
	"slices"
	"time"
)

// Flow is the first packet of a connection.
type Flow struct {
	Protocol            Protocol
	Source, Destination netip.AddrPort
}

// Verdict is what happens to a flow.
type Verdict uint8

// The verdicts. Accept is also the answer for everything that no rule
// concerns: the packet goes on as if there were no proxy.
const (
	Accept Verdict = iota
	DNAT
	Reject
	Drop
)

// String spells the verdict as rule texts do.
func (v Verdict) String() string {
	switch v {
	case DNAT:
		return "DNAT"
	case Reject:
		return "REJECT"
	case Drop:
		return "DROP"
	}
	return "ACCEPT"
}

// Decision is the answer of Lookup.
type Decision struct {
	Verdict Verdict
	// Backend is the new destination when Verdict is DNAT.
	Backend netip.AddrPort
	// Masquerade: the source is rewritten to the node's address.
	Masquerade bool
	// Affinity is the timeout of the service's ClientIP affinity, 0 for none.
	// Lookup itself remembers nothing: a caller that wants affinity asks its
	// own table first.
	Affinity time.Duration
	// Policy is the service port that captured the flow, if one did.
	Policy *Policy
}

// Lookup decides about a flow as the kernel would with the rules loaded in
// the RuleSet's mode. random picks the backend: equal arguments give equal
// answers, and a uniform random spreads evenly (backend i of n takes the
// i-th n-th of the range). Lookup allocates nothing and takes O(1) time.
// A flow of the other family, or with invalid addresses, is accepted.
func (r *RuleSet) Lookup(f Flow, random uint32) Decision {
	src, dst := f.Source.Addr().Unmap(), f.Destination.Addr().Unmap()
	if !src.IsValid() || !dst.IsValid() || familyOf(src) != r.node.family || familyOf(dst) != r.node.family {
		return Decision{}
	}
	c := r.table.at(dst, f.Destination.Port(), f.Protocol)
	var list []Backend
	var policy *Policy
	var mark bool
	if r.node.mode == NFTables {
		if c != nil && c.kinds.has(LoadBalancerFrontend) && !r.node.sourceAllowed(c.policy, src) {
			return Decision{Verdict: Drop, Policy: c.policy}
		}
		policy, list, mark = r.captureNFT(f, src, dst, c)
	} else {
		policy, list, mark = r.captureIPTables(f, src, dst, c)
	}
	if len(list) == 0 {
		v, p := r.filter(passing{protocol: f.Protocol, src: src, dst: dst, port: f.Destination.Port()})
		return Decision{Verdict: v, Policy: p}
	}
	b := &list[uint64(random)*uint64(len(list))>>32]
	d := Decision{Verdict: DNAT, Backend: b.Address, Affinity: policy.Affinity, Policy: policy}
	d.Masquerade = mark || b.Address.Addr() == src && r.hairpins(b, policy)
	if r.mayStop(b.Address.Addr()) {
		if v, _ := r.filter(passing{f.Protocol, src, b.Address.Addr(), b.Address.Port(), true, d.Masquerade}); v != Accept {
			d.Verdict, d.Masquerade = v, false
		}
	}
	return d
}

// mayStop is false when no filter looks at a backend's address, which is
// nearly always so.
func (r *RuleSet) mayStop(backend netip.Addr) bool {
	return r.table.maybeTaken(backend) || r.node.isLocal(backend) || prefixesContain(r.node.serviceCIDRs, backend)
}

// captureNFT: chain services. One map lookup, then one goto: a chain that
// falls through does not come back to the node ports.
func (r *RuleSet) captureNFT(f Flow, src, dst netip.Addr, c *entry) (*Policy, []Backend, bool) {
	n := r.node
	mark := false
	if n.masqueradeAll || n.clusterCIDR.IsValid() && !n.isPod(src) {
		mark = r.table.isClusterIP(dst)
	}
	if c != nil {
		p := c.policy
		if p.HasEndpoints && (c.kinds.has(ExternalIPFrontend) || c.kinds.has(LoadBalancerFrontend)) {
			list, m := n.external(p, src)
			return p, list, mark || m
		}
		if c.kinds.has(ClusterIPFrontend) && len(p.internal()) > 0 {
			return p, p.internal(), mark
		}
	}
	if p := r.table.nodePort(f.Destination.Port(), f.Protocol); p != nil && p.HasEndpoints && n.acceptsNodePort(dst) {
		list, m := n.external(p, src)
		return p, list, mark || m
	}
	return nil, nil, false
}

// captureIPTables: chain KUBE-SERVICES. Rules are tried in order, and a
// chain that falls through returns to the next one.
func (r *RuleSet) captureIPTables(f Flow, src, dst netip.Addr, c *entry) (*Policy, []Backend, bool) {
	n := r.node
	if c != nil {
		p := c.policy
		if c.kinds.has(ClusterIPFrontend) && len(p.internal()) > 0 {
			return p, p.internal(), n.masqueradeAll || n.clusterCIDR.IsValid() && !n.isPod(src)
		}
		if c.kinds.has(ExternalIPFrontend) || c.kinds.has(LoadBalancerFrontend) && n.sourceAllowed(p, src) {
			if list, mark := n.external(p, src); len(list) > 0 {
				return p, list, mark
			}
		}
	}
	if p := r.table.nodePort(f.Destination.Port(), f.Protocol); p != nil && n.acceptsNodePort(dst) {
		if list, mark := n.external(p, src); len(list) > 0 {
			return p, list, mark
		}
	}
	return nil, nil, false
}

// internal is the list for traffic to the ClusterIP.
func (p *Policy) internal() []Backend {
	if p.InternalLocal {
		return p.Local
	}
	return p.Cluster
}

// external is the list for traffic from src to any other address of the
// service, and whether its source is masqueraded.
func (n *node) external(p *Policy, src netip.Addr) ([]Backend, bool) {
	switch {
	case !p.HasEndpoints:
		return nil, false
	case !p.ExternalLocal:
		return p.Cluster, true
	case n.isPod(src):
		return p.Cluster, false
	case n.isLocal(src):
		return p.Cluster, true
	}
	return p.Local, false
}

// sourceAllowed applies loadBalancerSourceRanges. When the node's own address
// is in a range, a load balancer address may be the source too: a node that
// has the address bound talks to it from it.
func (n *node) sourceAllowed(p *Policy, src netip.Addr) bool {
	if len(p.SourceRanges) == 0 || prefixesContain(p.SourceRanges, src) {
		return true
	}
	return slices.Contains(n.allowedVIPs(p), src)
}

// acceptsNodePort reports whether dst is an address that takes NodePort
// traffic.
func (n *node) acceptsNodePort(dst netip.Addr) bool {
	if n.nodePorts != nil {
		for _, ip := range n.nodePortIPs {
			if ip == dst {
				return !ip.IsLoopback() || n.mode == IPTables && n.localhostPorts
			}
		}
		return false
	}
	switch {
	case !dst.IsLoopback():
		return n.isLocal(dst)
	case n.family == IPv6 || n.mode == NFTables:
		return false
	}
	return n.localhostPorts
}

// hairpins: iptables masquerades any backend that is its own client;
// nftables only those known to be on this node.
func (r *RuleSet) hairpins(b *Backend, p *Policy) bool {
	if r.node.mode == IPTables {
		return true
	}
	return r.table.has(hairpinKey(b, p.Key.Protocol))
}
