package scheduler

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
)

// Mark is a moment in the life of a Fork that Revert goes back to.
type Mark struct {
	fork *Fork
	id   uint64
}

// mark is what a fork was at that moment. What it has replaced since then is in
// the journal.
type mark struct {
	id           uint64
	journal, log int
	start        int
	pcg          rand.PCG

	changes changeLog
	objects objects
	order   nodeOrder
	stale   bool
	dirty   []*NodeInfo
	slots   int32
	freed   []int32
	pods    int
}

// Mark notes the present state, for Revert. Its cost does not depend on the
// size of the cluster. The first change of a node after it copies the node.
func (f *Fork) Mark() Mark {
	c := &f.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = slices.Clip(c.dirty)
	f.ids++
	m := mark{
		id: f.ids, journal: len(f.over.journal), log: len(f.log),
		changes: c.changes, objects: c.objects.share(), order: c.order.share(),
		stale: c.stale, dirty: c.dirty, slots: c.slots, freed: c.freed, pods: f.over.pods,
	}
	m.start, m.pcg = f.rotation()
	f.marks = append(f.marks, m)
	f.over.epoch++
	return Mark{f, m.id}
}

// rotation is what of the scheduler's own state decisions depend on.
func (f *Fork) rotation() (start int, pcg rand.PCG) {
	if f.scheduler == nil {
		return f.start, f.pcg
	}
	return f.scheduler.start, *f.scheduler.pcg
}

// Revert undoes everything since the mark: the fork is what it was then, and
// decides as it did then. The cost is in proportion to what has changed since.
// Marks set later end; this one can be reverted to again.
func (f *Fork) Revert(to Mark) error {
	at, ok := slices.BinarySearchFunc(f.marks, to.id, func(m mark, id uint64) int { return cmp.Compare(m.id, id) })
	switch {
	case f.committed:
		return ErrCommitted
	case to.fork != f || !ok:
		return ErrMark
	}
	clear(f.marks[at+1:])
	f.marks = f.marks[:at+1]
	m, c := &f.marks[at], &f.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	f.over.rewind(c, m.journal)
	c.objects, c.order, c.stale = m.objects, m.order, m.stale
	c.dirty, c.slots, c.freed, f.over.pods = m.dirty, m.slots, m.freed, m.pods
	c.changes.remark(&m.changes)
	f.over.epoch++
	clear(f.log[m.log:])
	f.log = f.log[:m.log]
	if f.scheduler != nil {
		f.scheduler.start, *f.scheduler.pcg = m.start, m.pcg
	}
	return nil
}

// undo is Revert to a mark that nobody else knows, which ends too.
func (f *Fork) undo(to Mark) error {
	err := f.Revert(to)
	f.unmark(to)
	return err
}

// unmark ends a mark, if it is the last one.
func (f *Fork) unmark(m Mark) {
	if last := len(f.marks) - 1; last >= 0 && f.marks[last].id == m.id {
		f.marks[last] = mark{}
		f.marks = f.marks[:last]
	}
}

// remark records as changed again what has changed since another state of the
// log, which is being restored.
func (l *changeLog) remark(then *changeLog) {
	for _, s := range [...]struct {
		now  *uint64
		then uint64
	}{
		{&l.nodeList, then.nodeList}, {&l.namespaces, then.namespaces}, {&l.owners, then.owners},
		{&l.storage, then.storage}, {&l.budgets, then.budgets}, {&l.nominated, then.nominated},
	} {
		if *s.now != s.then {
			l.mark(s.now)
		}
	}
}

// CommitRule says what of the Cache may have changed since the Snapshot for a
// Fork to be committed.
type CommitRule uint8

const (
	// CommitUntouched commits if no node and no pod that the fork has changed
	// has changed in the Cache: nothing is overcommitted, no pod placed twice.
	// What the fork's decisions saw elsewhere, such as the pods that spread and
	// affinity count, may have changed.
	CommitUntouched CommitRule = iota
	// CommitUnchanged commits if the Cache has not changed at all, so that
	// every decision is what it would be now.
	CommitUnchanged
)

// ConflictError says why a Fork cannot be committed. Neither the Cache nor the
// Fork has changed. It is an ErrMovedOn.
type ConflictError struct {
	// Objects are those that have changed in the Cache since the Snapshot,
	// sorted: "node a", "pod default/web-1", "storage"; with CommitUnchanged
	// there may be others, and Objects may be empty.
	Objects []string
}

// Error names the objects.
func (e *ConflictError) Error() string {
	if len(e.Objects) == 0 {
		return ErrMovedOn.Error()
	}
	return ErrMovedOn.Error() + ": " + strings.Join(e.Objects, ", ")
}

// Unwrap returns ErrMovedOn.
func (e *ConflictError) Unwrap() error { return ErrMovedOn }

// Commit makes the changes of the fork, in their order, to the Cache that its
// Snapshot is of. Pods that the fork has placed are assumed there, to be bound.
// If the rule forbids it, the error is a *ConflictError and nothing has
// changed. The cost is in proportion to the changes. Afterwards the fork is
// over.
func (f *Fork) Commit(rule CommitRule) error {
	if f.committed {
		return ErrCommitted
	}
	live, base := f.over.base.cache, f.over.base
	live.mu.Lock()
	defer live.mu.Unlock()
	e := ConflictError{Objects: f.conflicts(live)}
	if len(e.Objects) > 0 || rule == CommitUnchanged && live.changes.clock != base.changes.clock {
		return &e
	}
	f.committed = true
	for _, change := range f.log {
		// It has worked in the fork, and whatever it depends on is the same.
		if err := change(live); err != nil {
			panic("scheduler: a change that a fork has made does not work in its Cache: " + err.Error())
		}
	}
	return nil
}

// conflicts names what both the fork and the Cache have changed.
func (f *Fork) conflicts(live *Cache) []string {
	base := f.over.base
	var list []string
	for i := range f.over.journal {
		r := &f.over.journal[i]
		switch {
		case r.dealt:
		case r.name != "":
			was, now := base.node(r.name), live.node(r.name)
			if (was == nil) != (now == nil) || was != nil && was.generation != now.generation {
				list = append(list, "node "+r.name)
			}
		case base.pods.get(r.key) != live.pod(r.key):
			list = append(list, "pod "+r.key.String())
		}
	}
	// Claims that were decided about would be decided about anew.
	if f.cache.changes.storage != base.changes.storage && live.changes.storage != base.changes.storage {
		list = append(list, "storage")
	}
	slices.Sort(list)
	return slices.Compact(list)
}
