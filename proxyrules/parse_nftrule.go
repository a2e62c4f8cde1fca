package proxyrules

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// addRule reads the statements of one rule up to the end of the line.
func (p *nftParser) addRule(chainName string) error {
	c := p.program.chains[chainName]
	if c == nil {
		return p.fail(chainName, "a chain that was not added")
	}
	r := rule{chance: 1}
	var words []string
	for p.peek() != "\n" && p.peek() != ";" && p.peek() != "" {
		before := p.tokens
		if err := p.statement(&r); err != nil {
			return err
		}
		for _, t := range before[:len(before)-len(p.tokens)] {
			words = append(words, t.text)
		}
	}
	r.text = strings.Join(words, " ")
	c.rules = append(c.rules, r)
	return nil
}

func (p *nftParser) statement(r *rule) error {
	if !r.act.none() && p.peek() != "comment" {
		return p.fail(p.peek(), "a statement after the one that ends the rule")
	}
	switch word := p.next(); word {
	case "comment":
		p.next()
		return nil
	case "ct":
		return p.conntrack(r)
	case "fib":
		return p.fib(r)
	case "mark":
		return p.mark(r)
	case "meta":
		if p.accept("mark") {
			return p.mark(r)
		}
		if p.accept("l4proto", ".") {
			return p.tuple(r, "meta l4proto")
		}
		return p.l4proto(r)
	case "ip", "ip6":
		return p.address(r, word)
	case "iifname":
		return p.inputInterface(r)
	case "numgen":
		return p.numgen(r)
	case "dnat":
		return p.dnat(r)
	case "update":
		p.next() // the set: remembering changes nothing for a first packet
		return p.block(func() error { p.next(); return nil })
	default:
		return p.verdict(r, word)
	}
}

func (p *nftParser) verdict(r *rule, word string) error {
	switch word {
	case "jump", "goto":
		r.act = action{kind: actJump, chain: p.next()}
		if word == "goto" {
			r.act.kind = actGoto
		}
	case "accept":
		r.act.kind = actAccept
	case "drop":
		r.act.kind = actDrop
	case "return":
		r.act.kind = actReturn
	case "reject":
		r.act.kind = actReject
		if p.accept("with") {
			p.next()
			p.next()
		}
	case "masquerade":
		r.act.kind = actMasquerade
		p.accept("fully-random")
	default:
		return p.fail(word, "an unknown statement")
	}
	return nil
}

func (r *rule) match(m match) error {
	r.matches = append(r.matches, m)
	return nil
}

// inputInterface reads a name, or a pattern with a star at its end.
func (p *nftParser) inputInterface(r *rule) error {
	not := p.accept("!=")
	pattern, prefix := strings.CutSuffix(p.next(), "*")
	if pattern == "" || pattern == "\n" {
		return p.fail("iifname", "expected the name of an interface")
	}
	m := matchInterface(pattern, prefix)
	return r.match(func(prog *Program, pk *packet) bool { return m(prog, pk) != not })
}

func (p *nftParser) conntrack(r *rule) error {
	switch {
	case p.accept("state", "new"):
		return nil // as the packets of a Program are
	case p.accept("status", "dnat"):
		return r.match(func(_ *Program, pk *packet) bool { return pk.dnat })
	}
	return p.fail(p.peek(), "expected ct state new or ct status dnat")
}

func (p *nftParser) fib(r *rule) error {
	field := p.next()
	if err := p.expect("type", "local"); err != nil {
		return err
	}
	switch field {
	case "daddr":
		return r.match(func(_ *Program, pk *packet) bool { return pk.env.isLocal(pk.dst) })
	case "saddr":
		return r.match(func(_ *Program, pk *packet) bool { return pk.env.isLocal(pk.src) })
	}
	return p.fail(field, "expected saddr or daddr")
}

// mark reads what follows "mark": "and X != 0", or "set mark or X", in the
// words of scripts or the signs of listings.
func (p *nftParser) mark(r *rule) error {
	if p.accept("set") {
		p.accept("meta")
		if err := p.expect("mark"); err != nil {
			return err
		}
		op := p.next()
		value, err := p.word()
		if err != nil {
			return err
		}
		switch op {
		case "or", "|":
			r.marks = append(r.marks, markOp{or: value})
		case "xor", "^":
			r.marks = append(r.marks, markOp{xor: value})
		default:
			return p.fail(op, "expected or, xor")
		}
		return nil
	}
	if !p.accept("and") && !p.accept("&") {
		return p.fail(p.peek(), "expected mark and, or mark set")
	}
	mask, err := p.word()
	if err != nil {
		return err
	}
	if err := p.expect("!="); err != nil {
		return err
	}
	value, err := p.word()
	if err != nil {
		return err
	}
	return r.match(func(_ *Program, pk *packet) bool { return pk.mark&mask != value })
}

func (p *nftParser) word() (uint32, error) {
	text := p.next()
	v, err := strconv.ParseUint(text, 0, 32)
	if err != nil {
		return 0, p.fail(text, "expected a number")
	}
	return uint32(v), nil
}

func (p *nftParser) l4proto(r *rule) error {
	if err := p.expect("l4proto"); err != nil {
		return err
	}
	text := p.next()
	proto, ok := ParseProtocol(text)
	if !ok {
		return p.fail(text, "expected tcp, udp or sctp")
	}
	return r.match(func(_ *Program, pk *packet) bool { return pk.protocol == proto })
}

// address reads what follows ip or ip6: a comparison, a set, or the first
// part of a concatenation.
func (p *nftParser) address(r *rule, family string) error {
	field := p.next()
	if field != "saddr" && field != "daddr" {
		return p.fail(field, "expected saddr or daddr")
	}
	if p.accept(".") {
		return p.tuple(r, family+" "+field)
	}
	of := func(pk *packet) netip.Addr {
		if field == "saddr" {
			return pk.src
		}
		return pk.dst
	}
	not := p.accept("!=")
	if name, ok := strings.CutPrefix(p.peek(), "@"); ok && !not {
		p.next()
		return r.match(func(prog *Program, pk *packet) bool { return prog.sets[name][of(pk).String()] })
	}
	ranges, err := p.ranges()
	if err != nil {
		return err
	}
	if field == "daddr" && len(ranges) > 0 {
		r.about.addr = ranges[0]
	}
	return r.match(func(_ *Program, pk *packet) bool {
		for _, p := range ranges {
			if field == "saddr" {
				pk.compared(p)
			}
		}
		return prefixesContain(ranges, of(pk)) != not
	})
}

// ranges reads one address or range, or a set of them in braces.
func (p *nftParser) ranges() ([]netip.Prefix, error) {
	var out []netip.Prefix
	one := func() error {
		text := p.next()
		prefix, ok := parsePrefix(text)
		if !ok {
			ip, isIP := parseAddr(text)
			if !isIP {
				return p.fail(text, "expected an address or range")
			}
			prefix = hostPrefix(ip)
		}
		out = append(out, prefix)
		p.accept(",")
		return nil
	}
	if p.peek() == "{" {
		return out, p.block(one)
	}
	return out, one()
}

// tuple reads a concatenation whose first part was read, and the set or
// verdict map that it is looked up in.
func (p *nftParser) tuple(r *rule, first string) error {
	parts := []func(*packet) string{nil}
	name := first
	for i := 0; ; i++ {
		f := nftFields[name]
		if f == nil {
			return p.fail(name, "an unknown part of a concatenation")
		}
		parts[i] = f
		if i > 0 && !p.accept(".") {
			break
		}
		parts = append(parts, nil)
		name = p.next() + " " + p.next()
	}
	key := func(pk *packet) string {
		words := make([]string, len(parts))
		for i, f := range parts {
			words[i] = f(pk)
		}
		return strings.Join(words, " . ")
	}
	if p.accept("vmap") {
		m, ok := strings.CutPrefix(p.next(), "@")
		if !ok || p.program.maps[m] == nil {
			return p.fail(m, "expected a map that was added")
		}
		r.act.lookup = func(prog *Program, pk *packet) (action, bool) {
			a, ok := prog.maps[m][key(pk)]
			return a, ok
		}
		return nil
	}
	set, ok := strings.CutPrefix(p.next(), "@")
	if !ok || p.program.sets[set] == nil {
		return p.fail(set, "expected vmap, or a set that was added")
	}
	return r.match(func(prog *Program, pk *packet) bool {
		if pk.dst.IsValid() {
			pk.compared(hostPrefix(pk.dst)) // sets with sources in them are about hairpins
		}
		return prog.sets[set][key(pk)]
	})
}

var nftFields = map[string]func(*packet) string{
	"ip saddr":     func(pk *packet) string { return pk.src.String() },
	"ip daddr":     func(pk *packet) string { return pk.dst.String() },
	"ip6 saddr":    func(pk *packet) string { return pk.src.String() },
	"ip6 daddr":    func(pk *packet) string { return pk.dst.String() },
	"meta l4proto": func(pk *packet) string { return pk.protocol.String() },
	"th dport":     func(pk *packet) string { return strconv.Itoa(int(pk.port)) },
}

// numgen reads a random verdict: "random mod N vmap { 0 : goto X, … }".
func (p *nftParser) numgen(r *rule) error {
	n, offset, err := p.random()
	if err != nil {
		return err
	}
	if err := p.expect("vmap"); err != nil {
		return err
	}
	r.act.choices, err = p.indexed(n, offset)
	return err
}

func (p *nftParser) random() (n, offset uint32, err error) {
	if err := p.expect("random", "mod"); err != nil {
		return 0, 0, err
	}
	if n, err = p.word(); err != nil {
		return 0, 0, err
	}
	if p.accept("offset") {
		offset, err = p.word()
	}
	if n == 0 || n-1 > math.MaxUint32-offset {
		return 0, 0, p.fail(fmt.Sprintf("mod %d offset %d", n, offset), "expected a range of 32-bit numbers")
	}
	return n, offset, err
}

const choicesMax = 1 << 20

// indexed reads an anonymous map with the keys offset to offset+n-1.
func (p *nftParser) indexed(n, offset uint32) ([]action, error) {
	found := map[string]action{}
	err := p.block(func() error {
		key, err := p.elementKey()
		if err != nil {
			return err
		}
		if err := p.expect(":"); err != nil {
			return err
		}
		if found[key], err = p.mapValue(); err != nil {
			return err
		}
		p.accept(",")
		return nil
	})
	if err != nil {
		return nil, err
	}
	out, err := pick(found, n, offset)
	if err != nil {
		return nil, p.fail("numgen", err.Error())
	}
	return out, nil
}

// pick collects the values of the keys offset to offset+n-1.
func pick(values map[string]action, n, offset uint32) ([]action, error) {
	if n > choicesMax {
		return nil, fmt.Errorf("more than %d choices", choicesMax)
	}
	out := make([]action, n)
	for i := range n {
		key := strconv.FormatUint(uint64(offset)+uint64(i), 10)
		a, ok := values[key]
		if !ok {
			return nil, fmt.Errorf("no element %s", key)
		}
		out[i] = a
	}
	return out, nil
}

// dnat reads "to A:P", or "ip addr . port to numgen … map …"; listings of
// nft 1.0 leave the words "addr . port" out.
func (p *nftParser) dnat(r *rule) error {
	if p.accept("ip") || p.accept("ip6") {
		p.accept("addr", ".", "port")
	}
	if err := p.expect("to"); err != nil {
		return err
	}
	if !p.accept("numgen") {
		text := p.next()
		to, err := netip.ParseAddrPort(text)
		if err != nil {
			return p.fail(text, "expected address:port")
		}
		r.act = action{kind: actDNAT, target: to}
		return nil
	}
	n, offset, err := p.random()
	if err != nil {
		return err
	}
	if err := p.expect("map"); err != nil {
		return err
	}
	name, named := strings.CutPrefix(p.peek(), "@")
	if !named {
		r.act.choices, err = p.indexed(n, offset)
		return err
	}
	p.next()
	if p.program.maps[name] == nil {
		return p.fail(name, "a map that was not added")
	}
	r.act.indexed = func(prog *Program) ([]action, error) {
		out, err := pick(prog.maps[name], n, offset)
		if err != nil {
			return nil, fmt.Errorf("map %s: %w", name, err)
		}
		return out, nil
	}
	return nil
}
