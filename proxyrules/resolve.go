package proxyrules

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// ErrNoSuchName is returned by Resolve for names that the cluster's DNS does
// not have.
var ErrNoSuchName = errors.New("proxyrules: no such name")

// Answer is what the cluster's DNS says about a name.
type Answer struct {
	Addresses []netip.Addr // A and AAAA
	Services  []SRV
	CNAME     string // of a Service of type ExternalName
}

// SRV is a service record, without priority and weight.
type SRV struct {
	Port   uint16
	Target string
}

// Resolver answers names as the DNS of a cluster does: Services by their
// cluster IPs, headless ones by their endpoints, ports by SRV records, and
// external names. It follows the Kubernetes DNS specification 1.1.0.
type Resolver struct {
	zone  string // "svc.cluster.local"
	names map[string]*Answer
}

// NewResolver builds the names of the given objects. An empty domain means
// cluster.local. Objects that cannot be are refused, as by Compile.
func NewResolver(domain string, services []Service, endpointSlices []EndpointSlice) (*Resolver, error) {
	if domain == "" {
		domain = "cluster.local"
	}
	if !isSubdomain(domain) {
		return nil, refuse("Resolver", "domain", domain, "a DNS domain")
	}
	d := &Resolver{zone: "svc." + domain, names: map[string]*Answer{}}
	bySvc := map[serviceKey][]*EndpointSlice{}
	for i := range endpointSlices {
		s := &endpointSlices[i]
		k := serviceKey{s.Metadata.Namespace, s.Metadata.Labels[labelServiceName]}
		bySvc[k] = append(bySvc[k], s)
	}
	var errs []error
	for i := range services {
		s := &services[i]
		if err := d.add(s, bySvc[serviceKey{s.Metadata.Namespace, s.Metadata.Name}]); err != nil {
			errs = append(errs, err)
		}
	}
	for _, a := range d.names {
		slices.SortFunc(a.Addresses, netip.Addr.Compare)
		a.Addresses = slices.Compact(a.Addresses)
		slices.SortFunc(a.Services, func(x, y SRV) int { return cmpOr(cmpString(x.Target, y.Target), int(x.Port)-int(y.Port)) })
		a.Services = slices.Compact(a.Services)
	}
	return d, errors.Join(errs...)
}

// Resolve looks a name up; a dot at its end and upper case do not matter.
func (d *Resolver) Resolve(name string) (Answer, error) {
	a := d.names[strings.ToLower(strings.TrimSuffix(name, "."))]
	if a == nil {
		return Answer{}, fmt.Errorf("%w: %q", ErrNoSuchName, printable(name))
	}
	return *a, nil
}

func (d *Resolver) at(name string) *Answer {
	a := d.names[name]
	if a == nil {
		a = &Answer{}
		d.names[name] = a
	}
	return a
}

func (d *Resolver) add(s *Service, endpointSlices []*EndpointSlice) error {
	if err := validateForDNS(s); err != nil {
		return err
	}
	name := s.Metadata.Name + "." + s.Metadata.Namespace + "." + d.zone
	switch {
	case s.Spec.Type == "ExternalName":
		if !isSubdomain(strings.TrimSuffix(s.Spec.ExternalName, ".")) {
			return refuse(s.object(), "spec.externalName", s.Spec.ExternalName, "a DNS name")
		}
		d.at(name).CNAME = strings.TrimSuffix(s.Spec.ExternalName, ".")
		return nil
	case s.Spec.ClusterIP == "None":
		return d.headless(s, name, endpointSlices)
	}
	ips := s.Spec.ClusterIPs
	if len(ips) == 0 && s.Spec.ClusterIP != "" {
		ips = []string{s.Spec.ClusterIP}
	}
	for i, text := range ips {
		ip, ok := parseAddr(text)
		if !ok {
			return refuse(s.object(), fmt.Sprintf("spec.clusterIPs[%d]", i), text, "an IP address")
		}
		d.at(name).Addresses = append(d.at(name).Addresses, ip)
	}
	for _, p := range s.Spec.Ports {
		if p.Name != "" && len(ips) > 0 {
			a := d.at(srvName(p.Name, p.Protocol, name))
			a.Services = append(a.Services, SRV{uint16(p.Port), name})
		}
	}
	return nil
}

// validateForDNS checks Services as Compile does, also those that a proxy
// does not look at.
func validateForDNS(s *Service) *InputError {
	checked := *s
	if checked.Spec.Type == "ExternalName" {
		checked.Spec.Type = ""
	}
	return checked.validate()
}

func srvName(port, protocol, name string) string {
	if protocol == "" {
		protocol = "TCP"
	}
	return "_" + port + "._" + strings.ToLower(protocol) + "." + name
}

// headless answers with the ready endpoints; each has a name of its own.
func (d *Resolver) headless(s *Service, name string, endpointSlices []*EndpointSlice) error {
	d.at(name)
	for _, e := range endpointSlices {
		if e.AddressType == "FQDN" {
			continue
		}
		for i := range e.Endpoints {
			ep := &e.Endpoints[i]
			if ep.Conditions.Ready != nil && !*ep.Conditions.Ready || len(ep.Addresses) == 0 {
				continue
			}
			ip, ok := parseAddr(ep.Addresses[0])
			if !ok {
				return refuse(e.object(), fmt.Sprintf("endpoints[%d].addresses[0]", i), ep.Addresses[0], "an IP address")
			}
			host := strings.NewReplacer(".", "-", ":", "-").Replace(ip.String())
			if h := deref(ep.Hostname); h != "" {
				if host = h; !isLabel(h) {
					return refuse(e.object(), fmt.Sprintf("endpoints[%d].hostname", i), h, "a DNS label")
				}
			}
			host += "." + name
			for _, a := range []*Answer{d.at(name), d.at(host)} {
				a.Addresses = append(a.Addresses, ip)
			}
			d.endpointPorts(e, name, host)
		}
	}
	return nil
}

func (d *Resolver) endpointPorts(e *EndpointSlice, name, host string) {
	for _, p := range e.Ports {
		if port := deref(p.Name); isLabel(port) && p.Port != nil && *p.Port > 0 && *p.Port <= 65535 {
			a := d.at(srvName(port, deref(p.Protocol), name))
			a.Services = append(a.Services, SRV{uint16(*p.Port), host})
		}
	}
}

// EnvVar is one environment variable.
type EnvVar struct{ Name, Value string }

// ServiceEnv returns the variables that tell a container about Services, in
// the order of the Services: those that kubelet sets for the Services of a
// pod's namespace. Services without a cluster IP or without ports have none.
func ServiceEnv(services []Service) []EnvVar {
	var out []EnvVar
	for i := range services {
		s := &services[i]
		ip := s.Spec.ClusterIP
		if ip == "" || ip == "None" || len(s.Spec.Ports) == 0 {
			continue
		}
		prefix := envName(s.Metadata.Name)
		add := func(name, value string) { out = append(out, EnvVar{prefix + name, value}) }
		add("_SERVICE_HOST", ip)
		add("_SERVICE_PORT", fmt.Sprint(s.Spec.Ports[0].Port))
		for _, p := range s.Spec.Ports {
			if p.Name != "" {
				add("_SERVICE_PORT_"+envName(p.Name), fmt.Sprint(p.Port))
			}
		}
		for k, p := range s.Spec.Ports {
			proto := p.Protocol
			if proto == "" {
				proto = "TCP"
			}
			host := ip
			if strings.Contains(ip, ":") {
				host = "[" + ip + "]"
			}
			url := fmt.Sprintf("%s://%s:%d", strings.ToLower(proto), host, p.Port)
			if k == 0 {
				add("_PORT", url)
			}
			port := fmt.Sprintf("_PORT_%d_%s", p.Port, strings.ToUpper(proto))
			add(port, url)
			add(port+"_PROTO", strings.ToLower(proto))
			add(port+"_PORT", fmt.Sprint(p.Port))
			add(port+"_ADDR", ip)
		}
	}
	return out
}

func envName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }
