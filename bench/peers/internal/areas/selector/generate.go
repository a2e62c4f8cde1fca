package selector

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
)

// Few keys and values, so that selectors meet labels; sound ones are repeated
// so that most cases get past validation.
var (
	keys = []string{"app", "tier", "gen", "example.com/role", "app.kubernetes.io/name", "in", "notin", "A.b_c-1"}

	badKeys = []string{
		"", "-a", "a-", "a/b/c", "/a", "a/", "A/b", "a..b/c", "é", "a b", "a\x00b", ".", "_", "a/-", "-/a", "a$",
		strings.Repeat("k", 63), strings.Repeat("k", 64), strings.Repeat("p", 253) + "/k", strings.Repeat("p.", 127) + "p/k",
	}

	values = []string{
		"", "web", "db", "1", "7", "10", "007", "9223372036854775807", "9223372036854775808", "a.b", "A_b-C", "in",
		"99999999999999999999999999999999999999999999999999999999999999",
	}

	badValues = []string{"-3", "+5", "-", "a-", ".a", "5.", "é", "a/b", "a b", "a\x00", "x$", strings.Repeat("v", 63), strings.Repeat("v", 64), "<&>", "\xff"}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func key(r *rand.Rand) string {
	if r.IntN(40) == 0 {
		return pick(r, badKeys)
	}
	return pick(r, keys)
}

func value(r *rand.Rand) string {
	if r.IntN(40) == 0 {
		return pick(r, badValues)
	}
	return pick(r, values)
}

// labelSet may hold labels that the API server would refuse: matching takes
// what is stored.
func labelSet(r *rand.Rand) map[string]string {
	m := map[string]string{}
	size := r.IntN(6)
	if r.IntN(16) == 0 {
		size = r.IntN(30)
	}
	for range size {
		v := pick(r, values)
		if r.IntN(8) == 0 {
			v = pick(r, badValues)
		}
		k := pick(r, keys)
		if size > len(keys) && r.IntN(2) == 0 {
			k = "k" + string(rune('a'+r.IntN(26)))
		}
		m[k] = v
	}
	return m
}

// selectorText makes a sound selector, a spoilt one, or a heap of tokens.
func selectorText(r *rand.Rand) string {
	if r.IntN(8) == 0 {
		return tokens(r)
	}
	n := r.IntN(5)
	if r.IntN(100) == 0 {
		n = r.IntN(40) // long enough that sorting is no longer by insertion
	}
	var parts []string
	for range n {
		parts = append(parts, requirementText(r))
	}
	text := strings.Join(parts, pick(r, []string{",", ",", ", ", " ,"}))
	if text != "" && r.IntN(8) == 0 {
		return spoil(r, text)
	}
	return text
}

func requirementText(r *rand.Rand) string {
	k := key(r)
	blank := func() string { return pick(r, []string{"", "", "", " ", "\t", "\n "}) }
	switch r.IntN(7) {
	case 0:
		return blank() + k + blank()
	case 1:
		return "!" + blank() + k
	case 2, 3:
		return k + blank() + pick(r, []string{"=", "==", "!="}) + blank() + value(r)
	case 4:
		return k + blank() + pick(r, []string{">", "<"}) + blank() + pick(r, []string{"0", "5", "-4", "x", "007", "9223372036854775807"})
	}
	var list []string
	for range r.IntN(5) {
		list = append(list, blank()+value(r)+blank())
	}
	return k + " " + blank() + pick(r, []string{"in", "notin"}) + blank() + "(" + strings.Join(list, ",") + ")"
}

// spoil deletes, doubles or changes one byte.
func spoil(r *rand.Rand, text string) string {
	i := r.IntN(len(text))
	switch r.IntN(3) {
	case 0:
		return text[:i] + text[i+1:]
	case 1:
		return text[:i] + text[i:i+1] + text[i:]
	}
	return text[:i] + pick(r, []string{"=", "!", "(", ")", ",", ">", "<", " ", "\x00", "\v", "é", "a", "-", "/"}) + text[i+1:]
}

func tokens(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(10) {
		switch r.IntN(3) {
		case 0:
			b.WriteString(key(r))
		case 1:
			b.WriteString(value(r))
		default:
			b.WriteString(pick(r, []string{"=", "==", "!=", "!", "(", ")", ",", ">", "<", " in ", " notin ", " ", "in", "\x00", "\r"}))
		}
	}
	return b.String()
}

func labelSetText(r *rand.Rand) string {
	var parts []string
	for range r.IntN(4) {
		blank := pick(r, []string{"", "", "", " ", "\u00a0"})
		parts = append(parts, blank+key(r)+blank+"="+blank+value(r))
	}
	text := strings.Join(parts, ",")
	if text != "" && r.IntN(6) == 0 {
		return spoil(r, text)
	}
	return text
}

// object is a JSON object under construction.
type object map[string]any

func (o object) text() string {
	b, err := json.Marshal(o)
	if err != nil {
		panic("areas/selector: " + err.Error())
	}
	return string(b)
}

// expression makes one requirement of a LabelSelector or NodeSelector.
func expression(r *rand.Rand, operators []string) object {
	op := pick(r, operators)
	if r.IntN(60) == 0 {
		op = pick(r, []string{"", "in", "Gt ", "GT", "Equals", "<é>"})
	}
	e := object{"key": key(r), "operator": op}
	var list []string
	switch op {
	case "In", "NotIn":
		for range 1 + r.IntN(3) {
			list = append(list, value(r))
		}
	case "Gt", "Lt":
		list = []string{pick(r, []string{"0", "5", "007", "x", "-4", "9223372036854775807", "9223372036854775808"})}
	}
	if r.IntN(50) == 0 {
		list = pick(r, [][]string{nil, {}, {"a", "b"}, {""}, {"a", "-", "é"}})
	}
	if list != nil {
		e["values"] = list
	}
	return e
}

func expressions(r *rand.Rand, most int, operators []string) []object {
	list := []object{}
	for range r.IntN(most + 1) {
		list = append(list, expression(r, operators))
	}
	return list
}

func labelSelectorText(r *rand.Rand) string {
	if r.IntN(50) == 0 {
		return pick(r, []string{"null", "{}", `{"matchLabels":null}`, `{"matchExpressions":[]}`, `{"matchLabels":{"a":null}}`,
			`{"matchLabels":[]}`, `{"matchExpressions":{}}`, `{"matchExpressions":[{"key":1}]}`, `{"matchlabels":{"app":"web"}}`,
			`{"matchLabels":{"app":"web"},"matchLabels":{"tier":"a"}}`, `{"other":1}`, `[]`, `1`})
	}
	o := object{}
	if r.IntN(3) > 0 {
		set := map[string]string{}
		for range r.IntN(4) {
			set[key(r)] = value(r)
		}
		o["matchLabels"] = set
	}
	if r.IntN(3) > 0 {
		o["matchExpressions"] = expressions(r, 3, []string{"In", "NotIn", "Exists", "DoesNotExist"})
	}
	return o.text()
}

func term(r *rand.Rand) object {
	o := object{}
	if r.IntN(8) > 0 {
		o["matchExpressions"] = expressions(r, 3, []string{"In", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"})
	}
	if r.IntN(4) == 0 {
		var fields []object
		for range 1 + r.IntN(2) {
			field := pick(r, []string{"metadata.name", "metadata.name", "metadata.name", "spec.unschedulable", ""})
			e := object{"key": field, "operator": pick(r, []string{"In", "In", "NotIn", "NotIn", "Exists", "Gt"})}
			e["values"] = pick(r, [][]string{{"node-1"}, {"node-1"}, {"node-2"}, {""}, {"node-1", "node-2"}, nil})
			fields = append(fields, e)
		}
		o["matchFields"] = fields
	}
	return o
}

func nodeSelectorText(r *rand.Rand) string {
	terms := []object{}
	for range r.IntN(4) {
		terms = append(terms, term(r))
	}
	return object{"nodeSelectorTerms": terms}.text()
}

func preferredText(r *rand.Rand) string {
	list := []object{}
	for range r.IntN(4) {
		list = append(list, object{"weight": pick(r, []int{0, 1, 10, 100, -5}), "preference": term(r)})
	}
	return object{"list": list}.text()
}
