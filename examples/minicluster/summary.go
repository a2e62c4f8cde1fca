package main

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/check"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/node"
	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/qos/resource"
)

// linesMax bounds each list of the summary.
const linesMax = 200

// summary prints how the cluster has come through, and what holds. The same input
// gives the same lines, apart from revisions, hashes and what depends on the order
// of arrival.
func (j *job) summary(view *control.View, sizes *ruleSizes, states []check.Member, report *check.Report) {
	if j.options.faults {
		j.placements("Pods that were placed since", view)
		j.unplaced(view)
		j.nodes(view)
		j.rules(sizes)
	}
	j.tl.section("Store")
	for _, m := range states {
		j.tl.line("member %d: revision %d, state hash %016x", m.ID, m.Revision, m.Hash)
	}
	j.list("Notes", report.Notes)
	j.tl.section("Invariants")
	broken := map[string]bool{}
	for _, v := range report.Violations {
		broken[v.Invariant] = true
	}
	for _, name := range []string{check.Replicas, check.Placed, check.Capacity, check.Ports, check.Endpoints, check.Kept, check.Members} {
		verdict := "holds"
		if broken[name] {
			verdict = "BROKEN"
		}
		j.tl.line("%-6s  %s (%d checked)", verdict, name, report.Checked[name])
	}
	for _, v := range report.Violations {
		j.tl.line("BROKEN  %s", v)
	}
}

// list prints a section of lines, unless there are none.
func (j *job) list(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	j.tl.section("%s", title)
	for i, l := range lines {
		if i == linesMax {
			j.tl.line("… and %d more", len(lines)-linesMax)
			break
		}
		j.tl.line("%s", l)
	}
}

// placements lists the pods with a node, apart from those that were listed before.
func (j *job) placements(title string, view *control.View) {
	var lines []string
	for p := range view.Pods.All() {
		pod := &p.Object
		if pod.Spec.NodeName == "" || j.shown[p.Key] == pod.Metadata.UID {
			continue
		}
		why := pod.Metadata.Annotations[control.AnnotationPlacement]
		switch {
		case why != "":
		case pod.Static():
			why = "static pod"
		default:
			why = "came with this node"
		}
		name := pod.Metadata.Namespace + "/" + pod.Metadata.Name
		lines = append(lines, fmt.Sprintf("%-52s %-14s %s", name, pod.Spec.NodeName, why))
	}
	j.list(title, lines)
}

func (j *job) unplaced(view *control.View) {
	var lines []string
	for p := range view.Pods.All() {
		pod := &p.Object
		if pod.Spec.NodeName != "" || !pod.Active() {
			continue
		}
		message := "nothing says why"
		if c := api.ConditionOf(pod.Status.Conditions, api.PodScheduled); c != nil {
			message = c.Message
		}
		lines = append(lines, fmt.Sprintf("%s/%s: %s", pod.Metadata.Namespace, pod.Metadata.Name, message))
	}
	j.list("Pods without a node", lines)
}

func (j *job) nodes(view *control.View) {
	usage := check.UsageOf(view, func(*api.Pod) bool { return true })
	var lines []string
	for n := range view.Nodes.All() {
		name := n.Object.Metadata.Name
		u, room := usage[name], n.Object.Status.Allocatable
		var taints []string
		for _, t := range n.Object.Spec.Taints {
			taints = append(taints, t.Key+":"+t.Effect)
		}
		lines = append(lines, fmt.Sprintf("%-28s %-8s %3d pods  cpu %6s of %-6s memory %10s of %-12s %s", name,
			n.Object.Metadata.Labels[api.LabelZone], u.Pods, amount(u.Sum, "cpu"), amount(room, "cpu"),
			amount(u.Sum, "memory"), amount(room, "memory"), strings.Join(taints, " ")))
		delete(usage, name)
	}
	for _, name := range slices.Sorted(maps.Keys(usage)) {
		lines = append(lines, fmt.Sprintf("%-28s not in the input; %d pods came with it", name, usage[name].Pods))
	}
	j.list("Nodes", lines)
}

func amount(list resource.List, name string) string {
	q := list[name]
	return q.String()
}

// ruleSizes collects the sizes of the nodes' rules while they go by, so that the
// rules themselves need not be kept.
type ruleSizes struct {
	nodes   map[node.RuleCounts][]string
	refused map[string]bool
}

func newRuleSizes() *ruleSizes {
	return &ruleSizes{nodes: map[node.RuleCounts][]string{}, refused: map[string]bool{}}
}

// counted passes rules through and notes their sizes.
func (s *ruleSizes) counted(rules iter.Seq2[string, *proxyrules.RuleSet]) iter.Seq2[string, *proxyrules.RuleSet] {
	return func(yield func(string, *proxyrules.RuleSet) bool) {
		for name, r := range rules {
			n := node.CountRules(r)
			s.nodes[n] = append(s.nodes[n], name)
			for _, e := range r.Refused() {
				s.refused[e.Error()] = true
			}
			if !yield(name, r) {
				return
			}
		}
	}
}

// rules prints the sizes of the nodes' rules, nodes with equal sizes together.
func (j *job) rules(s *ruleSizes) {
	var lines []string
	for n, names := range s.nodes {
		lines = append(lines, fmt.Sprintf("%s: iptables %d rules in %d chains; nftables %d rules in %d chains, %d elements",
			nodeList(names), n.IPTablesRules, n.IPTablesChains, n.NFTRules, n.NFTChains, n.NFTElements))
	}
	slices.Sort(lines)
	for _, r := range slices.Sorted(maps.Keys(s.refused)) {
		lines = append(lines, "refused: "+r)
	}
	j.list("Service rules", lines)
}

func nodeList(names []string) string {
	if len(names) > 3 {
		return fmt.Sprintf("%s … %s (%d nodes)", names[0], names[len(names)-1], len(names))
	}
	return strings.Join(names, ", ")
}
