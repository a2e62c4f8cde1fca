package scheduler

import "slices"

// engineDecides places a pod; false leaves it to the plain form, with nothing
// changed.
func (s *Scheduler) engineDecides(profile *profile, p *PodInfo, out *Placement) bool {
	start, source := s.start, *s.pcg
	done := s.engine.decide(s, profile, p, out)
	if done && (checked || s.engine.checked) {
		s.check(profile, p, start, source, out)
	}
	return done
}

// decide places a pod; false leaves it to the plain form, with nothing changed.
func (e *engine) decide(s *Scheduler, profile *profile, p *PodInfo, out *Placement) bool {
	c := s.config.Cache
	if !p.classed || !profile.parts.known || c.config.Unvalidated {
		return false
	}
	e.sync(c)
	k := e.classOf(c, profile, p)
	if k == nil || k.feasible == 0 {
		return false
	}
	if len(c.nominated.pods.m) == 0 {
		return e.place(s, k, p, out)
	}
	done := e.crowd(c, k, p) && e.place(s, k, p, out)
	for _, at := range e.away {
		k.put(at)
	}
	if len(e.away) > 0 {
		k.reconsider()
	}
	return done
}

// crowd takes the nodes out on which p does not fit beside the pods nominated to
// them that are no less important, as Cycle.filter would find; decide puts them
// back. false: the plugins that follow such pods over several nodes would have a
// say.
func (e *engine) crowd(c *Cache, k *class, p *PodInfo) bool {
	e.away = e.away[:0]
	for name, list := range c.nominated.pods.m {
		n := c.node(name)
		if n == nil || n.Node == nil {
			continue
		}
		at, ok := e.position(n.slot)
		if !ok || !k.fits.has(at) {
			continue
		}
		var with *NodeInfo
		for _, q := range list {
			if q.Priority < p.Priority || q.key == p.key {
				continue
			}
			if k.tracksPods() {
				return false
			}
			if with == nil {
				with = n.clone()
			}
			with.addPod(q)
		}
		if with != nil && !k.admits(with) {
			e.away = append(e.away, at)
		}
	}
	for _, at := range e.away {
		k.lift(at)
	}
	if len(e.away) > 0 {
		k.reconsider()
	}
	return true
}

// tracksPods says that a plugin which follows added pods has not skipped.
func (k *class) tracksPods() bool {
	return len(k.hard) > 0 || len(k.near)+len(k.apart) > 0 ||
		slices.ContainsFunc(k.repel, func(c *counter) bool {
			return slices.ContainsFunc(c.sum, func(sum int64) bool { return sum > 0 })
		})
}

// admits says that the node has room for the pod.
func (k *class) admits(n *NodeInfo) bool {
	c, p := &k.cycle, k.parts
	if p.ports && len(k.pod.hostPorts) > 0 && !passes(nodePorts{}, c, n) {
		return false
	}
	switch {
	case p.fit == nil:
		return true
	case len(k.pod.Request.Scalars) > 0:
		return passes(p.fit, c, n)
	}
	return fits(&k.pod.Request, n)
}

// place takes the best node.
func (e *engine) place(s *Scheduler, k *class, p *PodInfo, out *Placement) bool {
	c := s.config.Cache
	if k.feasible == 0 {
		return false
	}
	*out = Placement{Plugins: out.Plugins[:0]}
	if name := p.Pod.Status.NominatedNodeName; name != "" {
		if n := c.node(name); n != nil && n.Node != nil {
			if at, ok := e.position(n.slot); !ok || !k.fits.has(at) {
				return false
			}
			out.Node, out.Feasible, out.Evaluated, out.Nominated = name, 1, 1, true
			return true
		}
	}
	want := s.wanted(k.cycle.profile, len(e.nodes))
	start := s.start % len(e.nodes)
	out.Feasible, out.Evaluated = min(want, k.feasible), len(e.nodes)
	at := int32(-1)
	switch {
	case out.Feasible < k.feasible || k.groups.tooMany:
		at = e.chooseListed(s, k, start, out)
	case k.feasible == 1:
		at = k.fits.first()
	default:
		at = e.chooseBest(s, k, start, out)
	}
	out.Node = e.nodes[at].Name
	s.start = (s.start + out.Evaluated) % len(e.nodes)
	e.decided++
	return true
}

// chooseBest takes the best of all feasible nodes.
func (e *engine) chooseBest(s *Scheduler, k *class, start int, out *Placement) (at int32) {
	k.scoreGroups()
	k.refreshBest()
	r := k.ranked(start, k.groups.added)
	switch s.config.TieBreak {
	case TieFirst:
		at = -1
		for i := range r.all {
			if at < 0 || e.nodes[i].Name < e.nodes[at].Name {
				at = i
			}
		}
	case TieRandom:
		at = r.draw(s.rng)
	default:
		at = r.firstInHeap()
	}
	out.Score = r.best
	out.Plugins = k.appendPlugins(out.Plugins, at, e.nodes[at], k.dependentOf(at))
	return at
}

// chooseListed takes the best of the nodes that a scan from start finds.
func (e *engine) chooseListed(s *Scheduler, k *class, start int, out *Placement) int32 {
	l := &e.listed
	l.at = k.fits.appendFrom(l.at[:0], start, out.Feasible+1)
	if len(l.at) > out.Feasible {
		// The scan ends at the node that would be one too many.
		extra := int(l.at[out.Feasible])
		out.Evaluated = (extra - start + len(e.nodes)) % len(e.nodes)
		l.at = l.at[:out.Feasible]
	}
	if len(l.at) == 1 {
		return l.at[0]
	}
	l.score(k)
	i := l.choose(s, e.nodes)
	out.Score = l.total[i]
	at := l.at[i]
	out.Plugins = k.appendPlugins(out.Plugins, at, e.nodes[at], l.dependentOf(k, i))
	return at
}

// choose is scoreTable.choose.
func (l *listed) choose(s *Scheduler, nodes []*NodeInfo) int {
	best := slices.Max(l.total)
	switch s.config.TieBreak {
	case TieFirst:
		first := -1
		for i, at := range l.at {
			if l.total[i] == best && (first < 0 || nodes[at].Name < nodes[l.at[first]].Name) {
				first = i
			}
		}
		return first
	case TieRandom:
		return drawBest(l.total, best, s.rng)
	}
	return firstInHeap(l.total, best)
}
