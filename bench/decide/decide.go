package main

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/orchcore/orchcore/scheduler"
)

// decision is one line of output.
type decision struct {
	CaseIndex      *int                        `json:"caseIndex,omitempty"`
	Source         string                      `json:"source,omitempty"`
	Pod            string                      `json:"pod"`
	Gated          []string                    `json:"gated,omitempty"`
	Error          string                      `json:"error,omitempty"`
	PreFilter      []string                    `json:"preFilter,omitempty"`
	PreFilterCode  string                      `json:"preFilterCode,omitempty"`
	PreFilterNodes []string                    `json:"preFilterNodes,omitempty"`
	ViaNominated   bool                        `json:"viaNominated,omitempty"`
	Feasible       []string                    `json:"feasible"`
	Reasons        map[string][]string         `json:"reasons"`
	Codes          map[string]string           `json:"codes"`
	RejectedBy     map[string]string           `json:"rejectedBy"`
	Scores         map[string]int64            `json:"scores"`
	PerPlugin      map[string]map[string]int64 `json:"perPlugin"`
	ScoreSkipped   bool                        `json:"scoreSkippedUpstream,omitempty"`
	Best           []string                    `json:"best"`
	Chosen         string                      `json:"chosen"`
	FitError       string                      `json:"fitError,omitempty"`
	FitErrorFull   string                      `json:"fitErrorFull,omitempty"`
	Preemption     *preemption                 `json:"preemption,omitempty"`
}

// decideState decides the pending pods of a state one after another.
func decideState(in *state, enc *json.Encoder, index *int, opts options) error {
	cache := scheduler.NewCache(scheduler.CacheConfig{HoldUnknownNodes: true, Unvalidated: true})
	pending, err := in.load(cache)
	if err != nil {
		return err
	}
	percent := opts.percent
	if percent == 0 {
		percent = scheduler.Adaptive
	}
	s, err := scheduler.New(scheduler.Config{Cache: cache, PercentageOfNodesToScore: percent})
	if err != nil {
		return err
	}
	for _, p := range pending {
		d := newDecision(p)
		d.CaseIndex, d.Source = index, in.Source
		if err := d.decide(s, cache, p, opts); err != nil {
			d.Error = err.Error()
		}
		if err := enc.Encode(d); err != nil {
			return err
		}
	}
	return nil
}

func newDecision(p *scheduler.Pod) *decision {
	namespace := p.Namespace
	if namespace == "" {
		namespace = "default"
	}
	return &decision{
		Pod:      namespace + "/" + p.Name,
		Feasible: []string{}, Best: []string{},
		Reasons: map[string][]string{}, Codes: map[string]string{}, RejectedBy: map[string]string{},
		Scores: map[string]int64{}, PerPlugin: map[string]map[string]int64{},
	}
}

// decide explains the pod, chooses and places it.
func (d *decision) decide(s *scheduler.Scheduler, cache *scheduler.Cache, p *scheduler.Pod, opts options) error {
	var placement scheduler.Placement
	var chooseErr error
	if opts.selection == "upstream" {
		placement, chooseErr = s.Schedule(p)
	}
	e, err := s.Explain(p)
	var gated *scheduler.GatedError
	if errors.As(err, &gated) {
		d.Gated = []string{gated.Error()}
		return nil
	}
	if e != nil {
		d.report(e)
	}
	if err != nil {
		return err
	}
	if e.Fit != nil {
		return d.reportUnfit(s, cache, p, e.Fit, opts)
	}
	d.Chosen = d.Best[0]
	if opts.selection == "upstream" {
		if chooseErr != nil {
			return chooseErr
		}
		d.Chosen = placement.Node
	}
	return cache.Assume(p, d.Chosen)
}

// report copies what the scheduler says about each node.
func (d *decision) report(e *scheduler.Explanation) {
	if e.PreFilterPlugin != "" {
		d.PreFilter = slices.Collect(e.PreFilter.Texts())
		if e.PreFilter.Err != nil {
			d.PreFilter = []string{e.PreFilter.Err.Error()}
		}
		d.PreFilterCode = e.PreFilter.Code.String()
	}
	d.PreFilterNodes, d.ViaNominated = e.Narrowed, e.Nominated
	for i := range e.Nodes {
		n := &e.Nodes[i]
		if n.Status.Code != scheduler.Success {
			d.Reasons[n.Node] = slices.Sorted(n.Status.Texts())
			d.Codes[n.Node] = n.Status.Code.String()
			d.RejectedBy[n.Node] = n.Plugin
			continue
		}
		d.Feasible = append(d.Feasible, n.Node)
		if len(n.Plugins) > 0 {
			d.Scores[n.Node] = n.Score
		}
		for _, ps := range n.Plugins {
			if d.PerPlugin[ps.Plugin] == nil {
				d.PerPlugin[ps.Plugin] = map[string]int64{}
			}
			d.PerPlugin[ps.Plugin][n.Node] = ps.Weighted
		}
	}
	slices.Sort(d.Feasible)
	d.ScoreSkipped = len(d.Feasible) == 1 && len(d.Scores) > 0
	if len(d.Scores) > 0 {
		d.Best = append(d.Best, e.Best()...)
		slices.Sort(d.Best)
	}
}
