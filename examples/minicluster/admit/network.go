package admit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/scheduler"
)

func (c *checker) service(s *api.Service, raw []byte) {
	spec := &s.Spec
	switch spec.Type {
	case "", "ClusterIP", "NodePort", "LoadBalancer":
		c.that(len(spec.Ports) > 0 || s.Headless(), "spec.ports", len(spec.Ports), "want at least one port")
	case "ExternalName":
		c.subdomain("spec.externalName", spec.ExternalName)
	default:
		c.that(false, "spec.type", spec.Type, "want ClusterIP, NodePort, LoadBalancer or ExternalName")
	}
	c.labels("spec.selector", spec.Selector)
	if ip := spec.ClusterIP; ip != "" && ip != "None" {
		addr, err := netip.ParseAddr(ip)
		c.that(err == nil && !addr.IsUnspecified() && addr.Zone() == "", "spec.clusterIP", ip, "want an IP address or None")
	}
	external := spec.Type == "NodePort" || spec.Type == "LoadBalancer"
	c.that(!external || !s.Headless(), "spec.clusterIP", spec.ClusterIP, "want an address, since type is %s", spec.Type)
	names, numbers := map[string]bool{}, map[string]bool{}
	for i := range spec.Ports {
		p, at := &spec.Ports[i], fmt.Sprintf("spec.ports[%d]", i)
		c.that(port(p.Port), at+".port", p.Port, "want 1 to 65535")
		c.that(protocol(p.Protocol), at+".protocol", p.Protocol, "want TCP, UDP or SCTP")
		c.that(p.NodePort == 0 || external, at+".nodePort", p.NodePort, "want none, since type is not NodePort or LoadBalancer")
		c.that(p.NodePort == 0 || port(p.NodePort), at+".nodePort", p.NodePort, "want 1 to 65535")
		if p.TargetPort.Text != "" {
			c.that(len(p.TargetPort.Text) <= 15 && portName.MatchString(p.TargetPort.Text), at+".targetPort", p.TargetPort.Text,
				"want a number or the name of a container port")
		} else {
			c.that(p.TargetPort.Int >= 0 && p.TargetPort.Int <= 65535, at+".targetPort", p.TargetPort.Int, "want 1 to 65535")
		}
		if len(spec.Ports) > 1 || p.Name != "" {
			c.label(at+".name", p.Name)
		}
		c.that(!names[p.Name], at+".name", p.Name, "want a name that no other port of the service has")
		number := fmt.Sprint(p.Port, p.Protocol == "" || p.Protocol == "TCP", p.Protocol)
		c.that(!numbers[number], at+".port", p.Port, "want a port and protocol that no other port of the service has")
		names[p.Name], numbers[number] = true, true
	}
	c.policies(raw)
	c.rules(raw, nil)
}

// policies checks the words that only the rule compiler reads, which takes what it
// does not know for the default, as kube-proxy does.
func (c *checker) policies(raw []byte) {
	var s proxyrules.Service
	if err := json.Unmarshal(raw, &s); err != nil {
		c.note(err)
		return
	}
	word := func(field, value string, allowed ...string) {
		c.that(value == "" || slices.Contains(allowed, value), field, value, "want one of %v", allowed)
	}
	word("spec.sessionAffinity", s.Spec.SessionAffinity, "None", "ClientIP")
	word("spec.externalTrafficPolicy", s.Spec.ExternalTrafficPolicy, "Cluster", "Local")
	if p := s.Spec.InternalTrafficPolicy; p != nil {
		word("spec.internalTrafficPolicy", *p, "Cluster", "Local")
	}
}

func (c *checker) slice(raw []byte) { c.rules(nil, raw) }

// rules lets the rule compiler judge an object that it will read later. The
// cluster IP may still be missing.
func (c *checker) rules(service, slice []byte) {
	if c.err != nil {
		return
	}
	var services []proxyrules.Service
	var endpoints []proxyrules.EndpointSlice
	var err error
	if service != nil {
		services = make([]proxyrules.Service, 1)
		err = json.Unmarshal(service, &services[0])
	} else {
		endpoints = make([]proxyrules.EndpointSlice, 1)
		err = json.Unmarshal(slice, &endpoints[0])
	}
	if err != nil {
		c.note(err)
		return
	}
	_, err = proxyrules.Compile(proxyrules.Config{}, services, endpoints)
	var bad *proxyrules.InputError
	if errors.As(err, &bad) {
		c.note(&FieldError{Field: bad.Field, Value: bad.Value, Want: "want " + bad.Want})
	}
}

// node does not judge addresses: in dumps they are often blotted out, and the
// cluster can give new ones.
func (c *checker) node(n *api.Node, raw []byte) {
	c.amounts("status.capacity", n.Status.Capacity)
	c.amounts("status.allocatable", n.Status.Allocatable)
	if c.err != nil {
		return
	}
	var node scheduler.Node
	if err := json.Unmarshal(raw, &node); err != nil {
		c.note(err)
		return
	}
	var bad *scheduler.InputError
	if err := scheduler.ValidateNode(&node); errors.As(err, &bad) {
		c.note(&FieldError{Field: bad.Field, Value: bad.Value, Want: "want " + bad.Want})
	}
}
