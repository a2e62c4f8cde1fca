package qos

import (
	"fmt"
	"slices"
	"time"
)

// The kubelet's timing around an evictor's passes.
const (
	// MonitoringInterval is how often the kubelet makes a pass.
	MonitoringInterval = 10 * time.Second
	// CleanupTimeout is how long the kubelet waits for an evicted pod's
	// resources to be freed before the next pass.
	CleanupTimeout = 30 * time.Second

	defaultPressureTransitionPeriod = 5 * time.Minute
	immediateGracePeriodSeconds     = 1
)

// An EvictorConfig says when pods are evicted.
type EvictorConfig struct {
	// Thresholds, as EvictionSettings.Thresholds gives them. Those of
	// containerfs follow from Layout.
	Thresholds []Threshold
	// Layout says which file systems there are.
	Layout Layout
	// PressureTransitionPeriod is how long a condition is reported after its
	// threshold was last crossed; 0 is 5 minutes, negative is none.
	PressureTransitionPeriod time.Duration
	// MaxPodGracePeriodSeconds bounds the grace period of pods evicted by soft
	// thresholds; 0 gives them none.
	MaxPodGracePeriodSeconds int64
	// NoStorageLimits turns off evicting pods that exceed their own limits of
	// local storage.
	NoStorageLimits bool
}

func (c EvictorConfig) validate() error {
	for _, t := range c.Thresholds {
		switch {
		case t.Signal >= signalCount:
			return fmt.Errorf("EvictorConfig.Thresholds: signal %d: want one of the constants", t.Signal)
		case t.GracePeriod < 0:
			return fmt.Errorf("EvictorConfig.Thresholds: %v: grace period %v: want at least 0", t.Signal, t.GracePeriod)
		}
	}
	if c.MaxPodGracePeriodSeconds < 0 {
		return fmt.Errorf("EvictorConfig.MaxPodGracePeriodSeconds %d: want at least 0", c.MaxPodGracePeriodSeconds)
	}
	if c.Layout.SplitImageFS && !c.Layout.ImageFS {
		return fmt.Errorf("EvictorConfig.Layout: SplitImageFS without ImageFS: want both or ImageFS alone")
	}
	return nil
}

// An Evictor decides, pass by pass, which conditions a node reports and which
// pod leaves. It has no clock and does nothing itself:
//
//	           Step(now, observations, candidates)
//	                          │
//	   ┌──────────────────────┴───────────┐
//	Decision.Reclaim empty         Decision.Reclaim: delete dead containers
//	   │                           and unused images as it says, observe again
//	   │                                  │
//	   │                           Reclaimed(observations, candidates)
//	   └──────────────────────┬───────────┘
//	              Decision.Evict: kill these pods (mostly one at most)
//
// One goroutine at a time may use an Evictor.
type Evictor struct {
	config     EvictorConfig
	thresholds []Threshold // for the layout, in order

	crossedSince []crossing // thresholds crossed in the last pass
	acted        []int      // thresholds that were crossed for their grace period
	reportedAt   [conditionCount]time.Time
	reported     [conditionCount]bool
	last         Observations

	pending []Threshold // what Reclaimed goes on with; the first is to be resolved
	seen    Observations
}

// A crossing is a threshold, by index, and since when it has been crossed.
type crossing struct {
	threshold int
	since     time.Time
}

// NewEvictor returns an evictor that has seen nothing yet.
func NewEvictor(config EvictorConfig) (*Evictor, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if config.PressureTransitionPeriod == 0 {
		config.PressureTransitionPeriod = defaultPressureTransitionPeriod
	}
	e := &Evictor{config: config}
	e.thresholds, _ = ForLayout(config.Thresholds, config.Layout)
	return e, nil
}

// Thresholds returns the thresholds in force, in the order in which they are
// dealt with.
func (e *Evictor) Thresholds() []Threshold { return slices.Clone(e.thresholds) }

// A Decision is the outcome of a pass.
type Decision struct {
	// Conditions are those that the node reports, Taints what they bring.
	Conditions []Condition
	// Crossed lists the thresholds crossed now, or earlier and not yet resolved.
	Crossed []Threshold
	// Resolving is the one threshold that the pass acts on, if any.
	Resolving *Threshold
	// Reclaim is what to try before pods are evicted. When it is not empty,
	// Reclaimed says how to go on.
	Reclaim []Reclaim
	// Evict lists the pods to kill. There is more than one only when pods
	// exceed their own storage limits.
	Evict []Eviction
}

// Taints returns the taints that the conditions bring.
func (d Decision) Taints() []Taint {
	var taints []Taint
	for _, c := range d.Conditions {
		taints = append(taints, c.Taint())
	}
	return taints
}

// A Reclaim is something on a node that can be freed without hurting a pod.
type Reclaim uint8

const (
	// DeadContainers: delete all containers that have ended.
	DeadContainers Reclaim = iota
	// UnusedImages: delete all images that no container uses.
	UnusedImages
)

// String names what is to be deleted.
func (r Reclaim) String() string {
	switch r {
	case DeadContainers:
		return "dead containers"
	case UnusedImages:
		return "unused images"
	}
	return fmt.Sprintf("Reclaim(%d)", uint8(r))
}

// reclaims returns what can be freed for a signal.
func (l Layout) reclaims(s Signal) []Reclaim {
	switch {
	case s == MemoryAvailable, s == AllocatableMemoryAvailable, s == PIDAvailable:
		return nil
	case !l.ImageFS:
		return []Reclaim{DeadContainers, UnusedImages}
	case s == NodeFSAvailable || s == NodeFSInodesFree:
		if l.SplitImageFS {
			return []Reclaim{DeadContainers}
		}
		return nil
	case !l.SplitImageFS:
		return []Reclaim{DeadContainers, UnusedImages}
	case s == ImageFSAvailable || s == ImageFSInodesFree:
		return []Reclaim{UnusedImages}
	}
	return []Reclaim{DeadContainers}
}

// Step makes a pass: it takes in what was observed at a time and decides.
// Times must not go back from one pass to the next.
func (e *Evictor) Step(now time.Time, observed Observations, candidates []Candidate) Decision {
	e.pending = nil
	crossed := e.crossed(observed)
	e.remember(crossed, now)
	var d Decision
	for _, c := range crossed {
		d.Crossed = append(d.Crossed, e.thresholds[c])
	}
	d.Conditions = e.conditions(crossed, now)
	starved := e.afterGrace(now, observed)
	e.last = observed
	if !e.config.NoStorageLimits {
		if d.Evict = overLimits(candidates, e.config.Layout); len(d.Evict) > 0 {
			return d
		}
	}
	if len(starved) == 0 {
		return d
	}
	d.Resolving = &starved[0]
	if d.Reclaim = e.config.Layout.reclaims(starved[0].Signal); len(d.Reclaim) > 0 {
		e.pending, e.seen = starved, observed
		return d
	}
	d.Evict = e.evict(starved, observed, candidates)
	return d
}

// Reclaimed continues a pass whose Decision asked to reclaim something, with
// what is observed after that. Nobody is evicted if no threshold is crossed any
// more. The candidates are those of Step: the ranking goes by the statistics
// from before.
func (e *Evictor) Reclaimed(observed Observations, candidates []Candidate) Decision {
	starved := e.pending
	e.pending = nil
	if len(starved) == 0 {
		return Decision{}
	}
	d := Decision{Resolving: &starved[0]}
	for i := range e.thresholds {
		if e.thresholds[i].crossed(observed, true) {
			d.Evict = e.evict(starved, e.seen, candidates)
			break
		}
	}
	return d
}

// crossed reports whether less than the threshold, or than the threshold and
// its minimum reclaim, is available.
func (t Threshold) crossed(observed Observations, withReclaim bool) bool {
	o, ok := observed.Of(t.Signal)
	if !ok {
		return false
	}
	value := t.Value.Of(o.Capacity)
	if withReclaim {
		value = value.Add(t.MinReclaim.Of(o.Capacity))
	}
	return value.Cmp(o.Available) > 0
}

// crossed returns, by index, the thresholds that are crossed now, and those
// that were acted on earlier and have not got their minimum reclaim back yet.
func (e *Evictor) crossed(observed Observations) []int {
	var out []int
	for i, t := range e.thresholds {
		if t.crossed(observed, false) || slices.Contains(e.acted, i) && t.crossed(observed, true) {
			out = append(out, i)
		}
	}
	return out
}

// remember keeps since when each threshold has been crossed without a break.
func (e *Evictor) remember(crossed []int, now time.Time) {
	before := e.crossedSince
	e.crossedSince = nil
	for _, i := range crossed {
		since := now
		for _, c := range before {
			if c.threshold == i {
				since = c.since
			}
		}
		e.crossedSince = append(e.crossedSince, crossing{i, since})
	}
}

// conditions returns the conditions of thresholds that are crossed now or were
// within the transition period. Grace periods play no part.
func (e *Evictor) conditions(crossed []int, now time.Time) []Condition {
	for _, i := range crossed {
		c := e.thresholds[i].Signal.Condition()
		e.reportedAt[c], e.reported[c] = now, true
	}
	var out []Condition
	for c := range conditionCount {
		if e.reported[c] && now.Sub(e.reportedAt[c]) < e.config.PressureTransitionPeriod {
			out = append(out, c)
		}
	}
	return out
}

// afterGrace returns the thresholds to act on: crossed for their grace period,
// and measured anew since the last pass. It updates what counts as acted on.
func (e *Evictor) afterGrace(now time.Time, observed Observations) []Threshold {
	e.acted = e.acted[:0]
	var out []Threshold
	for _, c := range e.crossedSince {
		t := e.thresholds[c.threshold]
		if now.Sub(c.since) < t.GracePeriod {
			continue
		}
		e.acted = append(e.acted, c.threshold)
		o, ok := observed.Of(t.Signal)
		last, before := e.last.Of(t.Signal)
		if ok && (!before || o.Time.IsZero() || o.Time.After(last.Time)) {
			out = append(out, t)
		}
	}
	return out
}

// evict returns the first pod in order that may be evicted, for the first of
// the starved thresholds.
func (e *Evictor) evict(starved []Threshold, observed Observations, candidates []Candidate) []Eviction {
	t := starved[0]
	i := First(candidates, t.Signal, e.config.Layout)
	if i < 0 {
		return nil
	}
	c := &candidates[i]
	grace := int64(immediateGracePeriodSeconds)
	if !t.Hard() {
		grace = e.config.MaxPodGracePeriodSeconds
		if own := c.Pod.Spec.TerminationGracePeriodSeconds; own != nil {
			grace = min(grace, *own)
		}
	}
	return []Eviction{{
		Pod:                c.Pod,
		Signal:             t.Signal,
		GracePeriodSeconds: grace,
		Message:            evictionMessage(t.Signal.Resource(), c, starved, observed),
	}}
}
