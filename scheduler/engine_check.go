package scheduler

import (
	"fmt"
	"math/rand/v2"
	"reflect"
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

// checkFailure is check for a pod that fits on no node.
func (s *Scheduler) checkFailure(profile *profile, p *PodInfo, start int, source rand.PCG, got *FitError) {
	after, drawn := s.start, *s.pcg
	s.start, *s.pcg = start, source
	s.cycle.begin(s, profile, p, s.config.Cache.list)
	_, err := s.run(&s.cycle)
	want, ok := err.(*FitError)
	switch {
	case !ok:
		panic(fmt.Sprintf("scheduler: the engine finds no node for %s, the plain form says %v", p.Name(), err))
	case !got.equal(want):
		panic(fmt.Sprintf("scheduler: for %s the engine says %v, %+v, the plain form %v, %+v", p.Name(), got, got.Nominated, want, want.Nominated))
	case s.start != after || *s.pcg != drawn:
		panic(fmt.Sprintf("scheduler: after %s the engine goes on at %d, the plain form at %d, or random numbers differ", p.Name(), after, s.start))
	}
}

// equal says that two errors say the same, however they hold it.
func (e *FitError) equal(f *FitError) bool {
	return e.Pod == f.Pod && e.Error() == f.Error() && reflect.DeepEqual(e.Nominated, f.Nominated) &&
		slices.Equal(e.RejectedBy(), f.RejectedBy()) &&
		slices.EqualFunc(slices.Collect(e.Rejections()), slices.Collect(f.Rejections()), func(a, b Rejection) bool {
			return a.Node == b.Node && a.Plugin == b.Plugin && a.Status.equal(&b.Status)
		})
}
