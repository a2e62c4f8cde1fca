package scheduler

import (
	"slices"
	"time"
)

// Clock is what a Loop knows of time.
type Clock interface {
	Now() time.Time
	// Timer returns a channel that receives once d has passed; stop gives its
	// resources back.
	Timer(d time.Duration) (c <-chan time.Time, stop func())
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Timer(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// byKey sorts attempts by the names of their pods, so that the order of a map
// does not show.
func byKey(list []*attempt) []*attempt {
	slices.SortFunc(list, func(a, b *attempt) int { return cmpKey(a.binding.Pod.key, b.binding.Pod.key) })
	return list
}
