package raftstore

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// simRegister is a key as a checker of linearizability sees it that knows nothing of
// revisions: its value, empty when there is none. Values are unique, so that to compare
// a mod revision is to compare the value it belongs to.
var simRegister = porcupine.Model{
	Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range ops {
			key := op.Input.(*simOp).key
			byKey[key] = append(byKey[key], op)
		}
		parts := make([][]porcupine.Operation, 0, len(byKey))
		for _, key := range slices.Sorted(maps.Keys(byKey)) {
			parts = append(parts, byKey[key])
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		op, now := input.(*simOp), state.(string)
		known := op.done && op.outcome == applied
		switch op.kind {
		case simGet:
			return string(op.found.Value) == now, now
		case simPut:
			return true, op.value
		case simSwap:
			if now != op.old {
				return known && !op.swapped, now
			}
			return !known || op.swapped, op.value
		default: // simDelete
			return !known || op.swapped == (now != ""), ""
		}
	},
}

// simPatience bounds the search for an order in one seed. None has come near it; what
// is not decided then counts as such and is no finding.
const simPatience = 10 * time.Second

// checkLinearizable leaves it to porcupine to find an order, key by key, that explains
// what the clients were told. A write whose outcome its client does not know has
// happened if a watcher has seen its value, at any time from its call on; a delete may
// have happened or not.
func (h *history) checkLinearizable() string {
	written := h.written()
	var ops []porcupine.Operation
	for _, op := range h.ops {
		if op.kind == simOpen || op.kind == simCompact {
			continue
		}
		end := int64(op.end)
		if !op.done || op.outcome == unsure {
			if op.kind == simGet || op.kind != simDelete && written[op.value] == 0 {
				continue
			}
			end = math.MaxInt64
		} else if op.outcome == rejected {
			continue
		}
		ops = append(ops, porcupine.Operation{ClientId: op.client, Input: op, Call: int64(op.start), Return: end})
	}
	h.w.counts["checked by porcupine"] += len(ops)
	for _, part := range simRegister.Partition(ops) {
		switch porcupine.CheckOperationsTimeout(simRegister, part, simPatience) {
		case porcupine.Illegal:
			return fmt.Sprintf("porcupine: the %d calls about %s are not linearizable", len(part), part[0].Input.(*simOp).key)
		case porcupine.Unknown:
			h.w.counts["undecided by porcupine"]++
		}
	}
	return ""
}

// The checkers of histories must be able to fail, each by itself.
func TestHistoriesThatAreWrong(t *testing.T) {
	put := &simOp{kind: simPut, key: "k", value: "a", start: 1, end: 2, done: true, revision: 2}
	event := Event{KV: KeyValue{Key: []byte("k"), Value: []byte("a"), ModRevision: 2, CreateRevision: 2, Version: 1}}
	check := func(ops ...*simOp) (byRevision, byPorcupine string) {
		h := &history{w: &world{t: t, counts: map[string]int{}}, ops: ops, events: map[int64][]Event{2: {event}}}
		byRevision = h.checkRealTime()
		if byRevision == "" {
			byRevision = h.checkAnswers(h.states())
		}
		return byRevision, h.checkLinearizable()
	}
	for name, c := range map[string]struct {
		op                *simOp
		revision, without bool // found by revisions, found without
	}{
		"a read of what was written":   {&simOp{kind: simGet, start: 3, revision: 2, found: event.KV}, false, false},
		"a stale read":                 {&simOp{kind: simGet, start: 3, revision: 1}, true, true},
		"a concurrent read of before":  {&simOp{kind: simGet, start: 1, revision: 1}, false, false},
		"a swap of nothing":            {&simOp{kind: simSwap, value: "b", start: 3, revision: 2, swapped: true}, true, true},
		"a swap that should have been": {&simOp{kind: simSwap, value: "b", old: "a", expect: 2, start: 3, revision: 2}, true, true},
		"a delete that found nothing":  {&simOp{kind: simDelete, start: 3, revision: 2}, true, true},
		"a wrong revision":             {&simOp{kind: simGet, start: 3, revision: 2, found: KeyValue{Value: []byte("a"), ModRevision: 9}}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			op := c.op
			op.key, op.done, op.end, op.node = "k", true, 4, &simNode{id: 1}
			byRevision, byPorcupine := check(put, op)
			require.Equal(t, c.revision, byRevision != "", byRevision)
			require.Equal(t, c.without, byPorcupine != "", byPorcupine)
		})
	}
	lost := &simOp{kind: simPut, key: "k", value: "b", start: 1} // never done, never seen
	byRevision, byPorcupine := check(put, lost)
	require.Empty(t, byRevision+byPorcupine)
}
