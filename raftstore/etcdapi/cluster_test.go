package etcdapi

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/orchcore/orchcore/raftstore"
)

const tick = 10 * time.Millisecond

// cluster is members of a store, each behind a server, on loopback.
type cluster struct {
	t       testing.TB
	dir     string
	members []raftstore.Member
	clients map[uint64]string // host:port
	nodes   map[uint64]*node
	joined  map[uint64]uint64 // the cluster that a member was added to
	change  func(*Config)
	tls     *tls.Config // of clients
}

type node struct {
	store  *raftstore.Store
	server *Server
	served chan error
}

// newCluster starts n members. change, if set, edits the config of each server.
func newCluster(t testing.TB, n int, change func(*Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), clients: map[uint64]string{}, nodes: map[uint64]*node{}, joined: map[uint64]uint64{}, change: change}
	t.Cleanup(c.close)
	peers, clients := map[uint64]net.Listener{}, map[uint64]net.Listener{}
	for i := range n {
		id := uint64(i + 1)
		peers[id], clients[id] = listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
		c.members = append(c.members, raftstore.Member{ID: id, Address: peers[id].Addr().String()})
		c.clients[id] = clients[id].Addr().String()
	}
	for _, m := range c.members {
		c.open(m.ID, peers[m.ID], clients[m.ID])
	}
	require.NoError(t, c.nodes[1].store.WaitReady(c.ctx()))
	return c
}

func listen(t testing.TB, address string) net.Listener {
	t.Helper()
	var l net.Listener
	require.Eventually(t, func() bool {
		var err error
		l, err = net.Listen("tcp", address)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond, "listen on %s", address)
	return l
}

func (c *cluster) open(id uint64, peers, clients net.Listener) {
	c.t.Helper()
	store, err := raftstore.Open(filepath.Join(c.dir, fmt.Sprint(id)), raftstore.Config{
		ID: id, Members: c.members, Listener: peers, Join: c.joined[id] != 0, ClusterID: c.joined[id],
		TickInterval: tick, ElectionTicks: 15, SegmentSizeBytes: 1 << 20,
	})
	require.NoError(c.t, err)
	cfg := Config{Name: fmt.Sprint("m", id), ClientURLs: []string{"http://" + c.clients[id]}, ElectionTimeout: 15 * tick}
	if c.change != nil {
		c.change(&cfg)
	}
	server, err := New(store, cfg)
	require.NoError(c.t, err)
	n := &node{store: store, server: server, served: make(chan error, 1)}
	go func() { n.served <- server.Serve(clients) }()
	c.nodes[id] = n
}

// join opens a member that was added.
func (c *cluster) join(id uint64, peers, clients net.Listener) {
	c.t.Helper()
	c.members = append(c.members, raftstore.Member{ID: id, Address: peers.Addr().String()})
	c.clients[id] = clients.Addr().String()
	c.joined[id] = c.nodes[1].store.ClusterID()
	c.open(id, peers, clients)
}

// restart opens a member again where it was.
func (c *cluster) restart(id uint64) {
	c.t.Helper()
	var peer string
	for _, m := range c.members {
		if m.ID == id {
			peer = m.Address
		}
	}
	c.open(id, listen(c.t, peer), listen(c.t, c.clients[id]))
}

// kill ends a member and its server without handing anything over.
func (c *cluster) kill(id uint64) {
	c.t.Helper()
	n := c.nodes[id]
	delete(c.nodes, id)
	abort := make(chan error, 1)
	go func() { abort <- n.store.Abort() }()
	n.server.Close()
	require.NoError(c.t, <-abort)
	require.NoError(c.t, <-n.served)
}

func (c *cluster) close() {
	for _, m := range c.members {
		if c.nodes[m.ID] != nil {
			c.kill(m.ID)
		}
	}
	noGoroutines(c.t)
}

// noGoroutines waits until nothing of the servers and stores is running.
func noGoroutines(t testing.TB) {
	t.Helper()
	buf := make([]byte, 1<<20)
	var stacks string
	ok := false
	for range 500 {
		stacks = string(buf[:runtime.Stack(buf, true)])
		if ok = !strings.Contains(stacks, "etcdapi.(*Server)") && !strings.Contains(stacks, "etcdapi.(*watchStream)") && !strings.Contains(stacks, "raftstore.(*node)"); ok {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	require.True(t, ok, "goroutines are left:\n%s", stacks)
}

// leader waits for a member that leads and returns its id.
func (c *cluster) leader() uint64 {
	c.t.Helper()
	var leader uint64
	require.Eventually(c.t, func() bool {
		for id, n := range c.nodes {
			if n.store.Leadership().Leader == id {
				leader = id
				return true
			}
		}
		return false
	}, 10*time.Second, 10*time.Millisecond, "no leader")
	return leader
}

// client connects to the given members, or to all.
func (c *cluster) client(ids ...uint64) *clientv3.Client {
	c.t.Helper()
	var endpoints []string
	for _, m := range c.members {
		if len(ids) == 0 {
			endpoints = append(endpoints, c.clients[m.ID])
		}
	}
	for _, id := range ids {
		endpoints = append(endpoints, c.clients[id])
	}
	return newClient(c.t, c.tls, endpoints...)
}

func newClient(t testing.TB, secure *tls.Config, endpoints ...string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: 10 * time.Second, Logger: zap.NewNop(), TLS: secure,
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// announced waits until all members have a name and returns the list.
func (c *cluster) announced(client *clientv3.Client) (list *clientv3.MemberListResponse) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		var err error
		list, err = client.MemberList(c.ctx())
		return err == nil && !slices.ContainsFunc(list.Members, func(m *pb.Member) bool { return m.Name == "" })
	}, 10*time.Second, tick)
	return list
}

func (c *cluster) ctx() context.Context { return testContext(c.t) }

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
