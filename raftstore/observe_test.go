package raftstore

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
)

// countingObserver counts what it is told.
type countingObserver struct {
	syncs, bytes, entries, commands, leaders, snapshots atomic.Int64
}

func (o *countingObserver) Synced(size int, took time.Duration) {
	o.syncs.Add(1)
	o.bytes.Add(int64(size))
}
func (o *countingObserver) Applied(entries, commands int) {
	o.entries.Add(int64(entries))
	o.commands.Add(int64(commands))
}
func (o *countingObserver) LeaderChanged(term, leader uint64) { o.leaders.Add(1) }
func (o *countingObserver) SnapshotWritten(uint64, time.Duration, error) {
	o.snapshots.Add(1)
}
func (o *countingObserver) SnapshotInstalled(uint64) {}

func TestObserverHearsOfEverything(t *testing.T) {
	o := &countingObserver{}
	s, err := Open(t.TempDir(), Config{SegmentSizeBytes: 64 << 10, SnapshotEntries: 20, Observer: o})
	require.NoError(t, err)
	for range 30 {
		put(t, s, "k", "v")
	}
	require.Eventually(t, func() bool { return o.snapshots.Load() > 0 }, 10*time.Second, time.Millisecond)
	status := s.Status()
	require.NoError(t, s.Close())
	require.Equal(t, int64(30), o.commands.Load())
	require.GreaterOrEqual(t, o.entries.Load(), int64(31), "with the first one of the leader")
	require.GreaterOrEqual(t, o.syncs.Load(), int64(31))
	require.Greater(t, o.bytes.Load(), int64(31*16))
	require.GreaterOrEqual(t, o.leaders.Load(), int64(1))
	require.Len(t, status.SyncTimes, syncTimesKept)
	require.Positive(t, status.SyncTimes[0])
}

func TestTransportOfTheUsers(t *testing.T) {
	var made atomic.Int32
	c := &cluster{t: t, dir: t.TempDir(), stores: map[uint64]*Store{}, change: func(cfg *Config) {
		id, members := cfg.ID, cfg.Members
		cfg.Transport = func(cluster, member uint64, h transport.Handler) (transport.Transport, error) {
			made.Add(1)
			require.Equal(t, id, member)
			listener, err := net.Listen("tcp", members[id-1].Address)
			if err != nil {
				return nil, err
			}
			return transport.NewTCP(transport.Config{ClusterID: cluster, MemberID: member, Handler: h, Listener: listener})
		}
	}}
	for id := range uint64(3) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		c.members = append(c.members, Member{ID: id + 1, Address: l.Addr().String()})
		require.NoError(t, l.Close())
	}
	t.Cleanup(c.close)
	for _, m := range c.members {
		c.open(m.ID, nil)
	}
	put(t, c.stores[1], "k", "v")
	require.Equal(t, "v", get(t, c.stores[3], "k"))
	require.Equal(t, int32(3), made.Load())
	cfg := c.config(1)
	cfg.Listen = "127.0.0.1:0"
	_, err := Open(t.TempDir(), cfg)
	require.ErrorIs(t, err, ErrConfig)
}

// stallFS is a file system whose syncs hang while it is told to, and are slow before.
type stallFS struct {
	wal.FS
	mu    *sync.RWMutex // held to stall
	pause *atomic.Int64
}

type stallFile struct {
	wal.File
	fs stallFS
}

func (fs stallFS) Create(name string) (wal.File, error) {
	f, err := fs.FS.Create(name)
	return stallFile{f, fs}, err
}

func (fs stallFS) Open(name string) (wal.File, error) {
	f, err := fs.FS.Open(name)
	return stallFile{f, fs}, err
}

func (f stallFile) Sync() error {
	time.Sleep(time.Duration(f.fs.pause.Load()))
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	return f.File.Sync()
}

// A leader whose disk hangs does not hold the cluster up: one that writes by itself
// falls silent, one that writes in the background hands leadership over.
func TestStalledDiskOfTheLeader(t *testing.T) {
	for name, pause := range map[string]time.Duration{"quick": 0, "slow": 8 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			stalls := map[uint64]stallFS{}
			c := newCluster(t, 3, func(cfg *Config) {
				if _, ok := stalls[cfg.ID]; !ok {
					stalls[cfg.ID] = stallFS{wal.OS, &sync.RWMutex{}, &atomic.Int64{}}
					stalls[cfg.ID].pause.Store(int64(pause))
				}
				cfg.FS = stalls[cfg.ID]
			})
			for range 20 {
				put(t, c.stores[1], "k", "before")
			}
			old := c.leader()
			id := old.MemberID()
			stalls[id].mu.Lock()
			release := sync.OnceFunc(stalls[id].mu.Unlock)
			t.Cleanup(release) // before the members are closed
			other := c.stores[id%3+1]
			require.Eventually(t, func() bool {
				put(t, other, "k", "meanwhile") // a majority of the disks suffices
				leader := other.Status().Leader
				return leader != 0 && leader != id
			}, 30*time.Second, time.Millisecond, "member %d keeps leading", id)
			release()
			require.Equal(t, "meanwhile", get(t, old, "k"))
			c.settled()
		})
	}
}
