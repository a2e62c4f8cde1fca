package proxyrules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// elementsPerLine bounds the length of a line of the nft script, about.
const elementsPerLine = 200

// AppendNFT appends a script for nft -f that replaces table "ip kube-proxy"
// (or "ip6 kube-proxy") as a whole, in one transaction, and returns the
// extended buffer. Equal state gives equal bytes. What the affinity sets
// remember is lost with the old table.
func (r *RuleSet) AppendNFT(dst []byte) []byte {
	policies := r.Policies()
	parts := make([]*nftFragment, len(policies))
	inParallel(len(parts), func(from, to int) {
		w := newNFTText(r)
		w.shared, w.pool.piece = true, fragmentsPiece
		for i := from; i < to; i++ {
			parts[i] = w.fragment(policies[i], r.spans.of(policies[i]))
		}
	})
	size := 4096
	for _, f := range parts {
		size += len(f.text) + len(f.text)/16
	}
	w := newNFTText(r)
	w.out = slices.Grow(dst, size)
	w.setup()
	for _, f := range parts {
		w.out = append(w.out, f.part(nftChains)...)
	}
	w.endpointMaps(r.spans)
	for _, f := range parts {
		w.out = append(w.out, f.part(nftRules)...)
	}
	for c, name := range nftContainerNames {
		e := w.elements(name)
		for _, f := range parts {
			e.add(f.part(c), int(f.counts[c]))
		}
		e.close()
	}
	return w.out
}

// The sets and maps that hold one element per frontend or endpoint. Their
// numbers are those of the parts of a fragment, too.
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

// The other parts of a fragment.
const (
	nftClusterList = nftContainers + iota // elements of the endpoint maps
	nftLocalList
	nftChains // commands
	nftRules
	nftParts
)

// nftFragment is the part of one policy in the script. Parts of all policies
// are grouped by kind: objects come before what refers to them.
type nftFragment struct {
	spans  spans
	text   []byte
	ends   [nftParts]int32
	counts [nftChains]int32 // of elements; each ends in ", "
	start  int32            // of text, while it is being written
}

func (f *nftFragment) end(part, at int) { f.ends[part] = int32(at) - f.start }

func (f *nftFragment) part(i int) []byte {
	start := int32(0)
	if i > 0 {
		start = f.ends[i-1]
	}
	return f.text[start:f.ends[i]]
}

// nftText writes commands.
type nftText struct {
	node *node
	out  []byte
	ip   string // ip, ip6: family of the table and prefix of matches
	addr string // ipv4_addr, ipv6_addr
	mark string
	name []byte // of an endpoint map

	scratch []byte // for fragments
	shared  bool   // which are parts of it, and not copies
	pool    pool[nftFragment]
	found   [nftContainers][]element // of a policy
}

func newNFTText(r *RuleSet) *nftText {
	w := &nftText{node: r.node, ip: "ip", addr: "ipv4_addr", mark: fmt.Sprintf("%#08x", r.node.mark)}
	if r.node.family == IPv6 {
		w.ip, w.addr = "ip6", "ipv6_addr"
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
	w.out = append(append(w.out, "add rule "...), w.ip...)
	w.out = append(append(w.out, " kube-proxy "...), chain...)
	for _, a := range parts {
		w.out = append(append(w.out, ' '), a...)
	}
	w.out = append(w.out, '\n')
}

// elementLines writes "add element" commands of limited length.
type elementLines struct {
	w     *nftText
	name  []byte
	count int // on the open line
}

func (w *nftText) elements(container string) *elementLines {
	return &elementLines{w: w, name: []byte(container)}
}

// add appends elements, each of which ends in ", ".
func (e *elementLines) add(text []byte, count int) {
	if count == 0 {
		return
	}
	if e.count == 0 {
		e.w.out = append(append(e.w.out, "add element "...), e.w.ip...)
		e.w.out = append(append(e.w.out, " kube-proxy "...), e.name...)
		e.w.out = append(e.w.out, " { "...)
	}
	e.w.out = append(e.w.out, text...)
	if e.count += count; e.count >= elementsPerLine {
		e.close()
	}
}

func (e *elementLines) close() {
	if e.count > 0 {
		e.w.out = append(e.w.out[:len(e.w.out)-len(", ")], " }\n"...)
	}
	e.count = 0
}

// endpointMaps fills the shared maps. They come before the rules that use
// them: binding a rule to a map is cheap, adding an element to a map that has
// bindings costs a step for each.
func (w *nftText) endpointMaps(t *spanTable) {
	for i := range t.maps {
		list := t.at(i)
		if len(list) == 0 {
			continue
		}
		w.name = mapAt(i).appendTo(w.name[:0])
		w.addEndpointMap(mapAt(i))
		e := elementLines{w: w, name: w.name}
		for k := range list {
			f, part := w.placed(t, &list[k])
			e.add(f.part(part), int(f.counts[part]))
		}
		e.close()
	}
}

// placed finds the fragment with the elements of a placement. Another
// RuleSet, in which the policy has another place, may have left its own.
func (w *nftText) placed(t *spanTable, q *placement) (*nftFragment, int) {
	f := q.policy.nft.Load()
	if !q.local {
		if f == nil || f.spans.cluster != q.span {
			f = w.fragment(q.policy, t.of(q.policy))
		}
		return f, nftClusterList
	}
	if f == nil || f.spans.local != q.span {
		f = w.fragment(q.policy, t.of(q.policy))
	}
	return f, nftLocalList
}

func (w *nftText) addEndpointMap(id mapID) {
	w.out = append(append(w.out, "add map "...), w.ip...)
	w.out = id.appendTo(append(w.out, " kube-proxy "...))
	w.out = append(append(w.out, " { typeof numgen random mod 2 : "...), w.ip...)
	w.out = append(append(w.out, " daddr . "...), id.protocol.String()...)
	w.out = append(w.out, " dport ; }\n"...)
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
		w.cmd("add "+containerKind(i), name, "{ "+types[i]+" }")
	}
	if w.node.nodePorts == nil {
		return
	}
	w.cmd("add set", "nodeport-ips", "{ type "+w.addr+" ; }")
	e := w.elements("nodeport-ips")
	for _, ip := range w.node.nodePortIPs {
		if !ip.IsLoopback() {
			e.add([]byte(ip.String()+", "), 1)
		}
	}
	e.close()
}

func containerKind(i int) string {
	if i <= setHairpin {
		return "set"
	}
	return "map"
}

func (w *nftText) setupRules() {
	n := w.node
	w.rule("masquerading", "mark and", w.mark, "!= 0 mark set mark xor", w.mark, "masquerade fully-random")
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
	markRule := "mark set mark or " + w.mark
	switch {
	case n.masqueradeAll:
		w.rule("services", w.ip, "daddr @cluster-ips", markRule, `comment "masquerade all clusterIP traffic"`)
	case n.pods.exists():
		w.rule("services", w.ip, "daddr @cluster-ips", n.pods.nft(w.ip, "!= "), markRule, `comment "masquerade clusterIP traffic from outside cluster"`)
	}
	w.rule("services", tuple+"service-ips")
	w.rule("services", fib+dest, "meta l4proto . th dport vmap @service-nodeports")
}

// fragment returns the part of p, from where it is kept or made anew.
func (w *nftText) fragment(p *Policy, s spans) *nftFragment {
	if f := p.nft.Load(); f != nil && f.spans == s {
		return f
	}
	if len(w.scratch) > pieceBytes {
		w.scratch = nil // those who have parts of it keep it
	}
	if w.shared && w.scratch == nil {
		w.scratch = make([]byte, 0, pieceBytes+pieceBytes/16)
	}
	saved := w.out
	f := w.pool.one()
	f.spans, f.start = s, int32(len(w.scratch))
	names := namesOf(p)
	w.out = w.scratch
	w.collect(p, names, f)
	w.list(f, nftClusterList, s.cluster, p.Cluster)
	w.list(f, nftLocalList, s.local, p.Local)
	w.chains(p, names)
	f.end(nftChains, len(w.out))
	w.rules(p, names, s)
	f.end(nftRules, len(w.out))
	f.text = w.out[f.start:len(w.out):len(w.out)]
	if w.shared {
		w.scratch = w.out
	} else {
		f.text = append([]byte(nil), f.text...)
		w.scratch = w.out[:f.start]
	}
	w.out = saved
	p.nft.Store(f)
	return f
}

// list writes the elements of an endpoint map.
func (w *nftText) list(f *nftFragment, part int, s span, list []Backend) {
	if s.n > 0 {
		for i := range list {
			w.out = appendEndpointElement(w.out, s.base+uint32(i), &list[i])
			w.out = append(w.out, ", "...)
		}
		f.counts[part] = int32(len(list))
	}
	f.end(part, len(w.out))
}

func appendEndpointElement(dst []byte, index uint32, b *Backend) []byte {
	dst = strconv.AppendUint(dst, uint64(index), 10)
	dst = b.Address.Addr().AppendTo(append(dst, " : "...))
	return strconv.AppendUint(append(dst, " . "...), uint64(b.Address.Port()), 10)
}

// nftNames are the objects of one policy.
type nftNames struct{ cluster, local, external, firewall string }

func namesOf(p *Policy) nftNames {
	var one [nftNameMax + 64]byte
	var four [4 * 256]byte
	b := appendNFTName(one[:0], p.Key, "")
	buf := append(append(four[:0], nftCluster...), b...)
	buf = append(append(buf, nftLocal...), b...)
	buf = append(append(buf, nftExternal...), b...)
	all := string(append(append(buf, nftFirewall...), b...))
	local := len(nftCluster) + len(b)
	external := local + len(nftLocal) + len(b)
	firewall := external + len(nftExternal) + len(b)
	return nftNames{all[:local], all[local:external], all[external:firewall], all[firewall:]}
}

func (n nftNames) internal(p *Policy) string {
	if p.InternalLocal {
		return n.local
	}
	return n.cluster
}

// chainsOf lists the chains that p has, without those of its endpoints.
func (n nftNames) chainsOf(p *Policy) []string {
	var out []string
	if len(p.Cluster) > 0 {
		out = append(out, n.cluster)
	}
	if len(p.Local) > 0 {
		out = append(out, n.local)
	}
	if p.HasEndpoints && p.externallyAccessible() {
		out = append(out, n.external)
	}
	if p.hasFirewall() {
		out = append(out, n.firewall)
	}
	return out
}

// chains creates the chains of p, and its affinity sets.
func (w *nftText) chains(p *Policy, names nftNames) {
	for _, c := range names.chainsOf(p) {
		w.cmd("add chain", c)
	}
	if p.Affinity == 0 {
		return
	}
	for i := range p.Reachable {
		name := nftName(p.Key, p.Reachable[i].text)
		w.cmd("add chain", nftEndpoint+name)
		w.affinitySet(p, name)
	}
}

func (w *nftText) affinitySet(p *Policy, name string) {
	w.cmd("add set", nftAffinity+name, "{ type", w.addr, "; flags dynamic,timeout ; timeout", strconv.Itoa(int(p.Affinity.Seconds()))+"s ; }")
}

func (p *Policy) hasFirewall() bool { return len(p.LoadBalancerIPs) > 0 && len(p.SourceRanges) > 0 }

// rules writes the rules of p's chains.
func (w *nftText) rules(p *Policy, names nftNames, s spans) {
	w.external(p, names)
	if p.hasFirewall() {
		for _, r := range p.SourceRanges {
			w.rule(names.firewall, w.ip, "saddr", r.String(), "return")
		}
		for _, ip := range w.node.allowedVIPs(p) {
			w.rule(names.firewall, w.ip, "saddr", ip.String(), "return")
		}
		w.rule(names.firewall, "drop")
	}
	if p.Affinity == 0 {
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
	markRule := "mark set mark or " + w.mark
	if !p.ExternalLocal {
		w.rule(names.external, markRule, `comment "masquerade"`)
	} else {
		if w.node.pods.exists() {
			w.rule(names.external, w.node.pods.nft(w.ip, ""), "goto", names.cluster, `comment "short-circuit pod traffic"`)
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
	w.rule(chain, "meta l4proto", p.Key.Protocol.String(), "dnat", w.ip, "addr . port to numgen random mod")
	w.out[len(w.out)-1] = ' ' // the rule goes on
	w.out = strconv.AppendUint(w.out, uint64(s.n), 10)
	w.out = strconv.AppendUint(append(w.out, " offset "...), uint64(s.base), 10)
	w.out = append(s.id.appendTo(append(w.out, " map @"...)), '\n')
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
		choices = append(choices, strconv.Itoa(i)+" : goto "+nftEndpoint+name)
	}
	w.rule(chain, "numgen random mod", strconv.Itoa(len(list)), "vmap {", strings.Join(choices, ", "), "}")
}
