package proxyrules

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// ParseIPTables reads texts in the format of iptables-save and
// iptables-restore, applying them one after the other: rules are appended
// (-A) or inserted (-I), chains cleared by their chain line and deleted (-X).
func ParseIPTables(texts ...string) (*Program, error) {
	p := &iptablesParser{program: &Program{chains: map[string]*chain{}, hooks: map[hook][]*chain{}}}
	for _, text := range texts {
		if err := p.parse(text); err != nil {
			return nil, err
		}
	}
	// Hooks in the order of the tables' priorities: nat before filter, except
	// for postrouting, where only nat has a say.
	for name, h := range hookNames {
		for _, table := range []string{"nat", "filter"} {
			if c := p.program.chains[table+" "+name]; c != nil {
				c.nat = table == "nat"
				p.program.hooks[h] = append(p.program.hooks[h], c)
			}
		}
	}
	return p.program, p.check()
}

type iptablesParser struct {
	program *Program
	table   string
	line    int
}

func (p *iptablesParser) fail(text, cause string) error {
	return &ParseError{Line: p.line, Text: text, Cause: cause}
}

// check makes sure that no rule leads nowhere.
func (p *iptablesParser) check() error {
	for _, c := range p.program.chains {
		for _, r := range c.rules {
			if r.act.kind == actJump && p.program.chains[r.act.chain] == nil {
				return p.fail(r.text, "jump to a chain that does not exist")
			}
		}
	}
	return nil
}

func (p *iptablesParser) parse(text string) error {
	p.line, p.table = 0, ""
	for line := range strings.Lines(text) {
		p.line++
		line = strings.TrimSpace(line)
		var err error
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '*':
			p.table = line[1:]
			if p.table != "nat" && p.table != "filter" {
				return p.fail(line, "expected table nat or filter")
			}
		case p.table == "":
			return p.fail(line, "expected a line *nat or *filter first")
		case line == "COMMIT":
			p.table = ""
		case line[0] == ':':
			name, _, _ := strings.Cut(line[1:], " ")
			p.chain(name).rules = nil
		default:
			err = p.command(line)
		}
		if err != nil {
			return err
		}
	}
	if p.table != "" {
		return p.fail("", "expected COMMIT at the end")
	}
	return nil
}

func (p *iptablesParser) chain(name string) *chain {
	key := p.table + " " + name
	c := p.program.chains[key]
	if c == nil {
		c = &chain{name: key}
		p.program.chains[key] = c
	}
	return c
}

func (p *iptablesParser) command(line string) error {
	words, err := splitWords(line)
	if err != "" {
		return p.fail(line, err)
	}
	if len(words) < 2 {
		return p.fail(line, "expected a command and a chain")
	}
	key := p.table + " " + words[1]
	c := p.program.chains[key]
	if _, builtin := hookNames[words[1]]; c == nil && builtin {
		c = p.chain(words[1])
	}
	if c == nil {
		return p.fail(words[1], "a chain that was not declared")
	}
	rest := words[2:]
	switch words[0] {
	case "-X":
		delete(p.program.chains, key)
		return nil
	case "-A", "-I":
		if words[0] == "-I" && len(rest) > 0 && rest[0] == "1" {
			rest = rest[1:]
		}
		r, err := p.rule(rest)
		if err != nil {
			return err
		}
		r.text = line
		if words[0] == "-A" {
			c.rules = append(c.rules, r)
		} else {
			c.rules = append([]rule{r}, c.rules...)
		}
		return nil
	}
	return p.fail(words[0], "expected -A, -I or -X")
}

// splitWords cuts a line at spaces; a word may be quoted.
func splitWords(line string) (words []string, problem string) {
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			words, line = append(words, word), rest
			continue
		}
		end := strings.IndexByte(line[1:], '"')
		if end < 0 {
			return nil, "a quote without end"
		}
		words = append(words, line[1:1+end])
		line = line[end+2:]
	}
	return words, ""
}

// ruleWords reads the words of one rule.
type ruleWords struct {
	*iptablesParser
	words  []string
	r      rule
	module string
}

func (p *iptablesParser) rule(words []string) (rule, error) {
	w := &ruleWords{iptablesParser: p, words: words, r: rule{chance: 1}}
	for len(w.words) > 0 {
		not := w.words[0] == "!"
		if not {
			w.words = w.words[1:]
		}
		if err := w.option(not); err != nil {
			return rule{}, err
		}
	}
	return w.r, nil
}

func (w *ruleWords) next() string {
	if len(w.words) == 0 {
		return ""
	}
	word := w.words[0]
	w.words = w.words[1:]
	return word
}

func (w *ruleWords) add(not bool, m match) error {
	if not {
		inner := m
		m = func(p *Program, pk *packet) bool { return !inner(p, pk) }
	}
	w.r.matches = append(w.r.matches, m)
	return nil
}

func (w *ruleWords) option(not bool) error {
	switch name := w.next(); name {
	case "-m":
		w.module = w.next()
		switch w.module {
		case "comment", "tcp", "udp", "sctp", "addrtype", "mark", "conntrack", "recent", "statistic":
			return nil
		}
		return w.fail(w.module, "a match that the rules of a service proxy do not use")
	case "--comment":
		w.next()
		return nil
	case "-p":
		proto, ok := ParseProtocol(w.next())
		if !ok {
			return w.fail("-p", "expected tcp, udp or sctp")
		}
		if !not {
			w.r.about.protocol = proto
		}
		return w.add(not, func(_ *Program, pk *packet) bool { return pk.protocol == proto })
	case "-d", "-s":
		return w.address(not, name == "-s")
	case "-i":
		pattern, prefix := strings.CutSuffix(w.next(), "+")
		if pattern == "" {
			return w.fail("-i", "expected the name of an interface")
		}
		return w.add(not, matchInterface(pattern, prefix))
	case "--dport":
		port, err := strconv.ParseUint(w.next(), 10, 16)
		if err != nil {
			return w.fail("--dport", "expected a port")
		}
		w.r.about.port = uint16(port)
		return w.add(not, func(_ *Program, pk *packet) bool { return pk.port == uint16(port) })
	case "--dst-type", "--src-type":
		if w.next() != "LOCAL" {
			return w.fail(name, "expected LOCAL")
		}
		if name == "--src-type" {
			return w.add(not, func(_ *Program, pk *packet) bool { return pk.env.isLocal(pk.src) })
		}
		return w.add(not, func(_ *Program, pk *packet) bool { return pk.env.isLocal(pk.dst) })
	case "--mark":
		value, mask, err := w.maskedWord()
		if err != nil {
			return err
		}
		return w.add(not, func(_ *Program, pk *packet) bool { return pk.mark&mask == value })
	case "--ctstate":
		return w.ctstate(not)
	case "-j":
		return w.target()
	default:
		if w.module == "recent" {
			return w.recent(name)
		}
		if w.module == "statistic" {
			return w.statistic(name)
		}
		return w.fail(name, "an unknown option")
	}
}

func (w *ruleWords) address(not, source bool) error {
	text := w.next()
	prefix, ok := parsePrefix(text)
	if !ok {
		ip, isIP := parseAddr(text)
		if !isIP {
			return w.fail(text, "expected an address or range")
		}
		prefix = hostPrefix(ip)
	}
	if source {
		return w.add(not, func(_ *Program, pk *packet) bool {
			pk.compared(prefix)
			return prefix.Contains(pk.src)
		})
	}
	w.r.about.addr = prefix
	return w.add(not, func(_ *Program, pk *packet) bool { return prefix.Contains(pk.dst) })
}

func (w *ruleWords) maskedWord() (value, mask uint32, err error) {
	text := w.next()
	v, m, masked := strings.Cut(text, "/")
	value64, err1 := strconv.ParseUint(v, 0, 32)
	mask64, err2 := uint64(math.MaxUint32), error(nil)
	if masked {
		mask64, err2 = strconv.ParseUint(m, 0, 32)
	}
	if err1 != nil || err2 != nil {
		return 0, 0, w.fail(text, "expected value/mask")
	}
	return uint32(value64), uint32(mask64), nil
}

// ctstate: the packets of a Program are the first of their connection.
func (w *ruleWords) ctstate(not bool) error {
	isNew, dnat := false, false
	for s := range strings.SplitSeq(w.next(), ",") {
		switch s {
		case "NEW":
			isNew = true
		case "DNAT":
			dnat = true
		case "RELATED", "ESTABLISHED", "INVALID":
		default:
			return w.fail(s, "an unknown connection state")
		}
	}
	return w.add(not, func(_ *Program, pk *packet) bool { return isNew || dnat && pk.dnat })
}

// recent: memories are empty, so a check never matches; setting one matches
// always.
func (w *ruleWords) recent(name string) error {
	switch name {
	case "--name", "--seconds", "--mask":
		w.next()
	case "--reap", "--rsource", "--set":
	case "--rcheck":
		return w.add(false, func(*Program, *packet) bool { return false })
	default:
		return w.fail(name, "an unknown option of recent")
	}
	return nil
}

func (w *ruleWords) statistic(name string) error {
	value := w.next()
	switch name {
	case "--mode":
		if value != "random" {
			return w.fail(value, "expected mode random")
		}
	case "--probability":
		p, err := strconv.ParseFloat(value, 64)
		if err != nil || !(p >= 0 && p <= 1) {
			return w.fail(value, "expected a probability")
		}
		// What the kernel stores: 31 bits, rounded.
		w.r.chance = math.Round(p*(1<<31)) / (1 << 31)
	default:
		return w.fail(name, "an unknown option of statistic")
	}
	return nil
}

func (w *ruleWords) target() error {
	switch name := w.next(); name {
	case "ACCEPT":
		w.r.act.kind = actAccept
	case "DROP":
		w.r.act.kind = actDrop
	case "RETURN":
		w.r.act.kind = actReturn
	case "REJECT":
		w.r.act.kind = actReject
		if len(w.words) > 0 && w.words[0] == "--reject-with" {
			w.next()
			w.next()
		}
	case "MASQUERADE":
		w.r.act.kind = actMasquerade
		if len(w.words) > 0 && w.words[0] == "--random-fully" {
			w.words = w.words[1:]
		}
	case "MARK":
		return w.markTarget()
	case "DNAT":
		if option := w.next(); option != "--to-destination" {
			return w.fail(option, "expected --to-destination")
		}
		text := w.next()
		to, err := netip.ParseAddrPort(text)
		if err != nil {
			return w.fail(text, "expected address:port")
		}
		w.r.act.kind, w.r.act.target = actDNAT, to
	case "":
		return w.fail("-j", "expected a target")
	default:
		w.r.act.kind, w.r.act.chain = actJump, w.table+" "+name
	}
	return nil
}

func (w *ruleWords) markTarget() error {
	option := w.next()
	value, mask, err := w.maskedWord()
	if err != nil {
		return err
	}
	switch option {
	case "--or-mark":
		w.r.marks = append(w.r.marks, markOp{or: value})
	case "--xor-mark":
		w.r.marks = append(w.r.marks, markOp{xor: value})
	case "--set-xmark": // clear the mask's bits, then xor
		switch {
		case mask == 0:
			w.r.marks = append(w.r.marks, markOp{xor: value})
		case mask == value:
			w.r.marks = append(w.r.marks, markOp{or: value})
		default:
			return w.fail(option, "expected value/value or value/0")
		}
	default:
		return w.fail(option, "an unknown option of MARK")
	}
	return nil
}
