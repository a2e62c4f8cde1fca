package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// check decides again in the plain form and panics if the engine has decided
// otherwise: start and source are where the scan began and what random numbers
// were drawn from. It runs in builds for the race detector, and in tests.
func (s *Scheduler) check(profile *profile, p *PodInfo, start int, source rand.PCG, got *Placement) {
	after, drawn := s.start, *s.pcg
	s.start, *s.pcg = start, source
	s.cycle.begin(s, profile, p, s.config.Cache.list)
	want, err := s.run(&s.cycle)
	switch {
	case err != nil:
		panic(fmt.Sprintf("scheduler: the engine places %s on %s, the plain form fails: %v", p.Name(), got.Node, err))
	case !got.equal(&want):
		panic(fmt.Sprintf("scheduler: for %s the engine decides %+v, the plain form %+v", p.Name(), *got, want))
	case s.start != after || *s.pcg != drawn:
		panic(fmt.Sprintf("scheduler: after %s the engine goes on at %d, the plain form at %d, or random numbers differ", p.Name(), after, s.start))
	}
}

func (p *Placement) equal(q *Placement) bool {
	return p.Node == q.Node && p.Feasible == q.Feasible && p.Evaluated == q.Evaluated &&
		p.Nominated == q.Nominated && p.Score == q.Score && slices.Equal(p.Plugins, q.Plugins)
}
