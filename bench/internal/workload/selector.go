package workload

import (
	"math/rand/v2"
	"strings"
)

var (
	labelKeys   = []string{"app", "tier", "gen", "release", "example.com/role"}
	labelValues = []string{"", "web", "db", "cache", "1", "7", "10", "007", "a.b_c-d"}
)

// Labels draws a set of labels.
func Labels(r *rand.Rand) map[string]string {
	g := random{r}
	m := map[string]string{}
	for range g.IntN(5) {
		m[g.pick(labelKeys...)] = g.pick(labelValues...)
	}
	return m
}

// SelectorText draws a selector in the string grammar; it always parses.
func SelectorText(r *rand.Rand) string {
	g := random{r}
	var parts []string
	for range g.IntN(4) {
		key := g.pick(labelKeys...)
		switch g.IntN(6) {
		case 0:
			parts = append(parts, g.pick("", "!")+key)
		case 1, 2:
			parts = append(parts, key+g.pick("=", "==", "!=")+g.pick(labelValues...))
		case 3:
			parts = append(parts, key+g.pick(">", "<")+g.pick("0", "5", "9"))
		default:
			parts = append(parts, key+g.pick(" in ", " notin ")+"("+g.pick(labelValues...)+","+g.pick(labelValues...)+")")
		}
	}
	return strings.Join(parts, ",")
}

// LabelSelector draws a metav1.LabelSelector; it is always valid.
func LabelSelector(r *rand.Rand) Object {
	g := random{r}
	s := Object{}
	if g.chance(2) {
		for range g.IntN(3) {
			s.child("matchLabels")[g.pick(labelKeys...)] = g.pick(labelValues...)
		}
	}
	var expressions list
	for range g.IntN(3) {
		e := Object{"key": g.pick(labelKeys...), "operator": g.pick("In", "NotIn", "Exists", "DoesNotExist")}
		if e["operator"] == "In" || e["operator"] == "NotIn" {
			e["values"] = list{g.pick(labelValues...), g.pick(labelValues...)}
		}
		expressions = append(expressions, e)
	}
	if expressions != nil {
		s["matchExpressions"] = expressions
	}
	return s
}
