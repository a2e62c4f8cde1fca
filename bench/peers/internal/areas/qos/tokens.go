package qos

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"
	nodescheduler "k8s.io/kubernetes/pkg/controller/nodelifecycle/scheduler"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/qos"
)

// tokenCase is a zone at a constant rate: how long each step waits, in tenths
// of a second (the controller looks ten times a second), and how many nodes
// stop answering then.
type tokenCase struct {
	Rate  float64     `json:"rate"`
	Steps []tokenStep `json:"steps"`
}

type tokenStep struct{ Tenths, Fail int }

// tokenSuite compares when a zone's nodes are tainted, one after the other. A
// change of rate is left out: there upstream makes a bucket on the real clock.
func tokenSuite() compare.Suite {
	return &compare.Cases[tokenCase]{
		Parts:   []string{"zone/timing"},
		Corners: []tokenCase{{0.1, []tokenStep{{0, 3}, {99, 0}, {1, 0}, {100, 0}}}, {0.01, []tokenStep{{0, 2}, {1000, 0}, {1, 0}}}},
		Generate: func(r *rand.Rand) tokenCase {
			c := tokenCase{Rate: pick(r, 0.1, 0.01, 0.3, 0.5, 1, 7)}
			for range 1 + r.IntN(20) {
				c.Steps = append(c.Steps, tokenStep{pick(r, 0, 1, 5, 10, 99, 100, 101, 999, 1000, r.IntN(3000)), r.IntN(3)})
			}
			return c
		},
		Compare: compareTokens,
		Shrink: func(c tokenCase) iter.Seq[tokenCase] {
			return func(yield func(tokenCase) bool) {
				for i := range c.Steps {
					if !yield(tokenCase{c.Rate, slices.Delete(slices.Clone(c.Steps), i, i+1)}) {
						return
					}
				}
			}
		},
	}
}

// setClock shows what it is set to.
type setClock struct{ now time.Time }

func (c *setClock) Now() time.Time                  { return c.now }
func (c *setClock) Since(t time.Time) time.Duration { return c.now.Sub(t) }
func (c *setClock) Sleep(d time.Duration)           { c.now = c.now.Add(d) }

func compareTokens(c tokenCase, rec *compare.Record) {
	now := time.Unix(1_700_000_000, 0)
	clock := &setClock{now}
	queue := nodescheduler.NewRateLimitedTimedQueue(flowcontrol.NewTokenBucketRateLimiterWithClock(float32(c.Rate), nodescheduler.EvictionRateLimiterBurst, clock))
	zones := qos.NewZones(qos.ZoneConfig{Rate: c.Rate})
	zones.Update(map[string]qos.Zone{"a": {Ready: 100}}, now)
	failed := 0
	var upstream, ours []string
	for _, s := range c.Steps {
		now = now.Add(time.Duration(s.Tenths) * time.Second / 10)
		clock.now = now
		for range s.Fail {
			failed++
			node := fmt.Sprintf("n%d", failed)
			queue.Add(node, node)
			zones.Add("a", node)
		}
		queue.Try(klog.Background(), func(v nodescheduler.TimedValue) (bool, time.Duration) {
			upstream = append(upstream, fmt.Sprintf("%s@%v", v.Value, now.Unix()))
			return true, 0
		})
		for _, node := range zones.Due(now) {
			ours = append(ours, fmt.Sprintf("%s@%v", node, now.Unix()))
		}
	}
	rec.Text("zone/timing", fmt.Sprint(upstream), fmt.Sprint(ours))
}
