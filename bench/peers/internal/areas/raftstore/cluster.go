package raftstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"

	"github.com/orchcore/orchcore/raftstore"
)

// Three members of each, in this process, over loopback TCP, with fsync.

const startTimeout = 60 * time.Second

// store is what a workload needs of a cluster: the calls go to its leader.
type store interface {
	put(ctx context.Context, key, value []byte) error
	// get returns the length of the value, which it reads linearizably.
	get(ctx context.Context, key []byte) (int, error)
	// count returns how many keys of a prefix it has read, with their values.
	count(ctx context.Context, prefix []byte) (int, error)
	// swap puts a value if the key's modification revision is still seen, and
	// returns the one that it has now.
	swap(ctx context.Context, key, value []byte, seen int64) (now int64, swapped bool, err error)
	// watch calls ready when it watches a prefix from now on, then event for each
	// event, until that returns false.
	watch(ctx context.Context, prefix []byte, ready func(), event func() bool) error
	revision(ctx context.Context) (int64, error)
}

// ourCluster is three members of raftstore.
type ourCluster struct {
	dir     string
	members []raftstore.Member
	stores  []*raftstore.Store
	leader  *raftstore.Store
	// written are the snapshots of each member, by place in members.
	written [3]snapshots
}

func openOurs() (*ourCluster, error) {
	dir, err := os.MkdirTemp("", "ratios-ours")
	if err != nil {
		return nil, err
	}
	c := &ourCluster{dir: dir}
	for id := range uint64(3) {
		u, err := freeURL()
		if err != nil {
			c.close()
			return nil, err
		}
		c.members = append(c.members, raftstore.Member{ID: id + 1, Address: u.Host})
	}
	if err := c.start(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// start opens the members at once and waits for a leader that serves reads.
func (c *ourCluster) start() error {
	stores := make([]*raftstore.Store, len(c.members))
	err := atOnce(len(c.members), func(i int) (err error) {
		m := c.members[i]
		stores[i], err = raftstore.Open(filepath.Join(c.dir, fmt.Sprint(m.ID)), raftstore.Config{ID: m.ID, Members: c.members, Observer: &c.written[i]})
		return err
	})
	c.stores = slices.DeleteFunc(stores, func(s *raftstore.Store) bool { return s == nil })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := c.stores[0].WaitReady(ctx); err != nil {
		return fmt.Errorf("our cluster does not start: %w", err)
	}
	leader := c.stores[0].Status().Leader
	if leader == 0 || leader > uint64(len(c.stores)) {
		return fmt.Errorf("our cluster has leader %d", leader)
	}
	c.leader = c.stores[leader-1]
	return nil
}

func (c *ourCluster) stop() {
	for _, s := range c.stores {
		_ = s.Close()
	}
	c.stores = nil
}

func (c *ourCluster) close() {
	c.stop()
	_ = os.RemoveAll(c.dir)
}

func (c *ourCluster) put(ctx context.Context, key, value []byte) error {
	_, err := c.leader.Put(ctx, raftstore.PutRequest{Key: key, Value: value})
	return err
}

func (c *ourCluster) get(ctx context.Context, key []byte) (int, error) {
	pair, _, err := raftstore.Get(ctx, c.leader, key)
	return len(pair.Value), err
}

func (c *ourCluster) count(ctx context.Context, prefix []byte) (int, error) {
	r, err := c.leader.Range(ctx, raftstore.RangeOptions{Key: prefix, End: raftstore.PrefixEnd(prefix)})
	return len(r.KVs), err
}

func (c *ourCluster) swap(ctx context.Context, key, value []byte, seen int64) (int64, bool, error) {
	r, err := c.leader.Txn(ctx, raftstore.Txn{
		If:   []raftstore.Compare{{Target: raftstore.CompareModRevision, Key: key, Number: seen}},
		Then: []raftstore.Op{{Put: &raftstore.PutRequest{Key: key, Value: value}}},
		Else: []raftstore.Op{{Range: &raftstore.RangeOptions{Key: key}}},
	})
	if err != nil || r.Succeeded {
		return r.Revision, r.Succeeded, err
	}
	return r.Results[0].Range.KVs[0].ModRevision, false, nil
}

func (c *ourCluster) watch(ctx context.Context, prefix []byte, ready func(), event func() bool) error {
	w, err := c.leader.Watch(ctx, raftstore.WatchOptions{Key: prefix, End: raftstore.PrefixEnd(prefix)})
	if err != nil {
		return err
	}
	defer w.Close()
	ready()
	for {
		batch, err := w.Next(ctx)
		if err != nil {
			return err
		}
		for range batch.Events {
			if !event() {
				return nil
			}
		}
	}
}

func (c *ourCluster) revision(context.Context) (int64, error) { return c.leader.Status().Revision, nil }

// etcdCluster is three members of etcd.
type etcdCluster struct {
	dir     string
	urls    [3]memberURLs
	members []*embed.Etcd
	leader  *embed.Etcd
}

type memberURLs struct{ peer, client url.URL }

func openEtcd() (*etcdCluster, error) {
	dir, err := os.MkdirTemp("", "ratios-etcd")
	if err != nil {
		return nil, err
	}
	c := &etcdCluster{dir: dir}
	for i := range c.urls {
		u := &c.urls[i]
		if u.peer, err = freeURL(); err == nil {
			u.client, err = freeURL()
		}
		if err != nil {
			c.close()
			return nil, err
		}
	}
	if err := c.start(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// atOnce runs open for 0 to n-1, each on a goroutine.
func atOnce(n int, open func(i int) error) error {
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = open(i) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// start opens the members at once and waits for a leader.
func (c *etcdCluster) start() error {
	configs := c.configs()
	members := make([]*embed.Etcd, len(configs))
	err := atOnce(len(configs), func(i int) (err error) {
		members[i], err = embed.StartEtcd(configs[i])
		return err
	})
	c.members = slices.DeleteFunc(members, func(e *embed.Etcd) bool { return e == nil })
	if err != nil {
		return err
	}
	for _, e := range c.members {
		select {
		case <-e.Server.ReadyNotify():
		case <-time.After(startTimeout):
			return errors.New("etcd does not start")
		}
	}
	for _, e := range c.members {
		if e.Server.Leader() == e.Server.MemberID() {
			c.leader = e
			return nil
		}
	}
	return errors.New("etcd has no leader")
}

// configs is etcd's own default configuration.
func (c *etcdCluster) configs() []*embed.Config {
	var configs []*embed.Config
	initial := ""
	for i, u := range c.urls {
		cfg := embed.NewConfig()
		cfg.Name = fmt.Sprint("m", i)
		cfg.Dir = filepath.Join(c.dir, cfg.Name)
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{u.peer}, []url.URL{u.peer}
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{u.client}, []url.URL{u.client}
		initial += fmt.Sprintf(",%s=%s", cfg.Name, u.peer.String())
		configs = append(configs, cfg)
	}
	for _, cfg := range configs {
		cfg.InitialCluster = initial[1:]
	}
	return configs
}

func freeURL() (url.URL, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return url.URL{}, err
	}
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}, nil
}

func (c *etcdCluster) stop() {
	for _, e := range c.members {
		e.Close()
	}
	c.members = nil
}

func (c *etcdCluster) close() {
	c.stop()
	_ = os.RemoveAll(c.dir)
}

// etcdDirect calls the leader's server without gRPC.
type etcdDirect struct{ server *etcdserver.EtcdServer }

func (e etcdDirect) put(ctx context.Context, key, value []byte) error {
	_, err := e.server.Put(ctx, &pb.PutRequest{Key: key, Value: value})
	return err
}

func (e etcdDirect) get(ctx context.Context, key []byte) (int, error) {
	r, err := e.server.Range(ctx, &pb.RangeRequest{Key: key})
	if err != nil || len(r.Kvs) == 0 {
		return 0, err
	}
	return len(r.Kvs[0].Value), nil
}

func (e etcdDirect) count(ctx context.Context, prefix []byte) (int, error) {
	r, err := e.server.Range(ctx, &pb.RangeRequest{Key: prefix, RangeEnd: raftstore.PrefixEnd(prefix)})
	if err != nil {
		return 0, err
	}
	return len(r.Kvs), nil
}

func (e etcdDirect) swap(context.Context, []byte, []byte, int64) (int64, bool, error) {
	return 0, false, errors.ErrUnsupported // measured through the client
}

func (e etcdDirect) watch(context.Context, []byte, func(), func() bool) error {
	return errors.ErrUnsupported // measured through the client
}

func (e etcdDirect) revision(context.Context) (int64, error) { return e.server.KV().Rev(), nil }

// etcdClients is etcd's own client, over as many connections as given, to the
// leader.
type etcdClients struct{ clients []*clientv3.Client }

func openClients(e *embed.Etcd, n int) (etcdClients, error) {
	var c etcdClients
	for range n {
		client, err := clientv3.New(clientv3.Config{
			Endpoints: []string{e.Config().AdvertiseClientUrls[0].String()},
			Logger:    zap.NewNop(), DialTimeout: startTimeout,
		})
		if err != nil {
			c.close()
			return c, err
		}
		c.clients = append(c.clients, client)
	}
	return c, nil
}

func (e etcdClients) close() {
	for _, c := range e.clients {
		_ = c.Close()
	}
}

// of spreads keys over the connections.
func (e etcdClients) of(key []byte) *clientv3.Client {
	return e.clients[int(key[len(key)-1])%len(e.clients)]
}

func (e etcdClients) put(ctx context.Context, key, value []byte) error {
	_, err := e.of(key).Put(ctx, string(key), string(value))
	return err
}

func (e etcdClients) get(ctx context.Context, key []byte) (int, error) {
	r, err := e.of(key).Get(ctx, string(key))
	if err != nil || len(r.Kvs) == 0 {
		return 0, err
	}
	return len(r.Kvs[0].Value), nil
}

func (e etcdClients) count(ctx context.Context, prefix []byte) (int, error) {
	r, err := e.of(prefix).Get(ctx, string(prefix), clientv3.WithPrefix())
	if err != nil {
		return 0, err
	}
	return len(r.Kvs), nil
}

func (e etcdClients) swap(ctx context.Context, key, value []byte, seen int64) (int64, bool, error) {
	k := string(key)
	r, err := e.of(key).Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(k), "=", seen)).
		Then(clientv3.OpPut(k, string(value))).Else(clientv3.OpGet(k)).Commit()
	if err != nil || r.Succeeded {
		if err != nil {
			return 0, false, err
		}
		return r.Header.Revision, true, nil
	}
	return r.Responses[0].GetResponseRange().Kvs[0].ModRevision, false, nil
}

func (e etcdClients) watch(ctx context.Context, prefix []byte, ready func(), event func() bool) error {
	responses := e.of(prefix).Watch(ctx, string(prefix), clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	for r := range responses {
		if err := r.Err(); err != nil {
			return err
		}
		if r.Created {
			ready()
		}
		for range r.Events {
			if !event() {
				return nil
			}
		}
	}
	return ctx.Err()
}

func (e etcdClients) revision(ctx context.Context) (int64, error) {
	r, err := e.clients[0].Get(ctx, "no such key")
	if err != nil {
		return 0, err
	}
	return r.Header.Revision, nil
}
