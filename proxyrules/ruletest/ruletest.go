// Package ruletest makes random but reproducible inputs for programs that
// deal with service rules: states of a cluster in which every feature of a
// Service meets every other, and the flows that tell one rule set from
// another. All of it follows from a seed.
package ruletest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/orchcore/orchcore/proxyrules"
)

// State is an input of proxyrules.Compile.
type State struct {
	Config   proxyrules.Config
	Services []proxyrules.Service
	Slices   []proxyrules.EndpointSlice
}

// Addresses of the invented cluster, IPv4 and IPv6 side by side.
type plan struct {
	nodeIPs, otherIPs, externalIPs, vips []string
	clusterCIDR, serviceCIDR, pod, svc   string
	ranges                               []string
}

var plans = map[proxyrules.Family]plan{
	proxyrules.IPv4: {
		nodeIPs: []string{"192.168.0.2", "192.168.0.3"}, otherIPs: []string{"8.8.8.8", "192.168.0.100"},
		externalIPs: []string{"5.6.7.1", "5.6.7.2", "192.168.0.3"}, vips: []string{"7.7.7.1", "7.7.7.2", "5.6.7.1"},
		clusterCIDR: "10.0.0.0/16", serviceCIDR: "172.30.0.0/24", pod: "10.0.%d.%d", svc: "172.30.0.%d",
		ranges: []string{"192.168.0.0/24", "8.8.8.0/24", "10.0.1.0/24", " 192.168.0.100/32 "},
	},
	proxyrules.IPv6: {
		nodeIPs: []string{"fd00:1::2", "fd00:1::3"}, otherIPs: []string{"2001:db8::8", "fd00:1::100"},
		externalIPs: []string{"2001:db8:5::1", "2001:db8:5::2", "fd00:1::3"}, vips: []string{"2001:db8:7::1", "2001:db8:7::2", "2001:db8:5::1"},
		clusterCIDR: "fd00:10::/64", serviceCIDR: "fd00:30::/120", pod: "fd00:10::%d:%d", svc: "fd00:30::%d",
		ranges: []string{"fd00:1::/64", "2001:db8::/64", "fd00:10::1:0/112", " fd00:1::100/128 "},
	},
}

const (
	nodeName = "node-a"
	zone     = "zone-1"
)

type generator struct {
	*rand.Rand
	plan
	state  State
	family proxyrules.Family
	taken  map[string]bool // "address port protocol" and "port protocol"
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// Random makes a state of up to six Services for one family and mode. No two
// service ports claim one address, since kube-proxy leaves open who wins.
func Random(seed uint64, family proxyrules.Family, mode proxyrules.Mode) State {
	g := &generator{
		Rand: rand.New(rand.NewPCG(seed, 0x0c)), plan: plans[family],
		family: family, taken: map[string]bool{},
	}
	g.config(mode)
	for i := range 1 + g.IntN(6) {
		g.service(i)
	}
	g.Shuffle(len(g.state.Services), func(i, j int) {
		g.state.Services[i], g.state.Services[j] = g.state.Services[j], g.state.Services[i]
	})
	g.Shuffle(len(g.state.Slices), func(i, j int) {
		g.state.Slices[i], g.state.Slices[j] = g.state.Slices[j], g.state.Slices[i]
	})
	return g.state
}

func (g *generator) config(mode proxyrules.Mode) {
	c := &g.state.Config
	c.NodeName, c.Family, c.Mode = nodeName, g.family, mode
	for _, ip := range g.nodeIPs {
		c.NodeIPs = append(c.NodeIPs, netip.MustParseAddr(ip))
	}
	if g.chance(80) {
		c.NodeLabels = map[string]string{"topology.kubernetes.io/zone": zone}
	}
	if g.chance(80) {
		c.ClusterCIDRs = []netip.Prefix{netip.MustParsePrefix(g.clusterCIDR)}
	}
	c.MasqueradeAll = g.chance(10)
	c.LocalhostNodePorts = g.chance(40)
	if g.chance(20) {
		g.byInterface(c)
	}
	c.TCPBeLiberal = g.chance(20)
	if g.chance(60) {
		c.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix(g.serviceCIDR)}
	}
	if g.chance(25) {
		first := c.NodeIPs[0]
		c.NodePortAddresses = []netip.Prefix{netip.PrefixFrom(first, first.BitLen())}
		if g.chance(30) {
			c.NodePortAddresses = append(c.NodePortAddresses, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
		}
	}
}

// podInterface is the name of an interface that pods are behind.
const podInterface = "cni0"

// byInterface tells pods by interface and not by address.
func (g *generator) byInterface(c *proxyrules.Config) {
	c.ClusterCIDRs = nil
	if g.chance(50) {
		c.BridgeInterface = podInterface
	} else {
		c.InterfaceNamePrefix = "cni"
	}
}

// claim reserves an address for one service port.
func (g *generator) claim(key string) bool {
	if g.taken[key] {
		return false
	}
	g.taken[key] = true
	return true
}

func (g *generator) service(i int) {
	s := proxyrules.Service{}
	s.Metadata.Namespace, s.Metadata.Name = pick(g, "ns1", "ns2"), fmt.Sprintf("svc-%d", i)
	sp := &s.Spec
	sp.Type = pick(g, "ClusterIP", "ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer")
	if g.chance(3) {
		sp.Type = "ExternalName"
	}
	sp.ClusterIP = fmt.Sprintf(g.svc, 10+i)
	if g.chance(3) {
		sp.ClusterIP = "None"
	}
	if g.chance(3) {
		s.Metadata.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": "other"}
	}
	sp.ClusterIPs, sp.IPFamilies = []string{sp.ClusterIP}, []proxyrules.Family{g.family}
	sp.SessionAffinity = "None"
	if g.chance(20) {
		sp.SessionAffinity = "ClientIP"
		seconds := int32(pick(g, 3, 10800))
		sp.SessionAffinityConfig = &proxyrules.SessionAffinityConfig{ClientIP: &proxyrules.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
	if g.chance(50) {
		policy := pick(g, "Cluster", "Local")
		sp.InternalTrafficPolicy = &policy
	}
	g.ports(&s)
	g.outside(&s)
	g.state.Services = append(g.state.Services, s)
	for k := range g.IntN(4) {
		g.slice(&s, k)
	}
}

func (g *generator) ports(s *proxyrules.Service) {
	names := []string{"http", "dns", "x"}
	for k := range 1 + g.IntN(2) {
		p := proxyrules.ServicePort{Name: names[k], Protocol: pick(g, "TCP", "TCP", "UDP", "SCTP"), Port: pick(g, int32(80), 443, 30001)}
		if !g.claim(fmt.Sprint(s.Spec.ClusterIP, p.Port, p.Protocol)) {
			continue
		}
		if s.Spec.Type == "NodePort" || s.Spec.Type == "LoadBalancer" && g.chance(80) {
			np := 30001 + int32(g.IntN(12))
			if g.claim(fmt.Sprint(np, p.Protocol)) {
				p.NodePort = np
			}
		}
		s.Spec.Ports = append(s.Spec.Ports, p)
	}
}

// outside adds the addresses that lead to the Service from outside.
func (g *generator) outside(s *proxyrules.Service) {
	sp := &s.Spec
	free := func(ip string) bool {
		for _, p := range sp.Ports {
			if g.taken[fmt.Sprint(ip, p.Port, p.Protocol)] {
				return false
			}
		}
		return true
	}
	take := func(ip string) {
		for _, p := range sp.Ports {
			g.taken[fmt.Sprint(ip, p.Port, p.Protocol)] = true
		}
	}
	var external, vip string
	if ip := pick(g, g.externalIPs...); g.chance(30) && free(ip) {
		external = ip
	}
	if ip := pick(g, g.vips...); sp.Type == "LoadBalancer" && g.chance(80) && free(ip) {
		vip = ip
	}
	if external != "" {
		take(external)
		sp.ExternalIPs = []string{external}
		if g.chance(10) {
			sp.ExternalIPs = append(sp.ExternalIPs, "not-an-ip")
		}
	}
	if vip != "" {
		take(vip)
		in := proxyrules.LoadBalancerIngress{IP: vip}
		if g.chance(50) {
			mode := pick(g, "VIP", "VIP", "Proxy")
			in.IPMode = &mode
		}
		s.Status.LoadBalancer.Ingress = []proxyrules.LoadBalancerIngress{{Hostname: "lb.example"}, in}
	}
	if sp.Type != "ClusterIP" || external != "" {
		sp.ExternalTrafficPolicy = pick(g, "Cluster", "Local")
	}
	if sp.Type == "LoadBalancer" {
		if sp.ExternalTrafficPolicy == "Local" && g.chance(70) {
			sp.HealthCheckNodePort = 31000 + int32(g.IntN(3))
		}
		g.sourceRanges(sp)
	}
}

func (g *generator) sourceRanges(sp *proxyrules.ServiceSpec) {
	if !g.chance(50) {
		return
	}
	for _, r := range g.ranges {
		if g.chance(35) {
			sp.LoadBalancerSourceRanges = append(sp.LoadBalancerSourceRanges, r)
		}
	}
	if g.chance(10) {
		sp.LoadBalancerSourceRanges = append(sp.LoadBalancerSourceRanges, "0.0.0.0/0", "::/0")
	}
	if g.chance(10) {
		sp.LoadBalancerSourceRanges = append(sp.LoadBalancerSourceRanges, "rubbish")
	}
}

func (g *generator) slice(s *proxyrules.Service, k int) {
	e := proxyrules.EndpointSlice{AddressType: string(g.family)}
	e.Metadata.Namespace, e.Metadata.Name = s.Metadata.Namespace, fmt.Sprintf("%s-%d", s.Metadata.Name, k)
	e.Metadata.Labels = map[string]string{"kubernetes.io/service-name": s.Metadata.Name}
	if g.chance(3) {
		e.Metadata.Labels["service.kubernetes.io/headless"] = ""
	}
	if g.chance(3) {
		e.AddressType = "FQDN"
	}
	for _, p := range s.Spec.Ports {
		if g.chance(90) {
			port := int32(8080 + g.IntN(2))
			if g.chance(5) {
				port = pick(g, int32(80), 30001) // a number that frontends have too
			}
			e.Ports = append(e.Ports, proxyrules.EndpointPort{Name: &p.Name, Protocol: &p.Protocol, Port: &port})
		}
	}
	hints := g.IntN(4) // none, zones, nodes, both
	ready := g.IntN(4)
	for range g.IntN(5) {
		// Slices have ranges of their own: upstream leaves open which of two
		// slices wins.
		e.Endpoints = append(e.Endpoints, g.endpoint(k, hints, ready))
	}
	g.state.Slices = append(g.state.Slices, e)
}

func (g *generator) endpoint(slice, hints, ready int) proxyrules.Endpoint {
	e := proxyrules.Endpoint{Addresses: []string{fmt.Sprintf(g.pod, slice, 1+g.IntN(6))}}
	if g.chance(4) && slice == 0 {
		e.Addresses[0] = g.nodeIPs[0]
	}
	if g.chance(3) && slice == 1 { // an address that Services capture
		e.Addresses[0] = pick(g, fmt.Sprintf(g.svc, 10+g.IntN(6)), fmt.Sprintf(g.svc, 201), g.externalIPs[0], g.vips[0])
	}
	node := pick(g, nodeName, "node-b", "node-c")
	if g.chance(90) {
		e.NodeName = &node
	}
	condition := func(percent int) *bool {
		v := g.chance(percent)
		if g.chance(20) {
			return nil
		}
		return &v
	}
	percent := []int{100, 80, 40, 0}[ready]
	e.Conditions = proxyrules.EndpointConditions{Ready: condition(percent), Serving: condition(80), Terminating: condition(30)}
	if hints > 0 && g.chance(92) {
		e.Hints = &proxyrules.EndpointHints{}
		if hints&1 != 0 {
			e.Hints.ForZones = []proxyrules.Hint{{Name: pick(g, zone, "zone-2", "")}}
		}
		if hints&2 != 0 {
			e.Hints.ForNodes = []proxyrules.Hint{{Name: node}, {Name: pick(g, nodeName, "node-b")}}
		}
	}
	return e
}

// Flows returns n flows at the boundaries of the state: every address that a
// Service has with its port and the ports next to it, from every kind of
// source and interface, in random order.
func Flows(s State, seed uint64, n int) []proxyrules.Flow {
	rng := rand.New(rand.NewPCG(seed, 0xf1))
	p := plans[s.Config.Family]
	sources, destinations := s.sources(p), s.destinations(p)
	protocols := []proxyrules.Protocol{proxyrules.TCP, proxyrules.UDP, proxyrules.SCTP}
	interfaces := []string{podInterface, "cni1", "eth0", "cn"}
	out := make([]proxyrules.Flow, n)
	for i := range out {
		d := destinations[rng.IntN(len(destinations))]
		port := d.Port()
		if rng.IntN(5) == 0 {
			port = uint16(int(port) + rng.IntN(3) - 1)
		}
		proto := protocols[0]
		if rng.IntN(3) > 0 {
			proto = protocols[rng.IntN(3)]
		}
		out[i] = proxyrules.Flow{
			Protocol:    proto,
			Source:      netip.AddrPortFrom(sources[rng.IntN(len(sources))], uint16(1024+rng.IntN(60000))),
			Destination: netip.AddrPortFrom(d.Addr(), port),
			Interface:   interfaces[rng.IntN(len(interfaces))],
		}
	}
	return out
}

func (s State) sources(p plan) []netip.Addr {
	texts := slices.Concat(p.nodeIPs, p.otherIPs, p.vips[:1], []string{fmt.Sprintf(p.pod, 9, 9)})
	for _, e := range s.Slices {
		for _, ep := range e.Endpoints {
			texts = append(texts, ep.Addresses...)
		}
	}
	return append(parse(texts), loopback(s.Config.Family))
}

func loopback(f proxyrules.Family) netip.Addr {
	if f == proxyrules.IPv6 {
		return netip.IPv6Loopback()
	}
	return netip.MustParseAddr("127.0.0.1")
}

func (s State) destinations(p plan) []netip.AddrPort {
	var out []netip.AddrPort
	add := func(texts []string, port int32) {
		for _, ip := range parse(texts) {
			out = append(out, netip.AddrPortFrom(ip, uint16(port)))
		}
	}
	for _, svc := range s.Services {
		for _, port := range svc.Spec.Ports {
			add([]string{svc.Spec.ClusterIP}, port.Port)
			add(svc.Spec.ClusterIPs, port.Port)
			add(svc.Spec.ExternalIPs, port.Port)
			for _, in := range svc.Status.LoadBalancer.Ingress {
				add([]string{in.IP}, port.Port)
			}
			if port.NodePort != 0 {
				add(append(slices.Clone(p.nodeIPs), loopback(s.Config.Family).String(), p.otherIPs[0]), port.NodePort)
			}
		}
		if svc.Spec.HealthCheckNodePort != 0 {
			add(p.nodeIPs, svc.Spec.HealthCheckNodePort)
		}
	}
	add([]string{fmt.Sprintf(p.svc, 200)}, 80) // unallocated
	for _, e := range s.Slices {
		for _, ep := range e.Endpoints {
			add(ep.Addresses, 8080)
		}
	}
	return out
}

// parse keeps what is an address.
func parse(texts []string) []netip.Addr {
	var out []netip.Addr
	for _, t := range texts {
		if ip, err := netip.ParseAddr(t); err == nil {
			out = append(out, ip)
		}
	}
	return out
}
