package raftstore

import (
	"testing"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	"github.com/stretchr/testify/require"
)

// What runs for every message and every write allocates nothing beyond what it
// returns.
func TestHotPathsAllocateNothing(t *testing.T) {
	messages := sampleMessages()
	var b []byte
	for _, m := range messages {
		b = appendMessage(b[:0], m)
		require.Zero(t, testing.AllocsPerRun(100, func() { b = appendMessage(b[:0], m) }), "encoding %v", m.GetType())
	}
	p := &PutRequest{Key: []byte("key"), Value: make([]byte, 256)}
	require.Zero(t, testing.AllocsPerRun(100, func() { b = appendPut(b[:0], p) }))

	heartbeat := appendMessage(nil, messages[0])
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if _, err := decodeMessage(heartbeat, 2); err != nil {
			t.Fatal(err)
		}
	}), 1.0, "a message is one allocation")
	appends := appendMessage(nil, messages[2])
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if _, err := decodeMessage(appends, 2); err != nil {
			t.Fatal(err)
		}
	}), 3.0, "its entries are two more, however many they are")

	m := newMachine([]Member{{ID: 1}})
	h := entryHeader{origin: 1, boot: 1, floor: 1}
	require.True(t, m.admit(&entryHeader{origin: 1, boot: 1, sequence: 1, floor: 1}))
	require.Zero(t, testing.AllocsPerRun(500, func() {
		h.sequence += 2
		h.floor = h.sequence
		if !m.admit(&h) {
			t.Fatal("refused")
		}
	}), "admitting an entry")
}

func TestLargeTransactionsAreDecodedInPlace(t *testing.T) {
	m := newMachine([]Member{{ID: 1}})
	var txn Txn
	for i := range 100 {
		txn.Then = append(txn.Then, Op{Put: &PutRequest{Key: []byte{'k', byte(i)}, Value: make([]byte, 256)}})
	}
	body := appendTxn(nil, &txn)
	require.NoError(t, mvcc.Validate(&txn, mvcc.Limits{}))
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = mvcc.Validate(&txn, mvcc.Limits{}) }))
	var out result
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { m.execute(commandTxn, body, &out) }), 3.0, "the results")
	require.NoError(t, out.err)
}

func TestRequestsAreReused(t *testing.T) {
	body := make([]byte, 300)
	allocs := testing.AllocsPerRun(1000, func() {
		r := newRequest(commandPut)
		r.body = append(r.body, body...)
		recycle(r)
	})
	require.Less(t, allocs, 1.0)
}
