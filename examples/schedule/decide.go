package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orchcore/orchcore/scheduler"
)

// report is the outcome of a run.
type report struct {
	Nodes   int            `json:"nodes"`
	Bound   int            `json:"bound"`
	Pending int            `json:"pending"`
	Notes   []string       `json:"notes,omitempty"`
	Pods    []podReport    `json:"pods"`
	Placed  map[string]int `json:"placed"` // pods placed, by node
	WhatIf  *whatIf        `json:"whatIf,omitempty"`
}

// podReport is the decision about one pod.
type podReport struct {
	Pod      string `json:"pod"`
	Priority int32  `json:"priority,omitempty"`
	// Node is where the pod goes; "" when nowhere, and Error says why.
	Node  string       `json:"node,omitempty"`
	Error string       `json:"error,omitempty"`
	Nodes []nodeReport `json:"nodes,omitempty"`
	// Nearest is the node that the fewest changes would open.
	Nearest    *nearest    `json:"nearest,omitempty"`
	Preemption *preemption `json:"preemption,omitempty"`

	origin string // the workload, for grouping
}

// nodeReport is what one node means for the pod.
type nodeReport struct {
	Node    string                  `json:"node"`
	Fits    bool                    `json:"fits"`
	Score   int64                   `json:"score,omitempty"`
	Plugins []scheduler.PluginScore `json:"plugins,omitempty"`
	// RejectedBy is the first plugin that rejects the node, Reasons why.
	RejectedBy string   `json:"rejectedBy,omitempty"`
	Reasons    []string `json:"reasons,omitempty"`
	Changes    []string `json:"changes,omitempty"`
}

type nearest struct {
	Node    string   `json:"node"`
	Changes []string `json:"changes"`
}

// preemption is what would be removed for the pod.
type preemption struct {
	Node       string   `json:"node"`
	Victims    []string `json:"victims"`
	Violations int      `json:"budgetViolations"`
}

// decide places the pods that have no node, the most important first, as the
// scheduler's queue does.
func (in *input) decide() (*report, error) {
	r := &report{Nodes: len(in.nodes), Pods: []podReport{}, Placed: make(map[string]int)}
	var pending []*scheduler.Pod
	for _, p := range in.pods {
		switch {
		case p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed":
		case p.Spec.NodeName != "":
			if err := in.bind(p); err != nil {
				return nil, err
			}
			r.Bound++
		default:
			admitted, err := scheduler.Admitted(p, in.classes)
			if err != nil {
				return nil, in.faultIn(p, err)
			}
			pending = append(pending, admitted)
		}
	}
	r.Pending, in.pending = len(pending), pending
	r.Notes = in.notes()
	slices.SortStableFunc(pending, func(a, b *scheduler.Pod) int {
		return cmp.Compare(*b.Spec.Priority, *a.Spec.Priority)
	})
	for _, p := range pending {
		if node := p.Status.NominatedNodeName; node != "" {
			if err := in.cache.Nominate(p, node); err != nil {
				return nil, in.faultIn(p, err)
			}
		}
	}
	s, err := scheduler.New(scheduler.Config{Cache: in.cache})
	if err != nil {
		return nil, err
	}
	for _, p := range pending {
		pod, err := in.place(s, p)
		if err != nil {
			return nil, err
		}
		if pod.Node != "" {
			r.Placed[pod.Node]++
		} else {
			in.unplaced = append(in.unplaced, p)
		}
		r.Pods = append(r.Pods, pod)
	}
	return r, nil
}

// bind puts a pod on the node that it names.
func (in *input) bind(p *scheduler.Pod) error {
	if in.seen["Node default/"+p.Spec.NodeName] == (place{}) {
		in.lostPods++
	}
	if err := in.cache.AddPod(p); err != nil {
		return in.faultIn(p, err)
	}
	return nil
}

// faultIn says where the pod, or the workload that it was made for, was read.
func (in *input) faultIn(p *scheduler.Pod, err error) error {
	id := "Pod " + fullName(&p.ObjectMeta)
	at := in.seen[id]
	if at == (place{}) {
		id = in.root(p)
		at = in.seen[id]
	}
	return &inputError{at, id, err}
}

// notes says what of the input plays no part.
func (in *input) notes() []string {
	var notes []string
	for _, kind := range slices.Sorted(maps.Keys(in.skipped)) {
		notes = append(notes, fmt.Sprintf("skipped %d of kind %s", in.skipped[kind], kind))
	}
	if in.lostPods > 0 {
		notes = append(notes, fmt.Sprintf("%d pods are on nodes that are not in the input", in.lostPods))
	}
	return notes
}

// place decides about one pod and books it where it goes.
func (in *input) place(s *scheduler.Scheduler, p *scheduler.Pod) (podReport, error) {
	out := podReport{Pod: fullName(&p.ObjectMeta), Priority: *p.Spec.Priority, origin: in.root(p)}
	e, err := s.Explain(p)
	if err != nil {
		return out, out.undecided(err)
	}
	for i := range e.Nodes {
		out.Nodes = append(out.Nodes, nodeReportOf(&e.Nodes[i]))
	}
	placement, err := s.Schedule(p)
	var fit *scheduler.FitError
	switch {
	case errors.As(err, &fit):
		out.Error = err.Error()
		if n := e.Nearest(); n != nil {
			out.Nearest = &nearest{n.Node, texts(n.Changes)}
		}
		if n := fit.Nominated; n != nil {
			out.Preemption = &preemption{n.Node, n.Victims, n.Violations}
			return out, in.cache.Nominate(p, n.Node)
		}
		return out, nil
	case err != nil:
		return out, out.undecided(err)
	}
	out.Node = placement.Node
	return out, in.cache.Assume(p, placement.Node)
}

// undecided takes in why the pod is not scheduled at all. Other errors are
// returned.
func (r *podReport) undecided(err error) error {
	var gated *scheduler.GatedError
	var unsupported *scheduler.UnsupportedError
	var input *scheduler.InputError
	if errors.As(err, &gated) || errors.As(err, &unsupported) || errors.As(err, &input) {
		r.Error = err.Error()
		return nil
	}
	return fmt.Errorf("pod %s: %w", r.Pod, err)
}

func nodeReportOf(n *scheduler.NodeExplanation) nodeReport {
	return nodeReport{
		Node: n.Node, Fits: n.Status.Code == scheduler.Success,
		Score: n.Score, Plugins: n.Plugins,
		RejectedBy: n.Plugin, Reasons: slices.Collect(n.Status.Texts()), Changes: texts(n.Changes),
	}
}

func texts(changes []scheduler.Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, c.Text)
	}
	return out
}
