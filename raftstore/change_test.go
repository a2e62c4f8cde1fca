package raftstore

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// join adds a member to the cluster and opens it.
func (c *cluster) join(id uint64) *Store {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(c.t, err)
	m := Member{ID: id, Address: l.Addr().String()}
	lead := c.leader()
	require.NoError(c.t, lead.AddLearner(testContext(c.t), m))
	c.members = append(c.members, m)
	cfg := c.config(id)
	cfg.Listener, cfg.Join, cfg.ClusterID = l, true, lead.Status().ClusterID
	s, err := Open(filepath.Join(c.dir, fmt.Sprint(id)), cfg)
	require.NoError(c.t, err)
	c.stores[id] = s
	return s
}

func (c *cluster) drop(id uint64) {
	for i, m := range c.members {
		if m.ID == id {
			c.members = append(append([]Member{}, c.members[:i]...), c.members[i+1:]...)
			return
		}
	}
}

func (c *cluster) promote(id uint64) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		err := c.leader().Promote(testContext(c.t), id)
		if err != nil {
			require.ErrorIs(c.t, err, ErrNotApplied)
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond, "learner does not catch up")
}

func TestMembersComeAndGo(t *testing.T) {
	c := newCluster(t, 1, nil)
	for i := range 50 {
		put(t, c.stores[1], fmt.Sprintf("k%d", i), "v")
	}
	for id := uint64(2); id <= 4; id++ {
		s := c.join(id)
		require.Eventually(t, func() bool { return s.Status().Revision == 51 }, 20*time.Second, 5*time.Millisecond)
		require.Equal(t, "v", get(t, s, "k49"), "a learner reads linearizably")
		c.promote(id)
	}
	c.settled()
	require.Len(t, c.leader().Status().Members, 4)

	// The leader removes itself; the rest goes on.
	lead := c.leader()
	id := lead.Status().MemberID
	require.NoError(t, lead.RemoveMember(testContext(t), id))
	require.Eventually(t, func() bool { return lead.Err() != nil }, 20*time.Second, 5*time.Millisecond)
	require.ErrorIs(t, lead.Err(), ErrRemoved)
	_, err := lead.Put(testContext(t), PutRequest{Key: []byte("k")})
	require.ErrorIs(t, err, ErrRemoved)
	c.stop(id, (*Store).Close)
	c.drop(id)
	put(t, c.leader(), "after", "removal")
	c.settled()

	err = c.leader().AddLearner(testContext(t), Member{ID: id, Address: "127.0.0.1:1"})
	require.ErrorIs(t, err, ErrMembership, "an id is never used again")

	// All of it survives a restart.
	for _, m := range c.members {
		c.stop(m.ID, (*Store).Abort)
	}
	for _, m := range c.members {
		c.open(m.ID, nil)
	}
	require.Equal(t, "removal", get(t, c.stores[c.members[0].ID], "after"))
	require.Len(t, c.leader().Status().Members, 3)
}

func TestAMemberIsReplacedInOneStep(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.CatchUpEntries = 20, 5 })
	for i := range 60 {
		put(t, c.stores[1], fmt.Sprintf("k%d", i), "v")
	}
	old := c.leader().Status().MemberID%3 + 1
	s := c.join(9)
	require.Eventually(t, func() bool {
		err := c.leader().ReplaceMember(testContext(t), old, 9)
		if err != nil {
			require.ErrorIs(t, err, ErrLearnerNotReady)
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { return c.stores[old].Err() != nil }, 20*time.Second, 5*time.Millisecond)
	require.ErrorIs(t, c.stores[old].Err(), ErrRemoved)
	c.stop(old, (*Store).Close)
	c.drop(old)
	put(t, s, "new", "member")
	c.settled()
	for _, m := range c.leader().Status().Members {
		require.NotEqual(t, old, m.ID)
		require.False(t, m.Learner)
	}
}

func TestChangesThatWouldStopTheClusterAreRefused(t *testing.T) {
	c := newCluster(t, 3, nil)
	lead := c.leader()
	id := lead.Status().MemberID
	ctx := testContext(t)
	follower := c.stores[id%3+1]
	next := uint64(10)
	for name, s := range map[string]*Store{"leader": lead, "follower": follower} { // whoever is asked
		require.ErrorIs(t, s.RemoveMember(ctx, 77), ErrUnknownMember, name)
		require.ErrorIs(t, s.Promote(ctx, id), ErrMembership, name)
		require.ErrorIs(t, s.AddLearner(ctx, Member{ID: id, Address: "a:1"}), ErrMembership, name)
		require.ErrorIs(t, s.AddLearner(ctx, Member{ID: 8, Address: "nowhere"}), ErrMembership, name)
		require.ErrorIs(t, s.AddLearner(ctx, Member{Address: "a:1"}), ErrMembership, name)
		require.ErrorIs(t, s.AddVoter(ctx, Member{ID: 8, Address: c.members[0].Address}), ErrAddressTaken, name)
		require.ErrorIs(t, s.MoveMember(ctx, Member{ID: 77, Address: "a:1"}), ErrUnknownMember, name)
		require.ErrorIs(t, s.MoveMember(ctx, Member{ID: 1, Address: c.members[1].Address}), ErrAddressTaken, name)

		next++ // no id is ever used again
		require.NoError(t, s.AddLearner(ctx, Member{ID: next, Address: "127.0.0.1:1"}), name)
		require.ErrorIs(t, s.Promote(ctx, next), ErrLearnerNotReady, "nobody has ever heard of it")
		require.NoError(t, s.RemoveMember(ctx, next), name)
	}

	c.stop(id%3+1, (*Store).Abort)
	require.Eventually(t, func() bool {
		for _, m := range lead.Status().Members {
			if m.ID == id%3+1 {
				return !m.Active
			}
		}
		return false
	}, 20*time.Second, 5*time.Millisecond)
	err := lead.RemoveMember(ctx, (id+1)%3+1)
	require.ErrorIs(t, err, ErrMembership, "the other active voter must stay")
	require.ErrorIs(t, err, ErrUnhealthy)
	require.ErrorIs(t, lead.AddVoter(ctx, Member{ID: 20, Address: "127.0.0.1:2"}), ErrUnhealthy, "two of four are no quorum")
	require.NoError(t, lead.RemoveMember(ctx, id%3+1), "the silent one may go")
}

// The leader knows what the member has acknowledged; a new one only what it has written.
func TestAMemberThatLostItsDiskIsFound(t *testing.T) {
	for _, test := range []struct {
		name, found string
		change      func(*Config)
		newLeader   bool
	}{
		{"by a leader that knows it", "its acknowledgement", nil, false},
		{"by the log", "is in the log", nil, true},
		{"by the snapshot", "is in the log", func(cfg *Config) { cfg.SnapshotEntries, cfg.CatchUpEntries = 10, 1 }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, 3, test.change)
			lead := c.leader()
			id := lead.Status().MemberID%3 + 1
			for i := range 30 {
				put(t, c.stores[id], fmt.Sprintf("k%d", i), "v")
			}
			c.settled()
			c.stop(id, (*Store).Close)
			require.NoError(t, os.RemoveAll(filepath.Join(c.dir, fmt.Sprint(id))))
			if test.newLeader {
				require.NoError(t, lead.TransferLeadership(testContext(t), id%3+1))
			}
			put(t, c.leader(), "k", "v")
			s := c.open(id, nil)
			require.Eventually(t, func() bool { return s.Err() != nil }, 20*time.Second, 5*time.Millisecond)
			require.ErrorIs(t, s.Err(), ErrFailed)
			require.ErrorIs(t, s.Err(), ErrForgotten)
			require.ErrorContains(t, s.Err(), test.found)
			c.stop(id, (*Store).Close)
			put(t, c.leader(), "the others", "go on")

			_, err := Open(filepath.Join(c.dir, fmt.Sprint(id)), c.config(id))
			require.ErrorIs(t, err, ErrForgotten, "it is not tried again")
			require.ErrorContains(t, err, test.found)
		})
	}
}

// A voter may be added as one, and members move to other addresses, whatever their
// configs say.
func TestVotersJoinAndMembersMove(t *testing.T) {
	c := newCluster(t, 1, nil)
	put(t, c.stores[1], "a", "v")
	require.NoError(t, c.stores[1].Announce(testContext(t), "first"))
	tooLong := c.stores[1].Announce(testContext(t), strings.Repeat("x", AnnounceSizeMax+1))
	require.ErrorIs(t, tooLong, ErrRequestTooLarge)
	for id := uint64(2); id <= 3; id++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		m := Member{ID: id, Address: l.Addr().String()}
		require.NoError(t, c.stores[1].AddVoter(testContext(t), m))
		c.members = append(c.members, m)
		cfg := c.config(id)
		cfg.Listener, cfg.Join, cfg.ClusterID = l, true, c.stores[1].ClusterID()
		s, err := Open(filepath.Join(c.dir, fmt.Sprint(id)), cfg)
		require.NoError(t, err)
		c.stores[id] = s
		require.Equal(t, "v", get(t, s, "a"))
	}
	c.settled()

	moved := c.leader().Status().MemberID%3 + 1
	c.stop(moved, (*Store).Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, c.leader().MoveMember(testContext(t), Member{ID: moved, Address: address}))
	put(t, c.leader(), "b", "w")
	// Its own config has the old address, as those of the others have.
	c.open(moved, l)
	require.Equal(t, "w", get(t, c.stores[moved], "b"))
	for _, m := range c.members { // from the log, and from a snapshot
		c.stop(m.ID, (*Store).Abort)
	}
	for _, m := range c.members {
		var at net.Listener
		if m.ID == moved {
			at, err = net.Listen("tcp", address)
			require.NoError(t, err)
		}
		c.open(m.ID, at)
	}
	require.Equal(t, "w", get(t, c.stores[moved], "b"))
	status := c.stores[1].Status()
	require.Equal(t, address, status.Members[moved-1].Address)
	require.Equal(t, "first", status.Members[0].Info)

	c.members[moved-1].Address = address
	// A learner that moves stays one, whoever is asked, then and after a restart.
	require.NoError(t, c.leader().AddLearner(testContext(t), Member{ID: 4, Address: "127.0.0.1:1"}))
	require.NoError(t, c.stores[1].MoveMember(testContext(t), Member{ID: 4, Address: "127.0.0.1:2"}))
	c.settled()
	for range 2 {
		for _, m := range c.members {
			members := c.stores[m.ID].Status().Members
			require.Len(t, members, 4)
			require.True(t, members[3].Learner, "seen by member %d", m.ID)
			require.Equal(t, "127.0.0.1:2", members[3].Address)
			c.stop(m.ID, (*Store).Abort)
		}
		for _, m := range c.members {
			c.open(m.ID, nil)
		}
		put(t, c.leader(), "c", "x")
		c.settled()
	}
}

func TestQuorumTable(t *testing.T) {
	for n, want := range map[int][2]int{1: {1, 0}, 2: {2, 0}, 3: {2, 1}, 4: {3, 1}, 5: {3, 2}, 6: {4, 2}, 7: {4, 3}} {
		require.Equal(t, want, [2]int{Quorum(n), Tolerates(n)}, "%d voters", n)
	}
}
