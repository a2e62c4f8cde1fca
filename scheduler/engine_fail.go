package scheduler

import "slices"

// failures is what a class keeps about why nodes reject its pods, for when all
// do. Verdicts are those of the plain form, asked again for nodes that have
// changed. Classes that count pods on other nodes have none: the plain form
// looks at all nodes for them.
type failures struct {
	clock, cursor uint64
	cycle         Cycle // after PreFilter
	local         bool  // no filter looks beyond the node
	rejected      rejections
	table         *candidateTable
	// crowded are nodes with nominated pods that are no less important than
	// the last pod was: what is known about them is for that pod alone.
	crowded []int32
}

// engineFails returns the error of a pod that fits on no node; nil leaves the
// decision to the plain form, with nothing changed.
func (s *Scheduler) engineFails(profile *profile, p *PodInfo) *FitError {
	e, c := s.engine, s.config.Cache
	if !p.classed || !profile.parts.known || c.config.Unvalidated || p.Pod.Status.NominatedNodeName != "" {
		return nil
	}
	e.sync(c)
	k := e.classOf(c, profile, p)
	if k == nil || k.feasible > 0 || k.looksAtCluster {
		return nil
	}
	f := k.failed
	if f == nil {
		f = k.newFailures(s, p)
		k.failed = f
	}
	f.cycle.Pod, f.cycle.Nodes, f.cycle.cache, f.cycle.rng = p, e.nodes, c, s.rng
	if !f.local || !f.follow(e, c) {
		return nil
	}
	start, source := s.start, *s.pcg
	fit := &FitError{Pod: p.Name(), NumNodes: len(e.nodes), Absent: notLookedAt, rejected: f.rejected}
	fit.rejected.nodes, fit.rejected.start = e.nodes, start%len(e.nodes)
	fit.rejected.kind, fit.rejected.verdicts = slices.Clone(f.rejected.kind), slices.Clip(f.rejected.verdicts)
	s.start = (start + len(e.nodes)) % len(e.nodes)
	if !s.meek {
		f.cycle.candidates = f.candidates(k, p)
		s.postFilter(&f.cycle, fit)
	}
	if checked || e.checked {
		s.checkFailure(profile, p, start, source, fit)
	}
	return fit
}

// newFailures runs PreFilter. What it leaves behind is the same for all pods of
// the class as long as nothing that is counted concerns them.
func (k *class) newFailures(s *Scheduler, p *PodInfo) *failures {
	f := &failures{rejected: rejections{kind: make([]int32, len(k.local)), len: len(k.local)}}
	for i := range f.rejected.kind {
		f.rejected.kind[i] = -1
	}
	f.cycle.begin(s, k.id.profile, p, k.engine.nodes)
	narrow := f.cycle.preFilter()
	f.local = narrow.verdict.Code == Success && narrow.only == nil
	for _, pl := range k.id.profile.trackers {
		f.local = f.local && f.cycle.skipFilter[pl.number]
	}
	return f
}

// follow asks again about the nodes that have changed; false when a plugin
// fails, or a node turns out to be feasible.
func (f *failures) follow(e *engine, c *Cache) bool {
	if f.clock == 0 {
		for at := range e.nodes {
			if !f.ask(int32(at), e.nodes[at]) {
				return false
			}
		}
	} else if f.clock != c.changes.clock {
		for _, at := range e.changedSince(c, f.cursor, f.clock) {
			if !f.ask(at, e.nodes[at]) {
				f.clock = 0
				return false
			}
		}
		if f.table != nil && c.changes.budgets > f.clock {
			f.table = nil
		}
	}
	f.clock, f.cursor = c.changes.clock, c.changes.written
	return f.askCrowded(e, c)
}

// ask has a node judged, and forgets what preemption could do there.
func (f *failures) ask(at int32, n *NodeInfo) bool {
	if f.table != nil {
		f.table.soil(at)
	}
	v, plugin := f.cycle.filter(n)
	f.rejected.kind[at] = f.rejected.kindOf(plugin, v)
	return v.Rejected()
}

// askCrowded has the nodes judged on which nominated pods take part, and those
// on which they did for the pod before.
func (f *failures) askCrowded(e *engine, c *Cache) bool {
	again := f.crowded
	if len(again) == 0 && len(c.nominated.pods.m) == 0 {
		return true
	}
	p := f.cycle.Pod
	for name, list := range c.nominated.pods.m {
		n := c.node(name)
		if n == nil || !slices.ContainsFunc(list, func(q *PodInfo) bool { return q.Priority >= p.Priority && q.key != p.key }) {
			continue
		}
		if at, ok := e.position(n.slot); ok {
			again = append(again, at)
		}
	}
	f.crowded = again[len(f.crowded):]
	for _, at := range again {
		if !f.ask(at, e.nodes[at]) {
			f.clock = 0
			return false
		}
	}
	f.crowded = append(again[:0], f.crowded...)
	return true
}

// clone copies what a class of another engine changes.
func (f *failures) clone() *failures {
	if f == nil {
		return nil
	}
	out := *f
	out.rejected = f.rejected.clone()
	out.cycle.pool, out.cycle.scratch = nil, nil
	out.cycle.filters = slices.Clone(f.cycle.filters)
	out.cycle.skipFilter, out.cycle.skipScore = slices.Clone(f.cycle.skipFilter), slices.Clone(f.cycle.skipScore)
	out.table, out.crowded = f.table.clone(), slices.Clone(f.crowded)
	return &out
}
