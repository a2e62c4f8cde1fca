package proxyrules

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// hints hold for which nodes and zones an endpoint is meant.
type hints struct{ nodes, zones []string }

func (s *EndpointSlice) object() string {
	return "EndpointSlice " + printable(s.Metadata.Namespace) + "/" + printable(s.Metadata.Name)
}

// watched reports whether a proxy looks at the slice at all.
func (s *EndpointSlice) watched() bool {
	_, headless := s.Metadata.Labels[labelHeadless]
	return !headless && s.Metadata.Labels[labelServiceName] != ""
}

// sliceBackendsMax bounds what one object can make: each endpoint has each
// port. The API server allows 1,000 endpoints and 20,000 ports.
const sliceBackendsMax = 1 << 20

// parsedSlice is a slice reduced to what this proxy uses.
type parsedSlice struct {
	namespace, service, name string
	ports                    []parsedPort
	endpoints                []parsedEndpoint
}

type parsedEndpoint struct {
	addr                               netip.Addr
	local, ready, serving, terminating bool
	hints                              *hints
}

type parsedPort struct {
	name     string
	protocol Protocol
	port     uint16
}

// parseSlice checks a slice. A nil slice without an error does not concern
// this proxy.
func (n *node) parseSlice(s *EndpointSlice, mem *arena, ns *notices) (*parsedSlice, *InputError) {
	switch s.AddressType {
	case "IPv4", "IPv6", "FQDN":
	default:
		return nil, refuse(s.object(), "addressType", s.AddressType, "IPv4, IPv6 or FQDN")
	}
	if s.AddressType != string(n.family) || !s.watched() {
		return nil, nil
	}
	p := mem.slices.one()
	*p = parsedSlice{
		namespace: s.Metadata.Namespace,
		service:   s.Metadata.Labels[labelServiceName],
		name:      s.Metadata.Name,
	}
	switch {
	case !isLabel(p.namespace):
		return nil, refuse(s.object(), "metadata.namespace", p.namespace, "a DNS label of at most 63 characters")
	case !isSubdomain(p.name):
		return nil, refuse(s.object(), "metadata.name", p.name, "a DNS subdomain of at most 253 characters")
	case !isLabel(p.service):
		ns.add(s.object(), "metadata.labels["+labelServiceName+"]", p.service, "not a name that a Service can have: ignored")
		return nil, nil
	}
	if err := p.parsePorts(s, mem, ns); err != nil {
		return nil, err
	}
	if err := p.parseEndpoints(n, s, mem, ns); err != nil {
		return nil, err
	}
	if made := len(p.ports) * len(p.endpoints); made > sliceBackendsMax {
		return nil, refuse(s.object(), "ports × endpoints", strconv.Itoa(made), "at most "+strconv.Itoa(sliceBackendsMax)+" backends in one slice")
	}
	return p, nil
}

func (p *parsedSlice) parsePorts(s *EndpointSlice, mem *arena, ns *notices) *InputError {
	p.ports = mem.ports.take(len(s.Ports))[:0]
	for i, port := range s.Ports {
		if port.Name == nil || port.Port == nil || *port.Port == 0 {
			ns.add(s.object(), portField(i), "", "a port without name or number: skipped")
			continue
		}
		if *port.Name != "" && !isLabel(*port.Name) {
			return refuse(s.object(), portField(i)+".name", *port.Name, "a DNS label of at most 63 characters")
		}
		if *port.Port < 0 || *port.Port > 65535 {
			return refuse(s.object(), portField(i)+".port", fmt.Sprint(*port.Port), "a port from 1 to 65535")
		}
		proto := TCP
		if port.Protocol != nil {
			var ok bool
			if proto, ok = ParseProtocol(*port.Protocol); !ok || *port.Protocol >= "a" {
				return refuse(s.object(), portField(i)+".protocol", *port.Protocol, "TCP, UDP or SCTP")
			}
		}
		p.ports = append(p.ports, parsedPort{*port.Name, proto, uint16(*port.Port)})
	}
	return nil
}

func portField(i int) string { return "ports[" + strconv.Itoa(i) + "]" }

func (p *parsedSlice) parseEndpoints(n *node, s *EndpointSlice, mem *arena, ns *notices) *InputError {
	p.endpoints = mem.endpoints.take(len(s.Endpoints))[:0]
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if len(e.Addresses) == 0 {
			ns.add(s.object(), fmt.Sprintf("endpoints[%d].addresses", i), "", "an endpoint without address: skipped")
			continue
		}
		ip, ok := parseAddr(e.Addresses[0])
		if !ok || familyOf(ip) != n.family {
			return refuse(s.object(), fmt.Sprintf("endpoints[%d].addresses[0]", i), e.Addresses[0], "an "+string(n.family)+" address")
		}
		c := &e.Conditions
		p.endpoints = append(p.endpoints, parsedEndpoint{
			addr:        ip,
			local:       n.name != "" && e.NodeName != nil && *e.NodeName == n.name,
			ready:       c.Ready == nil || *c.Ready,
			serving:     c.Serving == nil || *c.Serving,
			terminating: c.Terminating != nil && *c.Terminating,
			hints:       parseHints(e.Hints),
		})
	}
	return nil
}

func parseHints(h *EndpointHints) *hints {
	if h == nil || len(h.ForNodes) == 0 && len(h.ForZones) == 0 {
		return nil
	}
	out := &hints{}
	for _, x := range h.ForNodes {
		out.nodes = append(out.nodes, x.Name)
	}
	for _, x := range h.ForZones {
		out.zones = append(out.zones, x.Name)
	}
	return out
}

// backends joins a service port with the slices of its service, which are in
// the order of their names. An address seen twice keeps the first endpoint
// unless a later one is not terminating: a pod that was given the address of
// a terminating one wins. (Upstream leaves the choice between two endpoints
// that are not terminating to map order; here the last slice by name wins.)
func backends(key PortKey, slicesByName []*parsedSlice, mem *arena) []Backend {
	total := 0
	for _, s := range slicesByName {
		for _, port := range s.ports {
			if port.name == key.Port && port.protocol == key.Protocol {
				total += len(s.endpoints)
			}
		}
	}
	if total == 0 {
		return nil
	}
	out := mem.backends.take(total)[:0]
	for _, s := range slicesByName {
		for _, port := range s.ports {
			if port.name == key.Port && port.protocol == key.Protocol {
				out = s.appendBackends(out, port.port)
			}
		}
	}
	nameBackends(out, mem)
	if !sortedByText(out) {
		slices.SortStableFunc(out, func(a, b Backend) int { return cmpString(a.text, b.text) })
	}
	kept := out[:1]
	for _, b := range out[1:] {
		switch last := &kept[len(kept)-1]; {
		case b.text != last.text:
			kept = append(kept, b)
		case !b.Terminating:
			*last = b
		}
	}
	return kept
}

func (s *parsedSlice) appendBackends(out []Backend, port uint16) []Backend {
	for i := range s.endpoints {
		e := &s.endpoints[i]
		out = append(out, Backend{
			Address: netip.AddrPortFrom(e.addr, port), Slice: s.name, hints: e.hints,
			Local: e.local, Ready: e.ready, Serving: e.serving, Terminating: e.terminating,
		})
	}
	return out
}

func sortedByText(list []Backend) bool {
	for i := 1; i < len(list); i++ {
		if list[i].text < list[i-1].text {
			return false
		}
	}
	return true
}

// nameBackends fills text, with one string for all.
func nameBackends(list []Backend, mem *arena) {
	const typical = len("10.0.0.100:8080")
	var one [64]byte
	all := mem.text(typical * len(list))
	for i := range list {
		text := list[i].Address.AppendTo(one[:0])
		if all.Cap()-all.Len() < len(text) {
			all = mem.text(typical * (len(list) - i + 1))
		}
		start := all.Len()
		all.Write(text)
		list[i].text = all.String()[start:]
	}
}
