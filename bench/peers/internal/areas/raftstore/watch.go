package raftstore

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/storage/mvcc"

	ours "github.com/orchcore/orchcore/raftstore/mvcc"
)

// watchPair is one watch on both.
type watchPair struct {
	id       mvcc.WatchID
	prevKV   bool
	upstream []string // delivered since the last comparison
	ours     *ours.Watcher
}

// syncTimeout is far above the 100 ms after which etcd looks at watchers that
// have to catch up.
const syncTimeout = 20 * time.Second

// open starts a watch on both and waits until etcd has caught up.
func (p *pair) open(o *ours.WatchOptions) {
	var w *watchPair
	p.answer("watch", func() string {
		if o.StartRevision < 0 { // etcd's gRPC layer answers as for a compacted revision
			return ours.ErrCompacted.Error()
		}
		key := o.Key
		if len(key) == 0 {
			key = []byte{0}
		}
		id, err := p.etcd.stream.Watch(context.Background(), clientv3.AutoWatchID, key, watchEnd(o.End), o.StartRevision, filters(o)...)
		if err != nil {
			return upstreamError(err)
		}
		w = &watchPair{id: id, prevKV: o.PrevKV}
		p.watches = append(p.watches, w)
		return p.catchUp(w, o.StartRevision)
	}, func() string {
		watcher, err := p.ours.Watch(*o)
		if err != nil {
			return ourError(err)
		}
		if w != nil {
			w.ours = watcher
		}
		return "open"
	})
}

func watchEnd(end []byte) []byte {
	switch {
	case len(end) == 0:
		return nil
	case len(end) == 1 && end[0] == 0:
		return []byte{}
	}
	return end
}

func filters(o *ours.WatchOptions) []mvcc.FilterFunc {
	var r pb.WatchCreateRequest
	if o.NoPut {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if o.NoDelete {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NODELETE)
	}
	return v3rpc.FiltersFromRequest(&r)
}

// catchUp waits until etcd reports the watch synced, or compacted.
func (p *pair) catchUp(w *watchPair, start int64) string {
	if start == 0 || start > p.etcd.kv.Rev() {
		return "open"
	}
	for deadline := time.Now().Add(syncTimeout); time.Now().Before(deadline); {
		p.etcd.stream.RequestProgress(w.id)
		select {
		case r := <-p.etcd.stream.Chan():
			switch {
			case r.CompactRevision != 0:
				return ours.ErrCompacted.Error()
			case r.WatchID == w.id && len(r.Events) == 0:
				return "open"
			}
			p.deliver(r)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return "never synced"
}

// deliver books events at the watch that they are for, with the previous pairs
// that etcd's gRPC layer would add now.
func (p *pair) deliver(r mvcc.WatchResponse) {
	for _, w := range p.watches {
		if w.id != r.WatchID {
			continue
		}
		for _, e := range r.Events {
			w.upstream = append(w.upstream, showEvent(p.event(e, w.prevKV)))
		}
	}
}

func (p *pair) event(e *mvccpb.Event, prevKV bool) ours.Event {
	out := ours.Event{Type: ours.EventType(e.Type), KV: ourKV(e.Kv)}
	if !prevKV || out.IsCreate() {
		return out
	}
	r, err := p.etcd.kv.Range(context.Background(), e.Kv.Key, nil, mvcc.RangeOptions{Rev: e.Kv.ModRevision - 1})
	if err == nil && len(r.KVs) > 0 {
		kv := ourKV(r.KVs[0])
		out.PrevKV = &kv
	}
	return out
}

// watch compares what both have delivered since the last step.
func (p *pair) watch() {
	p.differed = false
	for more := true; more; {
		select {
		case r := <-p.etcd.stream.Chan():
			if text := p.guarded(func() string { p.deliver(r); return "" }); text != "" {
				p.rec.Text("watch", text, "no panic")
				p.differed = true
				return
			}
		default:
			more = false
		}
	}
	for _, w := range p.watches {
		if w.ours == nil {
			continue
		}
		mine := delivered(w.ours)
		if len(w.upstream)+len(mine) == 0 {
			continue
		}
		theirs, own := strings.Join(w.upstream, "\n"), strings.Join(mine, "\n")
		w.upstream = nil
		p.rec.Text("watch", theirs, own)
		if theirs != own {
			p.differed = true
			return
		}
	}
}

func delivered(w *ours.Watcher) []string {
	var events []string
	for {
		batch, ok, err := w.Poll()
		if err != nil {
			return append(events, ourError(err))
		}
		if !ok {
			return events
		}
		for _, e := range batch.Events {
			events = append(events, showEvent(e))
		}
	}
}

// reload takes a store through an image and compares the digests.
func reload(s *ours.Store) (*ours.Store, error) {
	var b bytes.Buffer
	if _, err := s.Snapshot().WriteTo(&b); err != nil {
		return nil, err
	}
	loaded, err := ours.Load(&b)
	if err != nil {
		return nil, err
	}
	if loaded.Hash() != s.Hash() {
		return nil, errors.New("the digest changed in the image")
	}
	return loaded, nil
}
