package qos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

// replayed is our evictor in one pass, with what the kubelet may do in it.
type replayed struct {
	decision qos.Decision
	choices  []choice
}

// choice is a threshold that the kubelet may act on in a pass, and each outcome
// that this may have: they differ in which of equal pods goes.
type choice struct {
	threshold qos.Threshold
	outcomes  []string
}

// replay runs our evictor up to a pass. With late it does not see containerfs
// in the first pass, as upstream's thresholds of it come only after that.
func (c evictorCase) replay(pass int, late bool) (out replayed, ok bool) {
	e, err := c.ourEvictor()
	if err != nil {
		return out, false
	}
	now, since := created, map[qos.Threshold]time.Time{}
	var last qos.Observations
	for i, p := range c.Passes[:pass+1] {
		now = now.Add(time.Duration(p.AfterSeconds) * time.Second)
		n, err := nodeCase{Pods: c.Pods, Summary: p.Summary}.decode()
		after, err2 := nodeCase{Summary: p.Reclaimed}.decode()
		if err != nil || err2 != nil {
			return out, false
		}
		observed := qos.Observe(&n.ours)
		if late && i == 0 && n.ours.Node.Runtime != nil {
			n.ours.Node.Runtime.ContainerFS = nil
		}
		out.decision = ourPass(e, now, &n.ours, &after.ours, n.ourPods)
		since = stillCrossed(since, out.decision.Crossed, now)
		if i == pass && out.decision.Resolving != nil {
			out.choices, ok = c.choicesOf(starved(since, now, observed, last), &n, &after)
			return out, ok
		}
		last = observed
	}
	return out, true
}

func stillCrossed(before map[qos.Threshold]time.Time, crossed []qos.Threshold, now time.Time) map[qos.Threshold]time.Time {
	since := map[qos.Threshold]time.Time{}
	for _, t := range crossed {
		since[t] = now
		if at, ok := before[t]; ok {
			since[t] = at
		}
	}
	return since
}

// starved returns the thresholds of which the kubelet takes any: those crossed
// for their grace period and measured since the last pass, but memory's alone
// if there are some.
func starved(since map[qos.Threshold]time.Time, now time.Time, observed, last qos.Observations) []qos.Threshold {
	var out, memory []qos.Threshold
	for t, at := range since {
		o, ok := observed.Of(t.Signal)
		before, had := last.Of(t.Signal)
		if now.Sub(at) < t.GracePeriod || !ok || had && !o.Time.IsZero() && !o.Time.After(before.Time) {
			continue
		}
		out = append(out, t)
		if t.Signal == qos.MemoryAvailable || t.Signal == qos.AllocatableMemoryAvailable {
			memory = append(memory, t)
		}
	}
	if len(memory) > 0 {
		return memory
	}
	return out
}

func (c evictorCase) choicesOf(starved []qos.Threshold, n, after *node) (out []choice, ok bool) {
	candidates := qos.Candidates(n.ourPods, &n.ours)
	for _, t := range starved {
		d, ok := c.actOn(t, n, after, candidates)
		if !ok {
			return nil, false
		}
		ch := choice{t, []string{evictions(d)}}
		if len(d.Evict) == 1 {
			for _, others := range withoutEquals(candidates, d.Evict[0].Pod, t.Signal, c.Layout) {
				d, _ := c.actOn(t, n, after, others)
				ch.outcomes = append(ch.outcomes, evictions(d))
			}
		}
		out = append(out, ch)
	}
	return out, true
}

// actOn makes the pass with an evictor that acts on t, whatever else is crossed:
// in Step it observes nothing else, and the other thresholds, which count again
// after reclaiming, have endless grace periods.
func (c evictorCase) actOn(t qos.Threshold, n, after *node, candidates []qos.Candidate) (d qos.Decision, ok bool) {
	const endless = 1 << 20 * time.Hour
	thresholds, err := c.Settings.ourThresholds()
	if err != nil {
		return d, false
	}
	for i, other := range thresholds {
		if inForce, _ := qos.ForLayout([]qos.Threshold{other}, c.Layout); !slices.Contains(inForce, t) {
			thresholds[i].GracePeriod = endless
		}
	}
	e, err := c.evictorOf(thresholds)
	all := qos.Observe(&n.ours)
	o, observed := all.Of(t.Signal)
	if err != nil || !observed {
		return d, false
	}
	o.Time = time.Time{} // counts as measured anew
	nothing := qos.Observation{Capacity: o.Capacity}
	// Acted on before, so that t counts as crossed for its minimum reclaim alone.
	e.Step(created, only(t.Signal, nothing), nil)
	e.Step(created.Add(t.GracePeriod), only(t.Signal, nothing), nil)
	d = e.Step(created.Add(t.GracePeriod), only(t.Signal, o), candidates)
	if d.Resolving == nil || *d.Resolving != t {
		return d, false
	}
	if len(d.Reclaim) > 0 {
		d.Evict = e.Reclaimed(qos.Observe(&after.ours), candidates).Evict
	}
	return d, true
}

func only(s qos.Signal, o qos.Observation) (out qos.Observations) {
	out.Set(s, o)
	return out
}

// withoutEquals returns, for each other pod whose key is that of first, the
// candidates without first and without the rest of its equals.
func withoutEquals(candidates []qos.Candidate, first *qos.Pod, s qos.Signal, layout qos.Layout) (out [][]qos.Candidate) {
	i := slices.IndexFunc(candidates, func(c qos.Candidate) bool { return c.Pod == first })
	key := candidates[i].KeyFor(s, layout)
	equal := func(c qos.Candidate) bool { return !c.Critical && c.KeyFor(s, layout).Compare(key) == 0 }
	for _, kept := range candidates {
		if kept.Pod != first && equal(kept) {
			out = append(out, slices.DeleteFunc(slices.Clone(candidates), func(c qos.Candidate) bool { return equal(c) && c.Pod != kept.Pod }))
		}
	}
	return out
}

// isOtherOrder: upstream acted on another threshold than we do, one of those
// that it may act on in this pass.
func isOtherOrder(c evictorCase, d compare.Disagreement) bool {
	return c.mayEvict(d, func(resolving, chosen qos.Threshold) bool { return resolving != chosen })
}

// isTie: upstream evicted another pod whose key is the same, for the same
// threshold.
func isTie(c evictorCase, d compare.Disagreement) bool {
	return c.mayEvict(d, func(resolving, chosen qos.Threshold) bool { return resolving == chosen })
}

// mayEvict reports whether what upstream evicted is an outcome of a threshold
// that it may have chosen instead of the one that we resolve.
func (c evictorCase) mayEvict(d compare.Disagreement, chosen func(resolving, chosen qos.Threshold) bool) bool {
	pass, upstream, ok := passOf(d)
	if !ok || d.Part != "evictor/evict" {
		return false
	}
	for _, late := range []bool{false, true} {
		r, ok := c.replay(pass, late)
		if ok && slices.ContainsFunc(r.choices, func(ch choice) bool {
			return chosen(*r.decision.Resolving, ch.threshold) && slices.Contains(ch.outcomes, upstream)
		}) {
			return true
		}
	}
	return false
}

func passOf(d compare.Disagreement) (pass int, upstream string, ok bool) {
	_, err := fmt.Sscanf(d.Upstream, "pass %d:", &pass)
	_, upstream, found := strings.Cut(d.Upstream, ": ")
	return pass, upstream, err == nil && found
}

// isContainerFS: upstream does what we do if we do not see containerfs in the
// first pass.
func isContainerFS(c evictorCase, d compare.Disagreement) bool {
	pass, upstream, ok := passOf(d)
	if !ok {
		return false
	}
	late, ok := c.replay(pass, true)
	if !ok {
		return false
	}
	switch d.Part {
	case "evictor/conditions":
		return upstream == fmt.Sprint(late.decision.Conditions)
	case "evictor/evict":
		return upstream == evictions(late.decision)
	}
	n, err := nodeCase{Pods: c.Pods}.decode()
	return err == nil && slices.ContainsFunc(n.ourPods, func(p *qos.Pod) bool {
		admitted, message := qos.Admit(p, late.decision.Conditions)
		return upstream == fmt.Sprint(admitted, sortedConditions(message))
	})
}
