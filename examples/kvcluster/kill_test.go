package main

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	kills    = flag.Int("kills", 0, "kill -9 so many processes; 0 is 20, or 8 in short mode")
	killSeed = flag.Uint64("kills.seed", 1, "seed of the choice of victims")
)

// TestKills kills members under load with kill -9, leaders above all, one, two and
// all three at a time, and pauses others; then it checks what clients and watches
// were told. For many: go test ./examples/kvcluster -run TestKills -kills=200 -v
func TestKills(t *testing.T) {
	want := *kills
	if want == 0 {
		want = 20
		if testing.Short() {
			want = 8
		}
	}
	ps := newTestProcesses(t, localhosts(), quick...)
	startAll(t, ps)
	tr := begin(t, ps)
	h := tr.h
	c := &killer{t: t, ps: ps, h: h, rng: rand.New(rand.NewPCG(*killSeed, 0))}
	for c.killed < want {
		c.round()
	}
	tr.settle()
	t.Logf("%d processes killed, %d of them leaders; %d paused, %d of them leaders; seed %d", c.killed, c.leaders, c.paused, c.pausedLeaders, *killSeed)
}

// killer decides who is next.
type killer struct {
	t                                      *testing.T
	ps                                     *processes
	h                                      *history
	rng                                    *rand.Rand
	killed, leaders, paused, pausedLeaders int
}

// round is one misfortune and the recovery from it.
func (c *killer) round() {
	c.h.epoch.Add(1)
	c.h.progress(c.t, 40+c.rng.Int64N(60))
	ctx := testContext(c.t)
	var leader *process
	require.NoError(c.t, await(ctx, func() (err error) {
		leader, err = c.ps.leader(ctx)
		return err
	}))
	victims := []*process{leader}
	switch k := c.rng.IntN(10); {
	case k < 4: // the leader
	case k < 6:
		victims[0] = c.follower(leader)
	case k < 7: // two, and with them the quorum
		victims = append(victims, c.follower(leader))
	case k < 8:
		victims = c.ps.all
	case k < 9:
		c.pause(leader)
		c.pausedLeaders++
		return
	default:
		c.pause(c.follower(leader))
		return
	}
	for _, p := range victims {
		p.kill()
		c.killed++
		if p == leader {
			c.leaders++
		}
	}
	if len(victims) == 1 && c.rng.IntN(2) == 0 {
		c.h.progress(c.t, 30) // the others go on without it
	}
	for _, p := range victims {
		require.NoError(c.t, c.ps.start(p))
	}
}

func (c *killer) follower(leader *process) *process {
	for {
		if p := c.ps.all[c.rng.IntN(len(c.ps.all))]; p != leader {
			return p
		}
	}
}

// pause stops a process for longer than an election takes, and lets it go on as if
// nothing had happened.
func (c *killer) pause(p *process) {
	require.NoError(c.t, suspend(p.cmd.Process))
	time.Sleep(time.Duration(200+c.rng.IntN(800)) * time.Millisecond)
	require.NoError(c.t, resume(p.cmd.Process))
	c.paused++
}
