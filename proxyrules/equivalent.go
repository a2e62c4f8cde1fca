package proxyrules

import (
	"cmp"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Witness is a flow that two programs treat differently.
type Witness struct {
	Flow Flow
	A, B []Outcome
}

// chanceTolerance is how far probabilities may be apart and still count as
// equal: iptables prints ten decimals and keeps 31 bits.
const chanceTolerance = 1e-7

// Equivalent tells whether two rule texts do the same with every flow, on a
// machine that env describes. It returns nil if so, and a flow that shows the
// difference if not.
//
// Flows are tried class by class: every destination that either program names
// (address, protocol and port together; each address with a port that nobody
// names; each port at the machine's own addresses and elsewhere), from a
// stranger, from the machine, and from both sides of every boundary of the
// ranges that a program compared the source with on the way; and from every
// interface that it named, and others. Texts of a
// service proxy cannot tell flows of one class apart.
func Equivalent(a, b *Program, env Environment) (*Witness, error) {
	e := &equivalence{a: a, b: b, env: env}
	for _, t := range e.targets() {
		if w, err := e.target(t); w != nil || err != nil {
			return w, err
		}
	}
	return nil, nil
}

type equivalence struct {
	a, b *Program
	env  Environment
}

// targets lists the classes of destinations, in a fixed order.
func (e *equivalence) targets() []target {
	named := map[target]bool{}
	for _, p := range []*Program{e.a, e.b} {
		p.targets(named)
	}
	out := map[target]bool{}
	ports := map[target]bool{}
	for t := range named {
		if t.addr.IsValid() {
			out[target{addr: t.addr}] = true
			for _, edge := range edges(t.addr) {
				out[target{hostPrefix(edge), t.port, t.protocol}] = true
			}
		} else if t.port != 0 {
			ports[t] = true
		}
	}
	for t := range ports {
		for _, ip := range e.ownAddresses() {
			out[target{hostPrefix(ip), t.port, t.protocol}] = true
		}
		for _, ip := range strangers {
			out[target{hostPrefix(ip), t.port, t.protocol}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(out), func(x, y target) int {
		return cmp.Or(x.addr.Addr().Compare(y.addr.Addr()), cmp.Compare(x.addr.Bits(), y.addr.Bits()),
			cmp.Compare(x.port, y.port), cmp.Compare(x.protocol, y.protocol))
	})
}

// strangers are addresses for documentation, which nobody has.
var strangers = []netip.Addr{netip.MustParseAddr("198.51.100.77"), netip.MustParseAddr("2001:db8:ffff::77")}

func (e *equivalence) ownAddresses() []netip.Addr {
	return append(slices.Clone(e.env.Local), netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
}

// targets adds what the program says about destinations.
func (p *Program) targets(out map[target]bool) {
	for _, c := range p.chains {
		for _, r := range c.rules {
			if r.about != (target{}) {
				out[r.about] = true
			}
		}
	}
	for _, m := range p.maps {
		for key := range m {
			addKey(out, key)
		}
	}
	for _, s := range p.sets {
		for key := range s {
			addKey(out, key)
		}
	}
}

// addKey reads "addr", "addr . proto . port" or "proto . port"; other keys
// (endpoint maps, pairs of addresses) name no destination of their own.
func addKey(out map[target]bool, key string) {
	parts := strings.Split(key, " . ")
	var t target
	if ip, err := netip.ParseAddr(parts[0]); err == nil {
		t.addr = hostPrefix(ip)
		parts = parts[1:]
	}
	if len(parts) == 2 {
		port, err := strconv.ParseUint(parts[1], 10, 16)
		proto, ok := ParseProtocol(parts[0])
		if err != nil || !ok {
			return
		}
		t.port, t.protocol = uint16(port), proto
	} else if len(parts) != 0 {
		return
	}
	out[t] = true
}

// edges are the first and the last address of a range, and those next to it.
func edges(p netip.Prefix) []netip.Addr {
	first := p.Masked().Addr()
	last := lastAddr(p)
	out := []netip.Addr{first}
	if last != first {
		out = append(out, last)
	}
	for _, ip := range []netip.Addr{first.Prev(), last.Next()} {
		if ip.IsValid() {
			out = append(out, ip)
		}
	}
	return out
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

// sparePort is used where a port is meant that nobody names.
const sparePort = 9

func (e *equivalence) target(t target) (*Witness, error) {
	protocols := []Protocol{t.protocol}
	if t.protocol == 0 {
		protocols = []Protocol{TCP, UDP}
	}
	port := cmp.Or(t.port, sparePort)
	for _, proto := range protocols {
		if w, err := e.sources(Flow{Protocol: proto, Destination: netip.AddrPortFrom(t.addr.Addr(), port)}); w != nil || err != nil {
			return w, err
		}
	}
	return nil, nil
}

// origin is where a flow comes from.
type origin struct {
	source netip.Addr
	in     string
}

// sources tries a destination from all origins that make a difference. What
// the programs compared an origin with brings new ones up.
func (e *equivalence) sources(f Flow) (*Witness, error) {
	is4 := f.Destination.Addr().Is4()
	tried := map[origin]bool{}
	var todo []origin
	add := func(o origin) {
		if o.source.Is4() == is4 && !tried[o] {
			tried[o] = true
			todo = append(todo, o)
		}
	}
	for _, ip := range append(e.ownAddresses(), strangers...) {
		add(origin{source: ip})
	}
	for len(todo) > 0 {
		o := todo[0]
		todo = todo[1:]
		f.Source, f.Interface = netip.AddrPortFrom(o.source, 40000), o.in
		seen := &comparisons{map[netip.Prefix]bool{}, map[string]bool{}}
		a, err := e.a.run(f, e.env, seen)
		if err != nil {
			return nil, err
		}
		b, err := e.b.run(f, e.env, seen)
		if err != nil {
			return nil, err
		}
		if !sameOutcomes(a, b) {
			return &Witness{f, a, b}, nil
		}
		for _, next := range seen.origins(o) {
			add(next)
		}
	}
	return nil, nil
}

// origins are those next to o that a comparison may tell from it.
func (c *comparisons) origins(o origin) []origin {
	var out []origin
	for _, p := range slices.SortedFunc(maps.Keys(c.sources), func(x, y netip.Prefix) int {
		return cmp.Or(x.Addr().Compare(y.Addr()), cmp.Compare(x.Bits(), y.Bits()))
	}) {
		for _, ip := range edges(p) {
			out = append(out, origin{ip, o.in})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.interfaces)) {
		// Alone it matches a name; with more behind it, a pattern only.
		out = append(out, origin{o.source, name}, origin{o.source, name + "-"})
	}
	return out
}

// sameOutcomes compares two sorted lists.
func sameOutcomes(a, b []Outcome) bool {
	return slices.EqualFunc(a, b, func(x, y Outcome) bool {
		return compareOutcomes(x, y) == 0 && math.Abs(x.Probability-y.Probability) <= chanceTolerance
	})
}
