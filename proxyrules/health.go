package proxyrules

import (
	"fmt"
	"net/netip"
)

// HTTP statuses of a HealthAnswer.
const (
	healthOK          = 200
	healthUnavailable = 503
)

// HealthAnswer is what a node says at a Service's health check node port, so
// that a load balancer sends traffic only where there are backends.
type HealthAnswer struct {
	Status         int // 200 OK, or 503 Service Unavailable
	LocalEndpoints int // also the header X-Load-Balancing-Endpoint-Weight
	Body           string
}

// Health answers at a health check node port, for a proxy that is healthy or
// not; false when no Service has the port. Counted are the distinct addresses
// of ready endpoints on this node, over all ports of the Service: endpoints
// that only serve until they have terminated get no new traffic this way.
func (r *RuleSet) Health(port uint16, proxyHealthy bool) (HealthAnswer, bool) {
	var service PortKey
	ips := map[netip.Addr]bool{}
	for _, p := range r.Policies() {
		if p.HealthCheckNodePort != port || port == 0 {
			continue
		}
		if service.Service != "" && (service.Namespace != p.Key.Namespace || service.Service != p.Key.Service) {
			continue // two Services with one port: the first by name has it
		}
		service = p.Key
		for i := range p.All {
			if b := &p.All[i]; b.Local && b.Ready {
				ips[b.Address.Addr()] = true
			}
		}
	}
	if service.Service == "" {
		return HealthAnswer{}, false
	}
	a := HealthAnswer{Status: healthUnavailable, LocalEndpoints: len(ips)}
	if len(ips) > 0 && proxyHealthy {
		a.Status = healthOK
	}
	a.Body = fmt.Sprintf("{\n\t\"service\": {\n\t\t\"namespace\": %q,\n\t\t\"name\": %q\n\t},\n\t\"localEndpoints\": %d,\n\t\"serviceProxyHealthy\": %t\n}",
		service.Namespace, service.Service, len(ips), proxyHealthy)
	return a, true
}
