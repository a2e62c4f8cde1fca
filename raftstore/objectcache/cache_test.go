package objectcache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/stretchr/testify/require"
)

func openStore(t testing.TB) *raftstore.Store {
	t.Helper()
	s, err := raftstore.Open(t.TempDir(), raftstore.Config{SegmentSizeBytes: 256 << 10, TickInterval: 5 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Abort())
		require.Eventually(t, func() bool {
			stacks := make([]byte, 1<<20)
			return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "objectcache.(*Cache")
		}, 10*time.Second, time.Millisecond, "goroutines are left")
	})
	require.NoError(t, s.WaitReady(context.Background()))
	return s
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func decodeNumber(kv raftstore.KeyValue) (int, error) { return strconv.Atoi(string(kv.Value)) }

func put(t testing.TB, kv raftstore.KV, key, value string) int64 {
	t.Helper()
	r, err := kv.Put(testContext(t), raftstore.PutRequest{Key: []byte(key), Value: []byte(value)})
	require.NoError(t, err)
	return r.Revision
}

func remove(t testing.TB, kv raftstore.KV, key string) int64 {
	t.Helper()
	r, err := kv.DeleteRange(testContext(t), raftstore.DeleteRequest{Key: []byte(key)})
	require.NoError(t, err)
	return r.Revision
}

// mirror rebuilds the objects from what a handler is told, and finds what a handler
// must not be told.
type mirror struct {
	mu      sync.Mutex
	objects map[string]Object[int]
	log     []string
	wrong   string
}

func (m *mirror) handler() Handler[int] {
	m.objects = map[string]Object[int]{}
	note := func(ok bool, format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		m.log = append(m.log, line)
		if !ok && m.wrong == "" {
			m.wrong = line
		}
	}
	return Handler[int]{
		OnAdd: func(o Object[int]) {
			m.mu.Lock()
			defer m.mu.Unlock()
			_, known := m.objects[o.Key]
			note(!known, "add %s=%d", o.Key, o.Value)
			m.objects[o.Key] = o
		},
		OnUpdate: func(before, after Object[int]) {
			m.mu.Lock()
			defer m.mu.Unlock()
			note(m.objects[after.Key] == before && (before.Revision < after.Revision || before == after), "update %s=%d to %d", after.Key, before.Value, after.Value)
			m.objects[after.Key] = after
		},
		OnDelete: func(last Object[int]) {
			m.mu.Lock()
			defer m.mu.Unlock()
			note(m.objects[last.Key] == last, "delete %s=%d", last.Key, last.Value)
			delete(m.objects, last.Key)
		},
	}
}

func (m *mirror) told() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.log)
}

func open(t *testing.T, config Config[int]) *Cache[int] {
	t.Helper()
	config.Prefix = []byte("n/")
	if config.Decode == nil {
		config.Decode = decodeNumber
	}
	c, err := Open(config)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestCacheTellsInOrder(t *testing.T) {
	s := openStore(t)
	ctx := testContext(t)
	put(t, s, "n/b", "2")
	put(t, s, "n/a", "1")
	put(t, s, "other", "x")
	var m mirror
	c := open(t, Config[int]{KV: s, Handlers: []Handler[int]{m.handler()}, PageSize: 1})
	require.NoError(t, c.WaitSynced(ctx))
	put(t, s, "n/a", "10")
	remove(t, s, "n/b")
	last := put(t, s, "n/b", "20")
	require.NoError(t, c.WaitRevision(ctx, last))
	require.Equal(t, []string{"add n/a=1", "add n/b=2", "update n/a=1 to 10", "delete n/b=2", "add n/b=20"}, m.told())
	o, ok := c.Get("n/b")
	require.True(t, ok)
	require.Equal(t, Object[int]{Key: "n/b", CreateRevision: last, Revision: last, Value: 20}, o)
	_, ok = c.Get("other")
	require.False(t, ok)
	require.Equal(t, 2, c.Len())

	var late mirror
	c.AddHandler(late.handler())
	require.Eventually(t, func() bool { return len(late.told()) == 2 }, 10*time.Second, time.Millisecond)
	require.Equal(t, []string{"add n/a=10", "add n/b=20"}, late.told(), "a late handler is told of what is there")
	before := c.List("")
	require.NoError(t, c.WaitRevision(ctx, remove(t, s, "n/a")))
	require.Equal(t, 2, len(slices.Collect(before)), "a list stays as it was")
	require.Equal(t, 1, len(slices.Collect(c.List("n/"))))
	require.Equal(t, "delete n/a=10", late.told()[2])
}

// The cache and its handlers end up with what the store has, whatever happens to the
// watch on the way.
func TestCacheFollowsTheStore(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			s := openStore(t)
			ctx := testContext(t)
			r := rand.New(rand.NewPCG(seed, 0))
			flaky := &flakyKV{KV: s, random: rand.New(rand.NewPCG(seed, 1))}
			byTens := func(o Object[int]) []string { return []string{fmt.Sprint(o.Value / 10), "all"} }
			var m mirror
			c := open(t, Config[int]{
				KV: flaky, Handlers: []Handler[int]{m.handler()}, PageSize: 3,
				Indexes: map[string]func(Object[int]) []string{"tens": byTens},
				Sleep:   func(ctx context.Context, _ time.Duration) error { return sleep(ctx, time.Millisecond) },
			})
			var last int64
			for range 400 {
				key := fmt.Sprintf("n/%d", r.IntN(12))
				switch r.IntN(8) {
				case 0, 1:
					remove(t, s, key)
				case 2:
					_ = s.Compact(ctx, s.Status().Revision)
					flaky.breakWatch()
				default:
					last = put(t, s, key, fmt.Sprint(r.IntN(40)))
				}
			}
			last = put(t, s, "n/last", "7")
			require.NoError(t, c.WaitRevision(ctx, last))
			all, err := s.Range(ctx, raftstore.RangeOptions{Key: []byte("n/"), End: raftstore.PrefixEnd([]byte("n/"))})
			require.NoError(t, err)
			var want []Object[int]
			tens := map[string]int{}
			for _, kv := range all.KVs {
				n, err := decodeNumber(kv)
				require.NoError(t, err)
				o := Object[int]{string(kv.Key), kv.CreateRevision, kv.ModRevision, n}
				want = append(want, o)
				require.Equal(t, o, m.objects[o.Key])
				tens[fmt.Sprint(n/10)]++
			}
			require.Empty(t, m.wrong)
			require.Len(t, m.objects, len(want))
			require.Equal(t, want, slices.Collect(c.List("")))
			for value, n := range tens {
				found, err := c.Indexed("tens", value)
				require.NoError(t, err)
				require.Len(t, found, n)
			}
			found, err := c.Indexed("tens", "all")
			require.NoError(t, err)
			require.Equal(t, want, found)
			require.Equal(t, 2*len(want), c.tables.entries.Len())
			require.Positive(t, flaky.broken.Load())
		})
	}
}

// flakyKV breaks watches and reads now and then.
type flakyKV struct {
	raftstore.KV
	mu     sync.Mutex
	random *rand.Rand
	open   raftstore.Watcher
	broken atomic.Int32
}

var errFlaky = errors.New("connection lost")

func (f *flakyKV) chance(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(n) == 0
}

func (f *flakyKV) Range(ctx context.Context, o raftstore.RangeOptions) (raftstore.RangeResult, error) {
	if f.chance(4) {
		return raftstore.RangeResult{}, errFlaky
	}
	return f.KV.Range(ctx, o)
}

func (f *flakyKV) Watch(ctx context.Context, o raftstore.WatchOptions) (raftstore.Watcher, error) {
	if f.chance(4) {
		return nil, errFlaky
	}
	o.BatchEvents = 1
	w, err := f.KV.Watch(ctx, o)
	f.mu.Lock()
	f.open = w
	f.mu.Unlock()
	return w, err
}

func (f *flakyKV) breakWatch() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open != nil {
		f.open.Close()
		f.broken.Add(1)
	}
}

func TestUndecodableValuesAreReported(t *testing.T) {
	s := openStore(t)
	ctx := testContext(t)
	put(t, s, "n/bad", "x")
	reported := make(chan error, 10)
	var m mirror
	c := open(t, Config[int]{KV: s, Handlers: []Handler[int]{m.handler()}, OnError: func(err error) { reported <- err }})
	require.NoError(t, c.WaitSynced(ctx))
	var bad *DecodeError
	require.ErrorAs(t, <-reported, &bad)
	require.Equal(t, "n/bad", bad.Key)
	require.ErrorIs(t, bad, strconv.ErrSyntax)
	put(t, s, "n/a", "1")
	require.NoError(t, c.WaitRevision(ctx, put(t, s, "n/a", "oops")))
	o, ok := c.Get("n/a")
	require.True(t, ok)
	require.Equal(t, 1, o.Value, "the last value that could be read stays")
	require.NoError(t, c.WaitRevision(ctx, remove(t, s, "n/a")))
	require.Equal(t, []string{"add n/a=1", "delete n/a=1"}, m.told())
	require.ErrorAs(t, <-reported, &bad)
	require.Equal(t, "objectcache: value of \"n/a\" at revision 4: strconv.Atoi: parsing \"oops\": invalid syntax", bad.Error())
}

func TestResync(t *testing.T) {
	s := openStore(t)
	put(t, s, "n/a", "1")
	due := make(chan struct{})
	var m mirror
	c := open(t, Config[int]{
		KV: s, Handlers: []Handler[int]{m.handler()}, Resync: time.Hour,
		Sleep: func(ctx context.Context, d time.Duration) error {
			require.Equal(t, time.Hour, d)
			select {
			case <-due:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	})
	require.NoError(t, c.WaitSynced(testContext(t)))
	for i := range 3 {
		due <- struct{}{}
		require.Eventually(t, func() bool { return len(m.told()) == 2+i }, 10*time.Second, time.Millisecond)
	}
	require.Equal(t, "update n/a=1 to 1", m.told()[3])
	require.Empty(t, m.wrong)
}

func TestClose(t *testing.T) {
	s := openStore(t)
	var m mirror
	c := open(t, Config[int]{KV: s, Handlers: []Handler[int]{m.handler()}, Resync: time.Millisecond})
	put(t, s, "n/a", "1")
	require.NoError(t, c.WaitSynced(testContext(t)))
	require.True(t, c.Synced())
	c.Close()
	c.Close()
	told := len(m.told())
	put(t, s, "n/b", "1")
	require.Len(t, m.told(), told)
	require.ErrorIs(t, c.WaitRevision(testContext(t), 1<<40), ErrClosed)
	short, cancel := context.WithCancel(context.Background())
	cancel()
	open2 := open(t, Config[int]{KV: s})
	require.ErrorIs(t, open2.WaitRevision(short, 1<<40), context.Canceled)
}

func TestConfigIsChecked(t *testing.T) {
	s := openStore(t)
	good := Config[int]{KV: s, Prefix: []byte("n/"), Decode: decodeNumber}
	for name, change := range map[string]func(*Config[int]){
		"KV":       func(c *Config[int]) { c.KV = nil },
		"Prefix":   func(c *Config[int]) { c.Prefix = nil },
		"Decode":   func(c *Config[int]) { c.Decode = nil },
		"Resync":   func(c *Config[int]) { c.Resync = -1 },
		"PageSize": func(c *Config[int]) { c.PageSize = -1 },
		"Indexes":  func(c *Config[int]) { c.Indexes = map[string]func(Object[int]) []string{"a": nil} },
	} {
		config := good
		change(&config)
		_, err := Open(config)
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, name)
	}
	c := open(t, good)
	_, err := c.Indexed("nothing", "a")
	require.ErrorIs(t, err, ErrConfig)
}

func BenchmarkApply(b *testing.B) {
	for _, objects := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("objects=%d", objects), func(b *testing.B) {
			t := newTables(map[string]func(Object[int]) []string{"tens": func(o Object[int]) []string { return []string{strconv.Itoa(o.Value / 10)} }})
			keys := make([]string, objects)
			for i := range keys {
				keys[i] = fmt.Sprintf("/registry/pods/default/pod-%07d", i)
				t.put(Object[int]{Key: keys[i], Value: i})
			}
			if t.objects.Len() != objects || t.entries.Len() != objects {
				b.Fatal("objects are missing")
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				t.put(Object[int]{Key: keys[i%objects], Value: i})
				i += 7919
			}
		})
	}
}
