package raftstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLeadershipFollowsStatus(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.leader()
	same := func() bool {
		for _, s := range c.stores {
			st, l := s.Status(), s.Leadership()
			if l != (Leadership{Term: st.Term, Leader: st.Leader}) || l.Leader == 0 || s.Revision() != st.Revision {
				return false
			}
			require.Equal(t, st.ClusterID, s.ClusterID())
			require.Equal(t, st.MemberID, s.MemberID())
		}
		return true
	}
	require.Eventually(t, same, 10*time.Second, 10*time.Millisecond)
	before := c.stores[1].Leadership()
	require.NoError(t, c.leader().TransferLeadership(testContext(t), 0))
	c.leader()
	require.Eventually(t, same, 10*time.Second, 10*time.Millisecond)
	require.Greater(t, c.stores[1].Leadership().Term, before.Term)
	require.Zero(t, testing.AllocsPerRun(100, func() { c.stores[1].Leadership() }))
}
