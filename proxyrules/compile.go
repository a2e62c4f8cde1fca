package proxyrules

import (
	"errors"
	"iter"
	"net/netip"
	"slices"
	"strconv"
)

type serviceKey struct{ namespace, name string }

// Compile turns Services and EndpointSlices into a RuleSet for the node that
// cfg describes. The order of the objects does not matter.
//
// Objects that must be refused (hostile names, values outside their range,
// two objects of one name) make Compile fail with all of them joined, each a
// *InputError; with cfg.SkipRefused they are left out and listed instead.
// The inputs are not kept or changed.
func Compile(cfg Config, services []Service, endpointSlices []EndpointSlice) (*RuleSet, error) {
	n, err := cfg.compile()
	if err != nil {
		return nil, err
	}
	r := &RuleSet{node: n}
	var ns notices
	bySvc := r.parseSlices(endpointSlices, &ns)
	r.compilePolicies(services, bySvc, &ns)
	if len(r.refused) > 0 && !cfg.SkipRefused {
		slices.SortFunc(r.refused, compareInputErrors)
		errs := make([]error, len(r.refused))
		for i, e := range r.refused {
			errs[i] = e
		}
		return nil, errors.Join(errs...)
	}
	r.finish(ns)
	return r, nil
}

// parseSlices groups the slices by service, in the order of their names.
func (r *RuleSet) parseSlices(in []EndpointSlice, ns *notices) map[serviceKey][]*parsedSlice {
	seen := make(map[serviceKey]bool, len(in))
	out := make(map[serviceKey][]*parsedSlice, len(in))
	for i := range in {
		s := &in[i]
		p, err := r.node.parseSlice(s, ns)
		if err == nil && p != nil {
			k := serviceKey{p.namespace, p.name}
			if seen[k] {
				err = refuse(s.object(), "metadata.name", p.name, "a name that no other EndpointSlice of the namespace has")
			}
			seen[k] = true
		}
		switch {
		case err != nil:
			r.refused = append(r.refused, err)
		case p != nil:
			k := serviceKey{p.namespace, p.service}
			out[k] = append(out[k], p)
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b *parsedSlice) int { return cmpString(a.name, b.name) })
	}
	return out
}

func (r *RuleSet) compilePolicies(in []Service, bySvc map[serviceKey][]*parsedSlice, ns *notices) {
	seen := make(map[serviceKey]bool, len(in))
	for i := range in {
		s := &in[i]
		k := serviceKey{s.Metadata.Namespace, s.Metadata.Name}
		policies, err := r.node.policies(s, ns)
		if err == nil && seen[k] && s.watched() {
			err = refuse(s.object(), "metadata.name", s.Metadata.Name, "a name that no other Service of the namespace has")
		}
		if err != nil {
			r.refused = append(r.refused, err)
			continue
		}
		seen[k] = true
		for _, p := range policies {
			p.join(bySvc[k], r.node)
		}
		r.policies = append(r.policies, policies...)
	}
}

// join gives a policy its backends, from the slices of its service.
func (p *Policy) join(slicesByName []*parsedSlice, n *node) {
	if p.All = backends(p.Key, slicesByName); len(p.All) == 0 {
		p.others = otherPorts(p.Key, slicesByName)
	}
	p.categorize(n)
}

// finish derives what needs all policies: order, conflicts, tables.
func (r *RuleSet) finish(ns notices) {
	slices.SortFunc(r.policies, func(a, b *Policy) int { return a.Key.compare(b.Key) })
	edit := newTable().edit(r.node)
	for _, p := range r.policies {
		for f := range p.eachFrontend {
			if h := edit.t.find(f.tableKey()); h != nil && h.policy != p {
				if p.lost == nil {
					p.lost = map[frontKey]PortKey{}
				}
				p.lost[f.key()] = h.policy.Key
			}
		}
		edit.add(p)
		r.endpoints += len(p.All)
	}
	r.notices = ns
	slices.SortFunc(r.refused, compareInputErrors)
	r.table = edit.done()
	all := make([]change, len(r.policies))
	for i, p := range r.policies {
		all[i].new = p
	}
	r.spans = new(spanTable).edit(all)
}

// frontKey is what two frontends must not share. A node port has no address.
type frontKey struct {
	addr     netip.Addr
	port     uint16
	protocol Protocol
}

func (f Frontend) key() frontKey { return frontKey{f.Address, f.Port, f.Protocol} }

func (f Frontend) tableKey() tableKey {
	if f.Kind == NodePortFrontend {
		return nodePortKey(f.Port, f.Protocol)
	}
	return addressKey(f.Address, portProtocol(f.Port, f.Protocol))
}

func (f Frontend) text() string {
	port := strconv.Itoa(int(f.Port)) + "/" + f.Protocol.String()
	if f.Kind == NodePortFrontend {
		return port
	}
	return f.Address.String() + " " + port
}

// eachFrontend yields the addresses of a policy in the order in which rules
// capture them.
func (p *Policy) eachFrontend(yield func(Frontend) bool) {
	f := Frontend{Kind: ClusterIPFrontend, Address: p.ClusterIP, Port: p.Port, Protocol: p.Key.Protocol, Policy: p}
	if !yield(f) {
		return
	}
	f.Kind = ExternalIPFrontend
	for _, f.Address = range p.ExternalIPs {
		if !yield(f) {
			return
		}
	}
	f.Kind = LoadBalancerFrontend
	for _, f.Address = range p.LoadBalancerIPs {
		if !yield(f) {
			return
		}
	}
	if p.NodePort != 0 {
		yield(Frontend{Kind: NodePortFrontend, Port: p.NodePort, Protocol: p.Key.Protocol, Policy: p})
	}
}

// captures yields each address that p holds once, with all the fields that
// name it: one address may be an external IP and a load balancer's at once.
func (p *Policy) captures() iter.Seq2[frontKey, kindSet] {
	return func(yield func(frontKey, kindSet) bool) {
		if len(p.ExternalIPs) == 0 && len(p.LoadBalancerIPs) == 0 {
			for f := range p.eachFrontend {
				if !p.loses(f.key()) && !yield(f.key(), 1<<f.Kind) {
					return
				}
			}
			return
		}
		kinds := map[frontKey]kindSet{}
		for f := range p.eachFrontend {
			kinds[f.key()] |= 1 << f.Kind
		}
		for f := range p.eachFrontend {
			k := f.key()
			if set, first := kinds[k]; first && !p.loses(k) && !yield(k, set) {
				return
			}
			delete(kinds, k)
		}
	}
}

func compareInputErrors(a, b *InputError) int {
	return cmpOr(cmpString(a.Object, b.Object), cmpString(a.Field, b.Field), cmpString(a.Value, b.Value))
}

func compareDiagnostics(a, b Diagnostic) int {
	return cmpOr(cmpString(a.Object, b.Object), cmpString(a.Field, b.Field), cmpString(a.Value, b.Value), cmpString(a.Message, b.Message))
}
