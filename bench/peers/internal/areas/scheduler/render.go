package scheduler

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/bench/peers/internal/upstream"
	"github.com/orchcore/orchcore/scheduler"
)

// renderFilter lists upstream's verdicts, a line per node.
func renderFilter(d *upstream.Decision) string {
	switch {
	case d.Gated != nil:
		return "gated: " + strings.Join(d.Gated, ", ")
	case d.PreFilter != nil:
		return "before any node: " + strings.Join(d.PreFilter, ", ")
	}
	var lines []string
	for _, n := range d.Feasible {
		lines = append(lines, n+" fits")
	}
	for n, r := range d.Rejected {
		lines = append(lines, verdict(n, r.Plugin, r.Code, r.Reasons))
	}
	return joined(lines)
}

// renderOurFilter lists our verdicts in the same words.
func renderOurFilter(o *opinion) string {
	var gated *scheduler.GatedError
	switch {
	case errors.As(o.whyErr, &gated):
		return "gated: " + gated.Error()
	case o.why == nil:
		return "error: " + o.whyErr.Error()
	case o.why.PreFilterPlugin != "":
		return "before any node: " + strings.Join(slices.Collect(o.why.PreFilter.Texts()), ", ")
	}
	var lines []string
	for i := range o.why.Nodes {
		n := &o.why.Nodes[i]
		if n.Status.Code == scheduler.Success {
			lines = append(lines, n.Node+" fits")
		} else {
			lines = append(lines, verdict(n.Node, n.Plugin, n.Status.Code.String(), slices.Sorted(n.Status.Texts())))
		}
	}
	return joined(lines)
}

func verdict(node, plugin, code string, reasons []string) string {
	return fmt.Sprintf("%s %s by %s: %s", node, code, plugin, strings.Join(reasons, ", "))
}

func joined(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// renderScores lists upstream's weighted scores, a line per node.
func renderScores(d *upstream.Decision) string {
	if d.ScoreErr != "" {
		return "error: " + d.ScoreErr
	}
	var lines []string
	for n, by := range d.Scores {
		lines = append(lines, n+": "+scores(by))
	}
	return joined(lines)
}

// renderOurScores lists our weighted scores.
func renderOurScores(o *opinion) string {
	if o.whyErr != nil {
		return "error: " + o.whyErr.Error()
	}
	var lines []string
	for i := range o.why.Nodes {
		n := &o.why.Nodes[i]
		if n.Status.Code != scheduler.Success {
			continue
		}
		by := map[string]int64{}
		for _, p := range n.Plugins {
			by[p.Plugin] = p.Weighted
		}
		lines = append(lines, n.Node+": "+scores(by))
	}
	return joined(lines)
}

// scores prints what each plugin gave. A plugin that gave nothing is left out:
// it makes no difference to a total whether a plugin was skipped or gave 0.
func scores(by map[string]int64) string {
	var parts []string
	for _, plugin := range slices.Sorted(maps.Keys(by)) {
		if by[plugin] != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", plugin, by[plugin]))
		}
	}
	return strings.Join(parts, ", ")
}

func renderOurChoice(o *opinion) string {
	var unfit *scheduler.FitError
	switch {
	case errors.As(o.err, &unfit):
		return "nowhere"
	case o.err != nil:
		return "error: " + o.err.Error()
	}
	return fmt.Sprintf("%s, %d of %d", o.placement.Node, o.placement.Feasible, o.placement.Evaluated)
}

// renderAll is upstream's whole decision but for preemption.
func renderAll(d *upstream.Decision, o *opinion) string {
	switch {
	case d.Gated != nil:
		return renderFilter(d)
	case d.Err != "":
		return renderChoice(d, o)
	}
	return renderFilter(d) + "\n" + renderScores(d) + "\n" + renderChoice(d, o) + "\n" + d.FitError
}

// renderOurAll is ours, with the same parts.
func renderOurAll(d *upstream.Decision, o *opinion) string {
	switch {
	case d.Gated != nil:
		return renderOurFilter(o)
	case d.Err != "":
		return renderOurChoice(o)
	}
	text := renderOurFilter(o) + "\n" + renderOurScores(o) + "\n" + renderOurChoice(o) + "\n"
	if d.FitError != "" {
		text += o.fitError()
	}
	return text
}

// renderPreemption lists the nodes on which upstream could make room, with
// victims, or the text that says why it cannot.
func renderPreemption(p *upstream.Preemption) string {
	if p.FitError != "" {
		return p.FitError
	}
	var lines []string
	for _, c := range p.Candidates {
		lines = append(lines, candidate(c.Node, c.Victims, int(c.Violations)))
	}
	return joined(lines) + "\nbest: " + strings.Join(p.Picked, ", ")
}

// renderPreemption says the same of our scheduler.
func (c *cluster) renderPreemption(pod *scheduler.Pod, o *opinion) string {
	p, err := c.scheduler.DryRunPreemption(pod)
	if err != nil {
		return "error: " + err.Error()
	}
	if len(p.Candidates) == 0 {
		return fmt.Sprint(o.err)
	}
	var lines []string
	for _, c := range p.Candidates {
		lines = append(lines, candidate(c.Node, c.Victims, c.Violations))
	}
	return joined(lines) + "\nbest: " + strings.Join(slices.Sorted(slices.Values(p.Picked)), ", ")
}

func candidate(node string, victims []string, violations int) string {
	return fmt.Sprintf("%s without %s, violating %d", node, strings.Join(victims, ", "), violations)
}
