package check

import (
	"fmt"
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

// reachable sends a first packet for every way that a service's rules can choose,
// from every node, and compares the backends hit with the pods that are ready.
func (r *Report) reachable(view *control.View, rules map[string]*proxyrules.RuleSet) {
	for svc := range view.Services.All() {
		s := &svc.Object
		ip, err := netip.ParseAddr(s.Spec.ClusterIP)
		if err != nil || !ip.Is4() || s.Spec.Type == "ExternalName" {
			continue // no virtual address, nothing to look up
		}
		title := api.Title("Service", s.Metadata.Namespace, s.Metadata.Name)
		for i := range s.Spec.Ports {
			port := &s.Spec.Ports[i]
			want := backends(view, s, port)
			name := fmt.Sprintf("%s port %d", title, port.Port)
			r.hit(name, want, rules, port, insideClient, func(string) netip.AddrPort {
				return netip.AddrPortFrom(ip, uint16(port.Port))
			})
			if port.NodePort != 0 {
				r.hit(name+" by node port", want, rules, port, outsideClient, func(node string) netip.AddrPort {
					n := view.Nodes[api.Nodes.Key("", node)]
					address, _ := netip.ParseAddr(n.Object.InternalIP())
					return netip.AddrPortFrom(address, uint16(port.NodePort))
				})
			}
		}
	}
}

// hit checks one address of a service port. Traffic policies may keep a node from
// some backends, so those hit from any node count together; each must be wanted.
func (r *Report) hit(name string, want map[netip.AddrPort]string, rules map[string]*proxyrules.RuleSet,
	port *api.ServicePort, from netip.AddrPort, to func(node string) netip.AddrPort,
) {
	protocol := proxyrules.TCP
	if port.Protocol != "" {
		protocol, _ = proxyrules.ParseProtocol(port.Protocol)
	}
	got := map[netip.AddrPort]bool{}
	for _, node := range slices.Sorted(maps.Keys(rules)) {
		flow := proxyrules.Flow{Protocol: protocol, Source: from, Destination: to(node)}
		if !flow.Destination.Addr().IsValid() {
			continue
		}
		for _, random := range choices(rules[node].Lookup(flow, 0)) {
			d := rules[node].Lookup(flow, random)
			if d.Verdict != proxyrules.DNAT {
				continue
			}
			if _, ok := want[d.Backend]; !ok && len(want) > 0 {
				r.fail(Endpoints, name, "node %s sends traffic to %s, which is no ready pod", node, d.Backend)
				return
			}
			got[d.Backend] = true
		}
	}
	for _, b := range slices.SortedFunc(maps.Keys(want), netip.AddrPort.Compare) {
		r.Checked[Endpoints]++
		if !got[b] {
			r.fail(Endpoints, name, "no node sends traffic to %s at %s", want[b], b)
		}
	}
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
		if pod.Metadata.Namespace != s.Metadata.Namespace || !choose.MatchesMap(pod.Metadata.Labels) || !pod.Active() {
			continue
		}
		if pod.Ready() || s.Spec.PublishNotReadyAddresses {
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
