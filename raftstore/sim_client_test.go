package raftstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// simOp is one call of a client as a checker sees it.
type simOp struct {
	client int
	kind   simKind
	// session and sequence, if the call may be repeated.
	session, sequence uint64
	key, value        string
	expect            int64  // mod revision that a compare-and-swap wants
	old               string // the value of that revision
	start, end        time.Duration
	node              *simNode
	request           *request

	done    bool
	outcome outcome
	// revision is that of the store with the result: for a write that of the write.
	revision int64
	swapped  bool
	found    KeyValue // of a read
}

type simKind uint8

const (
	simPut simKind = iota
	simGet
	simSwap
	simDelete
	simOpen
	simCompact
)

func (k simKind) String() string {
	return [...]string{"put", "get", "swap", "delete", "open", "compact"}[k]
}

type outcome uint8

const (
	applied outcome = iota
	rejected
	unsure
)

// simClient makes one call after the other.
type simClient struct {
	w          *world
	id         int
	count      int
	calmWrites int
	sessions   bool
	session    uint64
	// seen are the mod revisions this client knows of, for its swaps.
	seen map[string]int64
	// values are those of the revisions in seen, empty for a key that is not there.
	values map[string]string
}

// next begins a call.
func (c *simClient) next() {
	w := c.w
	if c.seen == nil {
		c.seen, c.values = map[string]int64{}, map[string]string{}
		c.sessions = w.rng.IntN(2) == 0
	}
	c.count++
	op := &simOp{client: c.id, start: w.now, kind: simKind(w.rng.IntN(4))}
	op.key = fmt.Sprintf("k%d", w.rng.IntN(5))
	op.value = fmt.Sprintf("c%d-%d", c.id, c.count)
	if w.rng.IntN(20) == 0 {
		op.value += string(make([]byte, 4000))
	}
	op.expect, op.old = c.seen[op.key], c.values[op.key]
	if w.rng.IntN(60) == 0 {
		op.kind = simCompact
	}
	if c.sessions && c.session == 0 {
		op.kind = simOpen
	}
	if op.kind == simCompact {
		op.expect = 0
	} else if c.session != 0 && op.kind != simGet {
		op.session, op.sequence = c.session, uint64(c.count)
	}
	w.history.ops = append(w.history.ops, op)
	w.submit(op)
}

// submit hands a call to a random member: for the first time, or, in a session,
// again.
func (w *world) submit(op *simOp) {
	n := w.anyNode()
	if n.replica == nil || w.now < n.asleep && w.rng.IntN(2) == 0 {
		w.after(w.between(time.Millisecond, 50*time.Millisecond), func() { w.submit(op) })
		return
	}
	op.node = n
	if op.kind == simCompact && op.expect == 0 {
		// So far behind that every revision has been seen by somebody.
		op.expect = max(1, n.replica.core.state.store.Revision()-150)
	}
	op.request = op.encode()
	w.history.waiting[op.request] = op
	if op.kind == simGet {
		op.request.byLease = n.cfg.LeaseReads && w.rng.IntN(2) == 0
		n.replica.core.read(op.request)
	} else {
		n.replica.core.write(op.request)
	}
	patience := w.between(50*time.Millisecond, 3*time.Second)
	if op.client == 0 && op.session == 0 {
		patience = time.Hour // what was lost must be found again without its help
	}
	request := op.request
	w.after(patience, func() {
		if !op.done && op.request == request {
			w.giveUp(op)
		}
	})
	if w.now >= n.asleep {
		n.turn()
	}
}

func (op *simOp) encode() *request {
	r := &request{done: make(chan struct{}, 1)}
	key := []byte(op.key)
	if op.kind == simGet {
		return r
	}
	op.command(r, key)
	if op.session != 0 {
		b := appendNumbers(nil, op.session, op.sequence, op.sequence)
		r.body = append(append(b, byte(r.kind)), r.body...)
		r.kind = commandSession
	}
	return r
}

func (op *simOp) command(r *request, key []byte) {
	switch op.kind {
	case simOpen:
		r.kind = commandOpen
	case simCompact:
		r.kind = commandCompact
		r.body = appendVarint(nil, op.expect)
	case simPut:
		r.kind = commandPut
		r.body = appendPut(nil, &PutRequest{Key: key, Value: []byte(op.value)})
	case simDelete:
		r.kind = commandDelete
		r.body = appendDelete(nil, &DeleteRequest{Key: key})
	case simSwap:
		r.kind = commandTxn
		r.body = appendTxn(nil, &Txn{
			If:   []Compare{{Target: CompareModRevision, Operator: Equal, Key: key, Number: op.expect}},
			Then: []Op{{Put: &PutRequest{Key: key, Value: []byte(op.value)}}},
		})
	}
}

// giveUp ends a call as its context would.
func (w *world) giveUp(op *simOp) {
	delete(w.history.waiting, op.request)
	w.counts["given up"]++
	if op.session != 0 {
		w.again(op)
		return
	}
	op.done, op.end = true, w.now
	op.outcome = unsure
	if op.kind == simGet || op.request.claimed.take() {
		op.outcome = rejected
	}
	w.pauseAndGoOn(op)
}

// again repeats a call of a session, whatever has become of it.
func (w *world) again(op *simOp) {
	w.counts["repeated"]++
	op.request.claimed.take()
	op.node, op.request = nil, nil
	w.after(w.between(0, 100*time.Millisecond), func() { w.submit(op) })
}

// abandon ends the calls that wait at a member that crashes. The member proposes
// nothing any more, so what it has not proposed yet is not applied.
func (w *world) abandon(n *simNode) {
	for _, op := range w.history.ops {
		if op.node == n && !op.done {
			w.giveUp(op)
		}
	}
}

func (w *world) pauseAndGoOn(op *simOp) {
	c := w.clients[op.client]
	w.after(w.between(0, 60*time.Millisecond), c.next)
}

// complete takes results from the members.
func (w *world) complete(requests []*request) {
	for _, r := range requests {
		if done := w.operator.waiting[r]; done != nil {
			delete(w.operator.waiting, r)
			w.after(0, func() { done(r.result.err) })
			continue
		}
		op := w.history.waiting[r]
		if op == nil {
			continue
		}
		delete(w.history.waiting, r)
		if r.result.err != nil && op.session != 0 {
			w.again(op)
			continue
		}
		op.done, op.end = true, w.now
		w.finish(op)
		w.pauseAndGoOn(op)
	}
}

func (w *world) finish(op *simOp) {
	r := &op.request.result
	c := w.clients[op.client]
	if op.kind == simCompact {
		op.outcome = unsure // it leaves nothing to check but what others see
		if r.err == nil {
			w.counts["compactions"]++
		}
		return
	}
	if r.err != nil {
		op.outcome = unsure // the only error here is that a snapshot has hidden the result
		w.counts["hidden"]++
		return
	}
	w.counts["answered"]++
	if w.calm && op.kind == simPut {
		c.calmWrites++
	}
	store := op.node.replica.core.state.store
	switch op.kind {
	case simOpen:
		c.session, op.outcome = uint64(r.put.Revision), unsure // it has no revision to check
	case simPut:
		op.revision = r.put.Revision
		c.know(op.key, op.revision, op.value)
	case simDelete:
		op.revision, op.swapped = r.delete.Revision, r.delete.Deleted > 0
		c.know(op.key, 0, "")
	case simSwap:
		op.revision, op.swapped = r.txn.Revision, r.txn.Succeeded
		if op.swapped {
			c.know(op.key, op.revision, op.value)
		}
	case simGet:
		res, err := store.Range(&RangeOptions{Key: []byte(op.key)})
		if err != nil {
			w.fatal("read: %v", err)
		}
		op.revision = res.Revision
		if len(res.KVs) > 0 {
			op.found = res.KVs[0]
		}
		c.know(op.key, op.found.ModRevision, string(op.found.Value))
	}
}

func (c *simClient) know(key string, revision int64, value string) {
	c.seen[key], c.values[key] = revision, value
}

// writes reports whether an answered call has changed something.
func (op *simOp) writes() bool {
	return op.kind == simPut || op.kind != simGet && op.swapped
}

// history is everything that clients and watchers have seen.
type history struct {
	w       *world
	ops     []*simOp
	waiting map[*request]*simOp
	// events by revision, as the first watcher has got them.
	events map[int64][]Event
}

func (h *history) init(w *world) {
	h.w = w
	h.waiting = map[*request]*simOp{}
	h.events = map[int64][]Event{}
}

// simStream is a watcher on everything at one member, reopened where it was after
// each crash.
type simStream struct {
	w    *mvcc.Watcher
	last int64
}

func (s *simStream) open(n *simNode) {
	store := n.replica.core.state.store
	w, err := store.Watch(WatchOptions{Key: []byte{0}, End: []byte{0}, StartRevision: s.last + 1, BatchEvents: 1 + n.w.rng.IntN(20)})
	var compacted *mvcc.CompactedError
	if errors.As(err, &compacted) {
		// Told, not moved silently: the watcher begins anew at the floor.
		n.w.counts["watchers compacted"]++
		s.last = compacted.Floor - 1
		s.open(n)
		return
	}
	if err != nil {
		n.w.fatal("watch: %v", err)
	}
	s.w = w
}

func (s *simStream) poll(n *simNode) {
	for {
		batch, more, err := s.w.Poll()
		if errors.Is(err, mvcc.ErrCompacted) {
			s.open(n)
			continue
		}
		if err != nil {
			n.w.fatal("watch at member %d from %d: %v", n.id, s.last, err)
		}
		s.take(n, batch)
		if !more {
			return
		}
	}
}

// take checks a batch: revisions in order, none twice, none torn apart, none left
// out, the same at every member.
func (s *simStream) take(n *simNode, batch WatchBatch) {
	h := &n.w.history
	for i := 0; i < len(batch.Events); {
		revision := batch.Events[i].KV.ModRevision
		j := i
		for j < len(batch.Events) && batch.Events[j].KV.ModRevision == revision {
			j++
		}
		if revision != max(s.last, 1)+1 {
			n.w.fatal("watch at member %d: revision %d follows %d", n.id, revision, s.last)
		}
		s.last = revision
		events := batch.Events[i:j]
		if known, ok := h.events[revision]; !ok {
			h.events[revision] = slices.Clone(events)
		} else if !sameEvents(known, events) {
			n.w.fatal("watch at member %d: revision %d is %v, another member had %v", n.id, revision, events, known)
		}
		i = j
	}
}

func sameEvents(a, b []Event) bool {
	return slices.EqualFunc(a, b, func(a, b Event) bool {
		return a.Type == b.Type && string(a.KV.Key) == string(b.KV.Key) && string(a.KV.Value) == string(b.KV.Value) &&
			a.KV.ModRevision == b.KV.ModRevision && a.KV.CreateRevision == b.KV.CreateRevision && a.KV.Version == b.KV.Version
	})
}

// check holds the calls against the history: once by revisions, and once, as if there
// were none, by porcupine.
func (h *history) check() {
	at := h.states()
	var found []string
	for _, problem := range []string{h.checkRealTime(), h.checkAnswers(at), h.checkLinearizable()} {
		if problem != "" {
			found = append(found, problem)
		}
	}
	if len(found) > 0 {
		h.w.fatal("%s", strings.Join(found, "; and "))
	}
	h.w.counts["revisions"] += len(h.events)
}

// checkAnswers sees that every answer is right at its place in the history. The
// revisions of the answers are a linearization already.
func (h *history) checkAnswers(at func(string, int64) KeyValue) string {
	written := h.written()
	for _, op := range h.ops {
		if n := written[op.value]; n > 1 || n == 1 && op.done && op.outcome == rejected {
			return fmt.Sprintf("%v of %q by client %d is in the history %d times, outcome %d", op.kind, op.value, op.client, n, op.outcome)
		}
		if !op.done || op.outcome != applied {
			continue
		}
		if why := op.wrong(at); why != "" {
			return fmt.Sprintf("%v of %s by client %d at member %d, revision %d: %s", op.kind, op.key, op.client, op.node.id, op.revision, why)
		}
	}
	return ""
}

// written counts how often each value was written, as the watchers saw it.
func (h *history) written() map[string]int {
	written := map[string]int{}
	for _, events := range h.events {
		for _, e := range events {
			if e.Type == EventPut {
				written[string(e.KV.Value)]++
			}
		}
	}
	return written
}

// states returns the mod revision and value of each key after each revision.
func (h *history) states() func(key string, revision int64) KeyValue {
	byKey := map[string][]KeyValue{}
	last := int64(1)
	for range h.events {
		last++
		events, ok := h.events[last]
		if !ok {
			h.w.fatal("nobody has seen revision %d", last)
		}
		for _, e := range events {
			kv := e.KV
			if e.Type == EventDelete {
				kv.Version = 0
			}
			byKey[string(kv.Key)] = append(byKey[string(kv.Key)], kv)
		}
	}
	return func(key string, revision int64) KeyValue {
		all := byKey[key]
		i, found := slices.BinarySearchFunc(all, revision, func(kv KeyValue, r int64) int { return int(kv.ModRevision - r) })
		if !found {
			i--
		}
		if i < 0 || all[i].Version == 0 {
			return KeyValue{}
		}
		return all[i]
	}
}

// wrong says what is wrong with an answer.
func (op *simOp) wrong(at func(string, int64) KeyValue) string {
	now, before := at(op.key, op.revision), at(op.key, op.revision-1)
	switch {
	case op.kind == simGet:
		if now.ModRevision != op.found.ModRevision || string(now.Value) != string(op.found.Value) {
			return fmt.Sprintf("read %q of %d, the history has %q of %d", op.found.Value, op.found.ModRevision, now.Value, now.ModRevision)
		}
	case op.kind == simPut || op.kind == simSwap && op.swapped:
		if string(now.Value) != op.value || now.ModRevision != op.revision {
			return fmt.Sprintf("acknowledged %q, the history has %q of %d", op.value, now.Value, now.ModRevision)
		}
		if op.kind == simSwap && before.ModRevision != op.expect {
			return fmt.Sprintf("swapped although the key was of %d, not %d", before.ModRevision, op.expect)
		}
	case op.kind == simSwap:
		if now.ModRevision == op.expect {
			return "did not swap although the key was as expected"
		}
	case op.kind == simDelete && op.swapped:
		if now.ModRevision != 0 || before.ModRevision == 0 {
			return "deleted a key that was not there, or still is"
		}
	case now.ModRevision != 0:
		return "deleted nothing although the key was there"
	}
	return ""
}

// checkRealTime sees that a call that began after another one had ended has a
// later place, or for reads the same.
func (h *history) checkRealTime() string {
	var done []*simOp
	for _, op := range h.ops {
		if op.done && op.outcome == applied {
			done = append(done, op)
		}
	}
	ends := slices.SortedFunc(slices.Values(done), func(a, b *simOp) int { return int(a.end - b.end) })
	starts := slices.SortedFunc(slices.Values(done), func(a, b *simOp) int { return int(a.start - b.start) })
	var newest *simOp
	for _, op := range starts {
		for len(ends) > 0 && ends[0].end < op.start {
			if newest == nil || ends[0].revision > newest.revision {
				newest = ends[0]
			}
			ends = ends[1:]
		}
		if newest == nil {
			continue
		}
		if op.revision < newest.revision || op.writes() && op.revision == newest.revision {
			return fmt.Sprintf("%v of %s began at %v with revision %d, after %v of %s had ended at %v with revision %d",
				op.kind, op.key, op.start, op.revision, newest.kind, newest.key, newest.end, newest.revision)
		}
	}
	return ""
}
