package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// writeText prints the decisions for people. Of pods of one workload that fare
// alike only the first is shown in full.
func (r *report) writeText(out io.Writer, rows int) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%d nodes, %d pods on them, %d to place\n", r.Nodes, r.Bound, r.Pending)
	for _, note := range r.Notes {
		fmt.Fprintln(w, clean(note))
	}
	placed, shown := 0, make(map[string]bool)
	for i := range r.Pods {
		p := &r.Pods[i]
		if p.Node != "" {
			placed++
		}
		fmt.Fprintln(w)
		p.headline(w)
		alike := p.origin + " " + p.Error
		if p.origin != "" && shown[alike] {
			continue
		}
		shown[alike] = true
		p.scores(w, rows)
		p.reasons(w, rows)
	}
	if len(r.Pods) > 0 {
		fmt.Fprintf(w, "\n%d of %d placed\n", placed, r.Pending)
	}
	if r.WhatIf != nil {
		r.WhatIf.writeText(w)
	}
	return w.Flush()
}

func (p *podReport) headline(w io.Writer) {
	fits := 0
	for i := range p.Nodes {
		if p.Nodes[i].Fits {
			fits++
		}
	}
	if p.Node != "" {
		fmt.Fprintf(w, "%s → %s (%d of %d nodes fit)\n", clean(p.Pod), clean(p.Node), fits, len(p.Nodes))
		return
	}
	fmt.Fprintf(w, "%s is not placed: %s\n", clean(p.Pod), clean(p.Error))
	if p.Preemption != nil {
		fmt.Fprintf(w, "  preemption: %s makes room by removing %s%s\n", clean(p.Preemption.Node),
			clean(strings.Join(p.Preemption.Victims, ", ")), violations(p.Preemption.Violations))
	}
	if p.Nearest != nil {
		fmt.Fprintf(w, "  smallest change: %s: %s\n", clean(p.Nearest.Node), clean(strings.Join(p.Nearest.Changes, "; ")))
	}
}

func violations(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d against a disruption budget)", n)
}

// scores prints a row per node that fits, the best first, and a column per
// plugin: weighted scores, as they add up.
func (p *podReport) scores(out io.Writer, rows int) {
	var fit []*nodeReport
	for i := range p.Nodes {
		if p.Nodes[i].Fits {
			fit = append(fit, &p.Nodes[i])
		}
	}
	if len(fit) == 0 {
		return
	}
	slices.SortStableFunc(fit, func(a, b *nodeReport) int { return cmp.Compare(b.Score, a.Score) })
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "  node\ttotal")
	for _, s := range fit[0].Plugins {
		fmt.Fprint(w, "\t", clean(s.Plugin))
	}
	fmt.Fprintln(w)
	for _, n := range fit[:min(rows, len(fit))] {
		fmt.Fprintf(w, "  %s\t%d", clean(n.Node), n.Score)
		for _, s := range n.Plugins {
			fmt.Fprintf(w, "\t%d", s.Weighted)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	if more := len(fit) - rows; more > 0 {
		fmt.Fprintf(out, "  … and %d more that fit\n", more)
	}
}

// reasons prints the nodes that do not fit; those with the same reasons and
// changes share a line.
func (p *podReport) reasons(w io.Writer, rows int) {
	nodes := make(map[string][]string)
	var lines []string
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.Fits {
			continue
		}
		line := fmt.Sprintf("%s: %s", n.RejectedBy, strings.Join(n.Reasons, ", "))
		if change := strings.Join(n.Changes, "; "); change != strings.Join(n.Reasons, ", ") {
			line += "; to change: " + change
		}
		if nodes[line] == nil {
			lines = append(lines, line)
		}
		nodes[line] = append(nodes[line], n.Node)
	}
	for _, line := range lines[:min(rows, len(lines))] {
		names := nodes[line]
		label := strings.Join(names[:min(3, len(names))], ", ")
		if more := len(names) - 3; more > 0 {
			label += fmt.Sprintf(" and %d more", more)
		}
		fmt.Fprintf(w, "  not %s: %s\n", clean(label), clean(line))
	}
	if more := len(lines) - rows; more > 0 {
		fmt.Fprintf(w, "  … and %d more reasons\n", more)
	}
}

// clean replaces control characters: names and values come from the input, and
// must not drive the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}
