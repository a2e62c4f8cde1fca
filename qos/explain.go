package qos

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// An Explanation says why a candidate has its place in the order of eviction.
type Explanation struct {
	Pod      *Pod
	Class    Class
	Critical bool // never evicted, whatever its place
	Key      Key
	Signal   Signal
}

// Explain returns the candidates in the order of eviction for the signal, each
// with what decided.
func Explain(candidates []Candidate, s Signal, layout Layout) []Explanation {
	order := Rank(candidates, s, layout)
	out := make([]Explanation, len(order))
	for place, i := range order {
		c := &candidates[i]
		out[place] = Explanation{c.Pod, ClassOf(c.Pod), c.Critical, c.KeyFor(s, layout), s}
	}
	return out
}

// Reason says in words what decides the pod's place, the first thing first.
func (e Explanation) Reason() string {
	var parts []string
	if e.Critical {
		parts = append(parts, "critical: never evicted")
	}
	short := e.Signal.Resource()
	switch {
	case e.Signal == PIDAvailable && e.Key.Unknown:
		parts = append(parts, fmt.Sprintf("priority %d", e.Key.Prio), "no statistics")
	case e.Signal == PIDAvailable:
		parts = append(parts, fmt.Sprintf("priority %d", e.Key.Prio), fmt.Sprintf("%v processes", e.Key.Excess))
	case e.Key.Unknown:
		parts = append(parts, "no statistics", fmt.Sprintf("priority %d", e.Key.Prio))
	default:
		exceeds := "within its request of " + short
		if e.Key.Exceeds {
			exceeds = "exceeds its request of " + short
		}
		parts = append(parts, exceeds, fmt.Sprintf("priority %d", e.Key.Prio), fmt.Sprintf("use less request %v", e.Key.Excess))
	}
	return strings.Join(parts, "; ")
}

// WriteTable writes explanations as a table, a pod a line.
func WriteTable(w io.Writer, explained []Explanation) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "PLACE\tPOD\tCLASS\tWHY")
	for i, e := range explained {
		fmt.Fprintf(t, "%d\t%s/%s\t%v\t%s\n", i+1, e.Pod.Metadata.Namespace, e.Pod.Metadata.Name, e.Class, e.Reason())
	}
	return t.Flush()
}
