package raftstore

import (
	"bytes"
	"testing"

	"github.com/orchcore/orchcore/raftstore/wal"
	"github.com/stretchr/testify/require"
	"go.etcd.io/raft/v3"
)

func TestWritesOfABusyLeaderWaitForCompany(t *testing.T) {
	c := &core{role: raft.StateLeader, writes: writeQueue{batches: map[uint64]*batch{}}}
	small := &request{kind: commandPut, body: make([]byte, 300)}
	c.writes.queue = []*request{small}
	for n := range uint64(openMax) {
		require.False(t, c.collecting(), "%d entries are open", n)
		c.writes.batches[n] = &batch{}
	}
	require.True(t, c.collecting())

	c.role = raft.StateFollower
	require.False(t, c.collecting(), "what a follower forwards may be lost, and would be waited for")
	c.role = raft.StateLeader

	for len(c.writes.queue) <= packSizeMax/len(small.body) {
		require.True(t, c.collecting())
		c.writes.queue = append(c.writes.queue, small)
	}
	require.False(t, c.collecting(), "a full pack has company enough")

	c.writes.queue = []*request{small}
	delete(c.writes.batches, 0)
	require.False(t, c.collecting(), "an entry is done")
}

// The buffer of proposals is used again: Raft must have a copy of its own.
func TestProposalsAreCopied(t *testing.T) {
	r := testReplica(t, wal.NewMemFS(), func(c *Config) { c.SnapshotEntries = 1000 })
	r.writeSome(t, 1)
	before := r.core.log.last()
	r.core.write(&request{kind: commandPut, body: appendPut(nil, &PutRequest{Key: []byte("k"), Value: []byte("value")}), done: make(chan struct{}, 1)})
	require.NoError(t, r.turn())
	require.NotEmpty(t, r.core.scratch)
	want := bytes.Clone(r.core.scratch)
	clear(r.core.scratch[:cap(r.core.scratch)])
	entries, err := r.core.log.Entries(before+1, r.core.log.last()+1, 1<<20)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, want, entries[0].Data)
	allocs := testing.AllocsPerRun(100, func() {
		r.core.proposal(&batch{sequence: 7, floor: 7, requests: []*request{{kind: commandPut, body: want}}})
	})
	require.LessOrEqual(t, allocs, 5.0, "Raft's status, and the batch of this test")
}
