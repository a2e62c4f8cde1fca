package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/raftstore"
)

// ErrConflict is returned by Commit when an object has changed since the view
// that the action was decided on. The change will arrive; then decide again.
var ErrConflict = errors.New("the object has changed meanwhile")

// Write changes one key, on condition that the key is still as it was seen.
type Write struct {
	Key string
	// Revision is the mod revision that was seen; 0 means that there was no object.
	Revision int64
	// Value is the object's new JSON; nil deletes the object.
	Value []byte
}

// Action is what a controller wants done: writes that happen together or not at
// all, and what to call it.
type Action struct {
	Verb   string // "create", "bind", "start", …
	Object string // "Pod shop/cart-1", for people
	Writes []Write
	// Guard, if set, is a key that must be unchanged although it is not written.
	Guard *Write
}

// Put is an action of one write.
func Put(verb, object, key string, revision int64, value []byte) Action {
	return Action{Verb: verb, Object: object, Writes: []Write{{Key: key, Revision: revision, Value: value}}}
}

// Patched is the action that merges a patch into a stored object.
func Patched[T any](verb, object string, s *Stored[T], patch any) (Action, error) {
	value, err := api.Merge(s.Raw, patch)
	if err != nil {
		return Action{}, fmt.Errorf("%s %s: %w", verb, object, err)
	}
	return Put(verb, object, s.Key, s.Revision, value), nil
}

// Created is the action that adds an object which must not exist yet.
func Created(object, key string, value any) (Action, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return Action{}, fmt.Errorf("create %s: %w", object, err)
	}
	return Put("create", object, key, 0, text), nil
}

// Commit makes an action's writes in one transaction and returns its revision.
func Commit(ctx context.Context, kv raftstore.KV, a Action) (int64, error) {
	var t raftstore.Txn
	guards := a.Writes
	if a.Guard != nil {
		guards = append(guards[:len(guards):len(guards)], *a.Guard)
	}
	for _, w := range guards {
		t.If = append(t.If, raftstore.Compare{
			Target: raftstore.CompareModRevision, Operator: raftstore.Equal,
			Key: []byte(w.Key), Number: w.Revision,
		})
	}
	for _, w := range a.Writes {
		op := raftstore.Op{Put: &raftstore.PutRequest{Key: []byte(w.Key), Value: w.Value}}
		if w.Value == nil {
			op = raftstore.Op{Delete: &raftstore.DeleteRequest{Key: []byte(w.Key)}}
		}
		t.Then = append(t.Then, op)
	}
	result, err := kv.Txn(ctx, t)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", a.Verb, a.Object, err)
	}
	if !result.Succeeded {
		return 0, fmt.Errorf("%s %s: %w", a.Verb, a.Object, ErrConflict)
	}
	return result.Revision, nil
}

// Result is what became of an action.
type Result struct {
	Action   Action
	Revision int64
	Err      error
}

// writesMax bounds the transactions that one controller has in flight.
const writesMax = 32

// CommitAll runs independent actions at the same time, since each waits for the
// disks of a quorum; the store writes them in one group.
func CommitAll(ctx context.Context, kv raftstore.KV, actions []Action) []Result {
	results := make([]Result, len(actions))
	slots := make(chan struct{}, writesMax)
	var wg sync.WaitGroup
	for i, a := range actions {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			revision, err := Commit(ctx, kv, a)
			results[i] = Result{Action: a, Revision: revision, Err: err}
		})
	}
	wg.Wait()
	return results
}
