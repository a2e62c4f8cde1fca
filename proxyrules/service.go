package proxyrules

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	affinityDefaultSeconds = 10800 // spec.sessionAffinityConfig.clientIP.timeoutSeconds
	affinityMaxSeconds     = 86400
	nameMax                = 63  // DNS label
	sliceNameMax           = 253 // DNS subdomain

	// serviceFrontendsMax bounds what one object can make: each port has each
	// address.
	serviceFrontendsMax = 1 << 20
)

// notices collects what was skipped as upstream skips it.
type notices []Diagnostic

func (ns *notices) add(object, field, value, message string) {
	*ns = append(*ns, Diagnostic{Object: object, Field: field, Value: value, Message: message})
}

func (s *Service) object() string {
	return "Service " + printable(s.Metadata.Namespace) + "/" + printable(s.Metadata.Name)
}

// watched reports whether a proxy looks at the Service at all. kube-proxy
// leaves these out in its informers and in ShouldSkipService.
func (s *Service) watched() bool {
	if _, other := s.Metadata.Labels[labelServiceProxyName]; other {
		return false
	}
	return s.Spec.ClusterIP != "" && s.Spec.ClusterIP != "None" && s.Spec.Type != "ExternalName"
}

// policies turns a Service into one Policy per port, without backends. No
// policies and no error: the Service does not concern this proxy.
func (n *node) policies(s *Service, mem *arena, ns *notices) ([]*Policy, *InputError) {
	if !s.watched() {
		return nil, nil
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	clusterIP, err := n.clusterIP(s, ns)
	if err != nil || !clusterIP.IsValid() {
		return nil, err
	}
	shared := mem.policies.one()
	*shared = Policy{
		ClusterIP:       clusterIP,
		InternalLocal:   s.Spec.InternalTrafficPolicy != nil && *s.Spec.InternalTrafficPolicy == "Local",
		ExternalLocal:   s.externalLocal(),
		ExternalIPs:     n.externalIPs(s, ns),
		LoadBalancerIPs: n.loadBalancerIPs(s, ns),
		SourceRanges:    n.sourceRanges(s, ns),
	}
	if shared.Affinity, err = s.affinity(); err != nil {
		return nil, err
	}
	if s.Spec.Type == "LoadBalancer" && shared.ExternalLocal {
		shared.HealthCheckNodePort = uint16(s.Spec.HealthCheckNodePort)
	}
	addresses := 1 + len(shared.ExternalIPs) + len(shared.LoadBalancerIPs)
	if made := len(s.Spec.Ports) * addresses; made > serviceFrontendsMax {
		return nil, refuse(s.object(), "spec.ports × addresses", strconv.Itoa(made), "at most "+strconv.Itoa(serviceFrontendsMax)+" frontends of one Service")
	}
	out := mem.made.take(len(s.Spec.Ports))
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		proto, _ := ParseProtocol(cmp.Or(p.Protocol, "TCP"))
		policy := shared
		if i < len(s.Spec.Ports)-1 {
			policy = shared.clone(mem.policies.one())
		}
		policy.Key = PortKey{s.Metadata.Namespace, s.Metadata.Name, p.Name, proto}
		policy.Port, policy.NodePort = uint16(p.Port), uint16(p.NodePort)
		policy.sum = policy.Key.sum()
		out[i] = policy
	}
	return out, nil
}

// clone copies a policy into another, without the texts made for it.
func (p *Policy) clone(out *Policy) *Policy {
	*out = Policy{
		Key: p.Key, All: p.All, Cluster: p.Cluster, Local: p.Local, Reachable: p.Reachable,
		HasEndpoints: p.HasEndpoints, Topology: p.Topology, InternalLocal: p.InternalLocal,
		ExternalLocal: p.ExternalLocal, Affinity: p.Affinity, ClusterIP: p.ClusterIP, Port: p.Port,
		NodePort: p.NodePort, ExternalIPs: p.ExternalIPs, LoadBalancerIPs: p.LoadBalancerIPs,
		SourceRanges: p.SourceRanges, HealthCheckNodePort: p.HealthCheckNodePort, lost: p.lost, sum: p.sum, others: p.others,
	}
	return out
}

// validate refuses what must not reach rule text or cannot be a Service.
func (s *Service) validate() *InputError {
	if !isLabel(s.Metadata.Namespace) {
		return refuse(s.object(), "metadata.namespace", s.Metadata.Namespace, "a DNS label of at most 63 characters")
	}
	if !isLabel(s.Metadata.Name) {
		return refuse(s.object(), "metadata.name", s.Metadata.Name, "a DNS label of at most 63 characters")
	}
	sp := &s.Spec
	switch sp.Type {
	case "", "ClusterIP", "NodePort", "LoadBalancer":
	default:
		return refuse(s.object(), "spec.type", sp.Type, "one of ClusterIP, NodePort, LoadBalancer, ExternalName")
	}
	switch sp.SessionAffinity {
	case "", "None", "ClientIP":
	default:
		return refuse(s.object(), "spec.sessionAffinity", sp.SessionAffinity, "None or ClientIP")
	}
	if p := deref(sp.InternalTrafficPolicy); !isTrafficPolicy(p) {
		return refuse(s.object(), "spec.internalTrafficPolicy", p, "Cluster or Local")
	}
	if p := sp.ExternalTrafficPolicy; !isTrafficPolicy(p) {
		return refuse(s.object(), "spec.externalTrafficPolicy", p, "Cluster or Local")
	}
	for i, f := range sp.IPFamilies {
		if f != IPv4 && f != IPv6 {
			return refuse(s.object(), fmt.Sprintf("spec.ipFamilies[%d]", i), string(f), "IPv4 or IPv6")
		}
	}
	if p := sp.HealthCheckNodePort; p < 0 || p > 65535 {
		return refuse(s.object(), "spec.healthCheckNodePort", fmt.Sprint(p), "a port from 1 to 65535, or 0 for none")
	}
	return s.validatePorts()
}

func isTrafficPolicy(p string) bool { return p == "" || p == "Cluster" || p == "Local" }

func (s *Service) validatePorts() *InputError {
	refusePort := func(i int, field, value, want string) *InputError {
		return refuse(s.object(), "spec.ports["+strconv.Itoa(i)+"]."+field, value, want)
	}
	// The API wants unique names. Ports that differ by protocol are distinct to
	// kube-proxy all the same, and so they are here.
	var seen map[parsedPort]bool
	if len(s.Spec.Ports) > 1 {
		seen = make(map[parsedPort]bool, len(s.Spec.Ports))
	}
	for i, p := range s.Spec.Ports {
		proto, _ := ParseProtocol(cmp.Or(p.Protocol, "TCP"))
		switch {
		case p.Name != "" && !isLabel(p.Name):
			return refusePort(i, "name", p.Name, "a DNS label of at most 63 characters")
		case seen[parsedPort{name: p.Name, protocol: proto}]:
			return refusePort(i, "name", p.Name, "a name that no other "+proto.String()+" port of the Service has")
		case p.Port < 1 || p.Port > 65535:
			return refusePort(i, "port", fmt.Sprint(p.Port), "a port from 1 to 65535")
		case p.NodePort < 0 || p.NodePort > 65535:
			return refusePort(i, "nodePort", fmt.Sprint(p.NodePort), "a port from 1 to 65535, or 0 for none")
		case p.Protocol != "" && p.Protocol != "TCP" && p.Protocol != "UDP" && p.Protocol != "SCTP":
			return refusePort(i, "protocol", p.Protocol, "TCP, UDP or SCTP")
		}
		if seen != nil {
			seen[parsedPort{name: p.Name, protocol: proto}] = true
		}
	}
	return nil
}

// clusterIP finds the Service's address in the proxy's family: by position in
// spec.ipFamilies, or spec.clusterIP when there is no such list.
func (n *node) clusterIP(s *Service, ns *notices) (netip.Addr, *InputError) {
	field, text := "spec.clusterIP", s.Spec.ClusterIP
	if len(s.Spec.IPFamilies) > 0 {
		text = ""
		for i, f := range s.Spec.IPFamilies {
			if f == n.family && i < len(s.Spec.ClusterIPs) {
				field, text = fmt.Sprintf("spec.clusterIPs[%d]", i), s.Spec.ClusterIPs[i]
				break
			}
		}
		if text == "" {
			if slices.Contains(s.Spec.IPFamilies, n.family) {
				ns.add(s.object(), "spec.clusterIPs", strings.Join(s.Spec.ClusterIPs, ","),
					"no address for "+string(n.family)+", though spec.ipFamilies names it: not proxied")
			}
			return netip.Addr{}, nil
		}
	}
	ip, ok := parseAddr(text)
	if !ok {
		return netip.Addr{}, refuse(s.object(), field, text, "an IP address")
	}
	if familyOf(ip) != n.family {
		if len(s.Spec.IPFamilies) > 0 {
			return netip.Addr{}, refuse(s.object(), field, text, "an "+string(n.family)+" address, as spec.ipFamilies says")
		}
		return netip.Addr{}, nil
	}
	return ip, nil
}

// externalLocal: the external policy counts only for Services that traffic
// from outside can reach by their type.
func (s *Service) externalLocal() bool {
	if s.Spec.ExternalTrafficPolicy != "Local" {
		return false
	}
	switch s.Spec.Type {
	case "LoadBalancer", "NodePort":
		return true
	}
	return len(s.Spec.ExternalIPs) > 0
}

func (s *Service) affinity() (time.Duration, *InputError) {
	if s.Spec.SessionAffinity != "ClientIP" {
		return 0, nil
	}
	seconds := int32(affinityDefaultSeconds)
	if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		seconds = *c.ClientIP.TimeoutSeconds
	}
	if seconds < 1 || seconds > affinityMaxSeconds {
		return 0, refuse(s.object(), "spec.sessionAffinityConfig.clientIP.timeoutSeconds", fmt.Sprint(seconds), "1 to 86400 seconds")
	}
	return time.Duration(seconds) * time.Second, nil
}

func (n *node) externalIPs(s *Service, ns *notices) []netip.Addr {
	var out []netip.Addr
	for i, text := range s.Spec.ExternalIPs {
		ip, ok := parseAddr(text)
		if !ok {
			ns.add(s.object(), fmt.Sprintf("spec.externalIPs[%d]", i), text, "not an IP address: skipped")
		} else if familyOf(ip) == n.family {
			out = append(out, ip)
		}
	}
	return out
}

func (n *node) loadBalancerIPs(s *Service, ns *notices) []netip.Addr {
	var out []netip.Addr
	for i, in := range s.Status.LoadBalancer.Ingress {
		if in.IP == "" || in.IPMode != nil && *in.IPMode != "VIP" {
			continue
		}
		ip, ok := parseAddr(in.IP)
		if !ok {
			ns.add(s.object(), fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i), in.IP, "not an IP address: skipped")
		} else if familyOf(ip) == n.family {
			out = append(out, ip)
		}
	}
	return out
}

// sourceRanges returns the ranges of the family. One range of length zero
// allows everything, which is the same as none. Ranges of the other family
// alone leave this family open, as upstream; that is worth a notice.
func (n *node) sourceRanges(s *Service, ns *notices) []netip.Prefix {
	var out []netip.Prefix
	others := 0
	for i, text := range s.Spec.LoadBalancerSourceRanges {
		text = strings.TrimSpace(text)
		p, ok := parsePrefix(text)
		switch {
		case text == "":
		case !ok:
			ns.add(s.object(), fmt.Sprintf("spec.loadBalancerSourceRanges[%d]", i), text, "not a CIDR range: skipped")
		case familyOf(p.Addr()) != n.family:
			others++
		default:
			out = append(out, p)
		}
	}
	if slices.ContainsFunc(out, func(p netip.Prefix) bool { return p.Bits() == 0 }) {
		return nil
	}
	if len(out) == 0 && others > 0 {
		ns.add(s.object(), "spec.loadBalancerSourceRanges", strings.Join(s.Spec.LoadBalancerSourceRanges, ","),
			"no range of "+string(n.family)+": load balancer addresses of that family are open to all")
	}
	return out
}

// parsePrefix reads a range like parseAddr reads an address, and masks it.
func parsePrefix(s string) (netip.Prefix, bool) {
	addr, length, ok := strings.Cut(s, "/")
	if !ok || length == "" || len(length) > 3 {
		return netip.Prefix{}, false
	}
	bits, err := strconv.Atoi(length)
	if err != nil || bits < 0 || length[0] == '+' {
		return netip.Prefix{}, false
	}
	ip, ok := parseAddr(addr)
	if !ok {
		return netip.Prefix{}, false
	}
	if ip.Is4() && strings.Contains(addr, ":") {
		if bits < 96 {
			return netip.Prefix{}, false // mixes mapped and other addresses
		}
		bits -= 96
	}
	p, err := ip.Prefix(bits)
	return p, err == nil
}

// isLabel: lower-case letters, digits and inner hyphens, at most 63. Such a
// name is safe in every rule text.
func isLabel(s string) bool {
	if s == "" || len(s) > nameMax || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// isSubdomain: labels joined by dots, at most 253 characters.
func isSubdomain(s string) bool {
	if len(s) > sliceNameMax {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

// printable makes a name safe to show in an error.
func printable(s string) string {
	if len(s) > quotedMax {
		s = s[:quotedMax] + "…"
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
