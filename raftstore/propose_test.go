package raftstore

import (
	"testing"

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
