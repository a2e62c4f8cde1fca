package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// operation is one request of a client and what the client was told.
type operation struct {
	kind       string // put, get, swap or delete
	key        string
	value, old string // of the request
	member     uint64
	session    uint64
	sequence   int64
	call       int64 // nanoseconds since the start
	end        int64
	outcome    outcome
	found      answer
}

type outcome uint8

const (
	done outcome = iota
	notDone
	unknown
)

// history is what all clients and watches have seen.
type history struct {
	ps    *processes
	begun time.Time
	// epoch is part of the keys: few operations share one, which keeps checking fast.
	epoch atomic.Int64
	acks  atomic.Int64
	// clients are those that work.
	clients sync.WaitGroup
	// repeated counts the requests of sessions that were asked for again, reopened the
	// watches that went on somewhere.
	repeated, reopened atomic.Int64

	mu  sync.Mutex
	ops []operation
	// changes by revision, as the first watch has got them.
	changes map[int64]change
	reached map[uint64]int64 // by each watch
	faults  []error
	// holdings are the keys that go with a lease, gone when their deletion was seen first.
	holdings []*holding
	gone     map[string]int64
}

func newHistory(ps *processes) *history {
	return &history{ps: ps, begun: time.Now(), changes: map[int64]change{}, reached: map[uint64]int64{}, gone: map[string]int64{}}
}

func (h *history) now() int64 { return time.Since(h.begun).Nanoseconds() }

const (
	keysEach    = 4
	opTimeout   = 1500 * time.Millisecond
	clientsEach = 3
)

// run has clients work until working ends and watches follow until watching does.
// wait returns when both have ended.
func (h *history) run(working, watching context.Context) (wait func()) {
	var watches sync.WaitGroup
	for _, p := range h.ps.all {
		for c := range clientsEach {
			h.clients.Go(func() { h.work(working, p, c) })
		}
		h.clients.Go(func() { h.hold(working, p) })
		watches.Go(func() { h.follow(watching, p) })
	}
	return func() {
		h.clients.Wait()
		watches.Wait()
	}
}

// work is the life of a client of one member. The first client of each has a session, and
// repeats its writes, here and there, until it knows that they are done.
func (h *history) work(ctx context.Context, p *process, number int) {
	rng := rand.New(rand.NewPCG(p.id, uint64(number)))
	seen := map[string]string{}
	session := uint64(0)
	if number == 0 {
		session = h.openSession(ctx, p)
	}
	for i := 0; ctx.Err() == nil; i++ {
		op := operation{
			kind: []string{"put", "put", "get", "get", "swap", "swap", "delete"}[rng.IntN(7)],
			key:  fmt.Sprintf("e%d-k%d", h.epoch.Load(), rng.IntN(keysEach)), member: p.id,
			value: fmt.Sprintf("m%d-c%d-%d", p.id, number, i),
		}
		if op.old = seen[op.key]; op.kind == "swap" && op.old == "" {
			op.kind = "get"
		}
		if len(seen) > 2*keysEach {
			clear(seen)
		}
		if session != 0 && op.kind != "get" {
			op.session, op.sequence = session, int64(i)+1
		}
		h.perform(ctx, p.client, &op)
		switch {
		case op.outcome == done && op.kind == "get":
			seen[op.key] = op.found.Value
		case op.outcome == done && op.kind != "delete":
			seen[op.key] = op.value
		}
		pause := time.Duration(rng.IntN(12)) * time.Millisecond
		if op.outcome != done {
			pause += 50 * time.Millisecond
		}
		time.Sleep(pause)
	}
}

// openSession opens a session, however long it takes: those whose answers are lost do
// no harm.
func (h *history) openSession(ctx context.Context, p *process) uint64 {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, opTimeout)
		a, err := p.client.openSession(attempt)
		cancel()
		if err == nil {
			return a.Session
		}
		time.Sleep(20 * time.Millisecond)
	}
	return 0
}

func (h *history) perform(working context.Context, c *client, op *operation) {
	op.call = h.now()
	err := op.ask(c)
	for tries := 1; op.session != 0 && err != nil && working.Err() == nil; tries++ {
		time.Sleep(20 * time.Millisecond)
		h.repeated.Add(1)
		err = op.ask(h.ps.all[tries%len(h.ps.all)].client)
	}
	op.end = h.now()
	switch {
	case err == nil:
		op.outcome = done
		h.acks.Add(1)
	case errors.Is(err, errNotDone) && op.session == 0:
		op.outcome = notDone
	default:
		op.outcome = unknown
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, *op)
	var usage usageError
	if errors.As(err, &usage) {
		h.faults = append(h.faults, err)
	}
}

// ask makes a request once.
func (op *operation) ask(c *client) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	w := write{method: "PUT", key: op.key, value: op.value, session: op.session, sequence: op.sequence}
	switch op.kind {
	case "get":
		op.found, err = c.get(ctx, op.key)
		return err
	case "swap":
		w.swap, w.old = true, op.old
	case "delete":
		w.method, w.value = "DELETE", ""
	}
	op.found, err = c.write(ctx, w)
	return err
}

// follow watches everything, at first at one member. When that breaks off it goes on
// where it was: there, or at another one.
func (h *history) follow(ctx context.Context, p *process) {
	rng := rand.New(rand.NewPCG(p.id, 77))
	id, last := p.id, int64(1)
	for ctx.Err() == nil {
		_ = p.client.watch(ctx, last+1, func(ch change) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if ch.Revision != last+1 { // each write here makes a revision of its own
				h.faults = append(h.faults, fmt.Errorf("watch %d at member %d: revision %d follows %d", id, p.id, ch.Revision, last))
			}
			if known, ok := h.changes[ch.Revision]; ok && known != ch {
				h.faults = append(h.faults, fmt.Errorf("watch %d at member %d: %+v, another one had %+v", id, p.id, ch, known))
			}
			h.changes[ch.Revision] = ch
			if _, ok := h.gone[ch.Key]; ch.Deleted && !ok {
				h.gone[ch.Key] = h.now()
			}
			last = ch.Revision
			h.reached[id] = last
			return nil
		}) // it breaks off when the member does
		h.reopened.Add(1)
		time.Sleep(20 * time.Millisecond)
		if rng.IntN(2) == 0 {
			p = h.ps.all[rng.IntN(len(h.ps.all))]
		}
	}
}

// progress waits until clients have got so many more answers.
func (h *history) progress(t *testing.T, n int64) {
	t.Helper()
	want := h.acks.Load() + n
	for deadline := time.Now().Add(60 * time.Second); h.acks.Load() < want; time.Sleep(5 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "no progress: %d of %d answers", h.acks.Load(), want)
	}
}

// watchesReach waits until every watch has got everything.
func (h *history) watchesReach(t *testing.T, revision int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, p := range h.ps.all {
			if h.reached[p.id] < revision {
				return false
			}
		}
		return true
	}, 60*time.Second, 20*time.Millisecond, "watches do not reach revision %d", revision)
}

// check holds all that was seen against each other.
func (h *history) check(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Empty(t, h.faults)
	h.checkValues(t)
	h.checkHoldings(t)
	require.NoError(t, checkRevisions(h.ops, h.changes))
	require.NoError(t, checkLinearizable(h.ops))
}

// checkValues sees that every value was written at most once, and never when the
// client was told that it was not.
func (h *history) checkValues(t *testing.T) {
	written := map[string]int{}
	for _, ch := range h.changes {
		if !ch.Deleted {
			written[ch.Value]++
		}
	}
	for _, op := range h.ops {
		if op.kind != "put" && op.kind != "swap" {
			continue
		}
		n := written[op.value]
		require.LessOrEqual(t, n, 1, "%+v was written more than once", op)
		require.False(t, op.outcome == notDone && n != 0, "%+v was written", op)
	}
}

// writes reports whether an operation that is done has made a revision.
func (op *operation) writes() bool {
	return op.kind == "put" || op.kind == "swap" && op.found.Swapped || op.kind == "delete" && op.found.Deleted > 0
}

// checkRevisions sees that writes are what the watches have shown at their revision,
// that reads agree with the writes before theirs, and that revisions respect real
// time.
func checkRevisions(ops []operation, changes map[int64]change) error {
	byKey := map[string][]change{}
	for _, revision := range slices.Sorted(maps.Keys(changes)) {
		ch := changes[revision]
		byKey[ch.Key] = append(byKey[ch.Key], ch)
	}
	var completed []operation
	for _, op := range ops {
		if op.outcome != done {
			continue
		}
		completed = append(completed, op)
		if ch := changes[op.found.Revision]; op.writes() && (ch.Key != op.key || !ch.Deleted && ch.Value != op.value || ch.Deleted != (op.kind == "delete")) {
			return fmt.Errorf("%+v was acknowledged, the watches have %+v", op, ch)
		}
		if op.kind != "get" {
			continue
		}
		var last change
		for _, ch := range byKey[op.key] {
			if ch.Revision <= op.found.Revision {
				last = ch
			}
		}
		if last.Deleted {
			last = change{}
		}
		if last.Value != op.found.Value || last.Revision != op.found.ModRevision {
			return fmt.Errorf("%+v was read, the watches have %+v", op, last)
		}
	}
	return checkRealTime(completed)
}

// checkRealTime sees that an operation that began when another one had ended has a
// later revision, or for reads the same.
func checkRealTime(completed []operation) error {
	starts := slices.SortedFunc(slices.Values(completed), func(a, b operation) int { return int(a.call - b.call) })
	ends := slices.SortedFunc(slices.Values(completed), func(a, b operation) int { return int(a.end - b.end) })
	var newest operation
	for _, op := range starts {
		for len(ends) > 0 && ends[0].end < op.call {
			if ends[0].found.Revision > newest.found.Revision {
				newest = ends[0]
			}
			ends = ends[1:]
		}
		if op.found.Revision < newest.found.Revision || op.writes() && op.found.Revision == newest.found.Revision {
			return fmt.Errorf("%+v began after %+v had ended", op, newest)
		}
	}
	return nil
}

// register is a key as a checker of linearizability sees it: its value, empty when
// there is none. It knows nothing of revisions, watches or members.
var register = porcupine.Model{
	Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range ops {
			key := op.Input.(operation).key
			byKey[key] = append(byKey[key], op)
		}
		return slices.Collect(maps.Values(byKey))
	},
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		op, now := input.(operation), state.(string)
		known := op.outcome == done
		switch op.kind {
		case "put":
			return true, op.value
		case "get":
			return op.found.Value == now, now
		case "swap":
			if now != op.old {
				return !known || !op.found.Swapped, now
			}
			return !known || op.found.Swapped, op.value
		default:
			return !known || (op.found.Deleted > 0) == (now != ""), ""
		}
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
}

// checkLinearizable leaves it to porcupine to find an order that explains what the
// clients were told. What nobody knows about may happen at any time, or never.
func checkLinearizable(ops []operation) error {
	var events []porcupine.Operation
	for _, op := range ops {
		end := op.end
		switch {
		case op.outcome == notDone || op.outcome == unknown && op.kind == "get":
			continue
		case op.outcome == unknown:
			end = math.MaxInt64
		}
		events = append(events, porcupine.Operation{Input: op, Call: op.call, Return: end})
	}
	if result := porcupine.CheckOperationsTimeout(register, events, 2*time.Minute); result != porcupine.Ok {
		for _, part := range register.Partition(events) {
			if r := porcupine.CheckOperationsTimeout(register, part, 10*time.Second); r != porcupine.Ok {
				slices.SortFunc(part, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
				text := ""
				for _, e := range part {
					text += fmt.Sprintf("\n%+v", e.Input)
				}
				return fmt.Errorf("history of %d operations is not linearizable: %v:%s", len(part), r, text)
			}
		}
		return fmt.Errorf("history of %d operations: %v", len(events), result)
	}
	return nil
}

// The checkers must be able to fail.
func TestCheckersFindWhatIsWrong(t *testing.T) {
	write := operation{kind: "put", key: "k", value: "a", call: 1, end: 2, found: answer{Revision: 2}}
	stale := operation{kind: "get", key: "k", call: 3, end: 4, found: answer{Revision: 1}}
	fresh := operation{kind: "get", key: "k", call: 3, end: 4, found: answer{Revision: 2, Value: "a", ModRevision: 2}}
	changes := map[int64]change{2: {Revision: 2, Key: "k", Value: "a"}}
	require.NoError(t, checkLinearizable([]operation{write, fresh}))
	require.NoError(t, checkRevisions([]operation{write, fresh}, changes))
	require.Error(t, checkLinearizable([]operation{write, stale}))
	require.ErrorContains(t, checkRevisions([]operation{write, stale}, changes), "began after")
	require.ErrorContains(t, checkRevisions([]operation{write}, nil), "acknowledged")
	wrong := fresh
	wrong.found.ModRevision = 9
	require.ErrorContains(t, checkRevisions([]operation{write, wrong}, changes), "was read")

	twice := operation{kind: "swap", key: "k", old: "a", value: "b", call: 5, end: 6, found: answer{Swapped: true, Revision: 3}}
	again := operation{kind: "swap", key: "k", old: "a", value: "c", call: 7, end: 8, found: answer{Swapped: true, Revision: 4}}
	require.Error(t, checkLinearizable([]operation{write, twice, again}), "two swaps of one value")
	open := operation{kind: "put", key: "k", value: "a", call: 4, end: 9, outcome: unknown}
	require.NoError(t, checkLinearizable([]operation{write, twice, open, again}), "unless somebody has put it back")
}
