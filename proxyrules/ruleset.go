package proxyrules

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Protocol is an IP protocol number.
type Protocol uint8

// The protocols a Service can have.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns the protocol's name as rule texts spell it.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return "unknown"
}

// ParseProtocol reads TCP, UDP or SCTP in upper or lower case.
func ParseProtocol(s string) (Protocol, bool) {
	switch s {
	case "TCP", "tcp":
		return TCP, true
	case "UDP", "udp":
		return UDP, true
	case "SCTP", "sctp":
		return SCTP, true
	}
	return 0, false
}

// PortKey identifies a service port: endpoints join a Service by the NAME
// and protocol of a port, never by its number.
type PortKey struct {
	Namespace, Service, Port string
	Protocol                 Protocol
}

// String prints ns/name:port, or ns/name for a port without a name.
func (k PortKey) String() string {
	s := k.Namespace + "/" + k.Service
	if k.Port != "" {
		s += ":" + k.Port
	}
	return s
}

func (k PortKey) compare(o PortKey) int {
	return cmpOr(cmpString(k.Namespace, o.Namespace), cmpString(k.Service, o.Service),
		cmpString(k.Port, o.Port), int(k.Protocol)-int(o.Protocol))
}

// Backend is an endpoint of a service port.
type Backend struct {
	Address     netip.AddrPort
	Local       bool // on this node
	Ready       bool
	Serving     bool
	Terminating bool
	Slice       string // name of the EndpointSlice it came from

	text  string // "ip:port"; the lists are sorted by it
	hints *hints
}

// Policy says what a service port does with connections it captures: which
// backends it spreads them over, for whom, and how.
type Policy struct {
	Key PortKey
	// All are the known backends, sorted by the string "ip:port".
	All []Backend
	// Cluster and Local are the usable backends under each traffic policy;
	// Reachable is the union of both.
	Cluster, Local, Reachable []Backend
	// HasEndpoints: some usable backend exists somewhere in the cluster.
	HasEndpoints bool
	// Topology is "", "PreferSameNode" or "PreferSameZone".
	Topology string
	// InternalLocal and ExternalLocal are the two traffic policies.
	InternalLocal, ExternalLocal bool
	// Affinity is the timeout of ClientIP affinity; 0 means none.
	Affinity time.Duration
	// ClusterIP and Port are the service's own address.
	ClusterIP netip.Addr
	Port      uint16
	// NodePort is 0 when there is none.
	NodePort            uint16
	ExternalIPs         []netip.Addr
	LoadBalancerIPs     []netip.Addr
	SourceRanges        []netip.Prefix
	HealthCheckNodePort uint16

	others []string // ports of the service's slices, when none is this one

	lost map[frontKey]PortKey // addresses that another service port holds
	sum  [sha256.Size]byte    // of the key; names and places follow from it

	iptables atomic.Pointer[iptablesFragment] // made when first needed
	nft      atomic.Pointer[nftFragment]

	maglevCluster, maglevLocal atomic.Pointer[Maglev]
}

// FrontendKind says which field of a Service an address comes from.
type FrontendKind uint8

// The kinds of frontends, in the order in which rules capture them.
const (
	ClusterIPFrontend FrontendKind = iota
	ExternalIPFrontend
	LoadBalancerFrontend
	NodePortFrontend
)

// String names the kind by the field it stands for.
func (k FrontendKind) String() string {
	switch k {
	case ClusterIPFrontend:
		return "clusterIP"
	case ExternalIPFrontend:
		return "externalIP"
	case LoadBalancerFrontend:
		return "loadBalancer"
	}
	return "nodePort"
}

// Frontend is an address at which a service port captures connections.
type Frontend struct {
	Kind     FrontendKind
	Address  netip.Addr // zero for a node port
	Port     uint16
	Protocol Protocol
	Policy   *Policy
}

// RuleSet is the compiled state of a proxy for one IP family: frontends,
// each with the policy that says which backends it reaches. It is immutable;
// all methods may be called concurrently.
type RuleSet struct {
	node      *node
	list      policyList
	flat      atomic.Pointer[[]*Policy] // the same in one piece, made when first needed
	endpoints int                       // of all policies
	refused   []*InputError
	notices   []Diagnostic
	table     *table
	spans     *spanTable
}

// Diagnostic is something about the input that the rules cannot express or
// that a person should know: it changes what the rules do, without being an
// error upstream.
type Diagnostic struct {
	Object, Field, Value string
	Message              string
}

// Policies returns the service ports, sorted by key.
func (r *RuleSet) Policies() []*Policy {
	if all := r.flat.Load(); all != nil {
		return *all
	}
	all := r.list.flat()
	r.flat.Store(&all)
	return all
}

// Frontends returns the addresses that are captured, in the order of their
// policies.
func (r *RuleSet) Frontends() []Frontend {
	var out []Frontend
	for _, p := range r.Policies() {
		for f := range p.eachFrontend {
			if !p.loses(f.key()) {
				out = append(out, f)
			}
		}
	}
	return out
}

// loses: another service port holds the address.
func (p *Policy) loses(k frontKey) bool {
	_, lost := p.lost[k]
	return lost
}

// Refused lists the objects left out because of Config.SkipRefused.
func (r *RuleSet) Refused() []*InputError { return r.refused }

// Diagnostics lists conflicts and values that were skipped, as upstream
// skips them, sorted.
func (r *RuleSet) Diagnostics() []Diagnostic {
	out := notices(slices.Clone(r.notices))
	for _, p := range r.Policies() {
		for f := range p.eachFrontend {
			if holder, lost := p.lost[f.key()]; lost {
				out.add("Service "+p.Key.Namespace+"/"+p.Key.Service, f.Kind.String(), f.text(),
					"already held by Service port "+holder.String()+", which keeps it")
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	slices.SortFunc(out, compareDiagnostics)
	return slices.CompactFunc(out, func(a, b Diagnostic) bool { return a == b })
}

// Family returns the IP family the rules are for.
func (r *RuleSet) Family() Family { return r.node.family }

// Mode returns the data plane that Lookup and Trace imitate.
func (r *RuleSet) Mode() Mode { return r.node.mode }

func cmpOr(vs ...int) int {
	for _, v := range vs {
		if v != 0 {
			return v
		}
	}
	return 0
}

func cmpString(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
