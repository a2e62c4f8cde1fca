package etcdapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/orchcore/orchcore/raftstore"
)

// memberSide is the cluster service of one of two clusters. Ids and addresses differ,
// so members have the names of their order of arrival here.
type memberSide struct {
	rpc   pb.ClusterClient
	ids   []uint64
	peers []string // of the founders
}

func newMemberSide(t *testing.T, conn *grpc.ClientConn) *memberSide {
	s := &memberSide{rpc: pb.NewClusterClient(conn)}
	require.Eventually(t, func() bool {
		list, err := s.rpc.MemberList(testContext(t), &pb.MemberListRequest{Linearizable: true})
		s.ids, s.peers = nil, nil
		if err != nil {
			return false
		}
		for _, m := range list.Members {
			if m.Name == "" {
				return false
			}
			s.ids, s.peers = append(s.ids, m.ID), append(s.peers, m.PeerURLs[0])
		}
		return len(s.ids) == 3
	}, 30*time.Second, tick)
	return s
}

// render lists members in the order of their arrival.
func (s *memberSide) render(list []*pb.Member) string {
	byID := map[uint64]*pb.Member{}
	for _, m := range list {
		byID[m.ID] = m
	}
	text := ""
	for i, id := range s.ids {
		m := byID[id]
		if m == nil {
			continue
		}
		peers := strings.Join(m.PeerURLs, ",")
		for k, p := range s.peers {
			peers = strings.ReplaceAll(peers, p, fmt.Sprint("peer-", k))
		}
		text += fmt.Sprintf("%d: named %v, %d client URLs, %s, learner %v\n", i, m.Name != "", len(m.ClientURLs), peers, m.IsLearner)
		delete(byID, id)
	}
	return text + fmt.Sprint(len(byID), " others")
}

// do makes one call and tells what came of it.
func (s *memberSide) do(ctx context.Context, step memberStep) string {
	id := uint64(77)
	if step.member < len(s.ids) {
		id = s.ids[step.member]
	}
	var urls []string
	for _, u := range step.urls {
		for k, p := range s.peers {
			u = strings.ReplaceAll(u, fmt.Sprint("peer-", k), p)
		}
		urls = append(urls, u)
	}
	var answer interface{ GetMembers() []*pb.Member }
	var err error
	switch step.kind {
	case "add":
		var added *pb.MemberAddResponse
		added, err = s.rpc.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: urls, IsLearner: step.learner})
		if err == nil {
			s.ids = append(s.ids, added.Member.ID)
			if text := s.render([]*pb.Member{added.Member}); !strings.Contains(s.render(added.Members), strings.TrimSuffix(text, "0 others")) {
				return "added " + text + " is not in the list"
			}
		}
		answer = added
	case "remove":
		answer, err = s.rpc.MemberRemove(ctx, &pb.MemberRemoveRequest{ID: id})
	case "promote":
		answer, err = s.rpc.MemberPromote(ctx, &pb.MemberPromoteRequest{ID: id})
	case "update":
		answer, err = s.rpc.MemberUpdate(ctx, &pb.MemberUpdateRequest{ID: id, PeerURLs: urls})
	}
	if err != nil {
		return fmt.Sprint(status.Code(err), ": ", status.Convert(err).Message())
	}
	return s.render(answer.GetMembers())
}

type memberStep struct {
	kind    string
	member  int // in order of arrival; 99 is unknown
	urls    []string
	learner bool
}

// TestMembersAreThoseOfEtcd gives the cluster services of etcd and of this server the
// same requests.
func TestMembersAreThoseOfEtcd(t *testing.T) {
	c := newCluster(t, 3, nil)
	hosts := startEtcds(t, 3, func(cfg *embed.Config) { cfg.TickMs, cfg.ElectionMs, cfg.UnsafeNoFsync = 10, 150, true })
	etcd := newMemberSide(t, newClient(t, nil, hosts[1]).ActiveConnection())
	ours := newMemberSide(t, c.client(2).ActiveConnection())
	u := func(urls ...string) []string { return urls }
	ctx := c.ctx()
	// etcd wants its members to have been connected for 5 s.
	require.Eventually(t, func() bool {
		r, err := etcd.rpc.MemberAdd(ctx, &pb.MemberAddRequest{PeerURLs: u("http://127.0.0.1:9"), IsLearner: true})
		if err != nil {
			return false
		}
		_, err = etcd.rpc.MemberRemove(ctx, &pb.MemberRemoveRequest{ID: r.Member.ID})
		return err == nil
	}, 30*time.Second, 200*time.Millisecond)
	for i, step := range []memberStep{
		{kind: "add"},
		{kind: "add", urls: u("127.0.0.1:1")},
		{kind: "add", urls: u("http://127.0.0.1")},
		{kind: "add", urls: u("http://127.0.0.1:1/path")},
		{kind: "add", urls: u("ftp://127.0.0.1:1")},
		{kind: "add", urls: u("peer-0")},
		{kind: "add", urls: u("peer-1"), learner: true},
		{kind: "promote", member: 99},
		{kind: "promote", member: 0},
		{kind: "remove", member: 99},
		{kind: "update", member: 99, urls: u("http://127.0.0.1:1")},
		{kind: "update", member: 1, urls: u("peer-0")},
		{kind: "update", member: 1, urls: u("peer-1")},
		{kind: "add", urls: u("http://127.0.0.1:1"), learner: true}, // 3
		{kind: "add", urls: u("http://127.0.0.1:2"), learner: true},
		{kind: "promote", member: 3},
		{kind: "update", member: 3, urls: u("http://127.0.0.1:3")},
		{kind: "remove", member: 3},
		{kind: "remove", member: 3},
		{kind: "promote", member: 3},
		{kind: "update", member: 3, urls: u("http://127.0.0.1:4")},
		// No address twice: etcd makes ids of them and the second.
		{kind: "add", urls: u("http://127.0.0.1:5")}, // 4
		{kind: "add", urls: u("http://127.0.0.1:6")}, // 5
		{kind: "add", urls: u("http://127.0.0.1:7")},
		{kind: "update", member: 4, urls: u("http://127.0.0.1:8")},
		{kind: "promote", member: 4},
		{kind: "remove", member: 0},
		{kind: "remove", member: 4},
		{kind: "remove", member: 5},
	} {
		want := etcd.do(ctx, step)
		require.Equal(t, want, ours.do(ctx, step), "step %d: %+v", i, step)
		t.Logf("%+v: %s", step, strings.SplitN(want, "\n", 2)[0])
	}
}

// A voter that is missing counts against those that are to come.
func TestMembersWithoutOneOfThem(t *testing.T) {
	c := newCluster(t, 3, nil)
	client := c.client(c.leader())
	c.announced(client)
	leader := c.leader()
	away, stays := leader%3+1, (leader+1)%3+1
	c.kill(away)
	client = c.client(leader)
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(c.nodes[leader].store.Status().Members, func(m raftstore.MemberStatus) bool {
			return m.ID == away && !m.Active
		})
	}, 10*time.Second, tick)
	_, err := client.MemberRemove(c.ctx(), stays)
	require.Equal(t, rpctypes.ErrUnhealthy, err)
	_, err = client.MemberAdd(c.ctx(), []string{"http://127.0.0.1:1"})
	require.Equal(t, rpctypes.ErrUnhealthy, err)
	_, err = client.MemberRemove(c.ctx(), away)
	require.NoError(t, err)
}

// A cluster grows from one member by voters, and one of them moves.
func TestMembersJoinAsVoters(t *testing.T) {
	c := newCluster(t, 1, nil)
	client, ctx := c.client(1), c.ctx()
	c.announced(client)
	peer, clients := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	added, err := client.MemberAdd(ctx, []string{"http://" + peer.Addr().String()})
	require.NoError(t, err)
	require.False(t, added.Member.IsLearner)
	require.Empty(t, added.Member.Name)
	c.join(added.Member.ID, peer, clients)
	_, err = client.Put(ctx, "a", "v") // needs both
	require.NoError(t, err)
	list := c.announced(client)
	require.Len(t, list.Members, 2)
	require.NoError(t, client.Sync(ctx))
	require.Len(t, client.Endpoints(), 2)

	id := added.Member.ID
	peer = listen(t, "127.0.0.1:0")
	_, err = client.MemberUpdate(ctx, id, []string{"http://" + peer.Addr().String()})
	require.NoError(t, err)
	c.kill(id)
	for i := range c.members {
		if c.members[i].ID == id {
			c.members[i].Address = peer.Addr().String()
		}
	}
	c.open(id, peer, listen(t, c.clients[id]))
	_, err = client.Put(ctx, "a", "w", clientv3.WithPrevKV())
	require.NoError(t, err)
}
