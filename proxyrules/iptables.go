package proxyrules

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
)

// largeEndpoints is the number of endpoints beyond which comments are left
// out of the chains of services and endpoints: they are a third of the text.
const largeEndpoints = 1000

// AppendIPTables appends the complete rules as input for
//
//	iptables-restore --noflush --counters
//
// (ip6tables-restore for IPv6) and returns the extended buffer. The text
// fills chains of its own; AppendIPTablesJumps makes the kernel enter them.
// Equal state gives equal bytes.
//
// Each service port's part is kept with it, so writing the rules of a set
// that shares most of its policies with an earlier one is mostly copying.
func (r *RuleSet) AppendIPTables(dst []byte) []byte {
	parts := r.iptablesParts()
	size := 4096
	for _, f := range parts {
		size += len(f.filter) + len(f.capture) + len(f.chains) + len(f.rules)
	}
	dst = slices.Grow(dst, size)
	dst = r.appendFilterTable(dst, parts)
	dst = r.appendNATHead(dst)
	for _, f := range parts {
		dst = append(dst, f.chains...)
	}
	dst = r.appendNATRules(dst, parts)
	for _, f := range parts {
		dst = append(dst, f.rules...)
	}
	return append(dst, "COMMIT\n"...)
}

// iptablesFragment is the part of one policy in the text. Parts of all
// policies are grouped by table and chain.
type iptablesFragment struct {
	comments bool // made with comments on the chains of services and endpoints

	filter  []byte // table filter: rules
	capture []byte // table nat: rules of KUBE-SERVICES and KUBE-NODEPORTS
	chains  []byte // table nat: chain lines of the policy's own chains
	rules   []byte // table nat: their rules
}

func (r *RuleSet) comments() bool { return r.endpoints <= largeEndpoints }

// iptablesParts returns the fragments of all policies.
func (r *RuleSet) iptablesParts() []*iptablesFragment {
	policies := r.Policies()
	out := make([]*iptablesFragment, len(policies))
	inParallel(len(out), func(from, to int) {
		w := newIPTablesText(r, true)
		for i := from; i < to; i++ {
			out[i] = w.fragment(policies[i])
		}
	})
	return out
}

// fragment returns the part of p, from where it is kept or made anew.
func (w *iptablesText) fragment(p *Policy) *iptablesFragment {
	if f := p.iptables.Load(); f != nil && f.comments == w.comments {
		return f
	}
	buffers := [...]*[]byte{&w.filter, &w.capture, &w.chains, &w.rules}
	var starts [len(buffers)]int
	for i, b := range buffers {
		if len(*b) > pieceBytes {
			*b = nil // those who have parts of it keep it
		}
		if w.shared && *b == nil {
			*b = make([]byte, 0, pieceBytes+pieceBytes/16)
		}
		starts[i] = len(*b)
	}
	w.policy(p)
	f := w.fragments.one()
	f.comments = w.comments
	for i, part := range [...]*[]byte{&f.filter, &f.capture, &f.chains, &f.rules} {
		*part = (*buffers[i])[starts[i]:len(*buffers[i]):len(*buffers[i])]
		if !w.shared {
			*part = append([]byte(nil), *part...)
			*buffers[i] = (*buffers[i])[:0]
		}
	}
	p.iptables.Store(f)
	return f
}

func (r *RuleSet) appendFilterTable(dst []byte, parts []*iptablesFragment) []byte {
	dst = append(dst, "*filter\n"...)
	for _, c := range []string{"KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL"} {
		dst = appendChainLine(dst, c)
	}
	if r.node.localhostPorts {
		// Node ports on localhost need route_localnet, which lets martians in.
		dst = appendChainLine(dst, "KUBE-FIREWALL")
		dst = append(dst, `-A KUBE-FIREWALL -m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP`+"\n"...)
	}
	for _, f := range parts {
		dst = append(dst, f.filter...)
	}
	mark := fmt.Sprintf("%#08x", r.node.mark)
	if !r.node.tcpBeLiberal {
		dst = append(dst, "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n"...)
	}
	dst = fmt.Appendf(dst, `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark %s/%s -j ACCEPT`+"\n", mark, mark)
	return append(dst, `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`+"\nCOMMIT\n"...)
}

// appendNATHead begins table nat with the chains that are always there.
func (r *RuleSet) appendNATHead(dst []byte) []byte {
	dst = append(dst, "*nat\n"...)
	for _, c := range []string{"KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"} {
		dst = appendChainLine(dst, c)
	}
	return dst
}

// appendNATRules appends the rules of those chains.
func (r *RuleSet) appendNATRules(dst []byte, parts []*iptablesFragment) []byte {
	mark := fmt.Sprintf("%#08x", r.node.mark)
	dst = fmt.Appendf(dst, "-A KUBE-POSTROUTING -m mark ! --mark %s/%s -j RETURN\n", mark, mark)
	dst = fmt.Appendf(dst, "-A KUBE-POSTROUTING -j MARK --xor-mark %s\n", mark)
	dst = append(dst, `-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully`+"\n"...)
	dst = fmt.Appendf(dst, "-A KUBE-MARK-MASQ -j MARK --or-mark %s\n", mark)
	for _, f := range parts {
		dst = append(dst, f.capture...)
	}
	for _, dest := range r.node.nodePortDestinations() {
		dst = append(dst, `-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" `...)
		dst = append(append(dst, dest...), " -j KUBE-NODEPORTS\n"...)
	}
	return dst
}

// pieceBytes is about what fragments made together share, so that they are
// not copied. Replaced ones keep their part of it until all are.
const (
	pieceBytes     = 64 << 10
	fragmentsPiece = 64
)

// iptablesText makes fragments; its buffers serve one after the other.
type iptablesText struct {
	node     *node
	pods     string // match on what they send
	comments bool   // on the chains of services and endpoints
	shared   bool   // fragments are parts of the buffers, and not copies

	filter, capture, chains, rules []byte // as in a fragment
	fragments                      pool[iptablesFragment]

	name    string // "ns/name:port" of the current policy
	proto   string
	cluster string // chain names of the current policy
	local   string
	ext     string
	fw      string
	seps    []byte // chains of p.Reachable, one behind the other
	scratch []byte

	probabilities []string // of 1 in n, at n
}

func newIPTablesText(r *RuleSet, shared bool) *iptablesText {
	w := &iptablesText{node: r.node, pods: r.node.pods.iptables(), comments: r.comments(), shared: shared}
	if shared {
		w.fragments.piece = fragmentsPiece
	}
	return w
}

// nodePortDestinations are the matches that lead to KUBE-NODEPORTS.
func (n *node) nodePortDestinations() []string {
	if n.nodePorts == nil {
		switch {
		case n.family == IPv6:
			return []string{"-m addrtype --dst-type LOCAL ! -d ::1/128"}
		case !n.localhostPorts:
			return []string{"-m addrtype --dst-type LOCAL ! -d 127.0.0.0/8"}
		}
		return []string{"-m addrtype --dst-type LOCAL"}
	}
	var out []string
	for _, ip := range n.nodePortIPs {
		if !ip.IsLoopback() || n.localhostPorts {
			out = append(out, "-d "+ip.String())
		}
	}
	return out
}

func (w *iptablesText) policy(p *Policy) {
	w.name, w.proto = p.Key.String(), p.Key.Protocol.String()
	w.cluster, w.local, w.ext, w.fw = iptablesNames(p)
	w.endpointChains(p)
	for f := range p.eachFrontend {
		if !p.loses(f.key()) {
			w.frontend(f)
		}
	}
	if p.HealthCheckNodePort != 0 {
		w.filter = fmt.Appendf(w.filter, `-A KUBE-NODEPORTS -m comment --comment "%s health check node port" -m tcp -p tcp --dport %d -j ACCEPT`+"\n", w.name, p.HealthCheckNodePort)
	}
	w.internalMasquerade(p)
	w.external(p)
	w.firewall(p)
	w.balance(p, w.cluster, p.Cluster)
	w.balance(p, w.local, p.Local)
	w.endpointRules(p)
}

// endpointChains names the chains of the reachable backends.
func (w *iptablesText) endpointChains(p *Policy) {
	w.seps = w.seps[:0]
	w.scratch = append(append(w.scratch[:0], w.name...), w.proto...)
	base := len(w.scratch)
	for i := range p.Reachable {
		w.scratch = append(w.scratch[:base], p.Reachable[i].text...)
		sum := sha256.Sum256(w.scratch)
		w.seps = appendIPTablesHash(append(w.seps, chainEndpoint...), &sum)
	}
}

// sep is the chain of p.Reachable[i].
func (w *iptablesText) sep(i int) []byte {
	const n = len(chainEndpoint) + iptablesHashLen
	return w.seps[i*n : (i+1)*n]
}

func (w *iptablesText) probability(n int) string {
	for len(w.probabilities) <= n {
		w.probabilities = append(w.probabilities, strconv.FormatFloat(1/float64(max(len(w.probabilities), 1)), 'f', 10, 64))
	}
	return w.probabilities[n]
}

// frontend captures one address: in nat when there is a chain to jump to, in
// filter when there is nothing to reach.
func (w *iptablesText) frontend(f Frontend) {
	p := f.Policy
	chain, table := "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"
	about, target, missing := "", w.ext, p.lacksExternal()
	switch f.Kind {
	case ClusterIPFrontend:
		about, table, target = " cluster IP", "KUBE-SERVICES", w.cluster
		if p.InternalLocal {
			target = w.local
		}
		if missing = len(p.internal()) == 0; missing {
			target = ""
		}
	case ExternalIPFrontend:
		about = " external IP"
	case LoadBalancerFrontend:
		about = " loadbalancer IP"
		if len(p.SourceRanges) > 0 {
			target = w.fw
		}
	case NodePortFrontend:
		chain = "KUBE-NODEPORTS"
	}
	if p.HasEndpoints && target != "" {
		w.capture = w.match(append(w.capture, "-A "...), chain, about, f)
		w.capture = appendTarget(w.capture, target)
	}
	if f.Kind == LoadBalancerFrontend && p.HasEndpoints && len(p.SourceRanges) > 0 {
		w.filter = w.match(append(w.filter, "-A "...), "KUBE-PROXY-FIREWALL", " traffic not accepted by "+w.fw, f)
		w.filter = appendTarget(w.filter, "DROP")
	}
	if missing {
		reason := " has no endpoints"
		if p.HasEndpoints {
			reason = " has no local endpoints"
		}
		w.filter = w.match(append(w.filter, "-A "...), table, reason, f)
		w.filter = appendTarget(w.filter, p.missing().String())
	}
}

// match appends chain, a comment about the service port, and the match on
// protocol, address and port.
func (w *iptablesText) match(dst []byte, chain, about string, f Frontend) []byte {
	dst = append(append(dst, chain...), " -m comment --comment "...)
	if about == "" {
		dst = append(dst, w.name...)
	} else {
		dst = append(append(append(append(dst, '"'), w.name...), about...), '"')
		if f.Kind == NodePortFrontend {
			dst = append(dst, " -m addrtype --dst-type LOCAL"...)
		}
	}
	dst = w.appendProto(dst)
	if f.Kind != NodePortFrontend {
		dst = append(dst, " -d "...)
		dst = f.Address.AppendTo(dst)
	}
	dst = append(dst, " --dport "...)
	return strconv.AppendUint(dst, uint64(f.Port), 10)
}

func (w *iptablesText) appendProto(dst []byte) []byte {
	dst = append(dst, " -m "...)
	dst = append(dst, w.proto...)
	dst = append(dst, " -p "...)
	return append(dst, w.proto...)
}

// internalMasquerade: a route for the service range may lead traffic from
// outside the cluster here; the backend may be on another node, so the
// answer must come back through this one.
func (w *iptablesText) internalMasquerade(p *Policy) {
	n := w.node
	if len(p.internal()) == 0 || !n.masqueradeAll && !n.pods.exists() {
		return
	}
	chain := w.cluster
	if p.InternalLocal {
		chain = w.local
	}
	f := Frontend{Address: p.ClusterIP, Port: p.Port}
	w.rules = w.match(append(w.rules, "-A "...), chain, " cluster IP", f)
	if !n.masqueradeAll {
		w.rules = append(append(w.rules, " ! "...), w.pods...)
	}
	w.rules = appendTarget(w.rules, "KUBE-MARK-MASQ")
}

// external is the chain that all traffic not for the ClusterIP passes.
func (w *iptablesText) external(p *Policy) {
	if !p.HasEndpoints || !p.externallyAccessible() {
		return
	}
	w.chains = appendChainLine(w.chains, w.ext)
	rule := func(comment, match, target string) {
		w.rules = append(append(w.rules, "-A "...), w.ext...)
		if comment != "" {
			w.rules = fmt.Appendf(w.rules, ` -m comment --comment "%s for %s external destinations"`, comment, w.name)
		}
		w.rules = append(w.rules, match...)
		w.rules = appendTarget(w.rules, target)
	}
	if !p.ExternalLocal {
		rule("masquerade traffic", "", "KUBE-MARK-MASQ")
	} else {
		// Pods and the node itself act as if they had gone out to the load
		// balancer and come back in at any node.
		if w.node.pods.exists() {
			rule("pod traffic", " "+w.pods, w.cluster)
		}
		rule("masquerade LOCAL traffic", " -m addrtype --src-type LOCAL", "KUBE-MARK-MASQ")
		rule("route LOCAL traffic", " -m addrtype --src-type LOCAL", w.cluster)
	}
	switch {
	case p.lacksExternal():
	case p.ExternalLocal:
		rule("", "", w.local)
	default:
		rule("", "", w.cluster)
	}
}

// firewall lets the allowed sources of a load balancer through to be DNATed;
// what is not, KUBE-PROXY-FIREWALL drops.
func (w *iptablesText) firewall(p *Policy) {
	if !p.HasEndpoints || len(p.LoadBalancerIPs) == 0 || len(p.SourceRanges) == 0 {
		return
	}
	w.chains = appendChainLine(w.chains, w.fw)
	allow := func(source string) {
		w.rules = fmt.Appendf(w.rules, `-A %s -m comment --comment "%s loadbalancer IP" -s %s -j %s`+"\n", w.fw, w.name, source, w.ext)
	}
	for _, r := range p.SourceRanges {
		allow(r.String())
	}
	for _, ip := range w.node.allowedVIPs(p) {
		allow(ip.String())
	}
	w.rules = fmt.Appendf(w.rules, `-A %s -m comment --comment "other traffic to %s will be dropped by KUBE-PROXY-FIREWALL"`+"\n", w.fw, w.name)
}

// allowedVIPs are the load balancer's addresses when the node itself is in a
// source range: a node with the address bound uses it as its source.
func (n *node) allowedVIPs(p *Policy) []netip.Addr {
	if ip, ok := n.nodeIP(); ok && prefixesContain(p.SourceRanges, ip) {
		return p.LoadBalancerIPs
	}
	return nil
}

// balance is a policy chain: affinity first, then rule i of n takes 1/(n-i)
// of what reaches it, so that every backend gets 1/n.
func (w *iptablesText) balance(p *Policy, chain string, list []Backend) {
	if len(list) == 0 {
		return
	}
	w.chains = appendChainLine(w.chains, chain)
	if p.Affinity != 0 {
		w.eachChain(p, list, func(_ int, sep []byte, b *Backend) {
			w.choice(chain, b)
			w.rules = append(append(w.rules, " -m recent --name "...), sep...)
			w.rules = append(w.rules, " --rcheck --seconds "...)
			w.rules = strconv.AppendInt(w.rules, int64(p.Affinity.Seconds()), 10)
			w.rules = append(w.rules, " --reap"...)
			w.rules = appendTarget(w.rules, sep)
		})
	}
	w.eachChain(p, list, func(i int, sep []byte, b *Backend) {
		w.choice(chain, b)
		if left := len(list) - i; left > 1 {
			w.rules = append(w.rules, " -m statistic --mode random --probability "...)
			w.rules = append(w.rules, w.probability(left)...)
		}
		w.rules = appendTarget(w.rules, sep)
	})
}

// choice begins a rule of a policy chain that may lead to b.
func (w *iptablesText) choice(chain string, b *Backend) {
	w.rules = append(append(w.rules, "-A "...), chain...)
	if w.comments {
		w.rules = append(append(append(w.rules, ` -m comment --comment "`...), w.name...), " -> "...)
		w.rules = append(append(w.rules, b.text...), '"')
	}
}

// eachChain pairs the backends of list, which is a subset of p.Reachable in
// the same order, with their chains.
func (w *iptablesText) eachChain(p *Policy, list []Backend, do func(i int, sep []byte, b *Backend)) {
	j := 0
	for i := range list {
		for p.Reachable[j].text != list[i].text {
			j++
		}
		do(i, w.sep(j), &list[i])
	}
}

// endpointRules are the chains that rewrite the destination. A backend that is
// its own client must be masqueraded, else it would answer itself directly.
func (w *iptablesText) endpointRules(p *Policy) {
	for i := range p.Reachable {
		b, chain := &p.Reachable[i], w.sep(i)
		w.chains = appendChainLine(w.chains, chain)
		w.beginEndpoint(chain)
		w.rules = b.Address.Addr().AppendTo(append(w.rules, " -s "...))
		w.rules = appendTarget(w.rules, "KUBE-MARK-MASQ")
		w.beginEndpoint(chain)
		if p.Affinity != 0 {
			w.rules = append(append(append(w.rules, " -m recent --name "...), chain...), " --set"...)
		}
		w.rules = w.appendProto(w.rules)
		w.rules = append(append(w.rules, " -j DNAT --to-destination "...), b.text...)
		w.rules = append(w.rules, '\n')
	}
}

func (w *iptablesText) beginEndpoint(chain []byte) {
	w.rules = append(append(w.rules, "-A "...), chain...)
	if w.comments {
		w.rules = append(append(w.rules, " -m comment --comment "...), w.name...)
	}
}

func appendChainLine[T string | []byte](dst []byte, chain T) []byte {
	dst = append(append(dst, ':'), chain...)
	return append(dst, " - [0:0]\n"...)
}

func appendTarget[T string | []byte](dst []byte, target T) []byte {
	dst = append(append(dst, " -j "...), target...)
	return append(dst, '\n')
}

// AppendIPTablesJumps appends the rules that lead packets from the kernel's
// chains into those of AppendIPTables, for one run of
// iptables-restore --noflush after the chains exist. Each run inserts them
// again, so it belongs into the set-up of a node and not into every update.
func (r *RuleSet) AppendIPTablesJumps(dst []byte) []byte {
	const isNew = "-m conntrack --ctstate NEW "
	dst = append(dst, "*filter\n"...)
	if !r.node.localhostPorts {
		dst = appendChainLine(dst, "KUBE-FIREWALL")
	}
	for _, j := range []struct{ from, to, match, comment string }{
		{"INPUT", "KUBE-EXTERNAL-SERVICES", isNew, "kubernetes externally-visible service portals"},
		{"FORWARD", "KUBE-EXTERNAL-SERVICES", isNew, "kubernetes externally-visible service portals"},
		{"INPUT", "KUBE-NODEPORTS", "", "kubernetes health check service ports"},
		{"FORWARD", "KUBE-SERVICES", isNew, "kubernetes service portals"},
		{"OUTPUT", "KUBE-SERVICES", isNew, "kubernetes service portals"},
		{"FORWARD", "KUBE-FORWARD", "", "kubernetes forwarding rules"},
		{"INPUT", "KUBE-PROXY-FIREWALL", isNew, "kubernetes load balancer firewall"},
		{"OUTPUT", "KUBE-PROXY-FIREWALL", isNew, "kubernetes load balancer firewall"},
		{"FORWARD", "KUBE-PROXY-FIREWALL", isNew, "kubernetes load balancer firewall"},
	} {
		dst = fmt.Appendf(dst, "-I %s 1 %s-m comment --comment \"%s\" -j %s\n", j.from, j.match, j.comment, j.to)
	}
	dst = append(dst, "-I INPUT 1 -j KUBE-FIREWALL\n-I OUTPUT 1 -j KUBE-FIREWALL\nCOMMIT\n*nat\n"...)
	for _, from := range []string{"OUTPUT", "PREROUTING"} {
		dst = fmt.Appendf(dst, "-I %s 1 -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n", from)
	}
	return append(dst, "-I POSTROUTING 1 -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\nCOMMIT\n"...)
}
