package raftstore

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
)

// receiver is a follower that is sent snapshots by hand, and whose background work waits
// until it is told to begin.
type receiver struct {
	*replica
	t       *testing.T
	out     *collector
	waiting []func()
}

func newReceiver(t *testing.T, term uint64) *receiver {
	r := &receiver{t: t, out: &collector{}}
	r.replica = testReplica(t, wal.NewMemFS(), func(c *Config) {
		c.ID, c.Members = 1, []Member{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}
	})
	r.net = r.out
	r.background = func(work, done func()) {
		r.waiting = append(r.waiting, func() { work(); done() })
	}
	r.core.step(&pb.Message{Type: pb.MsgHeartbeat.Enum(), To: new(uint64(1)), From: new(uint64(2)), Term: new(term)})
	r.settle()
	return r
}

// settle runs what waits and a turn, until nothing is left to do.
func (r *receiver) settle() {
	require.NoError(r.t, r.turn())
	for len(r.waiting) > 0 {
		next := r.waiting[0]
		r.waiting = r.waiting[1:]
		next()
		require.NoError(r.t, r.turn())
	}
}

// send sends a whole snapshot as the leader of a term.
func (r *receiver) send(id, term uint64) {
	state := testMachine(r.t)
	var image bytes.Buffer
	require.NoError(r.t, state.cut(r.clusterID).writeTo(&image))
	m := &pb.Message{Type: pb.MsgSnap.Enum(), To: new(uint64(1)), From: new(uint64(2)), Term: new(term), Snapshot: &pb.Snapshot{
		Metadata: &pb.SnapshotMetadata{Index: new(state.applied), Term: new(state.term), ConfState: state.conf}}}
	frame := func(payload []byte) {
		r.receive(transport.Frame{From: 2, Lane: transport.LaneSnapshot, Payload: payload})
		require.NoError(r.t, r.turn())
	}
	frame(appendMessage(appendNumbers([]byte{transferBegin}, id, uint64(image.Len())), m))
	frame(appendBytes(appendNumbers([]byte{transferPart}, id, 0), image.Bytes()))
}

// results are the ends that the sender was told of: transfer and success.
func (r *receiver) results() (ends [][2]uint64) {
	for _, f := range r.out.frames {
		if rd := (reader{b: f.Payload}); f.Lane == transport.LaneSnapshot && rd.byte() == transferResult {
			ends = append(ends, [2]uint64{rd.uvarint(), rd.uvarint()})
		}
	}
	return ends
}

// A second snapshot that comes while the first one is verified does not take its place
// (etcd #18055).
func TestASnapshotIsNotOvertakenByTheNext(t *testing.T) {
	r := newReceiver(t, 9)
	r.send(1, 9)
	require.True(t, r.receiving.verifying)
	r.send(2, 9)
	require.Equal(t, uint64(1), r.receiving.id)
	r.settle()
	require.Equal(t, [][2]uint64{{1, 1}}, r.results())
	require.Equal(t, uint64(77), r.core.state.applied)
}

// A snapshot that Raft does not want, since its sender leads no more, is let go of, and
// the sender hears of it: it would wait for long otherwise.
func TestASnapshotThatIsNotWantedIsAnswered(t *testing.T) {
	r := newReceiver(t, 9)
	r.send(1, 8)
	r.settle()
	require.Equal(t, [][2]uint64{{1, 0}}, r.results())
	require.Equal(t, uint64(bootstrapIndex), r.core.state.applied)
	names, err := r.disk.fs.List(r.disk.dir)
	require.NoError(t, err)
	require.Empty(t, names)
	r.send(2, 9)
	r.settle()
	require.Equal(t, [][2]uint64{{1, 0}, {2, 1}}, r.results())
	require.Equal(t, uint64(77), r.core.state.applied)
}

// A snapshot that was received is on the disk under its name before the log says so: a
// crash in between leaves a file too many, never a record of one that is not there.
func TestASnapshotHasItsNameBeforeItsRecord(t *testing.T) {
	r := newReceiver(t, 9)
	var syncs []string
	r.disk.fs.(*wal.MemFS).Fault = func(op wal.Op, name string) error {
		if op != wal.OpWrite {
			syncs = append(syncs, filepath.Base(name))
		}
		return nil
	}
	r.send(1, 9)
	r.settle()
	require.Equal(t, uint64(77), r.core.state.applied)
	require.Equal(t, []string{"recv-1.tmp", "snap", "next-1.tmp"}, syncs, "the last one is the log, as it was called when it was made")
}

// What a proposer should have refused is refused by everybody when it is applied: Raft
// itself would panic.
func TestChangesAreCheckedWhenTheyAreApplied(t *testing.T) {
	r := testReplica(t, wal.NewMemFS(), nil)
	r.writeSome(t, 1)
	for _, changes := range [][]memberChange{
		{{kind: memberRemove, id: r.id}},
		{{kind: memberRemove, id: 77}},
		{{kind: memberPromote, id: r.id}},
		{{kind: memberAddLearner, id: r.id, address: "a:1"}},
	} {
		q := &request{kind: commandMembers, body: appendChanges(nil, changes), done: make(chan struct{}, 1)}
		r.core.write(q)
		require.NoError(t, r.turn())
		require.NoError(t, r.turn())
		require.Error(t, q.result.err, "%v", changes)
		require.Equal(t, []uint64{r.id}, r.core.state.conf.GetVoters())
	}
	r.writeSome(t, 1)
}
