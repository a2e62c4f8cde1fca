package raftstore

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cluster is a cluster over loopback TCP for tests.
type cluster struct {
	t       testing.TB
	dir     string
	members []Member
	stores  map[uint64]*Store
	change  func(*Config)
}

// newCluster starts n members. change, if set, edits the config of each.
func newCluster(t testing.TB, n int, change func(*Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), stores: map[uint64]*Store{}, change: change}
	var listeners []net.Listener
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		listeners = append(listeners, l)
		c.members = append(c.members, Member{ID: uint64(i + 1), Address: l.Addr().String()})
	}
	for i, m := range c.members {
		c.open(m.ID, listeners[i])
	}
	t.Cleanup(c.close)
	return c
}

func (c *cluster) config(id uint64) Config {
	cfg := Config{
		ID: id, Members: c.members,
		TickInterval: 10 * time.Millisecond, ElectionTicks: 15,
		SegmentSizeBytes: 256 << 10,
	}
	if c.change != nil {
		c.change(&cfg)
	}
	return cfg
}

// open starts a member; a nil listener means its address.
func (c *cluster) open(id uint64, l net.Listener) *Store {
	c.t.Helper()
	cfg := c.config(id)
	cfg.Listener = l
	s, err := Open(filepath.Join(c.dir, fmt.Sprint(id)), cfg)
	require.NoError(c.t, err)
	c.stores[id] = s
	return s
}

func (c *cluster) close() {
	defer noGoroutines(c.t)
	for _, m := range c.members {
		if s := c.stores[m.ID]; s != nil {
			require.NoError(c.t, s.Abort())
		}
	}
}

// stop ends one member by end, Close or Abort.
func (c *cluster) stop(id uint64, end func(*Store) error) {
	c.t.Helper()
	require.NoError(c.t, end(c.stores[id]))
	delete(c.stores, id)
}

// leader waits for a leader that knows of itself and returns it.
func (c *cluster) leader() *Store {
	c.t.Helper()
	var leader *Store
	require.Eventually(c.t, func() bool {
		for _, s := range c.stores {
			if s.Status().Role == Leader {
				leader = s
				return true
			}
		}
		return false
	}, 20*time.Second, 5*time.Millisecond, "no leader")
	return leader
}

// settled waits until all members have applied the same and compares them.
func (c *cluster) settled() {
	c.t.Helper()
	var seen []Status
	same := func() bool {
		seen = seen[:0]
		for _, m := range c.members {
			if s := c.stores[m.ID]; s != nil {
				seen = append(seen, s.Status())
			}
		}
		for _, s := range seen {
			if s.Applied != seen[0].Applied || s.Commit != s.Applied {
				return false
			}
		}
		return true
	}
	require.Eventually(c.t, same, 20*time.Second, 5*time.Millisecond, "members stay apart")
	for _, s := range seen {
		require.Equal(c.t, seen[0].StateHash, s.StateHash, "member %d differs from member %d", s.MemberID, seen[0].MemberID)
		require.Equal(c.t, seen[0].Revision, s.Revision)
	}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func put(t testing.TB, kv KV, key, value string) PutResult {
	t.Helper()
	r, err := kv.Put(testContext(t), PutRequest{Key: []byte(key), Value: []byte(value)})
	require.NoError(t, err)
	return r
}

func get(t testing.TB, kv KV, key string) string {
	t.Helper()
	pair, _, err := Get(testContext(t), kv, []byte(key))
	require.NoError(t, err)
	return string(pair.Value)
}

// noGoroutines sees that nothing of ours runs any more.
func noGoroutines(t testing.TB) {
	var stacks string
	left := func() bool {
		buf := make([]byte, 1<<20)
		stacks = string(buf[:runtime.Stack(buf, true)])
		for _, own := range []string{"raftstore.(*node)", "transport.(*TCP)", "transport.(*lane)", "wal.(*WAL)"} {
			if strings.Contains(stacks, own) {
				return false
			}
		}
		return true
	}
	require.Eventually(t, left, 10*time.Second, 5*time.Millisecond, "goroutines are left")
}
