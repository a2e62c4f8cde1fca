package proxyrules

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Compiler keeps a RuleSet up to date, object by object. A change costs what
// the changed service costs, and not what the cluster costs; the result is
// the one that Compile gives for the same objects, whatever the order in
// which they came.
//
// A Compiler is for one goroutine; the RuleSets it returns are for any.
type Compiler struct {
	node     *node
	services map[serviceKey]*serviceState
	owner    map[serviceKey]serviceKey // of a slice, by its name
	claims   map[frontKey][]*portState // who names an address, by key; the first holds it
	dirty    map[serviceKey]bool
	notices  map[string]notices // by object
	noticed  []Diagnostic       // all of them; nil when out of date
	current  *RuleSet
}

// serviceState is what came in for one service.
type serviceState struct {
	templates []*Policy      // one per port, without backends
	slices    []*parsedSlice // by name
	ports     []*portState
}

// portState follows one service port through its versions.
type portState struct {
	policy  *Policy // in the current RuleSet; nil when new
	next    *Policy // in the one being made; nil when it goes
	visited bool    // in the list of changes
}

// NewCompiler starts with no objects. Config.SkipRefused means nothing here:
// each object is refused when it is given.
func NewCompiler(cfg Config) (*Compiler, error) {
	n, err := cfg.compile()
	if err != nil {
		return nil, err
	}
	return &Compiler{
		node: n, services: map[serviceKey]*serviceState{}, owner: map[serviceKey]serviceKey{},
		claims: map[frontKey][]*portState{}, dirty: map[serviceKey]bool{}, notices: map[string]notices{},
		current: &RuleSet{node: n, table: newTable(), spans: new(spanTable)},
	}, nil
}

// SetService adds or replaces a Service. A refused one leaves the version
// before it in force.
func (c *Compiler) SetService(s *Service) error {
	var ns notices
	templates, err := c.node.policies(s, &arena{}, &ns)
	if err != nil {
		return err
	}
	k := serviceKey{s.Metadata.Namespace, s.Metadata.Name}
	c.note(s.object(), ns)
	if len(templates) == 0 && c.services[k] == nil {
		return nil
	}
	c.touch(k).templates = templates
	return nil
}

// DeleteService removes a Service, if it is there.
func (c *Compiler) DeleteService(namespace, name string) {
	k := serviceKey{namespace, name}
	s := Service{Metadata: ObjectMeta{Namespace: namespace, Name: name}}
	c.note(s.object(), nil)
	if c.services[k] != nil {
		c.touch(k).templates = nil
	}
}

// SetEndpointSlice adds or replaces a slice. A refused one leaves the version
// before it in force.
func (c *Compiler) SetEndpointSlice(s *EndpointSlice) error {
	var ns notices
	p, err := c.node.parseSlice(s, &arena{}, &ns)
	if err != nil {
		return err
	}
	c.DeleteEndpointSlice(s.Metadata.Namespace, s.Metadata.Name)
	c.note(s.object(), ns)
	if p == nil {
		return nil
	}
	k := serviceKey{p.namespace, p.service}
	c.owner[serviceKey{p.namespace, p.name}] = k
	st := c.touch(k)
	at, _ := slices.BinarySearchFunc(st.slices, p.name, func(q *parsedSlice, name string) int { return cmp.Compare(q.name, name) })
	st.slices = slices.Insert(st.slices, at, p)
	return nil
}

// DeleteEndpointSlice removes a slice, if it is there.
func (c *Compiler) DeleteEndpointSlice(namespace, name string) {
	s := EndpointSlice{Metadata: ObjectMeta{Namespace: namespace, Name: name}}
	c.note(s.object(), nil)
	slice := serviceKey{namespace, name}
	k, known := c.owner[slice]
	if !known {
		return
	}
	delete(c.owner, slice)
	st := c.touch(k)
	st.slices = slices.DeleteFunc(st.slices, func(q *parsedSlice) bool { return q.name == name })
}

// SetNodeLabels replaces the labels of the node, of which the zone matters.
func (c *Compiler) SetNodeLabels(labels map[string]string) {
	if labels[labelZone] == c.node.zone {
		return
	}
	n := *c.node
	n.zone = labels[labelZone]
	c.node = &n
	for k := range c.services {
		c.dirty[k] = true
	}
}

func (c *Compiler) touch(k serviceKey) *serviceState {
	st := c.services[k]
	if st == nil {
		st = &serviceState{}
		c.services[k] = st
	}
	c.dirty[k] = true
	return st
}

func (c *Compiler) note(object string, ns notices) {
	if _, had := c.notices[object]; !had && len(ns) == 0 {
		return
	}
	c.noticed = nil
	if len(ns) == 0 {
		delete(c.notices, object)
	} else {
		c.notices[object] = ns
	}
}

// RuleSet compiles what changed since the last call. With no change it
// returns the RuleSet of the last call.
func (c *Compiler) RuleSet() *RuleSet {
	if len(c.dirty) == 0 && c.noticed != nil {
		return c.current
	}
	if c.noticed == nil {
		c.noticed = []Diagnostic{}
		for _, object := range slices.Sorted(maps.Keys(c.notices)) {
			c.noticed = append(c.noticed, c.notices[object]...)
		}
	}
	c.current = c.current.after(c.node, c.noticed, c.changes())
	return c.current
}

// change is a policy that another takes the place of. Either may be nil.
type change struct{ old, new *Policy }

func (ch change) key() PortKey {
	if ch.old != nil {
		return ch.old.Key
	}
	return ch.new.Key
}

// changes compiles the dirty services and returns what is different now, by
// key. Where addresses are contested, that includes other services.
func (c *Compiler) changes() []change {
	var ports []*portState
	touched := map[frontKey]bool{}
	visit := func(ps *portState) {
		if !ps.visited {
			ps.visited = true
			ports = append(ports, ps)
		}
	}
	for k := range c.dirty {
		for _, ps := range c.recompile(k) {
			visit(ps)
			c.reclaim(ps, touched)
		}
	}
	c.dirty = map[serviceKey]bool{} // to clear one that was large once would take as long as it was
	for k := range touched {
		for _, ps := range c.claims[k] {
			if !ps.visited {
				ps.next = ps.policy
				visit(ps)
			}
		}
	}
	out := make([]change, 0, len(ports))
	holders := map[frontKey]*portState{}
	for _, ps := range ports {
		c.settle(ps, holders)
	}
	for _, ps := range ports {
		if ps.policy != ps.next {
			out = append(out, change{ps.policy, ps.next})
		}
		ps.policy, ps.next, ps.visited = ps.next, nil, false
	}
	slices.SortFunc(out, func(a, b change) int { return a.key().compare(b.key()) })
	return out
}

// recompile makes the next version of each port of a service.
func (c *Compiler) recompile(k serviceKey) []*portState {
	st := c.services[k]
	before := st.ports
	st.ports = nil
	all := slices.Clone(before)
	for _, template := range st.templates {
		p := template.clone(new(Policy))
		p.join(st.slices, c.node, &arena{})
		i := slices.IndexFunc(before, func(ps *portState) bool { return ps.policy.Key == p.Key })
		var ps *portState
		if i >= 0 {
			ps = before[i]
		} else {
			ps = &portState{}
			all = append(all, ps)
		}
		ps.next = p
		st.ports = append(st.ports, ps)
	}
	if len(st.templates) == 0 && len(st.slices) == 0 {
		delete(c.services, k)
	}
	return all
}

// reclaim moves the claims of a port from its old version to the next.
func (c *Compiler) reclaim(ps *portState, touched map[frontKey]bool) {
	if sameClaims(ps.policy, ps.next) {
		return
	}
	if ps.policy != nil {
		for f := range ps.policy.eachFrontend {
			k := f.key()
			touched[k] = true
			if list := slices.DeleteFunc(c.claims[k], func(q *portState) bool { return q == ps }); len(list) > 0 {
				c.claims[k] = list
			} else {
				delete(c.claims, k)
			}
		}
	}
	if ps.next != nil {
		for f := range ps.next.eachFrontend {
			k := f.key()
			touched[k] = true
			if !slices.Contains(c.claims[k], ps) {
				c.claims[k] = append(c.claims[k], ps)
			}
		}
	}
}

// sameClaims: an update that leaves a port's addresses alone, as most do.
func sameClaims(a, b *Policy) bool {
	return a != nil && b != nil && a.ClusterIP == b.ClusterIP && a.Port == b.Port && a.NodePort == b.NodePort &&
		slices.Equal(a.ExternalIPs, b.ExternalIPs) && slices.Equal(a.LoadBalancerIPs, b.LoadBalancerIPs)
}

// holder of an address: the port with the smallest key. found keeps the
// answers for addresses with many claims.
func (c *Compiler) holder(k frontKey, found map[frontKey]*portState) *portState {
	list := c.claims[k]
	if len(list) == 1 {
		return list[0]
	}
	h := found[k]
	if h == nil {
		h = slices.MinFunc(list, func(a, b *portState) int { return a.key().compare(b.key()) })
		found[k] = h
	}
	return h
}

func (ps *portState) key() PortKey {
	if ps.next != nil {
		return ps.next.Key
	}
	return ps.policy.Key
}

// settle gives ps.next its losses, and keeps the old version when nothing is
// different.
func (c *Compiler) settle(ps *portState, holders map[frontKey]*portState) {
	if ps.next == nil {
		return
	}
	var lost map[frontKey]PortKey
	for f := range ps.next.eachFrontend {
		k := f.key()
		if h := c.holder(k, holders); h != ps {
			if lost == nil {
				lost = map[frontKey]PortKey{}
			}
			lost[k] = h.key()
		}
	}
	if !maps.Equal(lost, ps.next.lost) {
		if ps.next == ps.policy {
			ps.next = ps.policy.clone(new(Policy))
		}
		ps.next.lost = lost
	}
	if ps.policy != nil && ps.next.equal(ps.policy) {
		ps.next = ps.policy
	}
}

// equal compares all that rules and explanations are made of.
func (p *Policy) equal(q *Policy) bool {
	return p.Key == q.Key && p.HasEndpoints == q.HasEndpoints && p.Topology == q.Topology &&
		p.InternalLocal == q.InternalLocal && p.ExternalLocal == q.ExternalLocal && p.Affinity == q.Affinity &&
		p.HealthCheckNodePort == q.HealthCheckNodePort && sameClaims(p, q) && maps.Equal(p.lost, q.lost) && slices.Equal(p.others, q.others) &&
		slices.EqualFunc(p.SourceRanges, q.SourceRanges, func(a, b netip.Prefix) bool { return a == b }) &&
		slices.EqualFunc(p.All, q.All, equalBackend) && equalTexts(p.Cluster, q.Cluster) && equalTexts(p.Local, q.Local)
}

func equalBackend(a, b Backend) bool {
	return a.text == b.text && a.Local == b.Local && a.Ready == b.Ready && a.Serving == b.Serving &&
		a.Terminating == b.Terminating && a.Slice == b.Slice && equalHints(a.hints, b.hints)
}

func equalHints(a, b *hints) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.nodes, b.nodes) && slices.Equal(a.zones, b.zones)
}

func equalTexts(a, b []Backend) bool {
	return slices.EqualFunc(a, b, func(x, y Backend) bool { return x.text == y.text })
}

// after is the RuleSet that changes, sorted by key, make of r.
func (r *RuleSet) after(n *node, ns []Diagnostic, changes []change) *RuleSet {
	next := &RuleSet{node: n, notices: ns, list: r.list, endpoints: r.endpoints, table: r.table, spans: r.spans}
	if len(changes) > 0 {
		next.apply(changes)
	}
	return next
}

// apply makes r, which shares all with an older RuleSet, the one with the
// changes.
func (r *RuleSet) apply(changes []change) {
	edit := r.table.edit(r.node)
	common := make([]map[tableKey]bool, len(changes))
	for i, ch := range changes {
		common[i] = ch.common()
		if ch.new != nil {
			edit.add(ch.new, common[i])
			r.endpoints += len(ch.new.All)
		}
	}
	for i, ch := range changes {
		if ch.old != nil {
			edit.remove(ch.old, common[i])
			r.endpoints -= len(ch.old.All)
		}
	}
	r.table = edit.done()
	r.spans = r.spans.edit(changes)
	r.list = r.list.edit(changes)
}
