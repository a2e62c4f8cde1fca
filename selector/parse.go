package selector

import (
	"slices"
	"sort"
	"strconv"
	"strings"
)

// InputBytesMax is the longest text that Parse and ParseLabels take.
//
// Differs: upstream sets no limit of its own; the API server's request limits
// are far below this one.
const InputBytesMax = 16 << 20

// Parse reads the selector syntax of kubectl -l and of API queries:
//
//	selector    = [ requirement { "," requirement } ]
//	requirement = key | "!" key
//	            | key ( "=" | "==" | "!=" ) [ value ]
//	            | key ( ">" | "<" ) value
//	            | key ( "in" | "notin" ) "(" [ value ] { "," [ value ] } ")"
//
// Blanks (space, tab, CR, LF) may stand between tokens. A missing value is the
// empty string. in and notin are words only where an operator may stand. Blank
// input is Everything; "<nothing>", alone, is Nothing. The error is a
// *ParseError. The result may share memory with input.
//
// Differs: a NUL byte is refused. Upstream takes it as the end of a word or of
// the whole input, so that "\x00a=b" selects everything.
func Parse(input string) (Selector, error) {
	if len(input) > InputBytesMax {
		return Nothing(), &ParseError{input[:inputShownMax], InputBytesMax, tooLongMsg(len(input))}
	}
	if at := strings.IndexByte(input, 0); at >= 0 {
		return Nothing(), &ParseError{input, at, "found a NUL byte, expected: text without NUL bytes"}
	}
	if input == nothingText {
		return Nothing(), nil
	}
	p := parser{input: input}
	return p.selector()
}

// MustParse is Parse for constants in programs and clauses; it panics on error.
func MustParse(input string) Selector {
	s, err := Parse(input)
	if err != nil {
		panic(err)
	}
	return s
}

func tooLongMsg(n int) string {
	return "found " + strconv.Itoa(n) + " bytes, expected: at most " + strconv.Itoa(InputBytesMax)
}

// token kinds; words are told apart from operators by position, not here.
type token uint8

const (
	tokenEnd token = iota
	tokenWord
	tokenComma
	tokenOpen
	tokenClose
	tokenNot
	tokenEquals
	tokenDoubleEquals
	tokenNotEquals
	tokenGreater
	tokenLess
)

// parser reads one token ahead: tok is the token at input[from:to].
type parser struct {
	input    string
	from, to int
	tok      token

	labels []handle // backing of all value lists
}

func (p *parser) literal() string { return p.input[p.from:p.to] }

// Classes of bytes, as the tokeniser sees them.
const (
	classWord byte = iota
	classBlank
	classSymbol
)

var byteClass = [256]byte{
	' ': classBlank, '\t': classBlank, '\r': classBlank, '\n': classBlank,
	'=': classSymbol, '!': classSymbol, '(': classSymbol, ')': classSymbol,
	',': classSymbol, '>': classSymbol, '<': classSymbol,
}

// next moves to the following token.
func (p *parser) next() {
	i, input := p.to, p.input
	for i < len(input) && byteClass[input[i]] == classBlank {
		i++
	}
	p.from = i
	if i == len(input) {
		p.tok, p.to = tokenEnd, i
		return
	}
	if byteClass[input[i]] == classSymbol {
		p.symbol(i)
		return
	}
	for i++; i < len(input) && byteClass[input[i]] == classWord; i++ {
	}
	p.tok, p.to = tokenWord, i
}

func (p *parser) symbol(i int) {
	p.to = i + 1
	followedByEquals := p.to < len(p.input) && p.input[p.to] == '='
	switch p.input[i] {
	case ',':
		p.tok = tokenComma
	case '(':
		p.tok = tokenOpen
	case ')':
		p.tok = tokenClose
	case '>':
		p.tok = tokenGreater
	case '<':
		p.tok = tokenLess
	case '=':
		p.tok = tokenEquals
		if followedByEquals {
			p.tok = tokenDoubleEquals
			p.to++
		}
	case '!':
		p.tok = tokenNot
		if followedByEquals {
			p.tok = tokenNotEquals
			p.to++
		}
	}
}

// unexpected reports the current token.
func (p *parser) unexpected(expected string) error {
	return &ParseError{p.input, p.from, "found '" + clip(p.literal()) + "'" + expected}
}

// requirementErrors start like this upstream; the text is kept.
const inRequirement = "unable to parse requirement: "

func (p *parser) unexpectedInRequirement(expected string) error {
	return &ParseError{p.input, p.from, inRequirement + "found '" + clip(p.literal()) + "'" + expected}
}

// selector reads the whole input. One clause is all that many selectors have,
// and needs no putting in order.
func (p *parser) selector() (Selector, error) {
	p.next()
	switch p.tok {
	case tokenEnd:
		return Everything(), nil
	case tokenWord, tokenNot:
	default:
		return Nothing(), p.unexpected(", expected: !, identifier, or 'end of string'")
	}
	var first clause
	if err := p.requirement(&first); err != nil {
		return Nothing(), err
	}
	if p.tok == tokenEnd {
		return Selector{clauses: []clause{first}, selectable: true}, nil
	}
	var memory [clausesUsual]clause
	memory[0] = first
	clauses, err := p.more(memory[:1])
	if err != nil {
		return Nothing(), err
	}
	return assembleParsed(clauses), nil
}

// more appends the clauses after the first one to dst.
func (p *parser) more(dst []clause) ([]clause, error) {
	for p.tok != tokenEnd {
		if p.tok != tokenComma {
			return nil, p.unexpected(", expected: ',' or 'end of string'")
		}
		p.next()
		if p.tok != tokenWord && p.tok != tokenNot {
			return nil, p.unexpected(", expected: identifier after ','")
		}
		dst = append(dst, clause{})
		if err := p.requirement(&dst[len(dst)-1]); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// requirement reads one requirement into c, which is zero, and leaves the token
// after it current.
func (p *parser) requirement(c *clause) error {
	op := Exists
	if p.tok == tokenNot {
		op = DoesNotExist
		p.next()
	}
	if p.tok != tokenWord {
		return p.unexpectedInRequirement(", expected: identifier")
	}
	c.key = p.literal()
	if !ValidKey(c.key) {
		return &ParseError{p.input, p.from, inRequirement + kindInvalid + ": " + quote(c.key) + ": " + joined(keyFaults(c.key))}
	}
	c.tags = tagWord(c.key)
	p.next()
	if p.tok == tokenEnd || p.tok == tokenComma || op == DoesNotExist {
		c.setOp(op)
		return nil
	}
	if op = p.operator(); op == 0 {
		return p.unexpectedInRequirement(", expected: in, notin, =, ==, !=, gt, lt")
	}
	c.setOp(op)
	p.next()
	if op == In || op == NotIn {
		return p.list(c)
	}
	return p.exactValue(c)
}

// operator is the operator that the current token stands for, or 0.
func (p *parser) operator() Operator {
	switch p.tok {
	case tokenEquals:
		return Equals
	case tokenDoubleEquals:
		return DoubleEquals
	case tokenNotEquals:
		return NotEquals
	case tokenGreater:
		return Gt
	case tokenLess:
		return Lt
	case tokenWord:
		switch p.literal() {
		case "in":
			return In
		case "notin":
			return NotIn
		}
	}
	return 0
}

func (p *parser) exactValue(c *clause) error {
	at, value := p.from, ""
	switch p.tok {
	case tokenWord:
		value = p.literal()
	case tokenEnd, tokenComma:
	default:
		return p.unexpectedInRequirement(", expected: identifier")
	}
	if c.op == Gt || c.op == Lt {
		if _, isInt := parseInt(value); !isInt {
			return p.valueError(c, at, value)
		}
	}
	if !ValidValue(value) {
		return p.valueError(c, at, value)
	}
	c.setValue(value)
	if p.tok == tokenWord {
		p.next()
	}
	return nil
}

// list reads "(" values ")" after in or notin.
func (p *parser) list(c *clause) error {
	if p.tok != tokenOpen {
		return p.unexpectedInRequirement(" expected: '('")
	}
	var scratch [scanMax]string
	values, badAt := scratch[:0], -1
	p.next()
	if p.tok != tokenWord && p.tok != tokenComma && p.tok != tokenClose {
		return p.unexpectedInRequirement(", expected: ',', ')' or identifier")
	}
	for {
		// One slot: a word, or nothing, which is the empty value.
		value := ""
		if p.tok == tokenWord {
			if value = p.literal(); badAt < 0 && !ValidValue(value) {
				badAt = p.from
			}
			p.next()
			if p.tok != tokenComma && p.tok != tokenClose {
				return p.unexpectedInRequirement(", expected: ',' or ')'")
			}
		} else if p.tok != tokenComma && p.tok != tokenClose {
			return p.unexpectedInRequirement(", expected: ',', or identifier")
		}
		values = append(values, value)
		if p.tok == tokenClose {
			break
		}
		p.next()
	}
	slices.Sort(values)
	values = slices.Compact(values)
	if badAt >= 0 {
		return p.valueError(c, badAt, slices.Clone(values)...) // values itself stays on the stack
	}
	if len(values) == 1 {
		c.setValue(values[0])
	} else {
		c.labels = p.handles(c.key, values)
	}
	p.next()
	return nil
}

// handles takes the handles of one list from memory that all lists share.
func (p *parser) handles(key string, values []string) []handle {
	if p.labels == nil {
		p.labels = make([]handle, 0, max(len(values), min(len(values)+strings.Count(p.input[p.to:], ","), scanMax)))
	}
	start := len(p.labels)
	for _, v := range values {
		p.labels = append(p.labels, handleOf(key, v))
	}
	return slices.Clip(p.labels[start:])
}

func (p *parser) valueError(c *clause, at int, values ...string) error {
	return &ParseError{p.input, at, inRequirement + requirementFaults("", c.key, c.op, values).Error()}
}

// clausesUsual is the number of clauses up to which a selector is put together
// on the stack, so that the only allocation is that of the result.
const clausesUsual = 6

// assembleParsed puts the clauses into printed order, which is what sort.Sort makes
// of short and of long lists, and then into that of evaluation.
func assembleParsed(parsed []clause) Selector {
	n := len(parsed)
	if n > clausesUsual {
		clauses := slices.Clone(parsed)
		sort.Sort(clausesByKey(clauses))
		return assemble(clauses)
	}
	var printed [clausesUsual]uint8     // indexes into parsed
	var places [evaluationRanks + 1]int // where in the result the clauses of a rank begin
	for i := range parsed {
		j := i
		for ; j > 0 && parsed[i].key < parsed[printed[j-1]].key; j-- {
			printed[j] = printed[j-1]
		}
		printed[j] = uint8(i)
		places[parsed[i].op.evaluationRank()+1]++
	}
	for rank := range evaluationRanks {
		places[rank+1] += places[rank]
	}
	clauses := make([]clause, n)
	for pos, i := range printed[:n] {
		c := &parsed[i]
		c.pos = uint32(pos)
		rank := c.op.evaluationRank()
		clauses[places[rank]] = *c
		places[rank]++
	}
	return Selector{clauses: clauses, selectable: true}
}

type clausesByKey []clause

func (a clausesByKey) Len() int           { return len(a) }
func (a clausesByKey) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a clausesByKey) Less(i, j int) bool { return a[i].key < a[j].key }

// ParseLabels reads a label set, "a=1,b=2": pairs split at commas, each with
// exactly one '=', blanks around keys and values dropped, keys and values
// validated. The last of repeated keys wins. "" is the empty set.
//
// Differs: after an error upstream hands out the part read so far; here it is
// the empty set.
func ParseLabels(input string) (Labels, error) {
	if input == "" {
		return Labels{}, nil
	}
	if len(input) > InputBytesMax {
		return Labels{}, &ParseError{input[:inputShownMax], InputBytesMax, tooLongMsg(len(input))}
	}
	labels := make(map[string]string)
	offset := 0
	for part := range strings.SplitSeq(input, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || strings.Contains(value, "=") {
			return Labels{}, &ParseError{input, offset, "invalid selector: [" + clip(strings.ReplaceAll(part, "=", " ")) + "]"}
		}
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if text := joined(keyFaults(key)); text != "" {
			return Labels{}, &ParseError{input, offset, kindInvalid + ": " + quote(key) + ": " + text}
		}
		if text := joined(valueFaults(value)); text != "" {
			return Labels{}, &ParseError{input, offset, invalid("["+key+"]", value, text).Error()}
		}
		labels[key] = value
		offset += len(part) + 1
	}
	return NewLabels(labels), nil
}
