package proxyrules

import (
	"errors"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"sync"
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
	policies := r.compilePolicies(services, bySvc, &ns)
	if len(r.refused) > 0 && !cfg.SkipRefused {
		slices.SortFunc(r.refused, compareInputErrors)
		errs := make([]error, len(r.refused))
		for i, e := range r.refused {
			errs[i] = e
		}
		return nil, errors.Join(errs...)
	}
	r.finish(policies, ns)
	return r, nil
}

// parseSlices groups the slices by service, in the order of their names.
func (r *RuleSet) parseSlices(in []EndpointSlice, ns *notices) map[serviceKey][]*parsedSlice {
	parsed := make([]*parsedSlice, len(in))
	r.each(len(in), ns, func(i int, mem *arena, ns *notices) (err *InputError) {
		parsed[i], err = r.node.parseSlice(&in[i], mem, ns)
		return err
	})
	seen := make(map[serviceKey]bool, len(in))
	out := make(map[serviceKey][]*parsedSlice, len(in))
	mem := newArena()
	for i, p := range parsed {
		if p == nil {
			continue
		}
		name, of := serviceKey{p.namespace, p.name}, serviceKey{p.namespace, p.service}
		if seen[name] {
			r.refused = append(r.refused, refuse(in[i].object(), "metadata.name", p.name, "a name that no other EndpointSlice of the namespace has"))
			continue
		}
		seen[name] = true
		list, known := out[of]
		if !known {
			list = mem.lists.take(1)[:0]
		}
		out[of] = append(list, p)
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b *parsedSlice) int { return cmpString(a.name, b.name) })
	}
	return out
}

// each calls do for every index, and gathers what it refuses and notices.
func (r *RuleSet) each(n int, ns *notices, do func(i int, mem *arena, ns *notices) *InputError) {
	var mu sync.Mutex
	inParallel(n, func(from, to int) {
		mem := newArena()
		var found notices
		var refused []*InputError
		for i := from; i < to; i++ {
			if err := do(i, mem, &found); err != nil {
				refused = append(refused, err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		*ns = append(*ns, found...) // all of them are sorted before anybody sees them
		r.refused = append(r.refused, refused...)
	})
}

func (r *RuleSet) compilePolicies(in []Service, bySvc map[serviceKey][]*parsedSlice, ns *notices) []*Policy {
	made := make([][]*Policy, len(in))
	passed := make([]bool, len(in))
	r.each(len(in), ns, func(i int, mem *arena, ns *notices) (err *InputError) {
		made[i], err = r.node.policies(&in[i], mem, ns)
		for _, p := range made[i] {
			p.join(bySvc[serviceKey{p.Key.Namespace, p.Key.Service}], r.node, mem)
		}
		passed[i] = err == nil
		return err
	})
	seen := make(map[serviceKey]bool, len(in))
	all := make([]*Policy, 0, len(in))
	for i := range in {
		s := &in[i]
		k := serviceKey{s.Metadata.Namespace, s.Metadata.Name}
		switch {
		case !passed[i]:
		case seen[k] && s.watched():
			r.refused = append(r.refused, refuse(s.object(), "metadata.name", s.Metadata.Name, "a name that no other Service of the namespace has"))
		default:
			seen[k] = true
			all = append(all, made[i]...)
		}
	}
	slices.SortFunc(all, func(a, b *Policy) int { return a.Key.compare(b.Key) })
	return all
}

// join gives a policy its backends, from the slices of its service.
func (p *Policy) join(slicesByName []*parsedSlice, n *node, mem *arena) {
	if p.All = backends(p.Key, slicesByName, mem); len(p.All) == 0 {
		p.others = otherPorts(p.Key, slicesByName)
	}
	p.categorize(n)
}

// finish derives what needs all policies: conflicts and tables.
func (r *RuleSet) finish(policies []*Policy, ns notices) {
	r.list = newPolicyList(policies)
	r.flat.Store(&policies)
	edit := newTable().edit(r.node)
	edit.expect(3 * len(policies))
	for _, p := range policies {
		for f := range p.eachFrontend {
			if h := edit.t.find(f.tableKey()); h != nil && h.policy != p {
				if p.lost == nil {
					p.lost = map[frontKey]PortKey{}
				}
				p.lost[f.key()] = h.policy.Key
			}
		}
		edit.add(p, nil)
		r.endpoints += len(p.All)
	}
	r.notices = ns
	slices.SortFunc(r.refused, compareInputErrors)
	r.table = edit.done()
	all := make([]change, len(policies))
	for i, p := range policies {
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
