package scheduler

import "math/rand/v2"

// memo is the last error of a class: while nothing at all has changed, the next
// pod that is as important gets the same. O(1), whatever the size of the cluster.
//
// It is kept only if the search for it drew no random numbers and moved nothing,
// and neither pod is nominated or was promised a node: such pods look at their
// own node in another way.
type memo struct {
	clock    uint64 // of the Cache; 0: nothing is kept
	start    int
	priority int32
	never    bool // the pod may not preempt
	meek     bool // as of the Scheduler
	fit      *FitError
}

func neverPreempts(p *PodInfo) bool {
	policy := p.Pod.Spec.PreemptionPolicy
	return policy != nil && *policy == "Never"
}

// forgettable says that a pod's errors are its own.
func (s *Scheduler) forgettable(profile *profile, p *PodInfo) bool {
	c := s.config.Cache
	return !p.classed || !profile.parts.known || c.config.Unvalidated ||
		p.Pod.Status.NominatedNodeName != "" || c.nominated.node.get(p.key) != ""
}

// recall returns the error for a pod if it is known, else nil.
func (s *Scheduler) recall(profile *profile, p *PodInfo) *FitError {
	if s.forgettable(profile, p) {
		return nil
	}
	k := s.engine.classes[classID{profile, p.class}]
	if k == nil {
		return nil
	}
	m := &k.memo
	if m.clock != s.config.Cache.changes.clock || m.start != s.start || m.priority != p.Priority || m.never != neverPreempts(p) || m.meek != s.meek {
		return nil
	}
	fit := *m.fit
	fit.Pod = p.Name()
	if n := fit.Nominated; n != nil {
		own := *n
		fit.Nominated = &own
	}
	if checked || s.engine.checked {
		s.checkFailure(profile, p, s.start, *s.pcg, &fit)
	}
	s.engine.recalled++
	return &fit
}

// remember keeps an error; start and source are as they were before it.
func (s *Scheduler) remember(profile *profile, p *PodInfo, start int, source rand.PCG, fit *FitError) {
	if s.forgettable(profile, p) || s.start != start || *s.pcg != source {
		return
	}
	k := s.engine.classes[classID{profile, p.class}]
	if clock := s.config.Cache.changes.clock; k != nil && k.mark == s.engine.mark && k.clock == clock {
		kept := *fit
		if n := fit.Nominated; n != nil {
			own := *n
			kept.Nominated = &own
		}
		k.memo = memo{clock: clock, start: start, priority: p.Priority, never: neverPreempts(p), meek: s.meek, fit: &kept}
	}
}
