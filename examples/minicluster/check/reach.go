package check

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/selector"
)

// A client inside the cluster that is no pod of any service, and one outside.
var (
	insideClient  = netip.MustParseAddrPort("10.191.255.253:40000")
	outsideClient = netip.MustParseAddrPort("203.0.113.7:40000")
)

// address is one way to reach a service port, and what it should lead to.
type address struct {
	name     string
	protocol proxyrules.Protocol
	from     netip.AddrPort
	to       func(*api.Node) netip.AddrPort
	want     map[netip.AddrPort]string // what is behind each backend
	got      map[netip.AddrPort]bool
}

// reachable sends a first packet for every way that a service's rules can choose,
// from every node, and compares the backends hit with the pods that are ready.
// Traffic policies may keep a node from some backends, so those that any node
// reaches count together.
func (r *Report) reachable(view *control.View, rules iter.Seq2[string, *proxyrules.RuleSet]) {
	addresses := addressesOf(view)
	for node, compiled := range rules {
		n := view.Nodes[api.Nodes.Key("", node)]
		if n == nil {
			continue
		}
		for _, a := range addresses {
			if stray, ok := a.send(compiled, &n.Object); !ok {
				r.fail(Endpoints, a.name, "node %s sends traffic to %s, which is no ready pod", node, stray)
			}
		}
	}
	for _, a := range addresses {
		for _, b := range slices.SortedFunc(maps.Keys(a.want), netip.AddrPort.Compare) {
			r.Checked[Endpoints]++
			if !a.got[b] {
				r.fail(Endpoints, a.name, "no node sends traffic to %s at %s", a.want[b], b)
			}
		}
	}
}

// addressesOf lists the cluster IPs and node ports of all services.
func addressesOf(view *control.View) []*address {
	var out []*address
	for svc := range view.Services.All() {
		s := &svc.Object
		ip, err := netip.ParseAddr(s.Spec.ClusterIP)
		if err != nil || !ip.Is4() || s.Spec.Type == "ExternalName" {
			continue // no virtual address, nothing to look up
		}
		for i := range s.Spec.Ports {
			port := &s.Spec.Ports[i]
			a := address{
				name:     fmt.Sprintf("%s port %d", api.Title("Service", s.Metadata.Namespace, s.Metadata.Name), port.Port),
				protocol: proxyrules.TCP,
				from:     insideClient,
				to:       func(*api.Node) netip.AddrPort { return netip.AddrPortFrom(ip, uint16(port.Port)) },
				want:     backends(view, s, port),
				got:      map[netip.AddrPort]bool{},
			}
			if port.Protocol != "" {
				a.protocol, _ = proxyrules.ParseProtocol(port.Protocol)
			}
			out = append(out, &a)
			if port.NodePort == 0 {
				continue
			}
			outside := a
			outside.name += " by node port"
			outside.from, outside.got = outsideClient, map[netip.AddrPort]bool{}
			outside.to = func(n *api.Node) netip.AddrPort {
				own, _ := netip.ParseAddr(n.InternalIP())
				return netip.AddrPortFrom(own, uint16(port.NodePort))
			}
			out = append(out, &outside)
		}
	}
	return out
}

// send tries every choice that a node's rules have. It returns the first backend
// that should get no traffic.
func (a *address) send(rules *proxyrules.RuleSet, n *api.Node) (stray netip.AddrPort, ok bool) {
	flow := proxyrules.Flow{Protocol: a.protocol, Source: a.from, Destination: a.to(n)}
	if !flow.Destination.Addr().IsValid() {
		return stray, true
	}
	for _, random := range choices(rules.Lookup(&flow, 0)) {
		d := rules.Lookup(&flow, random)
		if d.Verdict != proxyrules.DNAT {
			continue
		}
		if _, wanted := a.want[d.Backend]; !wanted && len(a.want) > 0 {
			return d.Backend, false
		}
		a.got[d.Backend] = true
	}
	return stray, true
}

// choices are random numbers of which each backend of the policy gets one.
func choices(d proxyrules.Decision) []uint32 {
	if d.Policy == nil {
		return nil
	}
	var out []uint32
	for _, n := range []int{len(d.Policy.Cluster), len(d.Policy.Local)} {
		for i := range n {
			out = append(out, uint32((uint64(2*i+1)<<31)/uint64(n)))
		}
	}
	return out
}

// backends are the pods that should get a service port's traffic, or, for a
// service without selector, the endpoints that somebody has written for it.
func backends(view *control.View, s *api.Service, port *api.ServicePort) map[netip.AddrPort]string {
	out := map[netip.AddrPort]string{}
	add := func(ip string, number int32, what string) {
		if addr, err := netip.ParseAddr(ip); err == nil && addr.Is4() && number > 0 {
			out[netip.AddrPortFrom(addr, uint16(number))] = what
		}
	}
	if len(s.Spec.Selector) == 0 {
		for e := range view.Slices.All() {
			if e.Object.Metadata.Namespace == s.Metadata.Namespace && e.Object.Metadata.Labels[api.LabelServiceName] == s.Metadata.Name {
				written(&e.Object, port, add)
			}
		}
		return out
	}
	choose := selector.FromMap(s.Spec.Selector)
	for p := range view.Pods.All() {
		pod := &p.Object
		if pod.Metadata.Namespace != s.Metadata.Namespace || !choose.MatchesMap(pod.Metadata.Labels) || pod.Finished() {
			continue
		}
		if pod.Ready() && pod.Active() || s.Spec.PublishNotReadyAddresses {
			add(pod.Status.PodIP, control.TargetPort(pod, port), api.Title("Pod", pod.Metadata.Namespace, pod.Metadata.Name))
		}
	}
	return out
}

func written(e *api.EndpointSlice, port *api.ServicePort, add func(string, int32, string)) {
	for _, p := range e.Ports {
		same := p.Protocol == port.Protocol || p.Protocol+port.Protocol == "TCP"
		if p.Name != port.Name || !same {
			continue
		}
		for _, endpoint := range e.Endpoints {
			ready := endpoint.Conditions.Ready
			if len(endpoint.Addresses) > 0 && (ready == nil || *ready) {
				add(endpoint.Addresses[0], p.Port, "endpoint of "+e.Metadata.Name)
			}
		}
	}
}
