package etcdapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// Two goroutines serve a stream of watches, however many those are: one takes
// requests, the other sends. What is to be sent goes through the outbox, in order:
//
//	requests ─► receive ─► created, canceled, progress ─┐
//	                                                    ├─► outbox ─► send ─► client
//	store ────► Notify ──► watch that has events ───────┘
//
// The outbox holds no events. A watch is in it at most once, and its events are read
// from the store's history when it is its turn. So a client that does not read costs
// no memory, and answers to requests are bounded: receive waits when too many are
// in the outbox.

type watchServer struct {
	pb.UnimplementedWatchServer
	*Server
}

// The ids that have a meaning of their own.
const (
	watchIDAuto = 0  // in a request: the server chooses
	watchIDNone = -1 // in a response: no watch, or all of the stream
)

// The reasons that etcd gives for a watch that it does not create.
const (
	reasonEmptyRange  = "mvcc: watcher range is empty"
	reasonDuplicateID = "mvcc: duplicate watch ID provided on the WatchStream"
	reasonReservedID  = "etcdapi: watch ID -1 stands for no watch"
)

// watch is one watch of a stream.
type watch struct {
	id       int64
	watcher  raftstore.PolledWatcher
	fragment bool
	progress bool // asked to be told about it
	// start is the first revision that the client wants. It is not told about earlier
	// ones: it would take them for where to go on after a reconnect (etcd #20221).
	start int64
	// These belong to the stream's lock.
	queued   bool
	canceled bool
	// told tells that the client was sent something since the last round of progress
	// notifications. It belongs to the sender.
	told bool
}

// outgoing is one thing to send: an answer, the events of a watch, or how far all
// watches of the stream are.
type outgoing struct {
	answer   *pb.WatchResponse
	watch    *watch
	progress bool
}

// answersMax bounds the answers in the outbox.
const answersMax = 64

type watchStream struct {
	*Server
	stream grpc.BidiStreamingServer[pb.WatchRequest, pb.WatchResponse]
	ctx    context.Context
	done   chan struct{} // closed when nothing is sent any more

	// No call into the store is made with mu held: Notify takes it the other way
	// round.
	mu      sync.Mutex
	watches map[int64]*watch
	nextID  int64
	outbox  []outgoing
	answers int
	asked   bool          // a request for progress is in the outbox
	closed  bool          // closeAll has been here
	wake    chan struct{} // capacity 1: the outbox is not empty
	room    chan struct{} // capacity 1: answers has gone down
}

// Watch implements pb.WatchServer.
func (s watchServer) Watch(stream grpc.BidiStreamingServer[pb.WatchRequest, pb.WatchResponse]) error {
	ws := &watchStream{
		Server: s.Server, stream: stream, ctx: stream.Context(), done: make(chan struct{}),
		watches: map[int64]*watch{},
		wake:    make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	received := make(chan error, 1)
	// Recv ends with the stream, which ends when this method returns: it cannot be
	// waited for here.
	s.work.Go(func() { received <- ws.receive() })
	err := ws.send(received)
	close(ws.done)
	ws.closeAll()
	return err
}

// receive takes requests until the client has sent its last.
func (ws *watchStream) receive() error {
	for {
		r, err := ws.stream.Recv()
		if errors.Is(err, io.EOF) {
			<-ws.done // the client goes on to listen
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case r.GetCreateRequest() != nil:
			ws.create(r.GetCreateRequest())
		case r.GetCancelRequest() != nil:
			ws.cancel(r.GetCancelRequest().GetWatchId())
		case r.GetProgressRequest() != nil:
			ws.askProgress()
		}
	}
}

// create opens a watch, or says why not.
func (ws *watchStream) create(r *pb.WatchCreateRequest) {
	o, reason := watchOptions(r)
	id := int64(watchIDNone)
	if reason == "" {
		id, reason = ws.reserve(r.GetWatchId())
	}
	// What is written from here on may be announced at a higher revision than this.
	header := ws.headerNow()
	if reason != "" {
		ws.refuse(header, reason)
		return
	}
	w, err := ws.open(o)
	var compacted *mvcc.CompactedError
	switch {
	case errors.As(err, &compacted):
		ws.release(id)
		ws.answer(&pb.WatchResponse{Header: header, WatchId: id, Created: true})
		ws.answer(compactedResponse(ws.header(0), id, compacted))
		return
	case err != nil:
		ws.release(id)
		ws.refuse(header, refusal(err))
		return
	}
	if o.StartRevision == 0 {
		header.Revision = w.Progress() // the first event is behind it
	}
	watch := &watch{id: id, watcher: w, fragment: r.GetFragment(), progress: r.GetProgressNotify(), start: o.StartRevision}
	if !ws.add(watch) {
		return
	}
	ws.answer(&pb.WatchResponse{Header: header, WatchId: id, Created: true})
	w.Notify(func() { ws.enqueue(watch) })
}

// open asks the store for a watcher.
func (ws *watchStream) open(o raftstore.WatchOptions) (raftstore.PolledWatcher, error) {
	w, err := ws.store.Watch(ws.ctx, o)
	if err != nil {
		return nil, err
	}
	return w.(raftstore.PolledWatcher), nil
}

// watchOptions checks a request. The reason is empty if it is in order.
func watchOptions(r *pb.WatchCreateRequest) (o raftstore.WatchOptions, reason string) {
	o = raftstore.WatchOptions{
		Key: r.GetKey(), End: r.GetRangeEnd(), StartRevision: r.GetStartRevision(), PrevKV: r.GetPrevKv(),
	}
	for _, f := range r.GetFilters() {
		switch f {
		case pb.WatchCreateRequest_NOPUT:
			o.NoPut = true
		case pb.WatchCreateRequest_NODELETE:
			o.NoDelete = true
		}
	}
	if len(o.Key) == 0 {
		o.Key = []byte{0}
	}
	open := len(o.End) == 1 && o.End[0] == 0
	switch {
	case o.StartRevision < 0:
		return o, rpctypes.ErrCompacted.Error()
	case r.GetWatchId() == watchIDNone:
		return o, reasonReservedID
	case len(o.End) > 0 && !open && bytes.Compare(o.Key, o.End) >= 0:
		return o, reasonEmptyRange
	}
	return o, ""
}

// refusal is the reason for an error of the store.
func refusal(err error) string {
	if errors.Is(err, mvcc.ErrEmptyWatchRange) {
		return reasonEmptyRange
	}
	return rpctypes.Error(wireError(context.Background(), err)).Error()
}

// reserve takes the id that a client asks for, or the next free one, and counts the
// watch.
func (ws *watchStream) reserve(id int64) (taken int64, reason string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if id == watchIDAuto {
		for ; ; ws.nextID++ {
			if _, ok := ws.watches[ws.nextID]; !ok {
				break
			}
		}
		id = ws.nextID
		ws.nextID++
	} else if _, ok := ws.watches[id]; ok {
		return watchIDNone, reasonDuplicateID
	}
	if ws.Server.watches.Add(1) > int64(ws.cfg.WatchesMax) {
		ws.Server.watches.Add(-1)
		return watchIDNone, rpctypes.ErrTooManyRequests.Error()
	}
	ws.watches[id] = nil
	return id, ""
}

// add makes a watch known, unless the stream has ended meanwhile.
func (ws *watchStream) add(w *watch) bool {
	ws.mu.Lock()
	closed := ws.closed
	if !closed {
		ws.watches[w.id] = w
	}
	ws.mu.Unlock()
	if closed {
		w.watcher.Close()
		ws.release(w.id)
	}
	return !closed
}

func (ws *watchStream) release(id int64) {
	ws.mu.Lock()
	delete(ws.watches, id)
	ws.mu.Unlock()
	ws.Server.watches.Add(-1)
}

// cancel ends a watch for its client. One that does not exist is not mentioned.
func (ws *watchStream) cancel(id int64) {
	if ws.end(id) {
		ws.answer(&pb.WatchResponse{Header: ws.headerNow(), WatchId: id, Canceled: true})
	}
}

// end forgets a watch.
func (ws *watchStream) end(id int64) bool {
	ws.mu.Lock()
	w := ws.watches[id]
	if w != nil {
		w.canceled = true
	}
	ws.mu.Unlock()
	if w == nil {
		return false
	}
	w.watcher.Close()
	ws.release(id)
	return true
}

// closeAll forgets every watch, when nothing is sent any more.
func (ws *watchStream) closeAll() {
	ws.mu.Lock()
	ws.closed = true
	var open []*watch
	for _, w := range ws.watches {
		if w != nil {
			open = append(open, w)
		}
	}
	ws.mu.Unlock()
	for _, w := range open {
		ws.end(w.id)
	}
}

func (ws *watchStream) refuse(header *pb.ResponseHeader, reason string) {
	ws.answer(&pb.WatchResponse{
		Header: header, WatchId: watchIDNone, Created: true, Canceled: true, CancelReason: reason,
	})
}

// answer puts an answer into the outbox when there is room for it.
func (ws *watchStream) answer(r *pb.WatchResponse) {
	for {
		ws.mu.Lock()
		if ws.answers < answersMax {
			ws.answers++
			ws.put(outgoing{answer: r})
			ws.mu.Unlock()
			return
		}
		ws.mu.Unlock()
		select {
		case <-ws.room:
		case <-ws.done:
			return
		}
	}
}

// enqueue puts a watch that has events into the outbox. It is called with the
// store's lock held.
func (ws *watchStream) enqueue(w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if !w.queued && !w.canceled {
		w.queued = true
		ws.put(outgoing{watch: w})
	}
}

// askProgress has the client told how far all its watches are, when they are level
// with the store. Requests that come before that are the same one.
func (ws *watchStream) askProgress() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if !ws.asked {
		ws.asked = true
		ws.put(outgoing{progress: true})
	}
}

// put adds to the outbox. ws.mu is held.
func (ws *watchStream) put(o outgoing) {
	ws.outbox = append(ws.outbox, o)
	select {
	case ws.wake <- struct{}{}:
	default:
	}
}
