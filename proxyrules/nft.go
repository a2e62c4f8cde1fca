package proxyrules

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// elementsPerLine bounds the length of a line of the nft script.
const elementsPerLine = 200

// AppendNFT appends a script for nft -f that replaces table "ip kube-proxy"
// (or "ip6 kube-proxy") as a whole, in one transaction, and returns the
// extended buffer. Equal state gives equal bytes. What the affinity sets
// remember is lost with the old table.
func (r *RuleSet) AppendNFT(dst []byte) []byte {
	w := newNFTText(r)
	w.setup()
	for _, p := range r.policies {
		w.chains(p)
	}
	w.endpointMaps(r.policies)
	for _, p := range r.policies {
		w.policy(p)
		w.collect(p)
	}
	w.flushElements()
	return append(dst, w.out...)
}

// nftText writes the script. Objects come before what refers to them: maps,
// chains, rules, and then the elements that point at chains.
type nftText struct {
	node   *node
	spans  map[*Policy]spans
	out    []byte
	ip     string // ip, ip6: family of the table and prefix of matches
	addr   string // ipv4_addr, ipv6_addr
	detect string // match for pods, or ""

	elements [nftContainers][]string
}

// The sets and maps that hold one element per frontend or endpoint.
const (
	setClusterIPs = iota
	setHairpin
	mapServiceIPs
	mapNodePorts
	mapNoEndpointServices
	mapNoEndpointNodePorts
	mapFirewallIPs
	nftContainers
)

var nftContainerNames = [nftContainers]string{
	"cluster-ips", "hairpin-connections", "service-ips", "service-nodeports",
	"no-endpoint-services", "no-endpoint-nodeports", "firewall-ips",
}

func newNFTText(r *RuleSet) *nftText {
	w := &nftText{node: r.node, spans: assignSpans(r.policies), ip: "ip", addr: "ipv4_addr"}
	if r.node.family == IPv6 {
		w.ip, w.addr = "ip6", "ipv6_addr"
	}
	if c := r.node.clusterCIDR; c.IsValid() {
		w.detect = w.ip + " saddr " + c.String()
	}
	return w
}

// cmd writes one command on an object of the table: "add chain", "services".
func (w *nftText) cmd(verb string, args ...string) {
	w.out = append(append(w.out, verb...), ' ')
	w.out = append(append(w.out, w.ip...), " kube-proxy"...)
	for _, a := range args {
		w.out = append(append(w.out, ' '), a...)
	}
	w.out = append(w.out, '\n')
}

func (w *nftText) rule(chain string, parts ...string) {
	w.cmd("add rule", append([]string{chain}, parts...)...)
}

func (w *nftText) setup() {
	w.cmd("add table")
	w.cmd("delete table")
	w.cmd("add table", `{ comment "rules for kube-proxy" ; }`)
	for _, c := range []struct{ name, spec string }{
		{"filter-prerouting-pre-dnat", "filter hook prerouting priority -110"},
		{"filter-output-pre-dnat", "filter hook output priority -110"},
		{"filter-input", "filter hook input priority 0"},
		{"filter-forward", "filter hook forward priority 0"},
		{"filter-output", "filter hook output priority 0"},
		{"nat-prerouting", "nat hook prerouting priority -100"},
		{"nat-output", "nat hook output priority -100"},
		{"nat-postrouting", "nat hook postrouting priority 100"},
	} {
		w.cmd("add chain", c.name, "{ type "+c.spec+" ; }")
	}
	for _, c := range []string{"nodeport-endpoints-check", "service-endpoints-check", "firewall-check", "services", "masquerading", "cluster-ips-check", "reject-chain"} {
		w.cmd("add chain", c)
	}
	w.sets()
	for _, j := range []struct{ from, match, to string }{
		{"filter-input", "ct state new", "nodeport-endpoints-check"},
		{"filter-input", "ct state new", "service-endpoints-check"},
		{"filter-forward", "ct state new", "service-endpoints-check"},
		{"filter-output", "ct state new", "service-endpoints-check"},
		{"filter-prerouting-pre-dnat", "ct state new", "firewall-check"},
		{"filter-output-pre-dnat", "ct state new", "firewall-check"},
		{"filter-forward", "ct state new", "cluster-ips-check"},
		{"filter-output", "ct state new", "cluster-ips-check"},
	} {
		w.rule(j.from, j.match, "jump", j.to)
	}
	w.rule("nat-output", "jump services")
	w.rule("nat-prerouting", "jump services")
	w.rule("nat-postrouting", "jump masquerading")
	w.setupRules()
}

func (w *nftText) sets() {
	tuple := "type " + w.addr + " . inet_proto . inet_service : verdict ;"
	ports := "type inet_proto . inet_service : verdict ;"
	types := [nftContainers]string{
		setClusterIPs: "type " + w.addr + " ;", setHairpin: "type " + w.addr + " . " + w.addr + " . inet_proto . inet_service ;",
		mapServiceIPs: tuple, mapNodePorts: ports, mapNoEndpointServices: tuple, mapNoEndpointNodePorts: ports, mapFirewallIPs: tuple,
	}
	for i, name := range nftContainerNames {
		verb := "add map"
		if i <= setHairpin {
			verb = "add set"
		}
		w.cmd(verb, name, "{ "+types[i]+" }")
	}
	if w.node.nodePorts == nil {
		return
	}
	w.cmd("add set", "nodeport-ips", "{ type "+w.addr+" ; }")
	var ips []string
	for _, ip := range w.node.nodePortIPs {
		if !ip.IsLoopback() {
			ips = append(ips, ip.String())
		}
	}
	w.addElements("nodeport-ips", ips)
}

func (w *nftText) setupRules() {
	n := w.node
	mark := fmt.Sprintf("%#08x", n.mark)
	w.rule("masquerading", "mark and", mark, "!= 0 mark set mark xor", mark, "masquerade fully-random")
	w.rule("masquerading", "ct status dnat", w.ip, "saddr .", w.ip, "daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random")
	w.rule("cluster-ips-check", w.ip, `daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"`)
	for _, c := range n.serviceCIDRs {
		w.rule("cluster-ips-check", w.ip, "daddr", c.String(), `drop comment "Drop traffic to unallocated ClusterIPs"`)
	}
	w.rule("reject-chain", "reject")
	tuple := w.ip + " daddr . meta l4proto . th dport vmap @"
	w.rule("service-endpoints-check", tuple+"no-endpoint-services")
	w.rule("firewall-check", tuple+"firewall-ips")
	dest, fib := w.ip+" daddr @nodeport-ips", ""
	if n.nodePorts == nil {
		fib, dest = "fib daddr type local ", "ip daddr != 127.0.0.0/8"
		if n.family == IPv6 {
			dest = "ip6 daddr != ::1"
		}
	}
	w.rule("nodeport-endpoints-check", dest, "meta l4proto . th dport vmap @no-endpoint-nodeports")
	markRule := "mark set mark or " + mark
	switch {
	case n.masqueradeAll:
		w.rule("services", w.ip, "daddr @cluster-ips", markRule, `comment "masquerade all clusterIP traffic"`)
	case w.detect != "":
		w.rule("services", w.ip, "daddr @cluster-ips", w.ip, "saddr !=", n.clusterCIDR.String(), markRule, `comment "masquerade clusterIP traffic from outside cluster"`)
	}
	w.rule("services", tuple+"service-ips")
	w.rule("services", fib+dest, "meta l4proto . th dport vmap @service-nodeports")
}

// nftNames are the objects of one policy.
type nftNames struct{ base, cluster, local, external, firewall string }

func namesOf(p *Policy) nftNames {
	b := nftName(p.Key, "")
	return nftNames{b, nftCluster + b, nftLocal + b, nftExternal + b, nftFirewall + b}
}

// chains creates the chains of p, and its affinity sets.
func (w *nftText) chains(p *Policy) {
	names := namesOf(p)
	if len(p.Cluster) > 0 {
		w.cmd("add chain", names.cluster)
	}
	if len(p.Local) > 0 {
		w.cmd("add chain", names.local)
	}
	if p.HasEndpoints && p.externallyAccessible() {
		w.cmd("add chain", names.external)
	}
	if p.hasFirewall() {
		w.cmd("add chain", names.firewall)
	}
	if p.Affinity == 0 {
		return
	}
	for i := range p.Reachable {
		name := nftName(p.Key, p.Reachable[i].text)
		w.cmd("add chain", nftEndpoint+name)
		w.cmd("add set", nftAffinity+name, "{ type", w.addr, "; flags dynamic,timeout ; timeout", strconv.Itoa(int(p.Affinity.Seconds()))+"s ; }")
	}
}

func (p *Policy) hasFirewall() bool { return len(p.LoadBalancerIPs) > 0 && len(p.SourceRanges) > 0 }

// endpointMaps fills the shared maps. They come before the rules that use
// them: binding a rule to a map is cheap, adding an element to a map that has
// bindings costs a step for each.
func (w *nftText) endpointMaps(policies []*Policy) {
	byMap := map[mapID][]string{}
	add := func(s span, list []Backend) {
		for i := range list {
			b := &list[i]
			byMap[s.id] = append(byMap[s.id], fmt.Sprintf("%d : %s . %d", s.base+uint32(i), b.Address.Addr(), b.Address.Port()))
		}
	}
	for _, p := range policies {
		if s, ok := w.spans[p]; ok {
			add(s.cluster, p.Cluster)
			add(s.local, p.Local)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(byMap), mapID.compare) {
		w.cmd("add map", id.String(), "{ typeof numgen random mod 2 :", w.ip, "daddr .", id.protocol.String(), "dport ; }")
		w.addElements(id.String(), byMap[id])
	}
}

// policy writes the rules of p's chains.
func (w *nftText) policy(p *Policy) {
	names := namesOf(p)
	w.external(p, names)
	if p.hasFirewall() {
		var sources []string
		for _, r := range p.SourceRanges {
			sources = append(sources, r.String())
		}
		for _, ip := range w.node.allowedVIPs(p) {
			sources = append(sources, ip.String())
		}
		for _, s := range sources {
			w.rule(names.firewall, w.ip, "saddr", s, "return")
		}
		w.rule(names.firewall, "drop")
	}
	if p.Affinity == 0 {
		s := w.spans[p]
		w.spread(p, names.cluster, s.cluster)
		w.spread(p, names.local, s.local)
		return
	}
	w.stick(p, names.cluster, p.Cluster)
	w.stick(p, names.local, p.Local)
	for i := range p.Reachable {
		b := &p.Reachable[i]
		name := nftName(p.Key, b.text)
		w.rule(nftEndpoint+name, "update @"+nftAffinity+name, "{", w.ip, "saddr }")
		w.rule(nftEndpoint+name, "meta l4proto", p.Key.Protocol.String(), "dnat to", b.text)
	}
}

func (w *nftText) external(p *Policy, names nftNames) {
	if !p.HasEndpoints || !p.externallyAccessible() {
		return
	}
	markRule := fmt.Sprintf("mark set mark or %#08x", w.node.mark)
	if !p.ExternalLocal {
		w.rule(names.external, markRule, `comment "masquerade"`)
	} else {
		if w.detect != "" {
			w.rule(names.external, w.detect, "goto", names.cluster, `comment "short-circuit pod traffic"`)
		}
		w.rule(names.external, "fib saddr type local", markRule, `comment "masquerade local traffic"`)
		w.rule(names.external, "fib saddr type local goto", names.cluster, `comment "short-circuit local traffic"`)
	}
	switch {
	case p.lacksExternal():
	case p.ExternalLocal:
		w.rule(names.external, "goto", names.local)
	default:
		w.rule(names.external, "goto", names.cluster)
	}
}

// spread picks an index of the span at random and DNATs to what is there.
func (w *nftText) spread(p *Policy, chain string, s span) {
	if s.n == 0 {
		return
	}
	w.rule(chain, "meta l4proto", p.Key.Protocol.String(), "dnat", w.ip, "addr . port to numgen random mod",
		strconv.Itoa(int(s.n)), "offset", strconv.FormatUint(uint64(s.base), 10), "map @"+s.id.String())
}

// stick sends a known client to its backend, any other to a random one.
func (w *nftText) stick(p *Policy, chain string, list []Backend) {
	if len(list) == 0 {
		return
	}
	var choices []string
	for i := range list {
		name := nftName(p.Key, list[i].text)
		w.rule(chain, w.ip, "saddr @"+nftAffinity+name, "goto", nftEndpoint+name)
		choices = append(choices, fmt.Sprintf("%d : goto %s", i, nftEndpoint+name))
	}
	w.rule(chain, "numgen random mod", strconv.Itoa(len(list)), "vmap {", strings.Join(choices, ", "), "}")
}

// collect gathers p's elements of the sets and maps.
func (w *nftText) collect(p *Policy) {
	names := namesOf(p)
	proto := p.Key.Protocol.String()
	add := func(c int, element string) { w.elements[c] = append(w.elements[c], element) }
	add(setClusterIPs, p.ClusterIP.String())
	for i := range p.Reachable {
		if b := &p.Reachable[i]; b.Local {
			ip := b.Address.Addr().String()
			add(setHairpin, fmt.Sprintf("%s . %s . %s . %d", ip, ip, proto, b.Address.Port()))
		}
	}
	verdict := "goto reject-chain"
	if p.HasEndpoints {
		verdict = "drop"
	}
	for k, kinds := range p.captures() {
		key := fmt.Sprintf("%s . %s . %d", k.addr, proto, k.port)
		served, unserved := mapServiceIPs, mapNoEndpointServices
		if kinds.has(NodePortFrontend) {
			key = fmt.Sprintf("%s . %d", proto, k.port)
			served, unserved = mapNodePorts, mapNoEndpointNodePorts
		}
		switch {
		case kinds != 1<<ClusterIPFrontend && p.HasEndpoints:
			add(served, key+" : goto "+names.external)
		case kinds.has(ClusterIPFrontend) && len(p.internal()) > 0:
			add(served, key+" : goto "+names.internal(p))
		}
		if p.lacks(kinds) {
			add(unserved, key+" : "+verdict)
		}
		if kinds.has(LoadBalancerFrontend) && p.hasFirewall() {
			add(mapFirewallIPs, key+" : goto "+names.firewall)
		}
	}
}

func (n nftNames) internal(p *Policy) string {
	if p.InternalLocal {
		return n.local
	}
	return n.cluster
}

func (w *nftText) flushElements() {
	for i, elements := range w.elements {
		slices.Sort(elements)
		w.addElements(nftContainerNames[i], slices.Compact(elements))
	}
}

func (w *nftText) addElements(container string, elements []string) {
	for chunk := range slices.Chunk(elements, elementsPerLine) {
		w.cmd("add element", container, "{", strings.Join(chunk, ", "), "}")
	}
}
