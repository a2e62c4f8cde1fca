package scheduler

// anyHostIP is the address that stands for all of a node's addresses.
const anyHostIP = "0.0.0.0"

// hostPort is a port of the node that a pod claims for itself.
type hostPort struct {
	ip       string
	protocol string
	port     int32
}

// hostPortsOf returns the host ports of the containers that run as long as the
// pod does: sidecars first, then regular containers.
func hostPortsOf(p *Pod) []hostPort {
	var ports []hostPort
	add := func(c *Container) {
		for _, cp := range c.Ports {
			if cp.HostPort <= 0 {
				continue
			}
			port := hostPort{ip: cp.HostIP, protocol: cp.Protocol, port: cp.HostPort}
			if port.ip == "" {
				port.ip = anyHostIP
			}
			if port.protocol == "" {
				port.protocol = "TCP"
			}
			ports = append(ports, port)
		}
	}
	for i := range p.Spec.InitContainers {
		if c := &p.Spec.InitContainers[i]; c.restartable() {
			add(c)
		}
	}
	for i := range p.Spec.Containers {
		add(&p.Spec.Containers[i])
	}
	return ports
}

// nodePorts keeps two pods from claiming the same port of a node.
type nodePorts struct{}

func (nodePorts) Name() string { return "NodePorts" }

func (nodePorts) PreFilter(c *Cycle) (map[string]bool, Status) {
	if len(c.Pod.hostPorts) == 0 {
		return nil, Status{Code: Skip}
	}
	return nil, Status{}
}

func (nodePorts) Filter(c *Cycle, n *NodeInfo) Status {
	for _, want := range c.Pod.hostPorts {
		if portTaken(n.ports, want) {
			return Reject(ReasonPorts)
		}
	}
	return Status{}
}

// portTaken says that want overlaps a taken port: same protocol and number,
// and the same address or all addresses on either side.
func portTaken(taken map[hostPort]struct{}, want hostPort) bool {
	if len(taken) == 0 {
		return false
	}
	if want.ip == anyHostIP {
		for have := range taken {
			if have.protocol == want.protocol && have.port == want.port {
				return true
			}
		}
		return false
	}
	if _, ok := taken[want]; ok {
		return true
	}
	want.ip = anyHostIP
	_, ok := taken[want]
	return ok
}
