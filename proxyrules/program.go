package proxyrules

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Program is a rule text read back: chains and rules as the kernel would run
// them. It knows nothing of Services, so it can judge texts that others wrote
// and hold ours to account. ParseIPTables and ParseNFT make one; they accept
// the language of the two renderers, of kube-proxy 1.36 and of the kernel's
// own listings, and refuse every word beyond that.
type Program struct {
	chains map[string]*chain // key: table and chain, "nat KUBE-SERVICES"
	hooks  map[hook][]*chain // base chains, by priority
	sets   map[string]map[string]bool
	maps   map[string]map[string]action
}

type hook uint8

const (
	prerouting hook = iota
	input
	forward
	output
	postrouting
)

var hookNames = map[string]hook{
	"prerouting": prerouting, "input": input, "forward": forward, "output": output, "postrouting": postrouting,
	"PREROUTING": prerouting, "INPUT": input, "FORWARD": forward, "OUTPUT": output, "POSTROUTING": postrouting,
}

type chain struct {
	name     string
	rules    []rule
	priority int
	nat      bool // a base chain that sees the first packet of a connection once
}

// rule is a conjunction of matches and what happens then.
type rule struct {
	text    string // as written, for explanations
	matches []match
	chance  float64 // of a statistic match; 1 without
	marks   []markOp
	act     action
	about   target // what the matches say about the destination
}

// target is a class of destinations. Its zero values mean any.
type target struct {
	addr     netip.Prefix
	port     uint16
	protocol Protocol
}

type match func(*Program, *packet) bool

// markOp changes the packet's mark.
type markOp struct{ or, xor uint32 }

type actionKind uint8

const (
	actNone actionKind = iota
	actAccept
	actDrop
	actReject
	actReturn
	actJump
	actGoto
	actDNAT
	actMasquerade
)

// action is what ends a rule. One with several targets takes one of them:
// by chance, all alike, or by the packet's key in a map.
type action struct {
	kind    actionKind
	chain   string // actJump, actGoto
	target  netip.AddrPort
	choices []action
	lookup  func(*Program, *packet) (action, bool)
	indexed func(*Program) ([]action, error) // choices out of a named map
}

func (a *action) none() bool {
	return a.kind == actNone && a.choices == nil && a.lookup == nil && a.indexed == nil
}

// packet is the state of a packet on its way.
type packet struct {
	protocol   Protocol
	src, dst   netip.Addr
	port       uint16 // destination port
	mark       uint32
	dnat, masq bool
	in         string // interface; "" in the output hook
	env        *Environment
	seen       *comparisons // may be nil
}

// comparisons are what the rules that a flow met compared its origin with.
type comparisons struct {
	sources    map[netip.Prefix]bool
	interfaces map[string]bool
}

// compared notes that the source was compared with a range.
func (pk *packet) compared(p netip.Prefix) {
	if pk.seen != nil {
		pk.seen.sources[p] = true
	}
}

// matchInterface is true for packets that came in on the interface, or with
// prefix on any whose name begins so.
func matchInterface(name string, prefix bool) match {
	return func(_ *Program, pk *packet) bool {
		if pk.seen != nil {
			pk.seen.interfaces[name] = true
		}
		return pk.in == name || prefix && strings.HasPrefix(pk.in, name)
	}
}

func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// Environment is what a rule text leaves to the machine it runs on.
type Environment struct {
	// Local are the machine's addresses, next to loopback.
	Local []netip.Addr
}

func (e *Environment) isLocal(ip netip.Addr) bool {
	return ip.IsLoopback() || slices.Contains(e.Local, ip)
}

// Outcome is one end that a flow may take.
type Outcome struct {
	Verdict     Verdict
	Backend     netip.AddrPort // when Verdict is DNAT
	Masquerade  bool
	Probability float64
}

// Run sends the first packet of a flow through the hooks that it would pass,
// and returns every possible end with its probability, sorted. Affinity
// memories are empty. Masquerade is judged at the postrouting hook even for
// backends on the machine itself, which packets from outside reach without
// passing there.
func (p *Program) Run(f Flow, env Environment) ([]Outcome, error) {
	return p.run(f, env, nil)
}

func (p *Program) run(f Flow, env Environment, seen *comparisons) ([]Outcome, error) {
	start := packet{
		protocol: f.Protocol, src: f.Source.Addr().Unmap(), dst: f.Destination.Addr().Unmap(),
		port: f.Destination.Port(), env: &env, seen: seen,
	}
	if !start.src.IsValid() || !start.dst.IsValid() {
		return nil, fmt.Errorf("%w: %v to %v", ErrFlow, f.Source, f.Destination)
	}
	x := &execution{Program: p, ends: map[Outcome]float64{}}
	first, fromNode := prerouting, env.isLocal(start.src)
	if fromNode {
		first = output
	} else {
		start.in = f.Interface
	}
	x.hook(first, start, 1, func(pk packet, prob float64) {
		x.routed(pk, prob, fromNode)
	})
	if x.err != nil {
		return nil, x.err
	}
	out := make([]Outcome, 0, len(x.ends))
	for o, prob := range x.ends {
		o.Probability = prob
		out = append(out, o)
	}
	slices.SortFunc(out, compareOutcomes)
	return out, nil
}

func compareOutcomes(a, b Outcome) int {
	return cmp.Or(cmp.Compare(a.Verdict, b.Verdict), a.Backend.Compare(b.Backend), cmpBool(a.Masquerade, b.Masquerade))
}

func cmpBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// execution accumulates the ends of one Run.
type execution struct {
	*Program
	ends  map[Outcome]float64
	err   error
	deep  int
	steps int
}

// routed continues after the first hook: where the packet goes now depends
// on the destination that it has by then.
func (x *execution) routed(pk packet, prob float64, fromNode bool) {
	toNode := pk.env.isLocal(pk.dst)
	last := func(pk packet, prob float64) {
		x.hook(postrouting, pk, prob, func(pk packet, prob float64) { x.end(pk, prob) })
	}
	switch {
	case fromNode && toNode:
		// Through lo and back in. The nat chains have had their turn.
		x.filters(prerouting, pk, prob, func(pk packet, prob float64) {
			x.filters(input, pk, prob, last)
		})
	case fromNode:
		last(pk, prob)
	case toNode:
		x.filters(input, pk, prob, last)
	default:
		x.hook(forward, pk, prob, last)
	}
}

func (x *execution) end(pk packet, prob float64) {
	o := Outcome{Verdict: Accept}
	if pk.dnat {
		o = Outcome{Verdict: DNAT, Backend: netip.AddrPortFrom(pk.dst, pk.port), Masquerade: pk.masq}
	}
	x.ends[o] += prob
}

type continuation func(packet, float64)

// hook runs the base chains of h one after the other.
func (x *execution) hook(h hook, pk packet, prob float64, next continuation) {
	x.base(x.hooks[h], pk, prob, next)
}

// filters runs those of h that are not nat.
func (x *execution) filters(h hook, pk packet, prob float64, next continuation) {
	var list []*chain
	for _, c := range x.hooks[h] {
		if !c.nat {
			list = append(list, c)
		}
	}
	x.base(list, pk, prob, next)
}

func (x *execution) base(list []*chain, pk packet, prob float64, next continuation) {
	if len(list) == 0 || x.err != nil {
		if x.err == nil {
			next(pk, prob)
		}
		return
	}
	x.chain(list[0], pk, prob, func(pk packet, prob float64, v actionKind) {
		switch v {
		case actDrop:
			x.ends[Outcome{Verdict: Drop}] += prob
		case actReject:
			x.ends[Outcome{Verdict: Reject}] += prob
		default: // accepted by this base chain, or its policy
			x.base(list[1:], pk, prob, next)
		}
	})
}

const (
	depthMax = 64
	stepsMax = 1 << 22 // rules and choices tried for one flow
)

// chain runs one chain; done is called once for each way out of it.
// actReturn says that the end of the chain was reached.
func (x *execution) chain(c *chain, pk packet, prob float64, done func(packet, float64, actionKind)) {
	if x.deep++; x.deep > depthMax {
		x.err = fmt.Errorf("proxyrules: chain %s: jumps nest deeper than %d", c.name, depthMax)
	}
	defer func() { x.deep-- }()
	x.from(c, 0, pk, prob, done)
}

// from runs the rules of c from number i on.
func (x *execution) from(c *chain, i int, pk packet, prob float64, done func(packet, float64, actionKind)) {
	for ; i < len(c.rules) && x.err == nil; i++ {
		if x.steps++; x.steps > stepsMax {
			x.err = x.tooLong(c)
			return
		}
		r := &c.rules[i]
		if !x.matches(r, &pk) {
			continue
		}
		if r.chance < 1 {
			x.apply(c, i, &r.act, r.marked(pk), prob*r.chance, done)
			prob *= 1 - r.chance
			continue
		}
		pk = r.marked(pk)
		if !r.act.none() {
			x.apply(c, i, &r.act, pk, prob, done)
			return
		}
	}
	if x.steps++; x.err == nil {
		done(pk, prob, actReturn)
	}
}

func (x *execution) tooLong(c *chain) error {
	return fmt.Errorf("proxyrules: chain %s: more than %d steps for one flow", c.name, stepsMax)
}

func (x *execution) matches(r *rule, pk *packet) bool {
	for _, m := range r.matches {
		if !m(x.Program, pk) {
			return false
		}
	}
	return true
}

func (r *rule) marked(pk packet) packet {
	for _, m := range r.marks {
		pk.mark = (pk.mark | m.or) ^ m.xor
	}
	return pk
}

// apply carries out an action. Where it does not end the chain, the rules
// after number i follow.
func (x *execution) apply(c *chain, i int, a *action, pk packet, prob float64, done func(packet, float64, actionKind)) {
	switch {
	case a.lookup != nil:
		if found, ok := a.lookup(x.Program, &pk); ok {
			x.apply(c, i, &found, pk, prob, done)
		} else {
			x.from(c, i+1, pk, prob, done)
		}
		return
	case a.indexed != nil:
		choices, err := a.indexed(x.Program)
		if err != nil {
			x.err = fmt.Errorf("proxyrules: chain %s: %w", c.name, err)
			return
		}
		x.choose(c, i, choices, pk, prob, done)
		return
	case a.choices != nil:
		x.choose(c, i, a.choices, pk, prob, done)
		return
	}
	switch a.kind {
	case actAccept, actDrop, actReject, actReturn:
		done(pk, prob, a.kind)
	case actMasquerade:
		pk.masq = true
		done(pk, prob, actAccept)
	case actDNAT:
		pk.dst, pk.port, pk.dnat = a.target.Addr(), a.target.Port(), true
		done(pk, prob, actAccept)
	case actJump, actGoto:
		x.call(c, i, a, pk, prob, done)
	default:
		x.from(c, i+1, pk, prob, done)
	}
}

func (x *execution) choose(c *chain, i int, choices []action, pk packet, prob float64, done func(packet, float64, actionKind)) {
	for k := range choices {
		if x.steps++; x.steps > stepsMax && x.err == nil {
			x.err = x.tooLong(c)
		}
		if x.err != nil {
			return
		}
		x.apply(c, i, &choices[k], pk, prob/float64(len(choices)), done)
	}
}

func (x *execution) call(c *chain, i int, a *action, pk packet, prob float64, done func(packet, float64, actionKind)) {
	callee := x.chains[a.chain]
	if callee == nil {
		x.err = fmt.Errorf("proxyrules: chain %s leads to %s, which does not exist", c.name, a.chain)
		return
	}
	x.chain(callee, pk, prob, func(pk packet, prob float64, v actionKind) {
		if v == actReturn && a.kind == actJump {
			x.from(c, i+1, pk, prob, done)
			return
		}
		done(pk, prob, v)
	})
}

// ParseError says where a rule text could not be read.
type ParseError struct {
	Line  int
	Text  string // the offending word or line
	Cause string
}

// Error prints line, cause and text.
func (e *ParseError) Error() string {
	return fmt.Sprintf("proxyrules: line %d: %s: %q", e.Line, e.Cause, e.Text)
}
