package mvcc

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchStore returns a store with n keys of the length that Kubernetes has,
// and a function that draws one of them.
func benchStore(b *testing.B, n int) (*Store, func() []byte) {
	b.Helper()
	s, r := New(), rand.New(rand.NewPCG(1, 19))
	value := make([]byte, 256)
	for i := range n {
		_, err := s.Put(&PutRequest{Key: benchKey(nil, i), Value: value})
		require.NoError(b, err)
	}
	var key []byte
	return s, func() []byte {
		key = benchKey(key[:0], r.IntN(n))
		return key
	}
}

func benchKey(dst []byte, i int) []byte {
	return fmt.Appendf(dst, "/registry/pods/default/pod-%07d", i)
}

var (
	benchSizes = []int{10_000, 100_000, 1_000_000}
	benchLarge = flag.Bool("bench.large", false, "benchmark stores of 10,000,000 keys, too: 5 GB")
)

func forSizes(b *testing.B, run func(b *testing.B, s *Store, key func() []byte, n int)) {
	sizes := benchSizes
	if *benchLarge {
		sizes = append(slices.Clone(sizes), 10_000_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			s, key := benchStore(b, n)
			b.ReportAllocs()
			run(b, s, key, n)
		})
	}
}

func BenchmarkPut(b *testing.B) {
	forSizes(b, func(b *testing.B, s *Store, key func() []byte, n int) {
		value := make([]byte, 256)
		for b.Loop() {
			if _, err := s.Put(&PutRequest{Key: key(), Value: value}); err != nil {
				b.Fatal(err)
			}
			if s.live.revision%100_000 == 0 {
				if err := s.Compact(s.live.revision); err != nil {
					b.Fatal(err)
				}
			}
		}
		require.Equal(b, n, s.index.length)
	})
}

func BenchmarkLookup(b *testing.B) {
	forSizes(b, func(b *testing.B, s *Store, key func() []byte, n int) {
		for b.Loop() {
			if kv, ok, err := s.Lookup(key(), 0); err != nil || !ok || len(kv.Value) != 256 {
				b.Fatal(kv, ok, err)
			}
		}
	})
}

func BenchmarkRange(b *testing.B) {
	forSizes(b, func(b *testing.B, s *Store, key func() []byte, n int) {
		from := benchKey(nil, n/2)
		o := &RangeOptions{Key: from, End: []byte{0}, Limit: 1000}
		for b.Loop() {
			if r, err := s.Range(o); err != nil || len(r.KVs) != 1000 || r.Count != int64(n-n/2) {
				b.Fatal(len(r.KVs), r.Count, err)
			}
		}
	})
}

func BenchmarkCompareAndSwap(b *testing.B) {
	forSizes(b, func(b *testing.B, s *Store, key func() []byte, n int) {
		k, revision := key(), s.Revision()
		kv, _, err := s.Lookup(k, 0)
		require.NoError(b, err)
		seen := kv.ModRevision
		for b.Loop() {
			r, err := s.Apply(&Txn{
				If:   []Compare{{Target: CompareModRevision, Key: k, Number: seen}},
				Then: []Op{{Put: &PutRequest{Key: k, Value: kv.Value}}},
			})
			if err != nil || !r.Succeeded {
				b.Fatal(r, err)
			}
			seen = r.Revision
		}
		require.Greater(b, s.Revision(), revision)
	})
}

// BenchmarkPutAfterSnapshot is the cost of writes that must copy: one snapshot
// every thousand writes.
func BenchmarkPutAfterSnapshot(b *testing.B) {
	forSizes(b, func(b *testing.B, s *Store, key func() []byte, n int) {
		value, i := make([]byte, 256), 0
		for b.Loop() {
			if i++; i%1000 == 0 {
				s.Snapshot()
			}
			if _, err := s.Put(&PutRequest{Key: key(), Value: value}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWatchFanOut(b *testing.B) {
	for _, watchers := range []int{1, 1000} {
		b.Run(fmt.Sprintf("watchers=%d", watchers), func(b *testing.B) {
			s := New()
			var open []*Watcher
			for range watchers {
				w, err := s.Watch(WatchOptions{Key: []byte("/registry/"), End: []byte("/registry0")})
				require.NoError(b, err)
				open = append(open, w)
			}
			value := make([]byte, 256)
			b.ReportAllocs()
			events := 0
			for b.Loop() {
				for i := range 10 {
					if _, err := s.Put(&PutRequest{Key: benchKey(nil, i), Value: value}); err != nil {
						b.Fatal(err)
					}
				}
				for _, w := range open {
					batch, ok, err := w.Poll()
					if err != nil || !ok || len(batch.Events) != 10 {
						b.Fatal(len(batch.Events), ok, err)
					}
					events += len(batch.Events)
				}
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkWatchCatchUp is a watcher that starts at the beginning of a history,
// all of it of one key.
func BenchmarkWatchCatchUp(b *testing.B) {
	for _, records := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			s := New()
			for range records {
				mustPut(b, s, "busy", "value")
			}
			b.ReportAllocs()
			events := 0
			for b.Loop() {
				w, err := s.Watch(WatchOptions{Key: []byte("busy"), StartRevision: 2, PrevKV: true})
				require.NoError(b, err)
				seen := 0
				for {
					batch, ok, err := w.Poll()
					if err != nil {
						b.Fatal(err)
					}
					if !ok {
						break
					}
					seen += len(batch.Events)
				}
				w.Close()
				require.Equal(b, records, seen)
				events += seen
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkImage(b *testing.B) {
	const n = 100_000
	s, _ := benchStore(b, n)
	var image bytes.Buffer
	_, err := s.Snapshot().WriteTo(&image)
	require.NoError(b, err)
	b.Run(fmt.Sprintf("write/keys=%d", n), func(b *testing.B) {
		b.SetBytes(int64(image.Len()))
		for b.Loop() {
			if m, err := s.Snapshot().WriteTo(io.Discard); err != nil || m != int64(image.Len()) {
				b.Fatal(m, err)
			}
		}
	})
	b.Run(fmt.Sprintf("load/keys=%d", n), func(b *testing.B) {
		b.SetBytes(int64(image.Len()))
		for b.Loop() {
			if l, err := Load(bytes.NewReader(image.Bytes())); err != nil || l.Hash() != s.Hash() {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCollect is what the garbage collector does about a full store.
func BenchmarkCollect(b *testing.B) {
	forSizes(b, func(b *testing.B, s *Store, key func() []byte, n int) {
		for b.Loop() {
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapObjects), "objects")
		b.ReportMetric(float64(m.HeapAlloc)/float64(n), "bytes/key")
		runtime.KeepAlive(s)
	})
}
