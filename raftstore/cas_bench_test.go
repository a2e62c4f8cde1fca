package raftstore

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkUpdate has 63 clients count in one key, at one member or at all three, for
// one second an iteration. Beside the updates in all it reports the share of the
// member that got the fewest, of what would be just.
func BenchmarkUpdate(b *testing.B) {
	for _, at := range []int{1, 3} {
		b.Run(fmt.Sprintf("clients=63/members=%d", at), func(b *testing.B) {
			c := newCluster(b, 3, nil)
			lead := c.leader().MemberID()
			var done [3]atomic.Int64
			for b.Loop() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				var wg sync.WaitGroup
				for i := range 63 {
					member := int(lead+uint64(i%at)-1) % 3
					wg.Go(func() {
						for {
							if _, err := c.stores[uint64(member+1)].Update(ctx, []byte("k"), increment); err != nil {
								return
							}
							done[member].Add(1)
						}
					})
				}
				wg.Wait()
				cancel()
			}
			total, least := int64(0), int64(1<<62)
			for i := range at {
				n := done[(int(lead)+i-1)%3].Load()
				total, least = total+n, min(least, n)
				b.Logf("member %d (leader first): %d", i+1, n)
			}
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "updates/s")
			b.ReportMetric(float64(least)*float64(at)/float64(max(1, total)), "fairness")
			value, err := strconv.ParseInt(get(b, c.leader(), "k"), 10, 64)
			require.NoError(b, err)
			require.GreaterOrEqual(b, value, total) // those whose clients gave up count, too
		})
	}
}
