package workload

import (
	"fmt"
	"math/rand/v2"
)

// Services is what a node proxy is told, as bench/trace reads it apart from the
// packets.
type Services struct {
	Services       []Object          `json:"services"`
	EndpointSlices []Object          `json:"endpointSlices"`
	NodeName       string            `json:"nodeName"`
	NodeIPs        []string          `json:"nodeIPs"`
	NodeLabels     map[string]string `json:"nodeLabels"`
}

// JSON returns the encoded state.
func (s *Services) JSON() []byte { return mustJSON(s) }

// thisNode is the node that the proxy runs on.
const thisNode = "node-0"

func newServices() *Services {
	return &Services{Services: []Object{}, EndpointSlices: []Object{}, NodeName: thisNode,
		NodeIPs: []string{"192.168.0.10"}, NodeLabels: map[string]string{hostnameKey: thisNode, zoneKey: "z0"}}
}

// NewPlainServices returns ClusterIP services with one TCP port and ready
// endpoints spread over many nodes: the measured workload of the rule compiler.
// At most 65536 services can be told apart by address.
func NewPlainServices(services, endpoints int) *Services {
	s := newServices()
	for i := range services {
		name := fmt.Sprintf("svc-%05d", i)
		s.Services = append(s.Services, Object{
			"metadata": Object{"name": name, "namespace": "default", "uid": name},
			"spec": Object{"type": "ClusterIP", "clusterIP": serviceIP(i), "clusterIPs": list{serviceIP(i)},
				"ipFamilies": list{"IPv4"}, "selector": Object{"app": name},
				"ports": list{Object{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}}},
		})
		for first := 0; first < endpoints; first += 100 {
			var members list
			for e := first; e < min(endpoints, first+100); e++ {
				members = append(members, readyEndpoint(i*endpoints+e))
			}
			s.EndpointSlices = append(s.EndpointSlices, slice(name, len(s.EndpointSlices), "IPv4", members,
				list{Object{"name": "http", "protocol": "TCP", "port": 8080}}))
		}
	}
	return s
}

func serviceIP(i int) string { return fmt.Sprintf("10.96.%d.%d", i>>8&255, i&255) }

func endpointIP(i int) string { return fmt.Sprintf("10.%d.%d.%d", 128+i>>16&127, i>>8&255, i&255) }

func readyEndpoint(i int) Object {
	return Object{"addresses": list{endpointIP(i)}, "nodeName": fmt.Sprintf("node-%d", i%100),
		"conditions": Object{"ready": true, "serving": true, "terminating": false}}
}

func slice(service string, i int, family string, endpoints, ports list) Object {
	name := fmt.Sprintf("%s-%05d", service, i)
	return Object{
		"metadata": Object{"name": name, "namespace": "default", "uid": name,
			"labels": Object{"kubernetes.io/service-name": service}},
		"addressType": family, "endpoints": endpoints, "ports": ports,
	}
}

// NewServices draws services of every kind that an API server admits, with
// endpoints in every state.
func NewServices(r *rand.Rand, services int) *Services {
	g := &serviceGenerator{random: random{r}, state: newServices()}
	for i := range services {
		g.service(i)
	}
	return g.state
}

type serviceGenerator struct {
	random
	state     *Services
	endpoints int // addresses used so far
}

func (g *serviceGenerator) service(i int) {
	name := fmt.Sprintf("svc-%d", i)
	kind := g.pick("ClusterIP", "ClusterIP", "NodePort", "LoadBalancer", "Headless", "ExternalName")
	spec := Object{"type": kind}
	s := Object{"metadata": Object{"name": name, "namespace": "default", "uid": name}, "spec": spec}
	switch kind {
	case "ExternalName":
		spec["externalName"] = "db.example.com"
		g.state.Services = append(g.state.Services, s)
		return
	case "Headless":
		spec["type"], spec["clusterIP"], spec["clusterIPs"] = "ClusterIP", "None", list{"None"}
	default:
		spec["clusterIP"], spec["clusterIPs"] = serviceIP(i+1), list{serviceIP(i + 1)}
	}
	spec["ipFamilies"], spec["ipFamilyPolicy"] = list{"IPv4"}, "SingleStack"
	ports, targets := g.servicePorts(i, kind == "NodePort" || kind == "LoadBalancer")
	spec["ports"] = ports
	if g.chance(3) {
		spec["sessionAffinity"] = "ClientIP"
		spec["sessionAffinityConfig"] = Object{"clientIP": Object{"timeoutSeconds": 10 * (1 + g.IntN(1000))}}
	}
	g.policies(spec, s, i, kind)
	g.state.Services = append(g.state.Services, s)
	for range g.IntN(3) {
		g.endpointSlice(name, targets)
	}
}

func (g *serviceGenerator) servicePorts(service int, nodePorts bool) (ports, targets list) {
	for i := range 1 + g.IntN(2) {
		port := Object{"name": fmt.Sprintf("p%d", i), "protocol": g.pick("TCP", "TCP", "UDP", "SCTP"), "port": 80 + i, "targetPort": 8080 + i}
		if nodePorts {
			port["nodePort"] = 30000 + 2*service + i
		}
		ports = append(ports, port)
		targets = append(targets, Object{"name": port["name"], "protocol": port["protocol"], "port": 8080 + i})
	}
	return ports, targets
}

// policies draws traffic policies and external ways in.
func (g *serviceGenerator) policies(spec, s Object, i int, kind string) {
	if g.chance(4) {
		spec["internalTrafficPolicy"] = g.pick("Local", "Cluster")
	}
	if g.chance(4) && kind != "Headless" {
		spec["externalIPs"] = list{fmt.Sprintf("203.0.113.%d", 1+i%250)}
	}
	if kind == "NodePort" || kind == "LoadBalancer" {
		spec["externalTrafficPolicy"] = g.pick("Local", "Cluster")
	}
	if kind != "LoadBalancer" {
		return
	}
	if g.chance(3) {
		spec["loadBalancerSourceRanges"] = list{"198.51.100.0/24", g.pick("192.0.2.0/28", "10.0.0.0/8")}
	}
	if g.chance(4) {
		spec["allocateLoadBalancerNodePorts"] = false
		for _, p := range spec["ports"].(list) {
			delete(p.(Object), "nodePort")
		}
	}
	ingress := Object{"ip": fmt.Sprintf("198.51.100.%d", 1+i%250)}
	if mode := g.pick("", "VIP", "Proxy"); mode != "" {
		ingress["ipMode"] = mode
	}
	s.child("status").child("loadBalancer")["ingress"] = list{ingress}
	if spec["externalTrafficPolicy"] == "Local" {
		spec["healthCheckNodePort"] = 32000 + i
	}
}

func (g *serviceGenerator) endpointSlice(service string, targets list) {
	members := list{}
	for range g.IntN(4) {
		members = append(members, g.endpoint())
	}
	if g.chance(8) && len(members) > 0 {
		members = append(members, members[0])
	}
	g.state.EndpointSlices = append(g.state.EndpointSlices, slice(service, len(g.state.EndpointSlices), "IPv4", members, targets))
}

func (g *serviceGenerator) endpoint() Object {
	g.endpoints++
	e := Object{"addresses": list{endpointIP(g.endpoints)}}
	conditions := Object{}
	switch g.IntN(6) {
	case 0: // unknown conditions count as ready
	case 1:
		conditions["ready"], conditions["serving"], conditions["terminating"] = false, true, true
	case 2:
		conditions["ready"], conditions["serving"], conditions["terminating"] = false, false, g.chance(2)
	default:
		conditions["ready"], conditions["serving"], conditions["terminating"] = true, true, false
	}
	e["conditions"] = conditions
	if !g.chance(6) {
		e["nodeName"] = g.pick(thisNode, "node-1", "node-2")
	}
	if zone := g.pick("", "z0", "z1"); zone != "" {
		e["zone"] = zone
		if g.chance(2) {
			e["hints"] = Object{"forZones": list{Object{"name": zone}}}
			if node, ok := e["nodeName"].(string); ok && g.chance(2) {
				e.child("hints")["forNodes"] = list{Object{"name": node}}
			}
		}
	}
	return e
}
