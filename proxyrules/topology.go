package proxyrules

import "slices"

// externallyAccessible: something other than the ClusterIP leads here.
func (p *Policy) externallyAccessible() bool {
	return p.NodePort != 0 || len(p.LoadBalancerIPs) > 0 || len(p.ExternalIPs) > 0
}

// usesCluster: even with externalTrafficPolicy Local, pods and the node itself
// are short-circuited to the cluster-wide list.
func (p *Policy) usesCluster() bool { return !p.InternalLocal || p.externallyAccessible() }

func (p *Policy) usesLocal() bool {
	return p.InternalLocal || p.ExternalLocal && p.externallyAccessible()
}

// categorize fills the lists of usable backends from p.All.
//
// A list holds ready endpoints; only when it would be empty, those that
// terminate but still serve (KEP-1669). Hints narrow the cluster list only.
func (p *Policy) categorize(n *node) {
	p.Cluster, p.Local, p.Reachable = nil, nil, nil
	p.HasEndpoints, p.Topology = false, ""
	if len(p.All) == 0 {
		return
	}
	if p.usesCluster() {
		p.Topology = topologyMode(p.All, n)
		p.Cluster = filter(p.All, func(b *Backend) bool { return b.Ready && b.suits(p.Topology, n) })
		if len(p.Cluster) == 0 {
			p.Cluster = filter(p.All, func(b *Backend) bool { return b.Serving && b.Terminating })
		}
		p.HasEndpoints = len(p.Cluster) > 0
	}
	if p.usesLocal() {
		p.Local = filter(p.All, func(b *Backend) bool { return b.Local && b.Ready })
		if len(p.Local) == 0 {
			p.Local = filter(p.All, func(b *Backend) bool { return b.Local && b.Serving && b.Terminating })
		}
		p.HasEndpoints = p.HasEndpoints || slices.ContainsFunc(p.All, func(b Backend) bool {
			return b.Ready || b.Serving && b.Terminating
		})
	}
	p.Reachable = union(p.Cluster, p.Local)
}

// topologyMode reads the hints of the ready endpoints. A mode is used only
// when every one of them has such hints and at least one is for this node or
// its zone. (kube-proxy 1.36; KEP-2433, KEP-3015)
func topologyMode(all []Backend, n *node) string {
	ready, allNodes, allZones, forNode, forZone := false, true, true, false, false
	for i := range all {
		b := &all[i]
		if !b.Ready {
			continue
		}
		ready = true
		if b.hints == nil {
			return ""
		}
		allNodes = allNodes && len(b.hints.nodes) > 0
		allZones = allZones && len(b.hints.zones) > 0
		forNode = forNode || slices.Contains(b.hints.nodes, n.name)
		forZone = forZone || slices.Contains(b.hints.zones, n.zone)
	}
	switch {
	case !ready:
		return ""
	case allNodes && forNode:
		return "PreferSameNode"
	case allZones && forZone:
		return "PreferSameZone"
	}
	return ""
}

func (b *Backend) suits(topology string, n *node) bool {
	switch topology {
	case "PreferSameNode":
		return slices.Contains(b.hints.nodes, n.name)
	case "PreferSameZone":
		return slices.Contains(b.hints.zones, n.zone)
	}
	return true
}

// filter returns in itself when nothing is left out: most services need one
// list only.
func filter(in []Backend, keep func(*Backend) bool) []Backend {
	kept := 0
	for i := range in {
		if keep(&in[i]) {
			kept++
		}
	}
	if kept == len(in) {
		return in
	}
	if kept == 0 {
		return nil
	}
	out := make([]Backend, 0, kept)
	for i := range in {
		if keep(&in[i]) {
			out = append(out, in[i])
		}
	}
	return out
}

// union merges two lists sorted by text, which are subsets of one list.
func union(a, b []Backend) []Backend {
	if len(b) == 0 {
		return a
	}
	if len(a) == 0 {
		return b
	}
	out := make([]Backend, 0, len(a)+len(b))
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch c := cmpString(a[i].text, b[j].text); {
		case c < 0:
			out = append(out, a[i])
			i++
		case c > 0:
			out = append(out, b[j])
			j++
		default:
			out = append(out, a[i])
			i, j = i+1, j+1
		}
	}
	out = append(append(out, a[i:]...), b[j:]...)
	if len(out) == len(a) {
		return a
	}
	return out
}
