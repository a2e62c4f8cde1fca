package proxyrules

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ErrFlow is returned by Trace for a flow that no packet can be: invalid
// addresses, or source and destination of different families.
var ErrFlow = errors.New("proxyrules: not a flow")

// Trace is the full answer for one flow: everything Lookup may decide, with
// the reasons.
type Trace struct {
	Flow    Flow
	Verdict Verdict
	// Choices are the backends that the connection may get, when Verdict is
	// DNAT, sorted like the policy's backends.
	Choices []Choice
	// Masquerade: the source of at least one choice is rewritten.
	Masquerade bool
	// Policy is the service port that decided, if one did.
	Policy *Policy
	// Why lists the steps, hop by hop.
	Why []string
}

// Choice is one possible backend of a connection.
type Choice struct {
	Backend     Backend
	Probability float64
	Masquerade  bool
	// Verdict is DNAT, unless the backend's address is captured itself and a
	// filter stops what was sent there.
	Verdict Verdict
}

// Trace follows a flow through the rules of the RuleSet's mode, and says at
// each hop what matched. It is the plain form of Lookup: it walks the
// policies one by one, as a reader of the rules would.
func (r *RuleSet) Trace(f Flow) (Trace, error) {
	f.Source = netip.AddrPortFrom(f.Source.Addr().Unmap(), f.Source.Port())
	f.Destination = netip.AddrPortFrom(f.Destination.Addr().Unmap(), f.Destination.Port())
	src, dst := f.Source.Addr(), f.Destination.Addr()
	if !src.IsValid() || !dst.IsValid() || src.Is4() != dst.Is4() {
		return Trace{}, fmt.Errorf("%w: %v to %v", ErrFlow, f.Source, f.Destination)
	}
	t := &tracer{RuleSet: r, n: r.node, t: Trace{Flow: f}, src: src, dst: dst, port: f.Destination.Port()}
	t.inbound, t.outbound = r.node.isLocal(dst), r.node.isLocal(src)
	switch {
	case familyOf(dst) != r.node.family:
		t.why("the rules are for %s: nothing applies", r.node.family)
	case r.node.mode == NFTables:
		t.nftables()
	default:
		t.iptables()
	}
	return t.t, nil
}

type tracer struct {
	*RuleSet
	n                 *node
	t                 Trace
	src, dst          netip.Addr
	port              uint16
	inbound, outbound bool // the destination, the source is the node itself
	mark, dnat        bool
}

func (t *tracer) why(format string, args ...any) {
	t.t.Why = append(t.t.Why, fmt.Sprintf(format, args...))
}

func (t *tracer) decide(v Verdict, p *Policy) {
	t.t.Verdict, t.t.Policy = v, p
}

// holds tells whether p captures the flow at an address of one of the kinds.
func (t *tracer) holds(p *Policy, kinds ...FrontendKind) bool {
	for f := range p.eachFrontend {
		if p.loses(f.key()) || f.Protocol != t.t.Flow.Protocol || f.Port != t.port {
			continue
		}
		for _, k := range kinds {
			if f.Kind == k && (k == NodePortFrontend || f.Address == t.dst) {
				return true
			}
		}
	}
	return false
}

// first returns the first policy that satisfies ok.
func (t *tracer) first(ok func(*Policy) bool) *Policy {
	for _, p := range t.Policies() {
		if ok(p) {
			return p
		}
	}
	return nil
}

// offCluster: the source is not a pod, as far as the node can tell.
func (t *tracer) offCluster() bool {
	return t.n.masqueradeAll || t.n.pods.exists() && !t.isPod()
}

// isPod: the source is one, told by its address or by the way that it came.
func (t *tracer) isPod() bool {
	d := &t.n.pods
	switch {
	case d.iface == "":
		return d.cidr.IsValid() && d.cidr.Contains(t.src)
	case t.outbound:
		return false // came in nowhere
	case d.prefix:
		return strings.HasPrefix(t.t.Flow.Interface, d.iface)
	}
	return t.t.Flow.Interface == d.iface
}

func (t *tracer) iptables() {
	for _, p := range t.Policies() {
		if t.holds(p, ClusterIPFrontend) && len(p.internal()) > 0 {
			t.why("nat KUBE-SERVICES: %s is the clusterIP of %s", t.t.Flow.Destination, p.Key)
			t.mark = t.offCluster()
			t.spread(p, p.internal())
			return
		}
		if t.holds(p, ExternalIPFrontend) && p.HasEndpoints {
			t.why("nat KUBE-SERVICES: %s is an external IP of %s", t.t.Flow.Destination, p.Key)
			if t.external(p) {
				return
			}
		}
		if t.holds(p, LoadBalancerFrontend) && p.HasEndpoints {
			t.why("nat KUBE-SERVICES: %s is a load balancer IP of %s", t.t.Flow.Destination, p.Key)
			if t.allowed(p) && t.external(p) {
				return
			}
		}
	}
	if t.n.acceptsNodePort(t.dst) {
		for _, p := range t.Policies() {
			if t.holds(p, NodePortFrontend) && p.HasEndpoints {
				t.why("nat KUBE-NODEPORTS: node port %d of %s", t.port, p.Key)
				if t.external(p) {
					return
				}
			}
		}
	}
	t.iptablesFilter()
}

func (t *tracer) allowed(p *Policy) bool {
	if t.n.sourceAllowed(p, t.src) {
		return true
	}
	t.why("%s is in none of the loadBalancerSourceRanges %v", t.src, p.SourceRanges)
	return false
}

// external walks the chain for traffic from outside and reports whether it
// found backends.
func (t *tracer) external(p *Policy) bool {
	if !p.ExternalLocal {
		t.why("externalTrafficPolicy Cluster: any node's backend may answer, so the source is masqueraded")
		t.mark = true
		t.spread(p, p.Cluster)
		return true
	}
	switch {
	case t.isPod():
		t.why("externalTrafficPolicy Local, but the source is a pod of the cluster: short circuit to all backends")
		t.spread(p, p.Cluster)
	case t.outbound:
		t.why("externalTrafficPolicy Local, but the source is this node: short circuit to all backends, masqueraded")
		t.mark = true
		t.spread(p, p.Cluster)
	case len(p.Local) > 0:
		t.why("externalTrafficPolicy Local: backends of this node, source kept")
		t.spread(p, p.Local)
	default:
		t.why("externalTrafficPolicy Local: no backend on this node")
		return false
	}
	return true
}

// spread ends the walk with a DNAT to one of the list.
func (t *tracer) spread(p *Policy, list []Backend) {
	if t.mark {
		t.why("marked for masquerading")
	}
	if p.Affinity != 0 {
		t.why("sessionAffinity ClientIP: a client seen in the last %v returns to its backend", p.Affinity)
	}
	if p.Topology != "" {
		t.why("hints narrow the backends: %s", p.Topology)
	}
	for i := range list {
		b := list[i]
		c := Choice{Backend: b, Probability: 1 / float64(len(list)), Masquerade: t.mark}
		if b.Address.Addr() == t.src && t.hairpins(&b, p) {
			t.why("hairpin: %s would be its own client and is masqueraded", b.Address)
			c.Masquerade = true
		}
		c.Verdict = t.reach(&b, c.Masquerade)
		c.Masquerade = c.Masquerade && c.Verdict == DNAT
		t.t.Masquerade = t.t.Masquerade || c.Masquerade
		t.t.Choices = append(t.t.Choices, c)
	}
	t.decide(t.t.Choices[0].Verdict, p)
	for _, c := range t.t.Choices {
		if c.Verdict == DNAT {
			t.decide(DNAT, p)
		}
	}
	for i := range p.All {
		t.whyNot(p, &p.All[i], list)
	}
}

// reach follows a packet on to its backend: the filter hooks see the new
// destination.
func (t *tracer) reach(b *Backend, marked bool) Verdict {
	on := &tracer{
		RuleSet: t.RuleSet, n: t.n, src: t.src, dst: b.Address.Addr(), port: b.Address.Port(),
		outbound: t.outbound, inbound: t.n.isLocal(b.Address.Addr()), mark: marked, dnat: true,
	}
	on.t.Flow.Protocol = t.t.Flow.Protocol
	if t.n.mode == NFTables {
		on.nftablesFilter()
	} else {
		on.iptablesFilter()
	}
	if on.t.Verdict == Accept {
		return DNAT
	}
	t.t.Why = append(t.t.Why, on.t.Why...)
	return on.t.Verdict
}

// whyNot explains a backend that is not among the choices.
func (t *tracer) whyNot(p *Policy, b *Backend, list []Backend) {
	for i := range list {
		if list[i].text == b.text {
			return
		}
	}
	reason := "not on this node"
	switch {
	case !b.Ready && !b.Serving:
		reason = "neither ready nor serving"
	case !b.Ready && !b.Terminating:
		reason = "not ready"
	case !b.Ready:
		reason = "terminating, while others are ready"
	case p.Topology != "" && !b.suits(p.Topology, t.n):
		reason = "hints keep it for others (" + p.Topology + ")"
	}
	t.why("not %s of slice %s: %s", b.text, b.Slice, reason)
}

// refuse ends the walk with the verdict for an address without backends.
func (t *tracer) refuse(chain string, p *Policy) {
	t.decide(p.missing(), p)
	if p.HasEndpoints {
		t.why("filter %s: %s has no local endpoints: %s", chain, p.Key, t.t.Verdict)
		return
	}
	t.why("filter %s: %s has no endpoints: %s", chain, p.Key, t.t.Verdict)
	for i := range p.All {
		t.whyNot(p, &p.All[i], nil)
	}
}

// iptablesFilter walks the filter table with the original destination:
// OUTPUT for packets of the node, then INPUT when it talks to itself.
func (t *tracer) iptablesFilter() {
	if t.n.localhostPorts && t.dst.IsLoopback() && !t.src.IsLoopback() && !t.dnat {
		t.why("filter KUBE-FIREWALL: a stranger's packet to loopback")
		t.decide(Drop, nil)
		return
	}
	if p := t.first(func(p *Policy) bool {
		return t.holds(p, LoadBalancerFrontend) && p.HasEndpoints && len(p.SourceRanges) > 0
	}); p != nil {
		t.why("filter KUBE-PROXY-FIREWALL: traffic to a load balancer IP of %s that was not accepted", p.Key)
		t.decide(Drop, p)
		return
	}
	if t.mark && !t.inbound && !t.outbound {
		t.why("filter KUBE-FORWARD: marked packets pass")
		return
	}
	if p := t.first(func(p *Policy) bool { return t.holds(p, ClusterIPFrontend) && len(p.internal()) == 0 }); p != nil && (t.outbound || !t.inbound) {
		t.refuse("KUBE-SERVICES", p)
		return
	}
	if t.inbound && t.t.Flow.Protocol == TCP {
		if p := t.first(func(p *Policy) bool { return p.HealthCheckNodePort == t.port && t.port != 0 }); p != nil {
			t.why("filter KUBE-NODEPORTS: health check node port of %s", p.Key)
			return
		}
	}
	if t.inbound || !t.outbound {
		if p := t.first(func(p *Policy) bool {
			return p.lacksExternal() && (t.holds(p, ExternalIPFrontend, LoadBalancerFrontend) || t.inbound && t.holds(p, NodePortFrontend))
		}); p != nil {
			t.refuse("KUBE-EXTERNAL-SERVICES", p)
			return
		}
	}
	t.why("no rule applies")
}

func (t *tracer) nftables() {
	if p := t.first(func(p *Policy) bool { return t.holds(p, LoadBalancerFrontend) }); p != nil && !t.allowed(p) {
		t.why("firewall-check: %s is a load balancer IP of %s", t.t.Flow.Destination, p.Key)
		t.decide(Drop, p)
		return
	}
	if t.isClusterIP() && t.offCluster() {
		t.mark = true
	}
	if p := t.first(func(p *Policy) bool { return p.HasEndpoints && t.holds(p, ExternalIPFrontend, LoadBalancerFrontend) }); p != nil {
		t.why("services: %s is an external address of %s", t.t.Flow.Destination, p.Key)
		if !t.external(p) {
			t.nftablesFilter()
		}
		return
	}
	if p := t.first(func(p *Policy) bool { return len(p.internal()) > 0 && t.holds(p, ClusterIPFrontend) }); p != nil {
		t.why("services: %s is the clusterIP of %s", t.t.Flow.Destination, p.Key)
		t.spread(p, p.internal())
		return
	}
	p := t.first(func(p *Policy) bool { return p.HasEndpoints && t.holds(p, NodePortFrontend) })
	if p != nil && t.n.acceptsNodePort(t.dst) {
		t.why("services: node port %d of %s", t.port, p.Key)
		if t.external(p) {
			return
		}
	}
	t.nftablesFilter()
}

func (t *tracer) isClusterIP() bool {
	return t.first(func(p *Policy) bool { return p.ClusterIP == t.dst }) != nil
}

// nftablesFilter walks filter-output for packets of the node, filter-input
// for packets to it, and filter-forward for the others.
func (t *tracer) nftablesFilter() {
	if t.outbound && (t.missingAddress() || t.strayClusterIP()) {
		return
	}
	if t.inbound {
		if !t.missingNodePort() && !t.missingAddress() {
			t.why("no rule applies")
		}
		return
	}
	if t.outbound || !t.missingAddress() && !t.strayClusterIP() {
		t.why("no rule applies")
	}
}

func (t *tracer) missingAddress() bool {
	p := t.first(func(p *Policy) bool {
		return t.holds(p, ClusterIPFrontend) && len(p.internal()) == 0 ||
			t.holds(p, ExternalIPFrontend, LoadBalancerFrontend) && p.lacksExternal()
	})
	if p != nil {
		t.refuse("service-endpoints-check", p)
	}
	return p != nil
}

func (t *tracer) missingNodePort() bool {
	p := t.first(func(p *Policy) bool { return t.holds(p, NodePortFrontend) && p.lacksExternal() })
	if p == nil || !t.n.acceptsNodePort(t.dst) {
		return false
	}
	t.refuse("nodeport-endpoints-check", p)
	return true
}

func (t *tracer) strayClusterIP() bool {
	if t.isClusterIP() {
		t.why("filter cluster-ips-check: a port that no Service with clusterIP %s has: REJECT", t.dst)
		t.decide(Reject, nil)
		return true
	}
	if prefixesContain(t.n.serviceCIDRs, t.dst) {
		t.why("filter cluster-ips-check: %s is no Service's address, though in the ServiceCIDRs: DROP", t.dst)
		t.decide(Drop, nil)
		return true
	}
	return false
}
