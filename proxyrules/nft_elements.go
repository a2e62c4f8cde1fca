package proxyrules

import "strconv"

// element is one of a set, or of a map when it has a value.
type element struct{ key, value string }

func (e element) String() string {
	if e.value == "" {
		return e.key
	}
	return e.key + " : " + e.value
}

// collect writes p's elements of the sets and maps, container by container.
func (w *nftText) collect(p *Policy, names nftNames, f *nftFragment) {
	for c := range w.found {
		w.found[c] = w.found[c][:0]
	}
	p.elements(names, func(c int, e element) { w.found[c] = append(w.found[c], e) })
	for c, list := range w.found {
		for _, e := range list {
			w.out = append(w.out, e.key...)
			if e.value != "" {
				w.out = append(append(w.out, " : "...), e.value...)
			}
			w.out = append(w.out, ", "...)
		}
		f.counts[c], f.ends[c] = len(list), len(w.out)
	}
}

func hairpinElement(b *Backend, p Protocol) string {
	ip := b.Address.Addr().String()
	return ip + " . " + ip + " . " + p.String() + " . " + strconv.Itoa(int(b.Address.Port()))
}

// elements calls add for each element that p has in a set or map.
func (p *Policy) elements(names nftNames, add func(container int, e element)) {
	proto := p.Key.Protocol.String()
	add(setClusterIPs, element{key: p.ClusterIP.String()})
	for i := range p.Reachable {
		if b := &p.Reachable[i]; b.Local {
			add(setHairpin, element{key: hairpinElement(b, p.Key.Protocol)})
		}
	}
	verdict := "goto reject-chain"
	if p.HasEndpoints {
		verdict = "drop"
	}
	for k, kinds := range p.captures() {
		key, served, unserved := proto+" . "+strconv.Itoa(int(k.port)), mapNodePorts, mapNoEndpointNodePorts
		if !kinds.has(NodePortFrontend) {
			key, served, unserved = k.addr.String()+" . "+key, mapServiceIPs, mapNoEndpointServices
		}
		switch {
		case !kinds.onlyClusterIP() && p.HasEndpoints:
			add(served, element{key, "goto " + names.external})
		case kinds.has(ClusterIPFrontend) && len(p.internal()) > 0:
			add(served, element{key, "goto " + names.internal(p)})
		}
		if p.lacks(kinds) {
			add(unserved, element{key, verdict})
		}
		if kinds.has(LoadBalancerFrontend) && p.hasFirewall() {
			add(mapFirewallIPs, element{key, "goto " + names.firewall})
		}
	}
}
