package etcdapi

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// next waits for a response of a watch.
func next(t *testing.T, ch clientv3.WatchChan) clientv3.WatchResponse {
	t.Helper()
	select {
	case r, ok := <-ch:
		require.True(t, ok, "the watch has ended")
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("nothing to watch")
		return clientv3.WatchResponse{}
	}
}

func TestWatch(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.ProgressInterval = progressIntervalMin })
	kv, ctx := c.client(), c.ctx()
	for _, v := range []string{"1", "2"} {
		_, err := kv.Put(ctx, "a", v)
		require.NoError(t, err)
	}
	past := kv.Watch(ctx, "a", clientv3.WithRev(2), clientv3.WithPrevKV())
	var events []*clientv3.Event
	for len(events) < 2 {
		events = append(events, next(t, past).Events...)
	}
	require.True(t, events[0].IsCreate())
	require.Equal(t, "1", string(events[1].PrevKv.Value))

	deletes := kv.Watch(ctx, "", clientv3.WithFromKey(), clientv3.WithFilterPut(), clientv3.WithCreatedNotify())
	require.True(t, next(t, deletes).Created)
	_, err := kv.Put(ctx, "b", "x")
	require.NoError(t, err)
	_, err = kv.Delete(ctx, "a")
	require.NoError(t, err)
	r := next(t, deletes)
	require.Len(t, r.Events, 1)
	require.Equal(t, clientv3.EventTypeDelete, r.Events[0].Type)

	idle := kv.Watch(ctx, "none", clientv3.WithProgressNotify(), clientv3.WithCreatedNotify())
	require.True(t, next(t, idle).Created)
	r = next(t, idle)
	require.True(t, r.IsProgressNotify())
	require.Equal(t, int64(5), r.Header.Revision)
	require.NoError(t, kv.RequestProgress(ctx))
	r = next(t, idle)
	require.True(t, r.IsProgressNotify())

	_, err = kv.Compact(ctx, 5)
	require.NoError(t, err)
	r = next(t, kv.Watch(ctx, "a", clientv3.WithRev(3)))
	require.ErrorIs(t, r.Err(), rpctypes.ErrCompacted)
	require.Equal(t, int64(5), r.CompactRevision)
	r = next(t, kv.Watch(ctx, "b", clientv3.WithRange("a")))
	require.True(t, r.Canceled)
	require.ErrorContains(t, r.Err(), "watcher range is empty")
}

// A watch must not miss or repeat anything while members die under it.
func TestWatchSurvivesLeaders(t *testing.T) {
	c := newCluster(t, 3, nil)
	client, ctx := c.client(), c.ctx()
	watch := client.Watch(clientv3.WithRequireLeader(ctx), "k", clientv3.WithPrefix(), clientv3.WithRev(1))
	const rounds, puts = 3, 40
	written := 0
	for range rounds {
		leader := c.leader()
		c.kill(leader)
		for range puts {
			// A put whose answer was lost with the member may be there already; this one
			// is the same again.
			require.Eventually(t, func() bool {
				call, cancel := context.WithTimeout(ctx, 3*time.Second)
				defer cancel()
				_, err := client.Put(call, fmt.Sprintf("k/%04d", written), "v")
				return err == nil
			}, 30*time.Second, 10*time.Millisecond)
			written++
		}
		c.restart(leader)
	}
	last := int64(0)
	seen := map[string]bool{}
	for len(seen) < written {
		r := next(t, watch)
		require.NoError(t, r.Err())
		for _, e := range r.Events {
			require.Greater(t, e.Kv.ModRevision, last, "events repeat or go back")
			last = e.Kv.ModRevision
			seen[string(e.Kv.Key)] = true
		}
	}
	require.Len(t, seen, written)
}

// Without a leader, streams that require one end; others go on.
func TestRequireLeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	client, ctx := c.client(1), c.ctx()
	require.Eventually(t, func() bool { return c.nodes[1].store.Leadership().Leader != 0 }, 10*time.Second, tick)
	demanding := client.Watch(clientv3.WithRequireLeader(ctx), "a")
	patient := client.Watch(ctx, "a", clientv3.WithCreatedNotify())
	require.True(t, next(t, patient).Created)
	c.kill(2)
	c.kill(3)
	r := next(t, demanding)
	require.ErrorIs(t, r.Err(), rpctypes.ErrNoLeader)
	call, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), time.Second)
	defer cancel()
	_, err := pb.NewKVClient(client.ActiveConnection()).Put(call, &pb.PutRequest{Key: []byte("a")})
	require.ErrorContains(t, err, "no leader")
	got, err := client.Get(ctx, "a", clientv3.WithSerializable())
	require.NoError(t, err)
	require.Empty(t, got.Kvs)
	c.restart(2)
	c.leader()
	_, err = c.client(2).Put(ctx, "a", "v")
	require.NoError(t, err)
	require.Len(t, next(t, patient).Events, 1)
}

// rawWatch is a stream without a client that hides it.
func rawWatch(t *testing.T, c *cluster) grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse] {
	t.Helper()
	ctx, cancel := context.WithCancel(c.ctx())
	t.Cleanup(cancel)
	s, err := pb.NewWatchClient(c.client(1).ActiveConnection()).Watch(ctx)
	require.NoError(t, err)
	return s
}

func createWatch(r *pb.WatchCreateRequest) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}
}

func TestWatchFragments(t *testing.T) {
	c := newCluster(t, 1, nil)
	kv, ctx := c.client(), c.ctx()
	big := strings.Repeat("v", 300<<10)
	for range 10 { // one revision of 10 values is too large for a request
		_, err := kv.Put(ctx, "src", big)
		require.NoError(t, err)
	}
	s := rawWatch(t, c)
	require.NoError(t, s.Send(createWatch(&pb.WatchCreateRequest{Key: []byte("src"), StartRevision: 1, Fragment: true})))
	events, responses := 0, 0
	for events < 10 {
		r, err := s.Recv()
		require.NoError(t, err)
		for _, e := range r.Events {
			require.LessOrEqual(t, e.Kv.ModRevision, r.Header.Revision)
		}
		if n := len(r.Events); n > 0 {
			events += n
			responses++
		}
	}
	require.GreaterOrEqual(t, responses, 2, "3 MB in one response")
}

// A client that opens very many watches is stopped at the limit; those it has work,
// and the answers that it does not read cost nothing.
func TestManyWatches(t *testing.T) {
	const most = manyWatches
	c := newCluster(t, 1, func(cfg *Config) { cfg.WatchesMax = most })
	s := rawWatch(t, c)
	before := heapBytes()
	go func() {
		for range most + 10 {
			if s.Send(createWatch(&pb.WatchCreateRequest{Key: []byte("k")})) != nil {
				return
			}
		}
	}()
	created, refused := 0, 0
	for created+refused < most+10 {
		r, err := s.Recv()
		require.NoError(t, err)
		if r.Canceled {
			require.Equal(t, "etcdserver: too many requests", r.CancelReason)
			require.Equal(t, int64(-1), r.WatchId)
			refused++
		} else {
			created++
		}
	}
	require.Equal(t, [2]int{most, 10}, [2]int{created, refused})
	each := (heapBytes() - before) / most
	t.Logf("%d watches of %d bytes each", most, each)
	require.Less(t, each, int64(1500))
	_, err := c.client().Put(c.ctx(), "k", "v")
	require.NoError(t, err)
	require.NoError(t, s.Send(askProgress))
	seen := map[int64]bool{}
	for {
		r, err := s.Recv()
		require.NoError(t, err)
		if r.WatchId == -1 {
			require.Equal(t, int64(2), r.Header.Revision)
			break // all of them must have been told before
		}
		seen[r.WatchId] = true
	}
	require.Len(t, seen, most)
	require.NoError(t, s.CloseSend())
}

// A client that does not read must not make the server hold what it would read.
func TestSlowWatcher(t *testing.T) {
	c := newCluster(t, 1, nil)
	kv, ctx := c.client(), c.ctx()
	s := rawWatch(t, c)
	require.NoError(t, s.Send(createWatch(&pb.WatchCreateRequest{Key: []byte("k")})))
	r, err := s.Recv()
	require.NoError(t, err)
	require.True(t, r.Created)
	for range 63 { // others on the same stream, which nobody is going to read
		require.NoError(t, s.Send(createWatch(&pb.WatchCreateRequest{Key: []byte("k"), WatchId: 0})))
	}
	const n = 3000
	before := heapBytes()
	for i := range n {
		_, err := kv.Put(ctx, "k", fmt.Sprintf("%01000d", i))
		require.NoError(t, err)
	}
	grown := heapBytes() - before
	t.Logf("64 watches have %d events of 1 kB to read: the heap has grown by %d KiB", n, grown>>10)
	require.Less(t, grown, int64(30<<20), "3 MB of history, not 64 times that")
	for i := 0; i < n; {
		r, err := s.Recv()
		require.NoError(t, err)
		for _, e := range r.Events {
			if r.WatchId == 0 {
				require.Equal(t, fmt.Sprintf("%01000d", i), string(e.Kv.Value))
				i++
			}
		}
	}
}
