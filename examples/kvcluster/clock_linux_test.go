package main

import (
	"errors"
	"flag"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var clockSteps = flag.Int("clock.steps", 0, "set the machine's clock so many times in TestClockSteps; 0 leaves it alone")

// clockStep is how far the clock is set, and clockStay for how long.
const (
	clockStep = 30 * time.Second
	clockStay = 2 * time.Second
)

// TestClockSteps sets the machine's clock forward and back under load, each time for two
// seconds. Nothing may come of it: requests are answered meanwhile, the history is
// linearizable, no lease ends early. It concerns everything on the machine, so it must be asked
// for: go test ./examples/kvcluster -run TestClockSteps -clock.steps=6 -v
func TestClockSteps(t *testing.T) {
	if *clockSteps == 0 {
		t.Skip("NOT RUN: it sets the clock of the whole machine, which -clock.steps=6 allows")
	}
	begun := time.Now()
	if err := setClock(begun, 0); errors.Is(err, syscall.EPERM) {
		t.Skipf("NOT RUN: needs CAP_SYS_TIME: %v", err)
	} else {
		require.NoError(t, err)
	}
	ps := newTestProcesses(t, localhosts(), quick...)
	startAll(t, ps)
	tr := begin(t, ps)
	tr.h.progress(t, 100)
	ctx := testContext(t)
	var leader *process
	changes := -1
	follow := func() {
		var now *process
		require.NoError(t, await(ctx, func() (err error) {
			now, err = ps.leader(ctx)
			return err
		}))
		if now != leader {
			changes, leader = changes+1, now
		}
	}
	follow()
	for i := range *clockSteps {
		tr.h.epoch.Add(1)
		step := clockStep
		if i%2 == 1 {
			step = -step
		}
		before := tr.h.acks.Load()
		require.NoError(t, stepClock(begun, step, clockStay))
		require.Greater(t, tr.h.acks.Load(), before, "nothing was answered while the clock was %v off", step)
		follow()
		tr.h.progress(t, 50)
	}
	tr.settle()
	t.Logf("the clock was set %d times by %v, %d changes of the leader", *clockSteps, clockStep, changes)
}

// stepClock sets the clock off for a while, and right again whatever happens.
func stepClock(begun time.Time, step, stay time.Duration) (err error) {
	defer func() { err = errors.Join(err, setClock(begun, 0)) }()
	if err := setClock(begun, step); err != nil {
		return err
	}
	if wall := time.Now().Round(0).Sub(begun.Round(0)) - time.Since(begun); (wall - step).Abs() > time.Second {
		return fmt.Errorf("the clock is %v off, it was set to %v", wall, step)
	}
	time.Sleep(stay)
	return nil
}

// setClock sets the machine's clock to what it was at begun and the time since, by the
// monotonic clock, and a step.
func setClock(begun time.Time, step time.Duration) error {
	now := syscall.NsecToTimeval(begun.Round(0).Add(time.Since(begun) + step).UnixNano())
	return syscall.Settimeofday(&now)
}
