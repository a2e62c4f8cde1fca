package etcdapi

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

var (
	diffSeed = flag.Uint64("diff.seed", 1, "first seed of the comparison with etcd")
	diffOps  = flag.Int("diff.ops", 3000, "number of operations to compare with etcd")
)

// diffRun is how many operations one pair of servers is given; what is left of them is
// for the next pair, with the next seed.
const diffRun = 10_000

// side is one of two servers that are given the same.
type side struct {
	kv     pb.KVClient
	lease  pb.LeaseClient
	watch  grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse]
	events map[int64]string // what watches were told since the last comparison, by id

	over     map[int64]bool // watches that a compaction has ended
	barriers int64
	in       chan *pb.WatchResponse
}

// TestDifferential gives etcd and this server the same random requests and compares
// every answer, every error, and what watches deliver. Three members are asked in
// turn; that must not be seen.
func TestDifferential(t *testing.T) {
	for seed, left := *diffSeed, *diffOps; left > 0; seed, left = seed+1, left-diffRun {
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { differ(t, seed, min(left, diffRun)) }) {
			return
		}
	}
}

// differ compares n operations.
func differ(t *testing.T, seed uint64, n int) {
	c := newCluster(t, 3, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute+time.Duration(n)*200*time.Millisecond)
	defer cancel()
	d := &duel{
		t: t, ctx: ctx, seed: seed, g: &generator{r: rand.New(rand.NewPCG(seed, 9)), revision: 1},
		etcd: newSide(t, ctx, newClient(t, nil, startEtcd(t)).ActiveConnection()),
		ours: newSide(t, ctx, c.client(1).ActiveConnection()),
	}
	conns := []*grpc.ClientConn{c.client(1).ActiveConnection(), c.client(2).ActiveConnection(), c.client(3).ActiveConnection()}
	for _, s := range []*side{d.etcd, d.ours} { // so that there is always a watch
		require.NoError(t, s.openOrCancel(ctx, createWatch(&pb.WatchCreateRequest{Key: []byte("fence"), WatchId: fenceWatch})))
	}
	counts := map[string]int{}
	for i := range n {
		kind, call := d.g.step()
		if counts[kind]++; kind == "watch" || kind == "compact" {
			d.settle(i)
		}
		switch kind {
		case "put", "delete", "range", "stream", "txn":
			// Others may answer from a state that is a moment old, like etcd's members.
			conn := conns[i%len(conns)]
			d.ours.kv, d.ours.lease = pb.NewKVClient(conn), pb.NewLeaseClient(conn)
		}
		d.compare(i, kind, call)
		if i%200 == 199 || kind == "watch" {
			d.settle(i)
		}
	}
	t.Logf("%d operations, no difference: %v, %d watches", n, counts, d.g.watches)
}

// duel is etcd and this server side by side.
type duel struct {
	t          *testing.T
	ctx        context.Context
	seed       uint64
	g          *generator
	etcd, ours *side
}

// compare makes one call at both.
func (d *duel) compare(i int, kind string, c call) {
	d.t.Helper()
	want, wantErr := c(d.ctx, d.etcd)
	got, gotErr := c(d.ctx, d.ours)
	require.Equal(d.t, errorText(wantErr), errorText(gotErr), "operation %d of seed %d: %s", i, d.seed, kind)
	if wantErr != nil {
		return
	}
	if kind == "keepalive" || kind == "ttl" {
		// Neither waits until the member that is asked is up to date.
		forgetRevision(want)
		forgetRevision(got)
	}
	require.Equal(d.t, render(want), render(got), "operation %d of seed %d: %s", i, d.seed, kind)
	d.g.follow(want)
}

// settle waits until all watches have been told everything and compares that: a
// compaction may come before a watch of the past has caught up, or before the value
// of before is looked up, and a cancel before an event is sent.
func (d *duel) settle(i int) {
	d.t.Helper()
	for reached := false; !reached; reached = d.g.revision >= d.g.start {
		for _, s := range []*side{d.etcd, d.ours} {
			r, err := s.kv.Put(d.ctx, &pb.PutRequest{Key: []byte("fence")})
			require.NoError(d.t, err)
			d.g.follow(r)
		}
	}
	for _, s := range []*side{d.etcd, d.ours} {
		level(d.t, d.ctx, s, d.g)
	}
	for id := range d.etcd.events {
		require.Equal(d.t, d.etcd.events[id], d.ours.events[id], "watch %d after operation %d of seed %d", id, i, d.seed)
	}
	require.Len(d.t, d.ours.events, len(d.etcd.events))
	clear(d.etcd.events)
	clear(d.ours.events)
}

func newSide(t *testing.T, ctx context.Context, conn *grpc.ClientConn) *side {
	watch, err := pb.NewWatchClient(conn).Watch(ctx)
	require.NoError(t, err)
	s := &side{
		kv: pb.NewKVClient(conn), lease: pb.NewLeaseClient(conn), watch: watch,
		events: map[int64]string{}, over: map[int64]bool{}, in: make(chan *pb.WatchResponse, 1024),
	}
	go func() {
		defer close(s.in)
		for {
			r, err := watch.Recv()
			if err != nil {
				return
			}
			s.in <- r
		}
	}()
	return s
}

// fenceWatch is the id of a watch that is never canceled.
const fenceWatch = 1 << 40

var askProgress = &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}

// barrierWatch and those above are ids of watches on a key that nobody writes.
const barrierWatch = 1 << 41

// openOrCancel sends a request and waits until it has taken effect. A cancel may have
// no answer, and answers about progress may be old; but that to a watch that is
// created comes after what was asked before.
func (s *side) openOrCancel(ctx context.Context, r *pb.WatchRequest) error {
	if err := s.watch.Send(r); err != nil {
		return err
	}
	wait := func(*pb.WatchResponse) bool { return true }
	if r.GetCreateRequest() == nil {
		s.barriers++
		id := barrierWatch + s.barriers
		if err := s.watch.Send(createWatch(&pb.WatchCreateRequest{Key: []byte("barrier"), WatchId: id})); err != nil {
			return err
		}
		wait = func(r *pb.WatchResponse) bool { return r.WatchId == id }
	}
	for {
		select {
		case r, ok := <-s.in:
			if !ok {
				return io.ErrUnexpectedEOF
			}
			if r.WatchId == -1 && !r.Created {
				continue
			}
			if r.WatchId < barrierWatch {
				s.book(r)
			}
			if r.Created && wait(r) {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// level waits until all watches of a side have been told everything.
func level(t *testing.T, ctx context.Context, s *side, g *generator) {
	ask := func() { require.NoError(t, s.watch.Send(askProgress)) }
	ask()
	again := time.NewTicker(50 * time.Millisecond) // etcd forgets the question when it is behind
	defer again.Stop()
	for {
		select {
		case <-again.C:
			ask()
		case <-ctx.Done():
			t.Fatal("watches do not catch up")
		case r, ok := <-s.in:
			require.True(t, ok, "the stream of watches has ended")
			if r.WatchId == -1 && !r.Created {
				if r.Header.Revision >= g.revision {
					return
				}
				continue
			}
			s.book(r)
			if r.CompactRevision != 0 {
				// etcd remembers the watch, and answers no question about progress while it does.
				require.NoError(t, s.watch.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{
					CancelRequest: &pb.WatchCancelRequest{WatchId: r.WatchId}}}))
			}
		}
	}
}

// book adds a response to what its watch was told. How events are cut into
// responses is no difference.
func (s *side) book(r *pb.WatchResponse) {
	text := s.events[r.WatchId]
	if r.Canceled && r.CompactRevision == 0 && !r.Created && s.over[r.WatchId] {
		delete(s.over, r.WatchId)
		return // the cancel below, which only etcd answers
	}
	if r.CompactRevision != 0 {
		s.over[r.WatchId] = true
	}
	if r.Created || r.Canceled {
		text += fmt.Sprintf("created %v canceled %v compacted %v %q\n", r.Created, r.Canceled, r.CompactRevision > 0, r.CancelReason)
	}
	for _, e := range r.Events {
		text += prototext.MarshalOptions{}.Format(e) + "\n"
	}
	s.events[r.WatchId] = text
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	s := status.Convert(err)
	return fmt.Sprint(s.Code(), ": ", s.Message())
}

func forgetRevision(m proto.Message) {
	m.(interface{ GetHeader() *pb.ResponseHeader }).GetHeader().Revision = 0
}

// render prints a response without what must differ: who answered, and in which term.
func render(m proto.Message) string {
	m = proto.Clone(m)
	if h, ok := m.(interface{ GetHeader() *pb.ResponseHeader }); ok && h.GetHeader() != nil {
		h.GetHeader().ClusterId, h.GetHeader().MemberId, h.GetHeader().RaftTerm = 0, 0, 0
	}
	return prototext.Format(m)
}
