package raftstore

import (
	"testing"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/raft/v3/raftpb"
)

// An append without entries waits for the next one to the same member, which says more.
func TestNoticesGiveWayToAppends(t *testing.T) {
	notice := func(to, commit uint64) *pb.Message {
		return &pb.Message{Type: pb.MsgApp.Enum(), To: new(to), Commit: new(commit)}
	}
	r := &replica{}
	require.True(t, r.holdNotice(notice(2, 5)))
	require.True(t, r.holdNotice(notice(3, 5)))
	require.True(t, r.holdNotice(notice(2, 6)), "a newer one takes the place of an older one")
	require.Len(t, r.notices, 2)
	require.Equal(t, uint64(6), r.notices[0].GetCommit())

	entries := notice(2, 7)
	entries.Entries = []*pb.Entry{{}}
	require.False(t, r.holdNotice(entries), "entries never wait")
	require.True(t, r.holdsNotices())
	require.Equal(t, uint64(3), r.notices[0].GetTo(), "the other member still has to be told")
}
