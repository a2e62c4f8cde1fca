package proxyrules

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ParseNFT reads scripts for nft -f, or the output of nft list, applying them
// one after the other. Only one table is understood at a time: that of a
// service proxy.
func ParseNFT(texts ...string) (*Program, error) {
	p := &nftParser{}
	p.reset()
	for _, text := range texts {
		tokens, err := nftTokens(text)
		if err != nil {
			return nil, err
		}
		p.tokens = tokens
		for p.skipBreaks(); p.peek() != ""; p.skipBreaks() {
			if err := p.command(); err != nil {
				return nil, err
			}
		}
	}
	return p.finish()
}

type nftToken struct {
	text   string
	line   int
	quoted bool
}

// nftTokens cuts a script into words. Braces, semicolons, commas and ends of
// lines are words of their own; a colon is one when it stands alone, as it
// is a part of addresses otherwise.
func nftTokens(text string) ([]nftToken, error) {
	var out []nftToken
	line := 0
	for l := range strings.Lines(text) {
		line++
		for l = strings.TrimSpace(l); l != ""; l = strings.TrimLeft(l, " \t") {
			switch l[0] {
			case '#':
				l = ""
				continue
			case '"':
				end := strings.IndexByte(l[1:], '"')
				if end < 0 {
					return nil, &ParseError{Line: line, Text: l, Cause: "a quote without end"}
				}
				out = append(out, nftToken{l[1 : 1+end], line, true})
				l = l[end+2:]
				continue
			case '{', '}', ';', ',':
				out = append(out, nftToken{l[:1], line, false})
				l = l[1:]
				continue
			}
			end := strings.IndexAny(l, " \t{};,\"")
			if end < 0 {
				end = len(l)
			}
			out = append(out, nftToken{l[:end], line, false})
			l = l[end:]
		}
		out = append(out, nftToken{"\n", line, false})
	}
	return out, nil
}

type nftParser struct {
	program *Program
	tokens  []nftToken
	exists  bool // the table
	family  string
	timeout map[string]bool // sets whose elements come and go
}

func (p *nftParser) reset() {
	p.program = &Program{
		chains: map[string]*chain{}, hooks: map[hook][]*chain{},
		sets: map[string]map[string]bool{}, maps: map[string]map[string]action{},
	}
	p.timeout = map[string]bool{}
	p.exists, p.family = false, ""
}

func (p *nftParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0].text
}

func (p *nftParser) next() string {
	t := p.peek()
	if len(p.tokens) > 0 {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *nftParser) skipBreaks() {
	for p.peek() == "\n" || p.peek() == ";" {
		p.next()
	}
}

func (p *nftParser) fail(text, cause string) error {
	line := 0
	if len(p.tokens) > 0 {
		line = p.tokens[0].line
	}
	return &ParseError{Line: line, Text: text, Cause: cause}
}

// expect consumes the given words.
func (p *nftParser) expect(words ...string) error {
	for _, w := range words {
		if got := p.next(); got != w {
			return p.fail(got, "expected "+w)
		}
	}
	return nil
}

// accept consumes the words if they are what comes next.
func (p *nftParser) accept(words ...string) bool {
	if len(p.tokens) < len(words) {
		return false
	}
	for i, w := range words {
		if p.tokens[i].text != w || p.tokens[i].quoted {
			return false
		}
	}
	p.tokens = p.tokens[len(words):]
	return true
}

func (p *nftParser) tableName() error {
	family := p.next()
	if family != "ip" && family != "ip6" || p.family != "" && p.family != family {
		return p.fail(family, "expected one table of family ip or ip6")
	}
	p.family = family
	if name := p.next(); name == "" || name == "\n" {
		return p.fail(name, "expected the name of a table")
	}
	return nil
}

func (p *nftParser) command() error {
	verb := p.next()
	if verb == "table" {
		if err := p.tableName(); err != nil {
			return err
		}
		p.exists = true
		return p.block(p.listed)
	}
	object := p.next()
	if err := p.tableName(); err != nil {
		return err
	}
	if object == "table" {
		return p.tableCommand(verb)
	}
	if !p.exists {
		return p.fail(object, "a command for a table that was not added")
	}
	switch verb + " " + object {
	case "add chain":
		return p.addChain(p.next())
	case "add set", "add map":
		return p.addContainer(object, p.next())
	case "add rule":
		return p.addRule(p.next())
	case "add element":
		return p.elements(p.next(), true)
	case "delete element":
		return p.elements(p.next(), false)
	case "flush chain":
		return p.flushChain(p.next())
	case "flush set", "flush map":
		return p.flushContainer(p.next())
	case "delete chain":
		delete(p.program.chains, p.next())
		return nil
	case "delete set", "delete map":
		name := p.next()
		delete(p.program.sets, name)
		delete(p.program.maps, name)
		return nil
	}
	return p.fail(verb+" "+object, "an unknown command")
}

func (p *nftParser) tableCommand(verb string) error {
	switch {
	case verb == "add":
		p.exists = true
		if p.accept("{") {
			p.accept("comment")
			p.next()
			p.accept(";")
			return p.expect("}")
		}
	case verb == "delete" && p.exists:
		p.reset()
	default:
		return p.fail(verb, "expected add table, or delete table for one that exists")
	}
	return nil
}

// block reads { … }, calling item for what it holds.
func (p *nftParser) block(item func() error) error {
	if err := p.expect("{"); err != nil {
		return err
	}
	for p.skipBreaks(); !p.accept("}"); p.skipBreaks() {
		if p.peek() == "" {
			return p.fail("", "expected }")
		}
		if err := item(); err != nil {
			return err
		}
	}
	return nil
}

// listed reads an object of a table in the form of nft list.
func (p *nftParser) listed() error {
	switch object := p.next(); object {
	case "comment":
		p.next()
		return nil
	case "set", "map":
		return p.addContainer(object, p.next())
	case "chain":
		name := p.next()
		p.chain(name)
		return p.block(func() error {
			if p.peek() == "type" || p.peek() == "policy" {
				return p.chainType(name)
			}
			if p.accept("comment") {
				p.next()
				return nil
			}
			return p.addRule(name)
		})
	default:
		return p.fail(object, "expected set, map or chain")
	}
}

func (p *nftParser) chain(name string) *chain {
	c := p.program.chains[name]
	if c == nil {
		c = &chain{name: name}
		p.program.chains[name] = c
	}
	return c
}

func (p *nftParser) addChain(name string) error {
	p.chain(name)
	if p.peek() != "{" {
		return nil
	}
	return p.block(func() error {
		if p.accept("comment") {
			p.next()
			return nil
		}
		return p.chainType(name)
	})
}

var nftPriorities = map[string]int{"filter": 0, "dstnat": -100, "srcnat": 100}

// chainType reads "type nat hook prerouting priority dstnat - 10 ; policy accept".
func (p *nftParser) chainType(name string) error {
	c := p.chain(name)
	if p.accept("policy") {
		return p.expect("accept")
	}
	if err := p.expect("type"); err != nil {
		return err
	}
	kind := p.next()
	if kind != "nat" && kind != "filter" {
		return p.fail(kind, "expected type nat or filter")
	}
	if err := p.expect("hook"); err != nil {
		return err
	}
	h, ok := hookNames[p.next()]
	if !ok {
		return p.fail(name, "an unknown hook")
	}
	if err := p.expect("priority"); err != nil {
		return err
	}
	text := ""
	for p.peek() != ";" && p.peek() != "}" && p.peek() != "\n" && p.peek() != "" {
		text += p.next()
	}
	at := 0
	for word, value := range nftPriorities {
		if rest, ok := strings.CutPrefix(text, word); ok {
			at, text = value, strings.TrimPrefix(rest, "+")
		}
	}
	if text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return p.fail(text, "expected a priority")
		}
		at += n
	}
	c.nat, c.priority = kind == "nat", at
	if !slices.Contains(p.program.hooks[h], c) {
		p.program.hooks[h] = append(p.program.hooks[h], c)
	}
	return nil
}

func (p *nftParser) addContainer(object, name string) error {
	if object == "set" && p.program.sets[name] == nil {
		p.program.sets[name] = map[string]bool{}
	}
	if object == "map" && p.program.maps[name] == nil {
		p.program.maps[name] = map[string]action{}
	}
	return p.block(func() error {
		switch word := p.next(); word {
		case "elements":
			if err := p.expect("="); err != nil {
				return err
			}
			return p.elements(name, true)
		case "type", "typeof", "comment", "flags", "timeout", "size":
			p.timeout[name] = p.timeout[name] || word == "timeout"
			for p.peek() != ";" && p.peek() != "\n" && p.peek() != "}" && p.peek() != "" {
				p.next()
			}
			return nil
		default:
			return p.fail(word, "an unknown property of a set or map")
		}
	})
}

// elements reads { key [comment "…"] [: value], … }.
func (p *nftParser) elements(name string, add bool) error {
	set, values := p.program.sets[name], p.program.maps[name]
	if set == nil && values == nil {
		return p.fail(name, "a set or map that was not added")
	}
	return p.block(func() error {
		key, err := p.elementKey()
		if err != nil {
			return err
		}
		var value action
		if p.accept(":") {
			if value, err = p.mapValue(); err != nil {
				return err
			}
		}
		p.accept(",")
		switch {
		case p.timeout[name]:
		case set != nil && add:
			set[key] = true
		case set != nil:
			if !set[key] {
				return p.fail(key, "deletes an element that does not exist")
			}
			delete(set, key)
		case add:
			if _, exists := values[key]; exists {
				return p.fail(key, "adds an element that exists")
			}
			if value.none() {
				return p.fail(key, "expected a value")
			}
			values[key] = value
		default:
			if _, exists := values[key]; !exists {
				return p.fail(key, "deletes an element that does not exist")
			}
			delete(values, key)
		}
		return nil
	})
}

func (p *nftParser) elementKey() (string, error) {
	var parts []string
	for {
		word := p.next()
		if word == "" || strings.ContainsAny(word, "{};,\n") {
			return "", p.fail(word, "expected a key")
		}
		if ip, err := netip.ParseAddr(word); err == nil {
			word = ip.String()
		}
		parts = append(parts, word)
		if !p.accept(".") {
			break
		}
	}
	for p.peek() == "comment" || p.peek() == "timeout" || p.peek() == "expires" {
		p.next()
		p.next()
	}
	return strings.Join(parts, " . "), nil
}

// mapValue reads a verdict or "address . port".
func (p *nftParser) mapValue() (action, error) {
	switch word := p.next(); word {
	case "goto":
		return action{kind: actGoto, chain: p.next()}, nil
	case "jump":
		return action{kind: actJump, chain: p.next()}, nil
	case "drop":
		return action{kind: actDrop}, nil
	default:
		ip, err := netip.ParseAddr(word)
		if err != nil || !p.accept(".") {
			return action{}, p.fail(word, "expected a verdict or address . port")
		}
		text := p.next()
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return action{}, p.fail(text, "expected a port")
		}
		return action{kind: actDNAT, target: netip.AddrPortFrom(ip, uint16(port))}, nil
	}
}

func (p *nftParser) flushChain(name string) error {
	c := p.program.chains[name]
	if c == nil {
		return p.fail(name, "a chain that was not added")
	}
	c.rules = nil
	return nil
}

func (p *nftParser) flushContainer(name string) error {
	if p.program.sets[name] == nil && p.program.maps[name] == nil {
		return p.fail(name, "a set or map that was not added")
	}
	clear(p.program.sets[name])
	clear(p.program.maps[name])
	return nil
}

// finish orders the base chains and makes sure that nothing leads nowhere.
func (p *nftParser) finish() (*Program, error) {
	for h, list := range p.program.hooks {
		list = slices.DeleteFunc(list, func(c *chain) bool { return p.program.chains[c.name] != c })
		slices.SortStableFunc(list, func(a, b *chain) int { return a.priority - b.priority })
		p.program.hooks[h] = list
	}
	for _, values := range p.program.maps {
		for key, v := range values {
			if v.chain != "" && p.program.chains[v.chain] == nil {
				return nil, p.fail(key, "an element that leads to "+v.chain+", which does not exist")
			}
		}
	}
	for _, c := range p.program.chains {
		for _, r := range c.rules {
			for _, a := range append(r.act.choices, r.act) {
				if a.chain != "" && p.program.chains[a.chain] == nil {
					return nil, p.fail(r.text, fmt.Sprintf("a rule of %s that leads to %s, which does not exist", c.name, a.chain))
				}
			}
		}
	}
	return p.program, nil
}
