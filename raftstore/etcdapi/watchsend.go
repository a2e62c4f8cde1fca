package etcdapi

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/proto"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// send empties the outbox until the stream ends.
func (ws *watchStream) send(received <-chan error) error {
	interval := ws.cfg.ProgressInterval
	// Clients that have come back all at once need not be told all at once.
	ticker := time.NewTicker(interval + rand.N(interval/10))
	defer ticker.Stop()
	for {
		select {
		case <-ws.wake:
			if err := ws.sendOutbox(); err != nil {
				return err
			}
		case <-ticker.C:
			if err := ws.sendProgressOfEach(); err != nil {
				return err
			}
		case err := <-received:
			return watchError(ws.ctx, err)
		case <-ws.ctx.Done():
			return watchError(ws.ctx, context.Cause(ws.ctx))
		}
	}
}

// watchError is what a client is told about the end of a stream.
func watchError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err == nil || errors.Is(err, context.Canceled) {
		return rpctypes.ErrGRPCWatchCanceled
	}
	return causeError(err)
}

// next takes the first thing out of the outbox.
func (ws *watchStream) next() (outgoing, bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for len(ws.outbox) > 0 {
		o := ws.outbox[0]
		ws.outbox[0] = outgoing{}
		if ws.outbox = ws.outbox[1:]; len(ws.outbox) == 0 {
			ws.outbox = nil
		}
		switch {
		case o.answer != nil:
			ws.answers--
			select {
			case ws.room <- struct{}{}:
			default:
			}
		case o.watch != nil:
			o.watch.queued = false
			if o.watch.canceled {
				continue
			}
		case o.progress:
			ws.asked = false
		}
		return o, true
	}
	return outgoing{}, false
}

func (ws *watchStream) sendOutbox() error {
	for ws.ctx.Err() == nil {
		o, ok := ws.next()
		if !ok {
			return nil
		}
		var err error
		switch {
		case o.answer != nil:
			err = ws.stream.Send(o.answer)
		case o.watch != nil:
			err = ws.sendEvents(o.watch)
		default:
			err = ws.sendProgressOfAll()
		}
		if err != nil {
			return watchError(ws.ctx, err)
		}
	}
	return nil // the caller sees the end of the context
}

// sendEvents sends the next batch of a watch and puts the watch at the end of the
// outbox: others have their turn before the following batch.
func (ws *watchStream) sendEvents(w *watch) error {
	batch, ok, err := w.watcher.Poll()
	var compacted *mvcc.CompactedError
	switch {
	case errors.As(err, &compacted):
		if !ws.end(w.id) {
			return nil
		}
		return ws.stream.Send(compactedResponse(ws.header(0), w.id, compacted))
	case errors.Is(err, mvcc.ErrWatcherClosed):
		return nil // canceled meanwhile
	case err != nil:
		return wireError(ws.ctx, err)
	case !ok:
		return nil
	}
	w.told = true
	if err := ws.sendBatch(w, &batch); err != nil {
		return err
	}
	ws.enqueue(w)
	return nil
}

// compactedResponse ends a watch whose next revision is gone.
func compactedResponse(header *pb.ResponseHeader, id int64, err *mvcc.CompactedError) *pb.WatchResponse {
	return &pb.WatchResponse{Header: header, WatchId: id, Canceled: true, CompactRevision: err.Floor}
}

// sendBatch sends a batch in responses of bounded size. They are cut between
// revisions, and inside one only if the client has agreed to fragments.
func (ws *watchStream) sendBatch(w *watch, batch *raftstore.WatchBatch) error {
	left := batch.Events
	for len(left) > 0 {
		n := ws.cut(left)
		r := &pb.WatchResponse{Header: ws.header(batch.Revision), WatchId: w.id, Events: events(left[:n])}
		if n < len(left) {
			r.Header.Revision = left[n-1].KV.ModRevision
		}
		left = left[n:]
		if err := ws.sendWhole(w, r); err != nil {
			return err
		}
	}
	return nil
}

// cut returns how many events make one response: whole revisions, as many as fit.
func (ws *watchStream) cut(list []raftstore.Event) int {
	size, whole := 0, 0
	for i := range list {
		if i > 0 && list[i].KV.ModRevision != list[i-1].KV.ModRevision {
			whole = i
		}
		size += eventSize(&list[i])
		if size > ws.cfg.RequestSizeMax && whole > 0 {
			return whole
		}
	}
	return len(list)
}

func eventSize(e *raftstore.Event) int {
	n := len(e.KV.Key) + len(e.KV.Value) + pairBytes
	if e.PrevKV != nil {
		n += len(e.PrevKV.Key) + len(e.PrevKV.Value) + pairBytes
	}
	return n
}

// sendWhole sends a response, in fragments if that was agreed and it is too large.
func (ws *watchStream) sendWhole(w *watch, r *pb.WatchResponse) error {
	most := ws.cfg.RequestSizeMax + overheadBytes
	if !w.fragment || len(r.Events) < 2 || proto.Size(r) < most {
		return ws.stream.Send(r)
	}
	rest := r.Events
	for len(rest) > 0 {
		n := fragment(rest, most)
		part := &pb.WatchResponse{Header: r.Header, WatchId: r.WatchId, Events: rest[:n:n], Fragment: n < len(rest)}
		if err := ws.stream.Send(part); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// fragmentBytes is what a fragment takes besides its events, and each of these
// besides itself, at most.
const fragmentBytes = 64

// fragment returns how many events fit: one at least.
func fragment(list []*mvccpb.Event, most int) int {
	size := fragmentBytes
	for i, e := range list {
		if size += proto.Size(e) + 8; i > 0 && size >= most {
			return i
		}
	}
	return len(list)
}

// opened returns the watches of the stream by id.
func (ws *watchStream) opened() []*watch {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	list := make([]*watch, 0, len(ws.watches))
	for _, w := range ws.watches {
		if w != nil && !w.canceled {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b *watch) int { return cmp.Compare(a.id, b.id) })
	return list
}

// sendProgressOfAll tells how far all watches are, if they are level with the store.
// If not, the ones behind are in the outbox, and it is tried again after them.
// Everything up to that revision has been sent then, by this goroutine.
func (ws *watchStream) sendProgressOfAll() error {
	revision := ws.store.Revision()
	list := ws.opened()
	if len(list) == 0 {
		return nil
	}
	for _, w := range list {
		if w.start > revision {
			return nil // as in etcd; see watch.start
		}
		if w.watcher.Progress() < revision {
			ws.askProgress()
			return nil
		}
	}
	return ws.stream.Send(&pb.WatchResponse{Header: ws.header(revision), WatchId: watchIDNone})
}

// sendProgressOfEach tells clients that asked for it how far their watches are, if
// these had no event for a whole interval.
func (ws *watchStream) sendProgressOfEach() error {
	for _, w := range ws.opened() {
		told := w.told
		w.told = false
		if !w.progress || told {
			continue
		}
		revision := ws.store.Revision()
		if w.start > revision || w.watcher.Progress() < revision {
			continue // its events are on their way
		}
		if err := ws.stream.Send(&pb.WatchResponse{Header: ws.header(revision), WatchId: w.id}); err != nil {
			return watchError(ws.ctx, err)
		}
	}
	return nil
}
