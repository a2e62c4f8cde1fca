package proxyrules

import (
	"net/netip"
	"slices"
)

// Flow is the first packet of a connection.
type Flow struct {
	Protocol            Protocol
	Source, Destination netip.AddrPort
	// Interface is where the packet came in. It matters when pods are told by
	// interface (Config.BridgeInterface, Config.InterfaceNamePrefix); packets
	// that the node sends have none.
	Interface string
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
	// Policy is the service port that captured the flow, if one did. Where it
	// has Affinity, a caller that wants it asks its own memory first: Lookup
	// has none.
	Policy *Policy
}

// Lookup decides about a flow as the kernel would with the rules loaded in
// the RuleSet's mode. random picks the backend: equal arguments give equal
// answers, and a uniform random spreads evenly (backend i of n takes the
// i-th n-th of the range). Lookup allocates nothing and takes O(1) time.
// A flow of the other family, or with invalid addresses, is accepted.
//
// The flow is not kept or changed; copying its 88 bytes would take as long as
// all the rest.
func (r *RuleSet) Lookup(f *Flow, random uint32) Decision {
	src, dst := f.Source.Addr(), f.Destination.Addr()
	if !src.Is4() || !dst.Is4() {
		return r.lookupAny(f, random)
	}
	to, p := r.table.direct.pick(directKeyOf(dst, f.Destination.Port(), f.Protocol), random)
	from := ipv4(src)
	if p == nil || to&hopWatched != 0 || to.ipv4() == from || r.table.taken.near(to.ipv4()) {
		return r.lookupAny(f, random)
	}
	mark := from&r.node.podsMask != r.node.podsBase
	if r.node.pods.iface != "" {
		mark = r.node.offCluster(wordsOf(src), r.node.in(f))
	}
	return Decision{DNAT, to.addrPort(), mark, p}
}

// lookupAny is Lookup for any flow.
func (r *RuleSet) lookupAny(f *Flow, random uint32) Decision {
	w := r.ways(f)
	if len(w.list) == 0 {
		return w.end
	}
	return r.deliver(f, wordsOf(f.Source.Addr()), w.policy, &w.list[scale(random, len(w.list))], w.mark)
}

// scale maps the range of random onto 0 … n-1.
func scale(random uint32, n int) int { return int(uint64(random) * uint64(n) >> 32) }

// way is where a flow goes: to one of a list of backends, or to an end
// without one.
type way struct {
	policy *Policy
	list   []Backend
	mark   bool
	end    Decision
}

// deliver completes the decision for a chosen backend.
func (r *RuleSet) deliver(f *Flow, src words, p *Policy, b *Backend, mark bool) Decision {
	to := wordsOf(b.Address.Addr())
	d := Decision{Verdict: DNAT, Backend: b.Address, Masquerade: mark || to == src && r.hairpins(b, p), Policy: p}
	if r.table.taken.maybe(to) || r.node.watches(to) {
		pk := passing{f.Protocol, f.Source.Addr().Unmap(), b.Address.Addr(), b.Address.Port(), true, d.Masquerade}
		if v, _ := r.filter(pk); v != Accept {
			d.Verdict, d.Masquerade = v, false
		}
	}
	return d
}

// offCluster: traffic to a ClusterIP from src is masqueraded.
func (n *node) offCluster(src words, in string) bool {
	return n.masqueradeAll || n.pods.exists() && !n.pods.isPod(src, in)
}

// watches: a filter may look at a backend's address for what it is, and not
// for being in the table. Nearly never so.
func (n *node) watches(backend words) bool {
	for i := range n.watched {
		if n.watched[i].contains(backend) {
			return true
		}
	}
	return false
}

// ways is way for any flow; one that cannot be judged is accepted.
func (r *RuleSet) ways(f *Flow) way {
	if !f.Source.IsValid() || !f.Destination.IsValid() {
		return way{}
	}
	src, dst := wordsOf(f.Source.Addr()), wordsOf(f.Destination.Addr())
	if is4 := r.node.family == IPv4; src.is4() != is4 || dst.is4() != is4 {
		return way{}
	}
	return r.way(f, r.table.find(tableKey{dst, portProtocol(f.Destination.Port(), f.Protocol)}))
}

// way finds the backends for a flow, given what captures its destination.
func (r *RuleSet) way(f *Flow, c *entry) way {
	src, dst := f.Source.Addr().Unmap(), f.Destination.Addr().Unmap()
	var w way
	if r.node.mode == NFTables {
		if c != nil && c.kinds.has(LoadBalancerFrontend) && !r.node.sourceAllowed(c.policy, src) {
			return way{end: Decision{Verdict: Drop, Policy: c.policy}}
		}
		w.policy, w.list, w.mark = r.captureNFT(f, src, dst, c)
	} else {
		w.policy, w.list, w.mark = r.captureIPTables(f, src, dst, c)
	}
	if len(w.list) == 0 {
		w.end.Verdict, w.end.Policy = r.filter(passing{protocol: f.Protocol, src: src, dst: dst, port: f.Destination.Port()})
	}
	return w
}

// captureNFT: chain services. One map lookup, then one goto: a chain that
// falls through does not come back to the node ports.
func (r *RuleSet) captureNFT(f *Flow, src, dst netip.Addr, c *entry) (*Policy, []Backend, bool) {
	n := r.node
	mark := n.offCluster(wordsOf(src), n.in(f)) && r.table.isClusterIP(dst)
	if c != nil {
		p := c.policy
		if p.HasEndpoints && (c.kinds.has(ExternalIPFrontend) || c.kinds.has(LoadBalancerFrontend)) {
			list, m := n.external(p, src, n.in(f))
			return p, list, mark || m
		}
		if c.kinds.has(ClusterIPFrontend) && len(p.internal()) > 0 {
			return p, p.internal(), mark
		}
	}
	if p := r.table.nodePort(f.Destination.Port(), f.Protocol); p != nil && p.HasEndpoints && n.acceptsNodePort(dst) {
		list, m := n.external(p, src, n.in(f))
		return p, list, mark || m
	}
	return nil, nil, false
}

// captureIPTables: chain KUBE-SERVICES. Rules are tried in order, and a
// chain that falls through returns to the next one.
func (r *RuleSet) captureIPTables(f *Flow, src, dst netip.Addr, c *entry) (*Policy, []Backend, bool) {
	n := r.node
	if c != nil {
		p := c.policy
		if c.kinds.has(ClusterIPFrontend) && len(p.internal()) > 0 {
			return p, p.internal(), n.offCluster(wordsOf(src), n.in(f))
		}
		if c.kinds.has(ExternalIPFrontend) || c.kinds.has(LoadBalancerFrontend) && n.sourceAllowed(p, src) {
			if list, mark := n.external(p, src, n.in(f)); len(list) > 0 {
				return p, list, mark
			}
		}
	}
	if p := r.table.nodePort(f.Destination.Port(), f.Protocol); p != nil && n.acceptsNodePort(dst) {
		if list, mark := n.external(p, src, n.in(f)); len(list) > 0 {
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
func (n *node) external(p *Policy, src netip.Addr, in string) ([]Backend, bool) {
	switch {
	case !p.HasEndpoints:
		return nil, false
	case !p.ExternalLocal:
		return p.Cluster, true
	case n.pods.isPod(wordsOf(src), in):
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
