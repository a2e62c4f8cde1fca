package proxyrules

import (
	"bytes"
	"net/netip"
	"slices"
)

// Update is the way from one RuleSet to another: what to tell the kernel,
// when it has the rules of the first, so that it has those of the second.
type Update struct {
	from, to *RuleSet
	changes  []change
	full     bool
}

// Diff compares two RuleSets of one node and family. RuleSets of one Compiler
// share what did not change, and comparing them costs little more than what
// did.
func Diff(from, to *RuleSet) *Update {
	return &Update{from: from, to: to, changes: from.list.diff(to.list), full: !sameRules(from.node, to.node)}
}

// sameRules: the rules that do not depend on Services are the same.
func sameRules(a, b *node) bool {
	return a == b || a.family == b.family && a.mark == b.mark && a.masqueradeAll == b.masqueradeAll &&
		a.pods == b.pods && a.tcpBeLiberal == b.tcpBeLiberal && a.localhostPorts == b.localhostPorts &&
		(a.nodePorts == nil) == (b.nodePorts == nil) && slices.Equal(a.nodePortIPs, b.nodePortIPs) &&
		slices.Equal(a.ips, b.ips) && slices.Equal(a.serviceCIDRs, b.serviceCIDRs)
}

// Empty reports that there is nothing to do.
func (u *Update) Empty() bool { return !u.full && len(u.changes) == 0 }

// Changed lists the service ports that are not the same on both sides.
func (u *Update) Changed() []PortKey {
	out := make([]PortKey, len(u.changes))
	for i, ch := range u.changes {
		out[i] = ch.key()
	}
	return out
}

// AppendIPTables appends the input for iptables-restore --noflush: the chains
// that all services share, as a whole, since rules there cannot be addressed;
// the chains of the changed service ports; and the removal of those that are
// not needed any more. An empty update appends nothing.
func (u *Update) AppendIPTables(dst []byte) []byte {
	if u.Empty() {
		return dst
	}
	parts := u.to.iptablesParts()
	w := newIPTablesText(u.to, false)
	changed := make([]*iptablesFragment, 0, len(u.changes))
	if u.full || w.comments != u.from.comments() {
		changed = parts
	} else {
		for _, ch := range u.changes {
			if ch.new != nil {
				changed = append(changed, w.fragment(ch.new))
			}
		}
	}
	dst = u.to.appendNATHead(u.to.appendFilterTable(dst, parts))
	for _, f := range changed {
		dst = append(dst, f.chains...)
	}
	stale := u.staleChains()
	for _, c := range stale {
		dst = appendChainLine(dst, c)
	}
	dst = u.to.appendNATRules(dst, parts)
	for _, f := range changed {
		dst = append(dst, f.rules...)
	}
	for _, c := range stale {
		dst = append(append(append(dst, "-X "...), c...), '\n')
	}
	return append(dst, "COMMIT\n"...)
}

// staleChains are the iptables chains that the old rules have alone.
func (u *Update) staleChains() []string {
	before := newIPTablesText(u.from, false)
	after := newIPTablesText(u.to, false)
	var out []string
	for _, ch := range u.changes {
		if ch.old == nil {
			continue
		}
		keep := map[string]bool{}
		if ch.new != nil {
			for c := range chainNames(after.fragment(ch.new)) {
				keep[c] = true
			}
		}
		for c := range chainNames(before.fragment(ch.old)) {
			if !keep[c] {
				out = append(out, c)
			}
		}
	}
	return out
}

// chainNames yields the chains of a fragment.
func chainNames(f *iptablesFragment) func(func(string) bool) {
	return func(yield func(string) bool) {
		for line := range bytes.Lines(f.chains) {
			name, _, _ := bytes.Cut(line[1:], []byte(" "))
			if !yield(string(name)) {
				return
			}
		}
	}
}

// StaleFlows are UDP entries in the connection tracking table that an update
// makes wrong: those with the Destination, or to the NodePort at any address,
// whose backend is not among Keep. UDP has no end that would free them, and a
// client that keeps sending would reach a backend that is gone.
type StaleFlows struct {
	Destination netip.AddrPort // zero for a node port
	NodePort    uint16
	Keep        []netip.AddrPort // the serving backends
}

// StaleFlows lists what to remove from connection tracking once the update
// is applied: for each changed UDP service port, all its addresses.
func (u *Update) StaleFlows() []StaleFlows {
	var out []StaleFlows
	for _, ch := range u.changes {
		p := ch.new
		if p == nil || p.Key.Protocol != UDP || ch.old != nil && slices.EqualFunc(ch.old.All, p.All, equalBackend) {
			continue
		}
		var keep []netip.AddrPort
		for i := range p.All {
			if p.All[i].Serving {
				keep = append(keep, p.All[i].Address)
			}
		}
		for k := range p.captures() {
			s := StaleFlows{Keep: keep}
			if k.addr.IsValid() {
				s.Destination = netip.AddrPortFrom(k.addr, k.port)
			} else {
				s.NodePort = k.port
			}
			out = append(out, s)
		}
	}
	return out
}
