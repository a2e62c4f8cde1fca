package etcdapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/orchcore/orchcore/raftstore"
)

func TestMembers(t *testing.T) {
	c := newCluster(t, 3, nil)
	leader := c.leader()
	client, ctx := c.client(leader), c.ctx()
	list := c.announced(client)
	require.Len(t, list.Members, 3)
	for i, m := range list.Members {
		id := uint64(i + 1)
		require.Equal(t, id, m.ID)
		require.Equal(t, fmt.Sprint("m", id), m.Name)
		require.Equal(t, []string{"http://" + c.clients[id]}, m.ClientURLs)
		require.Equal(t, []string{"http://" + c.members[i].Address}, m.PeerURLs)
	}
	require.NoError(t, client.Sync(ctx))
	require.Len(t, client.Endpoints(), 3)

	client = c.client(leader%3 + 1) // whoever is asked
	_, err := client.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:1", "http://127.0.0.1:2"})
	require.ErrorIs(t, err, rpctypes.ErrMemberBadURLs)
	_, err = client.MemberAddAsLearner(ctx, []string{"http://" + c.members[0].Address})
	require.ErrorIs(t, err, rpctypes.ErrPeerURLExist)

	peer, clients := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	added, err := client.MemberAddAsLearner(ctx, []string{"http://" + peer.Addr().String()})
	require.NoError(t, err)
	require.True(t, added.Member.IsLearner)
	require.Len(t, added.Members, 4)
	_, err = client.MemberAddAsLearner(ctx, []string{"http://127.0.0.1:2"})
	require.ErrorIs(t, err, rpctypes.ErrTooManyLearners)
	id := added.Member.ID
	store, err := raftstore.Open(filepath.Join(c.dir, "new"), raftstore.Config{
		ID: id, Members: append(c.members, raftstore.Member{ID: id, Address: peer.Addr().String()}), Listener: peer,
		Join: true, ClusterID: c.nodes[1].store.ClusterID(), TickInterval: tick, ElectionTicks: 15, SegmentSizeBytes: 1 << 20,
	})
	require.NoError(t, err)
	defer store.Close()
	server, err := New(store, Config{})
	require.NoError(t, err)
	defer server.Close()
	go func() { _ = server.Serve(clients) }()
	learner := newClient(t, nil, clients.Addr().String())
	require.Eventually(t, func() bool { return store.Leadership().Learner && store.Leadership().Leader != 0 }, 10*time.Second, tick)
	_, err = pb.NewKVClient(learner.ActiveConnection()).Range(ctx, &pb.RangeRequest{Key: []byte("a")})
	require.ErrorContains(t, err, "rpc not supported for learner")
	_, err = learner.Get(ctx, "a", clientv3.WithSerializable())
	require.NoError(t, err)
	st, err := learner.Status(ctx, clients.Addr().String())
	require.NoError(t, err)
	require.True(t, st.IsLearner)

	c.announced(client)
	require.Eventually(t, func() bool {
		_, err = client.MemberPromote(ctx, id)
		return err == nil
	}, 10*time.Second, 20*time.Millisecond)
	_, err = client.MemberPromote(ctx, id)
	require.ErrorIs(t, err, rpctypes.ErrMemberNotLearner)
	removed, err := client.MemberRemove(ctx, id)
	require.NoError(t, err)
	require.Len(t, removed.Members, 3)
	_, err = client.MemberRemove(ctx, id)
	require.ErrorIs(t, err, rpctypes.ErrMemberNotFound)
}

func TestMaintenance(t *testing.T) {
	c := newCluster(t, 3, nil)
	client, ctx := c.client(), c.ctx()
	empty, err := client.Status(ctx, c.clients[1])
	require.NoError(t, err)
	require.Positive(t, empty.DbSize, "etcdctl divides by it")
	_, err = client.Put(ctx, "a", "v")
	require.NoError(t, err)
	leader := c.leader()
	hashes := map[uint32]bool{}
	for id, address := range c.clients {
		require.Eventually(t, func() bool { return c.nodes[id].store.Revision() == 2 }, 10*time.Second, tick)
		st, err := client.Status(ctx, address)
		require.NoError(t, err)
		require.Equal(t, leader, st.Leader)
		require.Equal(t, "3.7.3", st.Version)
		require.Equal(t, id, st.Header.MemberId)
		require.Equal(t, int64(2), st.Header.Revision)
		require.NotZero(t, st.RaftAppliedIndex)
		require.Positive(t, st.DbSize)
		require.Positive(t, st.DbSizeQuota)
		require.Empty(t, st.Errors)
		h, err := client.HashKV(ctx, address, 2)
		require.NoError(t, err)
		require.Equal(t, int64(2), h.HashRevision)
		hashes[h.Hash] = true
		_, err = client.HashKV(ctx, address, 9)
		require.ErrorIs(t, err, rpctypes.ErrFutureRev)
		_, err = client.Defragment(ctx, address)
		require.NoError(t, err)
	}
	require.Len(t, hashes, 1, "members differ")

	other := leader%3 + 1
	_, err = c.client(other).MoveLeader(ctx, other)
	require.ErrorIs(t, err, rpctypes.ErrNotLeader)
	_, err = c.client(leader).MoveLeader(ctx, 77)
	require.ErrorIs(t, err, rpctypes.ErrBadLeaderTransferee)
	_, err = c.client(leader).MoveLeader(ctx, other)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.nodes[1].store.Leadership().Leader == other }, 10*time.Second, tick)

	_, err = client.Downgrade(ctx, clientv3.DowngradeEnable, "3.6")
	require.ErrorIs(t, err, rpctypes.ErrInvalidDowngradeTargetVersion)
	_, err = client.AuthEnable(ctx)
	require.ErrorContains(t, err, "not capable")
	auth, err := client.AuthStatus(ctx)
	require.NoError(t, err)
	require.False(t, auth.Enabled)
	h, err := healthpb.NewHealthClient(client.ActiveConnection()).Check(ctx, &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, healthpb.HealthCheckResponse_SERVING, h.Status)
}

// A client with a name and a password goes on without, as with etcd.
func TestPassword(t *testing.T) {
	c := newCluster(t, 1, nil)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{c.clients[1]}, Username: "u", Password: "p", Logger: zap.NewNop()})
	require.NoError(t, err)
	defer client.Close()
	_, err = client.Put(c.ctx(), "a", "v")
	require.NoError(t, err)
}

func TestAlarms(t *testing.T) {
	c := newCluster(t, 3, nil)
	client, ctx := c.client(), c.ctx()
	raw := pb.NewMaintenanceClient(client.ActiveConnection())
	_, err := raw.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 2, Alarm: pb.AlarmType_NOSPACE})
	require.NoError(t, err)
	_, err = client.Put(ctx, "a", "v")
	require.ErrorIs(t, err, rpctypes.ErrNoSpace)
	_, err = client.Delete(ctx, "a")
	require.NoError(t, err)
	list, err := client.AlarmList(ctx)
	require.NoError(t, err)
	require.Len(t, list.Alarms, 1)
	require.Equal(t, uint64(2), list.Alarms[0].MemberID)
	code, body := ask(t, c.nodes[1].server, "/health")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "ALARM NOSPACE")
	code, _ = ask(t, c.nodes[1].server, "/health?exclude=NOSPACE")
	require.Equal(t, http.StatusOK, code)
	_, err = client.AlarmDisarm(ctx, &clientv3.AlarmMember{}) // all
	require.NoError(t, err)
	_, err = client.Put(ctx, "a", "v")
	require.NoError(t, err)
	_, err = raw.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 2, Alarm: 77})
	require.ErrorContains(t, err, "Type")
}

func ask(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	r := httptest.NewRecorder()
	s.Handler().ServeHTTP(r, httptest.NewRequest("GET", path, nil))
	body, err := io.ReadAll(r.Result().Body)
	require.NoError(t, err)
	return r.Code, string(body)
}

func TestHealth(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.RequestTimeout = 300 * time.Millisecond })
	for _, path := range []string{"/health", "/livez", "/readyz", "/version"} {
		code, body := ask(t, c.nodes[1].server, path)
		require.Equal(t, http.StatusOK, code, "%s: %s", path, body)
	}
	_, body := ask(t, c.nodes[1].server, "/readyz?verbose")
	require.Contains(t, body, "[+]linearizable_read ok\n")
	c.kill(2)
	c.kill(3)
	require.Eventually(t, func() bool { return c.nodes[1].store.Leadership().Leader == 0 }, 10*time.Second, tick)
	code, body := ask(t, c.nodes[1].server, "/health")
	require.Equal(t, http.StatusServiceUnavailable, code)
	var h struct{ Health, Reason string }
	require.NoError(t, json.Unmarshal([]byte(body), &h))
	require.Equal(t, "RAFT NO LEADER", h.Reason)
	code, _ = ask(t, c.nodes[1].server, "/livez")
	require.Equal(t, http.StatusOK, code)
	code, body = ask(t, c.nodes[1].server, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "[-]linearizable_read failed")
	code, _ = ask(t, c.nodes[1].server, "/readyz?exclude=linearizable_read")
	require.Equal(t, http.StatusOK, code)
}

// etcd's client saves a snapshot, and a new cluster is founded from the file.
func TestSnapshot(t *testing.T) {
	c := newCluster(t, 1, nil)
	client, ctx := c.client(), c.ctx()
	for i := range 500 {
		_, err := client.Put(ctx, fmt.Sprint("k", i), strings.Repeat("v", 300))
		require.NoError(t, err)
	}
	file := filepath.Join(t.TempDir(), "snapshot")
	_, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), clientv3.Config{Endpoints: []string{c.clients[1]}}, file)
	require.NoError(t, err)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, broken := range [][]byte{nil, text[1:], text[:len(text)-1], text[:len(text)-512], append([]byte{1}, text[1:]...)} {
		_, err := OpenSnapshot(bytes.NewReader(broken), int64(len(broken)))
		require.ErrorIs(t, err, ErrCorruptSnapshot)
	}
	backup, err := OpenSnapshot(bytes.NewReader(text), int64(len(text)))
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, raftstore.Restore(backup, dir, raftstore.Config{}, raftstore.RestoreOptions{}))
	store, err := raftstore.Open(dir, raftstore.Config{})
	require.NoError(t, err)
	defer store.Close()
	r, err := store.Range(context.Background(), raftstore.RangeOptions{Key: []byte("k"), End: []byte("l")})
	require.NoError(t, err)
	require.Equal(t, int64(500), r.Count)
	require.Equal(t, int64(501), r.Revision)
}
