package raftstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/raftstore/wal"
)

// A learner that was removed while it was cut off hears of it afterwards, although it
// never stops believing in the leader it knew.
func TestSimRemovedLearnerIsTold(t *testing.T) {
	w, leader, _ := leaseWorld(t, 1)
	w.until(w.now+time.Second, func() bool { return false })
	o := &w.operator
	o.init(w)
	o.id, o.like = leader.replica.clusterID, leader.cfg
	o.ask(leader, func(err error) {
		if err == nil {
			o.join(10)
		}
	}, memberChange{memberAddLearner, 10, "sim:10"})
	following := func() bool {
		return len(w.nodes) == 4 && w.nodes[3].replica.core.leader == leader.id &&
			w.nodes[3].replica.core.state.applied == leader.replica.core.state.applied
	}
	if !w.until(w.now+10*time.Second, following) {
		w.fatal("the learner does not follow")
	}
	learner := w.nodes[3]
	w.cutOff(learner)
	o.ask(leader, nil, memberChange{kind: memberRemove, id: 10})
	if !w.until(w.now+10*time.Second, func() bool { return leader.replica.core.state.removed[10] }) {
		w.fatal("the learner is not removed")
	}
	w.until(w.now+time.Second, func() bool { return false })
	w.net.Heal()
	if !w.until(w.now+30*time.Second, func() bool { return learner.gone }) {
		w.fatal("member 10 was removed, and waits: %s", w.describe())
	}
}

// A removed member ends when a quorum of the voters that it is told of says so, whoever
// tells it first: until then those who do not know yet may need its vote.
func TestRemovedMemberWaitsForAQuorum(t *testing.T) {
	r := testReplica(t, wal.NewMemFS(), func(c *Config) {
		c.ID, c.Members = 1, []Member{{1, "a:1"}, {2, "b:1"}, {3, "c:1"}}
	})
	notice := appendMembers(nil, []Member{{2, "b:1"}, {3, "c:1"}, {4, "d:1"}})
	for _, by := range []uint64{2, 2, 9} { // the last one is no voter
		r.toldRemoved(by, notice)
		require.NoError(t, r.turn(), "told by member %d", by)
	}
	require.Contains(t, r.acquaintances(), uint64(4), "whoever has come later may know, too")
	r.toldRemoved(4, notice)
	require.ErrorIs(t, r.turn(), ErrRemoved)

	// One that was removed before anything has reached it asks whom it was configured with.
	r = testReplica(t, wal.NewMemFS(), func(c *Config) {
		c.ID, c.Join, c.ClusterID, c.Members = 4, true, 7, []Member{{2, "b:1"}, {3, "c:1"}, {4, "d:1"}}
	})
	require.Empty(t, r.core.state.members)
	require.Equal(t, []uint64{2, 3}, r.acquaintances())
}
