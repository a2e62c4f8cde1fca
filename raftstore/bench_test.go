package raftstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkPut measures acknowledged puts of 256 bytes through the leader of three
// members over loopback TCP, each of them with an fdatasync on this disk.
func BenchmarkPut(b *testing.B) {
	for _, clients := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("members=3/clients=%d", clients), func(b *testing.B) {
			c := newCluster(b, 3, benchConfig)
			benchmark(b, c, clients, func(ctx context.Context, s *Store, i uint64) error {
				_, err := s.Put(ctx, PutRequest{Key: fmt.Appendf(nil, "key/%08d", i%100_000), Value: benchValue})
				return err
			})
			require.Equal(b, string(benchValue), get(b, c.stores[1], "key/00000001"))
			c.settled()
		})
	}
}

// BenchmarkGet measures linearizable reads of one key, spread over the members.
func BenchmarkGet(b *testing.B) {
	for _, clients := range []int{1, 64, 1000} {
		b.Run(fmt.Sprintf("members=3/clients=%d", clients), func(b *testing.B) {
			c := newCluster(b, 3, benchConfig)
			put(b, c.stores[1], "key", string(benchValue))
			benchmark(b, c, clients, func(ctx context.Context, s *Store, i uint64) error {
				r, err := c.stores[i%3+1].Range(ctx, RangeOptions{Key: []byte("key")})
				if err == nil && len(r.KVs) != 1 {
					return fmt.Errorf("read %d keys, expected 1", len(r.KVs))
				}
				return err
			})
		})
	}
}

var benchValue = make([]byte, 256)

func benchConfig(cfg *Config) {
	cfg.SegmentSizeBytes = 64 << 20
	cfg.ElectionTicks = 100
}

// benchmark runs b.N calls on the leader from many clients at once.
func benchmark(b *testing.B, c *cluster, clients int, call func(context.Context, *Store, uint64) error) {
	lead := c.leader()
	ctx := context.Background()
	require.NoError(b, call(ctx, lead, 1))
	var next atomic.Uint64
	var failed atomic.Pointer[error]
	b.ReportAllocs()
	b.ResetTimer()
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for {
				i := next.Add(1)
				if i > uint64(b.N) || failed.Load() != nil {
					return
				}
				if err := call(ctx, lead, i); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
