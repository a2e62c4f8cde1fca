package proxyrules

import (
	"fmt"
	"slices"
	"strings"
)

// Lint lists what in the rules is probably not what somebody wanted: the
// Diagnostics (conflicts, skipped values, source ranges of one family only),
// black holes and loops. It is sorted.
func (r *RuleSet) Lint() []Diagnostic {
	out := notices(r.Diagnostics())
	for _, p := range r.Policies() {
		l := linter{RuleSet: r, p: p, out: &out, object: "Service " + p.Key.Namespace + "/" + p.Key.Service}
		l.reachable()
		l.backends()
	}
	slices.SortFunc(out, compareDiagnostics)
	return out
}

type linter struct {
	*RuleSet
	p      *Policy
	out    *notices
	object string
}

func (l *linter) add(field, value, format string, args ...any) {
	l.out.add(l.object, field, value, fmt.Sprintf(format, args...))
}

// reachable finds addresses at which nobody answers.
func (l *linter) reachable() {
	p := l.p
	port := "port " + portName(p.Key)
	switch {
	case p.HasEndpoints:
	case len(p.others) > 0:
		l.add("spec.ports", p.Key.Port, "%s has no endpoints: the slices of the Service have other ports, %s; names must be the same", port, strings.Join(p.others, ", "))
		return
	case len(p.All) > 0:
		l.add("spec.ports", p.Key.Port, "%s has no endpoints: none of %d is ready, or serving while it terminates: connections are refused", port, len(p.All))
		return
	default:
		l.add("spec.ports", p.Key.Port, "%s has no endpoints: connections are refused", port)
		return
	}
	if len(p.Local) > 0 {
		return
	}
	if p.InternalLocal {
		l.add("spec.internalTrafficPolicy", "Local", "%s has no endpoint on this node: connections to the clusterIP from this node are dropped", port)
	}
	if p.ExternalLocal && p.externallyAccessible() {
		l.add("spec.externalTrafficPolicy", "Local", "%s has no endpoint on this node: connections from outside to this node are dropped", port)
	}
}

// backends finds endpoints that cannot work.
func (l *linter) backends() {
	for i := range l.p.Reachable {
		b := &l.p.Reachable[i]
		ip := b.Address.Addr()
		captured := l.table.at(ip, b.Address.Port(), l.p.Key.Protocol)
		switch {
		case captured != nil:
			l.add("endpoints", b.text, "slice %s: the backend is itself an address of Service port %s: packets are not sent on", b.Slice, captured.policy.Key)
		case l.table.isClusterIP(ip):
			l.add("endpoints", b.text, "slice %s: the backend is a clusterIP, at a port that no Service has", b.Slice)
		case ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast():
			l.add("endpoints", b.text, "slice %s: not an address that another machine can have", b.Slice)
		}
	}
}

func portName(k PortKey) string {
	if k.Port == "" {
		return "(" + k.Protocol.String() + ")"
	}
	return k.Port
}

// otherPorts names the ports of a service's slices, for a service port that
// none of them matches.
func otherPorts(key PortKey, slicesByName []*parsedSlice) []string {
	var out []string
	for _, s := range slicesByName {
		for _, port := range s.ports {
			if port.name == key.Port && port.protocol == key.Protocol {
				return nil
			}
			if name := portName(PortKey{Port: port.name, Protocol: port.protocol}) + "/" + port.protocol.String(); !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}
