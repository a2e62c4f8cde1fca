package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/scheduler"
)

// preemption says what removing pods could do for a pod that fits nowhere.
type preemption struct {
	Eligible    bool              `json:"eligible"`
	Message     string            `json:"message,omitempty"`
	Candidates  []candidate       `json:"candidates,omitempty"`
	PickedSet   []string          `json:"pickedSet,omitempty"`
	NodeReasons map[string]string `json:"nodeReasons,omitempty"`
}

type candidate struct {
	Node          string   `json:"node"`
	Victims       []string `json:"victims"`
	PDBViolations int      `json:"pdbViolations"`
}

// reportUnfit reports a pod that fits nowhere and what preemption could do.
// With -preempt it is done.
func (d *decision) reportUnfit(s *scheduler.Scheduler, cache *scheduler.Cache, p *scheduler.Pod, fit *scheduler.FitError, opts options) error {
	d.FitError = fit.FilterText()
	dry, err := s.DryRunPreemption(p)
	if err != nil {
		return err
	}
	for i := range dry.Rejections {
		if v := &dry.Rejections[i].Status; v.Err != nil {
			d.Preemption = &preemption{Eligible: dry.Eligible}
			return v.Err
		}
	}
	d.Preemption = reportPreemption(dry)
	if len(dry.Candidates) == 0 {
		d.FitErrorFull = fit.Error()
		return nil
	}
	if !opts.preempt {
		return nil
	}
	node := d.Preemption.PickedSet[0]
	for _, c := range dry.Candidates {
		if c.Node != node {
			continue
		}
		if err := evict(cache, c.Victims); err != nil {
			return err
		}
	}
	if err := fitsNow(s, p, node); err != nil {
		return err
	}
	d.Chosen = node
	return cache.Assume(p, node)
}

// fitsNow says why the pod still does not fit on the node.
func fitsNow(s *scheduler.Scheduler, p *scheduler.Pod, node string) error {
	second := *p
	second.Status.NominatedNodeName = ""
	e, err := s.Explain(&second)
	if err != nil {
		return err
	}
	if e.PreFilterPlugin != "" {
		return errors.New(e.PreFilter.Message())
	}
	for i := range e.Nodes {
		if n := &e.Nodes[i]; n.Node == node && n.Status.Code != scheduler.Success {
			return errors.New(n.Status.Message())
		}
	}
	return nil
}

func reportPreemption(dry *scheduler.Preemption) *preemption {
	out := &preemption{Eligible: dry.Eligible, Message: dry.Message, PickedSet: slices.Sorted(slices.Values(dry.Picked))}
	for _, c := range dry.Candidates {
		out.Candidates = append(out.Candidates, candidate{c.Node, c.Victims, c.Violations})
	}
	slices.SortFunc(out.Candidates, func(a, b candidate) int { return strings.Compare(a.Node, b.Node) })
	for _, r := range dry.Rejections {
		if out.NodeReasons == nil {
			out.NodeReasons = map[string]string{}
		}
		out.NodeReasons[r.Node] = r.Status.Code.String() + ": " + r.Status.Message()
	}
	return out
}

// evict removes pods that are bound or assumed.
func evict(cache *scheduler.Cache, names []string) error {
	for _, name := range names {
		namespace, pod, _ := strings.Cut(name, "/")
		remove := cache.RemovePod
		if _, assumed, _ := cache.PodNode(namespace, pod); assumed {
			remove = cache.Forget
		}
		if err := remove(namespace, pod); err != nil {
			return err
		}
	}
	return nil
}
