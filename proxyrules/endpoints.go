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

// parsedSlice is a slice reduced to what this proxy uses.
type parsedSlice struct {
	namespace, service, name string
	ports                    []parsedPort
	endpoints                []Backend // Address without port
}

type parsedPort struct {
	name     string
	protocol Protocol
	port     uint16
}

// parseSlice checks a slice. A nil slice without an error does not concern
// this proxy.
func (n *node) parseSlice(s *EndpointSlice, ns *notices) (*parsedSlice, *InputError) {
	switch s.AddressType {
	case "IPv4", "IPv6", "FQDN":
	default:
		return nil, refuse(s.object(), "addressType", s.AddressType, "IPv4, IPv6 or FQDN")
	}
	if s.AddressType != string(n.family) || !s.watched() {
		return nil, nil
	}
	p := &parsedSlice{
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
	if err := p.parsePorts(s, ns); err != nil {
		return nil, err
	}
	if err := p.parseEndpoints(n, s, ns); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *parsedSlice) parsePorts(s *EndpointSlice, ns *notices) *InputError {
	for i, port := range s.Ports {
		field := "ports[" + strconv.Itoa(i) + "]"
		if port.Name == nil || port.Port == nil || *port.Port == 0 {
			ns.add(s.object(), field, "", "a port without name or number: skipped")
			continue
		}
		if *port.Name != "" && !isLabel(*port.Name) {
			return refuse(s.object(), field+".name", *port.Name, "a DNS label of at most 63 characters")
		}
		if *port.Port < 0 || *port.Port > 65535 {
			return refuse(s.object(), field+".port", fmt.Sprint(*port.Port), "a port from 1 to 65535")
		}
		proto := TCP
		if port.Protocol != nil {
			var ok bool
			if proto, ok = ParseProtocol(*port.Protocol); !ok || *port.Protocol >= "a" {
				return refuse(s.object(), field+".protocol", *port.Protocol, "TCP, UDP or SCTP")
			}
		}
		p.ports = append(p.ports, parsedPort{*port.Name, proto, uint16(*port.Port)})
	}
	return nil
}

func (p *parsedSlice) parseEndpoints(n *node, s *EndpointSlice, ns *notices) *InputError {
	p.endpoints = make([]Backend, 0, len(s.Endpoints))
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
		p.endpoints = append(p.endpoints, Backend{
			Address:     netip.AddrPortFrom(ip, 0),
			Local:       n.name != "" && e.NodeName != nil && *e.NodeName == n.name,
			Ready:       c.Ready == nil || *c.Ready,
			Serving:     c.Serving == nil || *c.Serving,
			Terminating: c.Terminating != nil && *c.Terminating,
			Slice:       p.name,
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
func backends(key PortKey, slicesByName []*parsedSlice) []Backend {
	var out []Backend
	at := map[netip.AddrPort]int{}
	for _, s := range slicesByName {
		for _, port := range s.ports {
			if port.name != key.Port || port.protocol != key.Protocol {
				continue
			}
			for _, b := range s.endpoints {
				b.Address = netip.AddrPortFrom(b.Address.Addr(), port.port)
				i, seen := at[b.Address]
				switch {
				case !seen:
					at[b.Address] = len(out)
					b.text = b.Address.String()
					out = append(out, b)
				case !b.Terminating:
					b.text = out[i].text
					out[i] = b
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Backend) int { return cmpString(a.text, b.text) })
	return out
}
