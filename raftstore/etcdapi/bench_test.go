package etcdapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// BenchmarkPut is what callers of kube-apiserver wait for: puts of 256 bytes through
// clientv3, whose connections take turns between three members. The figure beside the
// mean is the 99th percentile.
func BenchmarkPut(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		for _, server := range []string{"ours", "etcd"} {
			b.Run(fmt.Sprintf("clients=%d/server=%s", clients, server), func(b *testing.B) {
				client := benchClient(b, server)
				putAll(b, client, clients, 20*clients) // warm
				b.ReportAllocs()
				b.ResetTimer()
				took := putAll(b, client, clients, b.N)
				b.StopTimer()
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			})
		}
	}
}

// benchClient starts three members as they are by default and connects to all.
func benchClient(b *testing.B, server string) *clientv3.Client {
	if server == "etcd" {
		return newClient(b, nil, startEtcds(b, 3, func(*embed.Config) {})...)
	}
	c := newCluster(b, 3, nil)
	return c.client()
}

// putAll has clients put n values in all and returns the time that each has taken.
func putAll(b *testing.B, client *clientv3.Client, clients, n int) []time.Duration {
	ctx, value := context.Background(), strings.Repeat("v", 256)
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for k := i; k < n; k += clients {
				start := time.Now()
				if _, err := client.Put(ctx, fmt.Sprint("k", k%1000), value); err != nil {
					b.Error(err)
					return
				}
				took[k] = time.Since(start)
			}
		})
	}
	wg.Wait()
	r, err := client.Get(ctx, fmt.Sprint("k", (n-1)%1000))
	require.NoError(b, err)
	require.Equal(b, value, string(r.Kvs[0].Value))
	return took
}
