package scheduler

import (
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/bench/peers/internal/upstream"
	"github.com/orchcore/orchcore/scheduler"
)

// bench is where the cases of a suite are decided; upstream's scheduler is
// built for the first case and serves them all.
type bench struct {
	percent  int      // of the nodes that are looked at; 0 is upstream's adaptive default
	disabled []string // plugins that our side goes without: the bench's own test

	// unvalidated switches off our own checks, as upstream has none: values that
	// no API server admits reach the plugins.
	unvalidated bool

	upstream *upstream.Scheduler

	hintSeen func(plugin, answer string) // hears what upstream's hints say
}

// judge compares one decision about a pod. The error is one of the bench, not of
// a side.
type judge func(pod *v1.Pod, ours *cluster, own *scheduler.Pod, rec *compare.Record) (*upstream.Decision, error)

// eachPending judges the pending pods of a case one after the other, and places
// each where upstream would. part is booked with what keeps our side from
// taking the case at all.
func (b *bench) eachPending(c clusterCase, rec *compare.Record, part string, judge judge) {
	pending, err := b.load(c)
	if err != nil {
		panic(fmt.Sprintf("compare: upstream refuses the case: %v", err))
	}
	ours, err := b.loadOurs(c)
	if err != nil {
		rec.Text(part, "a cluster", err.Error())
		return
	}
	for i, p := range pending {
		own := ours.pending[i]
		d, err := judge(p, ours, own, rec)
		if err == nil && d.Node != "" {
			err = b.upstream.Place(p, d.Node)
		}
		if err != nil {
			panic(fmt.Sprintf("compare: pod %s: %v", p.Name, err))
		}
		if d.Node == "" {
			continue
		}
		if err := ours.cache.Assume(own, d.Node); err != nil {
			rec.Text(part, "assumed on "+d.Node, err.Error())
		}
	}
}

func (b *bench) load(c clusterCase) (pending []*v1.Pod, err error) {
	if b.upstream == nil {
		if b.upstream, err = upstream.New(upstream.Config{Percent: int32(b.percent), Parallelism: 1}); err != nil {
			return nil, err
		}
	}
	cluster, err := upstream.DecodeCluster(c.RawMessage)
	if err != nil {
		return nil, err
	}
	return b.upstream.Load(cluster)
}

// compareAll judges the decision as one text, for one part.
func (b *bench) compareAll(part string) judge {
	return func(pod *v1.Pod, ours *cluster, own *scheduler.Pod, rec *compare.Record) (*upstream.Decision, error) {
		d, err := b.upstream.Decide(pod)
		if err != nil {
			return nil, err
		}
		o := ours.decide(own)
		rec.Text(part, renderAll(d, o), renderOurAll(d, o))
		return d, nil
	}
}

// compare judges all that can be known about a decision.
func (b *bench) compare(pod *v1.Pod, ours *cluster, own *scheduler.Pod, rec *compare.Record) (*upstream.Decision, error) {
	d, err := b.upstream.Decide(pod)
	if err != nil {
		return nil, err
	}
	o := ours.decide(own)
	if d.Err == "" {
		rec.Text(partFilter, renderFilter(d), renderOurFilter(o))
	}
	if d.Gated != nil {
		return d, nil
	}
	if len(d.Feasible) > 0 {
		rec.Text(partScore, renderScores(d), renderOurScores(o))
	}
	rec.Text(partChoose, renderChoice(d, o), renderOurChoice(o))
	if d.FitError != "" {
		rec.Text(partFitError, d.FitError, o.fitError())
		rec.Text(partPreempt, renderPreemption(d.Preemption), ours.renderPreemption(own, o))
	}
	return d, nil
}

// compareChoice judges the choice alone. The pods before this one have moved the
// node at which the scan begins, on both sides.
func (b *bench) compareChoice(pod *v1.Pod, ours *cluster, own *scheduler.Pod, rec *compare.Record) (*upstream.Decision, error) {
	d, err := b.upstream.Choose(pod)
	if err != nil || d.Gated != nil {
		return d, err
	}
	o := &opinion{}
	o.placement, o.err = ours.schedule(own)
	rec.Text(partTruncate, renderChoice(d, o), renderOurChoice(o))
	return d, nil
}

// renderChoice is upstream's choice, or ours where upstream has several that it
// would take: it scans the nodes that PreFilter leaves over in map order.
func renderChoice(d *upstream.Decision, o *opinion) string {
	switch {
	case d.Err != "":
		return "error: " + d.Err
	case d.Node == "":
		return "nowhere"
	case d.Narrowed && slices.Contains(d.Best, o.placement.Node):
		return fmt.Sprintf("%s, %d of %d", o.placement.Node, d.Found, d.Evaluated)
	}
	return fmt.Sprintf("%s, %d of %d", d.Node, d.Found, d.Evaluated)
}
