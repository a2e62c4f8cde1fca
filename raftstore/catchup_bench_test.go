package raftstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkCatchUp measures what is left of the writers' throughput while a member
// that was away gets the log or a snapshot: "kept-%" is the rate of puts in that time
// in percent of the rate while it was away.
func BenchmarkCatchUp(b *testing.B) {
	const clients, missed = 64, 20_000
	for _, via := range []string{"log", "snapshot"} {
		b.Run("members=3/clients=64/via="+via, func(b *testing.B) {
			c := newCluster(b, 3, func(cfg *Config) {
				benchConfig(cfg)
				cfg.CatchUpEntries, cfg.CatchUpSizeBytes = 1<<20, 1<<30
				if via == "snapshot" {
					cfg.SnapshotEntries, cfg.CatchUpEntries = 100, 1
				}
			})
			away, during := rate{}, rate{}
			for b.Loop() {
				lead := c.leader()
				id := lead.MemberID()%3 + 1
				c.stop(id, (*Store).Abort)
				away.add(putsUntil(b, lead, clients, func(n int64) bool { return n >= missed }))
				behind := lead.Status().Applied
				s := c.open(id, nil)
				during.add(putsUntil(b, lead, clients, func(int64) bool { return s.Status().Applied >= behind }))
			}
			c.settled()
			b.ReportMetric(away.perSecond(), "away-puts/s")
			b.ReportMetric(during.perSecond(), "during-puts/s")
			b.ReportMetric(100*during.perSecond()/away.perSecond(), "kept-%")
		})
	}
}

type rate struct {
	count int64
	took  time.Duration
}

func (r *rate) add(count int64, took time.Duration) { r.count, r.took = r.count+count, r.took+took }
func (r *rate) perSecond() float64                  { return float64(r.count) / r.took.Seconds() }

// putsUntil has clients put until enough says so, which it is asked every millisecond.
func putsUntil(b *testing.B, s *Store, clients int, enough func(n int64) bool) (int64, time.Duration) {
	b.Helper()
	before, begun := s.Status().Revision, time.Now()
	var count atomic.Int64
	var stop atomic.Bool
	var group sync.WaitGroup
	for client := range clients {
		group.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if _, err := s.Put(context.Background(), PutRequest{Key: fmt.Appendf(nil, "key/%d/%d", client, i%1000), Value: benchValue}); err != nil {
					b.Error(err)
					return
				}
				count.Add(1)
			}
		})
	}
	for !enough(count.Load()) {
		time.Sleep(time.Millisecond)
	}
	n, took := count.Load(), time.Since(begun)
	stop.Store(true)
	group.Wait()
	require.Equal(b, before+count.Load(), s.Status().Revision, "every acknowledged put has made a revision")
	return n, took
}
