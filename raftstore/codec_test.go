package raftstore

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/stretchr/testify/require"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

func randomBytes(rng *rand.Rand) []byte {
	n := rng.IntN(6)
	if n == 0 {
		return nil
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func randomPut(rng *rand.Rand) *PutRequest {
	return &PutRequest{
		Key: randomBytes(rng), Value: randomBytes(rng), Lease: int64(rng.Uint64()),
		PrevKV: rng.IntN(2) == 0, IgnoreValue: rng.IntN(2) == 0, IgnoreLease: rng.IntN(2) == 0,
	}
}

func randomRange(rng *rand.Rand) *RangeOptions {
	return &RangeOptions{
		Key: randomBytes(rng), End: randomBytes(rng), Revision: int64(rng.Uint64()), Limit: int64(rng.IntN(9)),
		SortOrder: mvcc.SortOrder(rng.IntN(3)), SortTarget: mvcc.SortTarget(rng.IntN(5)),
		KeysOnly: rng.IntN(2) == 0, CountOnly: rng.IntN(2) == 0, Serializable: rng.IntN(2) == 0,
		MinModRevision: int64(rng.IntN(9)), MaxModRevision: -1, MinCreateRevision: 1 << 40, MaxCreateRevision: int64(rng.Uint64()),
	}
}

func randomOps(rng *rand.Rand, depth int) []Op {
	var ops []Op
	for range rng.IntN(4) {
		switch k := rng.IntN(4); {
		case k == 0:
			ops = append(ops, Op{Put: randomPut(rng)})
		case k == 1:
			ops = append(ops, Op{Delete: &DeleteRequest{Key: randomBytes(rng), End: randomBytes(rng), PrevKV: rng.IntN(2) == 0}})
		case k == 2 || depth == 0:
			ops = append(ops, Op{Range: randomRange(rng)})
		default:
			ops = append(ops, Op{Txn: randomTxn(rng, depth-1)})
		}
	}
	return ops
}

func randomTxn(rng *rand.Rand, depth int) *Txn {
	t := &Txn{Then: randomOps(rng, depth), Else: randomOps(rng, depth)}
	for range rng.IntN(3) {
		t.If = append(t.If, Compare{
			Target: mvcc.CompareTarget(rng.IntN(5)), Operator: mvcc.CompareOperator(rng.IntN(4)),
			Key: randomBytes(rng), End: randomBytes(rng), Value: randomBytes(rng), Number: int64(rng.Uint64()),
		})
	}
	return t
}

func TestCommandsSurviveTheCodec(t *testing.T) {
	var slab txnSlab
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		txn := randomTxn(rng, 3)
		r := reader{b: appendTxn(nil, txn)}
		require.Equal(t, *txn, r.txn(0))
		slabbed := reader{b: appendTxn(nil, txn), slab: &slab}
		require.Equal(t, *txn, slabbed.txn(0))
		slab.reset()
		require.NoError(t, r.end(commandTxn))

		p := randomPut(rng)
		r = reader{b: appendPut(nil, p)}
		require.Equal(t, *p, r.put())
		require.NoError(t, r.end(commandPut))
	}
}

// Whatever passes validation can be decoded where it is applied, however deep.
func TestValidTransactionsAreNeverTooDeep(t *testing.T) {
	txn := &Txn{Then: []Op{{Put: &PutRequest{Key: []byte("k")}}}}
	for depth := 1; ; depth++ {
		if mvcc.Validate(txn, mvcc.Limits{}) != nil {
			require.Greater(t, depth, 3)
			return
		}
		r := reader{b: appendTxn(nil, txn)}
		r.txn(0)
		require.NoError(t, r.end(commandTxn), "depth %d", depth)
		txn = &Txn{Then: []Op{{Txn: txn}}}
	}
}

func sampleMessages() []*pb.Message {
	entry := func(term, index uint64, data []byte) *pb.Entry {
		return &pb.Entry{Term: &term, Index: &index, Type: pb.EntryNormal.Enum(), Data: data}
	}
	h := entryHeader{origin: 2, boot: 1, sequence: 9, floor: 4, count: 1, commands: appendCommand(nil, commandPut, appendPut(nil, &PutRequest{Key: []byte("k")}))}
	return []*pb.Message{
		{Type: pb.MsgHeartbeat.Enum(), To: new(uint64(1)), From: new(uint64(2)), Term: new(uint64(5)), Commit: new(uint64(77)), Context: []byte("01234567")},
		{Type: pb.MsgAppResp.Enum(), To: new(uint64(1)), From: new(uint64(2)), Term: new(uint64(5)), Index: new(uint64(8)), Reject: new(true), RejectHint: new(uint64(3)), LogTerm: new(uint64(4))},
		{Type: pb.MsgApp.Enum(), To: new(uint64(1)), From: new(uint64(2)), Term: new(uint64(5)), Index: new(uint64(8)), LogTerm: new(uint64(4)),
			Entries: []*pb.Entry{entry(4, 9, nil), entry(5, 10, []byte("data"))}},
		{Type: pb.MsgProp.Enum(), To: new(uint64(1)), From: new(uint64(2)), Entries: []*pb.Entry{entry(0, 0, h.append(nil))}},
		{Type: pb.MsgSnap.Enum(), To: new(uint64(1)), From: new(uint64(2)), Term: new(uint64(5)), Snapshot: &pb.Snapshot{Metadata: &pb.SnapshotMetadata{
			Index: new(uint64(100)), Term: new(uint64(4)), ConfState: &pb.ConfState{Voters: []uint64{1, 2}, Learners: []uint64{3}, VotersOutgoing: []uint64{4}, LearnersNext: []uint64{5}, AutoLeave: new(true)}}}},
	}
}

func TestMessagesSurviveTheCodec(t *testing.T) {
	for _, m := range sampleMessages() {
		got, err := decodeMessage(appendMessage(nil, m), m.GetFrom())
		require.NoError(t, err)
		require.Equal(t, appendMessage(nil, m), appendMessage(nil, got))
		require.Equal(t, m.GetType(), got.GetType())
		require.Equal(t, m.GetReject(), got.GetReject())
		require.Len(t, got.Entries, len(m.Entries))
		if m.Snapshot != nil {
			require.True(t, proto.Equal(m.Snapshot, got.Snapshot))
		}
	}
}

func TestMessagesThatRaftWouldPanicOnAreRefused(t *testing.T) {
	for name, change := range map[string]func(m *pb.Message){
		"local type":          func(m *pb.Message) { m.Type = pb.MsgHup.Enum() },
		"storage type":        func(m *pb.Message) { m.Type = pb.MsgStorageAppend.Enum() },
		"unknown type":        func(m *pb.Message) { m.Type = pb.MessageType(99).Enum() },
		"another sender":      func(m *pb.Message) { m.From = new(uint64(3)) },
		"gap":                 func(m *pb.Message) { m.Entries[1].Index = new(uint64(12)) },
		"falling term":        func(m *pb.Message) { m.Entries[1].Term = new(uint64(3)) },
		"term of the future":  func(m *pb.Message) { m.Entries[1].Term = new(uint64(6)) },
		"proposal of junk":    func(m *pb.Message) { m.Type = pb.MsgProp.Enum() },
		"empty proposal":      func(m *pb.Message) { m.Type, m.Entries = pb.MsgProp.Enum(), nil },
		"old conf change":     func(m *pb.Message) { m.Type, m.Entries[0].Type = pb.MsgProp.Enum(), pb.EntryConfChange.Enum() },
		"snapshot of nothing": func(m *pb.Message) { m.Type = pb.MsgSnap.Enum() },
		"read of two":         func(m *pb.Message) { m.Type = pb.MsgReadIndex.Enum() },
		"short context":       func(m *pb.Message) { m.Type, m.Context = pb.MsgHeartbeatResp.Enum(), []byte("x") },
	} {
		m := sampleMessages()[2]
		change(m)
		_, err := decodeMessage(appendMessage(nil, m), 2)
		require.ErrorIs(t, err, errMalformed, name)
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range sampleMessages() {
		f.Add(appendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b, 2)
		if err != nil {
			require.ErrorIs(t, err, errMalformed)
			return
		}
		again, err := decodeMessage(appendMessage(nil, m), 2)
		require.NoError(t, err)
		require.True(t, proto.Equal(m, again) || m.GetType() == pb.MsgProp)
	})
}

// FuzzExecute applies arbitrary entries to two machines: no panic, and both agree.
func FuzzExecute(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 3))
	for sequence := range uint64(8) {
		h := entryHeader{origin: 1, boot: 1, sequence: sequence + 1, floor: 1, count: 3}
		h.commands = appendCommand(nil, commandPut, appendPut(nil, &PutRequest{Key: []byte("k"), Value: randomBytes(rng)}))
		h.commands = appendCommand(h.commands, commandTxn, appendTxn(nil, randomTxn(rng, 2)))
		h.commands = appendCommand(h.commands, commandCompact, appendVarint(nil, int64(sequence)))
		f.Add(h.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var hashes [2]uint64
		for i := range hashes {
			c := &core{id: 1, boot: 9, state: newMachine([]Member{{ID: 1}}), writes: writeQueue{batches: map[uint64]*batch{}, next: 1}}
			c.applyCommands(&pb.Entry{Data: b})
			c.applyCommands(&pb.Entry{Data: b}) // an entry applies once
			hashes[i] = c.state.store.Hash()
			require.LessOrEqual(t, c.state.store.Revision(), int64(1+bytes.Count(b, nil)))
		}
		require.Equal(t, hashes[0], hashes[1])
	})
}

func TestEntriesApplyAtMostOnce(t *testing.T) {
	m := newMachine([]Member{{ID: 1}})
	admit := func(boot, sequence, floor uint64) bool {
		return m.admit(&entryHeader{origin: 1, boot: boot, sequence: sequence, floor: floor})
	}
	require.True(t, admit(1, 1, 1))
	require.False(t, admit(1, 1, 1), "sent twice")
	require.True(t, admit(1, 3, 1), "out of order")
	require.True(t, admit(1, 2, 1))
	require.False(t, admit(1, 3, 1))
	require.True(t, admit(1, 5, 5), "the origin knows what became of 4")
	require.False(t, admit(1, 4, 1), "which may therefore not apply any more")
	require.True(t, admit(2, 1, 1), "a new start counts anew")
	require.False(t, admit(1, 6, 5), "and ends the old one")
	require.False(t, admit(2, 1, 1))
	m.removed[1] = true
	require.False(t, admit(2, 2, 1), "a member that was removed writes nothing")
}

// FuzzTxn decodes arbitrary bytes as a transaction: what is accepted is bounded by what
// was sent, and comes back from its own encoding.
func FuzzTxn(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 5))
	for range 8 {
		f.Add(appendTxn(nil, randomTxn(rng, 3)))
	}
	deep := []byte{0, 0, 0}
	for range 2 * txnDepthMax {
		deep = append(append([]byte{0, 1, opTxn}, deep...), 0)
	}
	f.Add(deep)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := reader{b: b}
		txn := r.txn(0)
		if r.end(commandTxn) != nil {
			return
		}
		encoded := appendTxn(nil, &txn)
		require.LessOrEqual(t, len(encoded), len(b), "numbers may be longer than they need to be, nothing else")
		again := reader{b: encoded}
		require.Equal(t, txn, again.txn(0))
		require.NoError(t, again.end(commandTxn))
		if mvcc.Validate(&txn, mvcc.Limits{}) == nil {
			_, _ = mvcc.New().Apply(&txn)
		}
	})
}
