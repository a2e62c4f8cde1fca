package raftstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// testMachine is a state with something of everything in it.
func testMachine(t testing.TB) *machine {
	m := newMachine([]Member{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}})
	m.applied, m.term = 77, 3
	m.removed[9] = true
	m.conf.Learners, m.members[4] = []uint64{4}, "d:1"
	m.profile(2).moved, m.profile(3).info = true, "c"
	var out result
	for i := range byte(20) {
		h := entryHeader{origin: 2, boot: 4, sequence: uint64(i)*2 + 1, floor: 1}
		require.True(t, m.admit(&h))
		m.execute(commandPut, appendPut(nil, &PutRequest{Key: []byte{'k', i % 7}, Value: bytes.Repeat([]byte{i}, 100)}), &out)
		require.NoError(t, out.err)
	}
	m.alarms.set([]Alarm{{2, AlarmNoSpace}})
	return m
}

func imageOf(t testing.TB, m *machine) []byte {
	var b bytes.Buffer
	require.NoError(t, m.cut(5).writeTo(&b))
	return b.Bytes()
}

func TestImageHoldsTheWholeState(t *testing.T) {
	m := testMachine(t)
	b := imageOf(t, m)
	got, err := readImage(bytes.NewReader(b), 5)
	require.NoError(t, err)
	require.Equal(t, m.applied, got.applied)
	require.Equal(t, m.members, got.members)
	require.Equal(t, m.removed, got.removed)
	require.Equal(t, m.profiles, got.profiles)
	require.Equal(t, m.origins, got.origins)
	require.NoError(t, m.conf.Equivalent(got.conf))
	require.Equal(t, m.alarms.list(), got.alarms.list())
	require.Equal(t, m.store.Hash(), got.store.Hash())
	require.Equal(t, b, imageOf(t, got), "an image has one form")
	_, err = readImage(bytes.NewReader(b), 6)
	require.ErrorIs(t, err, ErrCorruptSnapshot, "of another cluster")
}

func TestEveryFlippedBitOfAnImageIsFound(t *testing.T) {
	b := imageOf(t, testMachine(t))
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		i := rng.IntN(len(b))
		mask := byte(1 << rng.IntN(8))
		b[i] ^= mask
		_, err := readImage(bytes.NewReader(b), 5)
		require.ErrorIs(t, err, ErrCorruptSnapshot, "byte %d", i)
		b[i] ^= mask
	}
	for range 200 {
		_, err := readImage(bytes.NewReader(b[:rng.IntN(len(b))]), 5)
		require.ErrorIs(t, err, ErrCorruptSnapshot)
	}
	_, err := readImage(bytes.NewReader(append(b, 0)), 5)
	require.ErrorIs(t, err, ErrCorruptSnapshot)
}

func FuzzReadImage(f *testing.F) {
	f.Add(imageOf(f, testMachine(f)))
	f.Add([]byte(imageMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := readImage(bytes.NewReader(b), 5); err == nil {
			require.Equal(t, b, imageOf(t, m))
		}
	})
}

// testReplica is a replica of one voter on a disk in memory, driven by hand.
func testReplica(t *testing.T, fs *wal.MemFS, change func(*Config)) *replica {
	t.Helper()
	cfg := Config{FS: fs, SegmentSizeBytes: 8 << 10, SnapshotEntries: 10, CatchUpEntries: 1, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	r, err := openReplica("data", cfg.withDefaults())
	require.NoError(t, err)
	r.background = func(work, done func()) { work(); done() }
	r.complete = func([]*request) {}
	r.now = func() time.Duration { return 0 }
	r.attach(transport.Nowhere{})
	return r
}

// writeSome applies n puts and lets the snapshots that are due be taken.
func (r *replica) writeSome(t *testing.T, n int) {
	t.Helper()
	for r.role() != Leader {
		r.tick()
		require.NoError(t, r.turn())
	}
	for i := range n {
		r.core.write(&request{kind: commandPut, body: appendPut(nil, &PutRequest{Key: []byte{'k', byte(i)}, Value: make([]byte, 400)}), done: make(chan struct{}, 1)})
		require.NoError(t, r.turn())
		require.NoError(t, r.turn())
	}
}

func TestLogIsKeptForATransfer(t *testing.T) {
	r := testReplica(t, wal.NewMemFS(), nil)
	r.writeSome(t, 25)
	at := r.core.log.snapshot.GetIndex()
	require.Greater(t, at, uint64(10))
	r.sending[7] = &outgoing{to: 7, index: at}
	r.writeSome(t, 50)
	require.Greater(t, r.core.log.snapshot.GetIndex(), at+30)
	require.LessOrEqual(t, r.core.log.offset, at, "a member that gets a snapshot needs what follows it")
	delete(r.sending, 7)
	r.writeSome(t, 15)
	require.Greater(t, r.core.log.offset, at+30)
}

func TestALargeLogIsCutByItsSize(t *testing.T) {
	r := testReplica(t, wal.NewMemFS(), func(c *Config) {
		c.SnapshotEntries, c.CatchUpEntries, c.CatchUpSizeBytes = 1<<20, 1<<20, 4000
	})
	r.writeSome(t, 200)
	require.Greater(t, r.core.log.offset, uint64(150))
	require.LessOrEqual(t, r.core.log.sizeBytes, int64(9000))
}

func TestARottenSnapshotIsReplacedByTheOneBefore(t *testing.T) {
	fs := wal.NewMemFS()
	r := testReplica(t, fs, nil)
	r.writeSome(t, 55)
	revision, newest := r.core.state.store.Revision(), r.core.log.snapshot
	require.NoError(t, r.wal.Close())
	name := r.disk.path(snapshotName(newest.GetIndex(), newest.GetTerm()))
	require.NoError(t, fs.Corrupt(name, 200, 1))

	r = testReplica(t, fs, nil)
	require.Less(t, r.core.log.snapshot.GetIndex(), newest.GetIndex())
	r.writeSome(t, 1)
	require.Equal(t, revision+1, r.core.state.store.Revision())
	require.NoError(t, r.wal.Close())

	// Without any snapshot the log begins in the middle, and the member must not start.
	names, err := fs.List(r.disk.dir)
	require.NoError(t, err)
	for _, name := range names {
		require.NoError(t, fs.Corrupt(r.disk.path(name), 300, 2))
	}
	_, err = openReplica("data", Config{FS: fs, SegmentSizeBytes: 8 << 10}.withDefaults())
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorIs(t, err, ErrCorruptSnapshot)
}

// collector is a Transport that keeps what is sent.
type collector struct {
	transport.Nowhere
	frames []transport.Frame
}

func (c *collector) Send(_ uint64, lane transport.Lane, _ uint32, payload []byte) bool {
	c.frames = append(c.frames, transport.Frame{Lane: lane, Payload: bytes.Clone(payload)})
	return true
}

// Whatever arrives on the snapshot lane, nothing is installed that was not verified.
func TestHostileTransfersAreDropped(t *testing.T) {
	three := func(c *Config) { c.ID, c.Members = 1, []Member{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}} }
	r := testReplica(t, wal.NewMemFS(), three)
	out := &collector{}
	r.net = out
	image := imageOf(t, testMachine(t)) // of cluster 5
	m := &pb.Message{Type: pb.MsgSnap.Enum(), To: new(uint64(1)), From: new(uint64(2)), Term: new(uint64(9)), Snapshot: &pb.Snapshot{
		Metadata: &pb.SnapshotMetadata{Index: new(uint64(77)), Term: new(uint64(3)), ConfState: &pb.ConfState{Voters: []uint64{1, 2, 3}}}}}
	begin := appendMessage([]byte{transferBegin}, m)
	send := func(payload []byte) {
		r.receive(transport.Frame{From: 2, Lane: transport.LaneSnapshot, Payload: payload})
		require.NoError(t, r.turn())
	}
	for _, junk := range [][]byte{nil, {9}, {transferBegin}, {transferPart, 1}, {transferWants}, {transferResult, 1, 1}, begin} {
		send(junk)
	}
	require.Nil(t, r.receiving)

	b := appendNumbers([]byte{transferBegin}, 1, uint64(len(image)))
	send(appendMessage(b, m))
	require.NotNil(t, r.receiving)
	send(appendBytes(appendNumbers([]byte{transferPart}, 1, 5), image)) // not at the end of what is there
	require.Zero(t, r.receiving.off)
	send(appendBytes(appendNumbers([]byte{transferPart}, 1, 0), image))
	require.Nil(t, r.receiving)
	require.Equal(t, []byte{transferResult, 1, 0}, out.frames[len(out.frames)-1].Payload, "an image of another cluster is refused")
	require.Equal(t, uint64(bootstrapIndex), r.core.state.applied)
	names, err := r.disk.fs.List(r.disk.dir)
	require.NoError(t, err)
	require.Empty(t, names)
}

func appendNumbers(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func TestOldEntriesAreReadFromTheDisk(t *testing.T) {
	fs := wal.NewMemFS()
	change := func(c *Config) {
		c.SnapshotEntries, c.CatchUpEntries, c.CatchUpSizeBytes = 1<<20, 1<<20, 1<<20
		c.SegmentSizeBytes = 32 << 10
	}
	r := testReplica(t, fs, change)
	r.writeSome(t, 1000)
	check := func(log *raftLog) {
		t.Helper()
		require.Less(t, log.heldBytes, int64(256<<10))
		require.Greater(t, log.sizeBytes, 2*log.heldBytes)
		held := int64(0)
		for _, e := range log.entries {
			held += entrySize(e)
		}
		require.Equal(t, log.heldBytes, held)
		for _, sizeMax := range []uint64{0, 5000, 1 << 20} {
			for i := log.offset + 1; i <= log.last(); {
				entries, err := log.Entries(i, log.last()+1, sizeMax)
				require.NoError(t, err)
				require.NotEmpty(t, entries)
				for _, e := range entries {
					require.Equal(t, i, e.GetIndex())
					term, err := log.Term(i)
					require.NoError(t, err)
					require.Equal(t, term, e.GetTerm())
					require.Equal(t, log.marks[i-log.offset-1].size, entrySize(e))
					i++
				}
			}
		}
	}
	check(r.core.log)
	require.NoError(t, r.wal.Close())
	r = testReplica(t, fs, change)
	r.writeSome(t, 1)
	check(r.core.log)

	fs.Crash(rand.New(rand.NewPCG(1, 1)))
	_, err := r.core.log.Entries(r.core.log.offset+1, r.core.log.held, 0)
	require.ErrorIs(t, err, raft.ErrCompacted)
	require.ErrorContains(t, r.turn(), "read the log")
}

type snapshotCounter struct {
	Unobserved
	written atomic.Int64
}

func (c *snapshotCounter) SnapshotWritten(uint64, time.Duration, error) { c.written.Add(1) }

// Until a snapshot is recorded, the log is as long as before.
func TestSnapshotIsNotFollowedByAnother(t *testing.T) {
	var counter snapshotCounter
	s, err := Open(t.TempDir(), Config{SegmentSizeBytes: 64 << 10, SnapshotEntries: 50, Observer: &counter})
	require.NoError(t, err)
	defer s.Close()
	for i := range 60 {
		put(t, s, fmt.Sprint(i), "v")
	}
	require.Eventually(t, func() bool { return s.Status().SnapshotIndex > 0 }, 10*time.Second, time.Millisecond)
	cutting := make(chan bool, 1)
	require.True(t, s.node.call(func() { cutting <- s.node.replica.cutting }))
	require.False(t, <-cutting)
	require.Equal(t, int64(1), counter.written.Load())
}
