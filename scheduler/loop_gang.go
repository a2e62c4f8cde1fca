package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// placeGroup tries the pods of a group: all are placed, or as many as make a
// gang, or none.
func (l *Loop) placeGroup(ctx context.Context, group []*QueuedPod, now time.Time) {
	group = slices.DeleteFunc(group, l.superfluous)
	if len(group) == 0 {
		return
	}
	key := group[0].Pod.groupKey()
	l.mu.Lock()
	known := l.queue.groups.groups[key]
	minCount := -1
	if known != nil && known.wire != nil {
		minCount = known.minCount()
	}
	l.mu.Unlock()
	trial := l.tryGroup(group, minCount, now)
	l.mu.Lock()
	placed := l.queue.placedMembers(key)
	l.mu.Unlock()
	if trial.fatal == nil && placed >= minCount && trial.count > 0 && !trial.preempts() {
		l.bindGroup(ctx, trial)
		return
	}
	l.undoGroup(ctx, trial, placed >= minCount)
}

// groupTrial is what became of the pods of a group, by their order.
type groupTrial struct {
	group    []*QueuedPod
	attempts []*attempt // nil: not placed
	errs     []error
	count    int   // of attempts
	fatal    error // ends the whole group's attempt
}

// preempts says that some of the pods have room only once victims are gone.
func (t *groupTrial) preempts() bool {
	for i, a := range t.attempts {
		if a != nil && t.errs[i] != nil {
			return true
		}
	}
	return false
}

// tryGroup books a node for each pod of the group that has one, one after the
// other. A pod that can make room for itself counts as placed where it would.
func (l *Loop) tryGroup(group []*QueuedPod, minCount int, now time.Time) *groupTrial {
	t := &groupTrial{group: group, attempts: make([]*attempt, len(group)), errs: make([]error, len(group))}
	if minCount < 0 {
		t.fatal = &groupError{Pod: group[0].Pod.Name(), Want: "its group " + group[0].Pod.groupKey().String() + ", which is gone"}
		return t
	}
	for i, entry := range group {
		if entry.profile != group[0].profile {
			t.fatal = &groupError{Pod: entry.Pod.Name(), Want: "the schedulerName of the rest of its group"}
			return t
		}
		placement, err := l.scheduler.SchedulePod(entry.Pod)
		t.errs[i] = err
		if err != nil {
			n := l.nomination(err)
			if !errors.As(err, new(*FitError)) && !errors.Is(err, ErrNoNodes) {
				t.fatal = err
				return t
			}
			if n == nil {
				continue
			}
			placement = Placement{Node: n.Node}
		}
		a, err := l.reserve(entry, placement, now)
		if err != nil {
			t.errs[i] = err
			if !errors.As(err, new(*FitError)) {
				t.fatal = err
				return t
			}
			continue
		}
		t.attempts[i] = a
		t.count++
	}
	return t
}

// groupError is why a pod cannot be placed with its group at all.
type groupError struct{ Pod, Want string }

func (e *groupError) Error() string { return "pod " + e.Pod + ": want " + e.Want }

// bindGroup goes on with the pods that have a node.
func (l *Loop) bindGroup(ctx context.Context, t *groupTrial) {
	for i, a := range t.attempts {
		if a != nil {
			l.admit(ctx, a)
		} else {
			l.failed(ctx, t.group[i], t.errs[i])
		}
	}
}

// undoGroup takes all pods back, the last first. If the group would fit once
// some victims are gone, those are removed, and every pod is nominated to its
// node meanwhile.
func (l *Loop) undoGroup(ctx context.Context, t *groupTrial, enough bool) {
	nodes := make([]string, len(t.group))
	for i, a := range slices.Backward(t.attempts) {
		if a == nil {
			continue
		}
		nodes[i] = a.binding.Node
		_ = a.binding.Cancel() // an error says that somebody has rejected it
		l.mu.Lock()
		l.finish(a)
		l.mu.Unlock()
	}
	waits := enough && t.fatal == nil && t.preempts()
	for i, entry := range t.group {
		err := t.errs[i]
		switch {
		case t.fatal != nil:
			err = fmt.Errorf("failed to schedule other pod from a pod group: %w", t.fatal)
		case waits && nodes[i] != "" && err == nil:
			l.holdPlace(entry, nodes[i])
			continue
		case nodes[i] != "" && !waits:
			err = ErrGangIncomplete
		}
		l.failed(ctx, entry, err)
	}
}

// holdPlace brings a pod of a gang back that waits for the others' victims.
func (l *Loop) holdPlace(entry *QueuedPod, node string) {
	l.mu.Lock()
	if l.comeBack(entry, nil, false, ErrGangPreempting, l.config.Clock.Now()) {
		_ = l.cache.nominatePod(entry.Pod, node)
	}
	said := outcome(entry, ErrGangPreempting, node)
	l.mu.Unlock()
	l.observe(said)
}
