package scheduler

import (
	"errors"
	"fmt"
)

// The ways in which an object contradicts the Cache.
var (
	// ErrExists is returned by AddNode, AddPod and Assume when an object of
	// that name is there already.
	ErrExists = errors.New("exists already")
	// ErrUnknownNode is returned when a node is named that was never added.
	ErrUnknownNode = errors.New("node is not known")
	// ErrUnknownPod is returned when a pod is named that was never added.
	ErrUnknownPod = errors.New("pod is not known")
	// ErrNotAssumed is returned by Confirm and Forget for a pod that is bound.
	ErrNotAssumed = errors.New("pod is not assumed")
	// ErrAssumed is returned by RemovePod for a pod that is assumed only:
	// Forget it.
	ErrAssumed = errors.New("pod is assumed, not bound")
	// ErrConflict is to be returned by a Binder, wrapped or not, when the cluster
	// is not as the Cache has it: another scheduler was faster. Loop then tries
	// the pod again.
	ErrConflict = errors.New("the cluster has changed meanwhile")
	// ErrRunning is returned by Loop.Run and Loop.Step while Run runs.
	ErrRunning = errors.New("loop is running already")
	// ErrGangIncomplete is why a pod of a gang is not bound although it would
	// fit: too few of the others do.
	ErrGangIncomplete = errors.New("waiting for minCount pods from a gang to be scheduled")
	// ErrGangPreempting is why a gang that fits is not bound: some of its pods
	// wait for their victims to be removed.
	ErrGangPreempting = errors.New("pod group is waiting for preemption to complete")
	// ErrNoNodes is returned by Schedule when the Cache holds no node.
	ErrNoNodes = errors.New("no nodes available to schedule pods")
)

// InputError says which field of which object cannot be accepted. The Cache is
// as it was before the call.
type InputError struct {
	Object string // kind and name: "pod default/web-1"
	Field  string // JSON path: "spec.containers[0].resources.requests[cpu]"
	Value  string
	Want   string // what was expected
	Err    error  // the sentinel, for contradictions
}

// Error returns one line with object, field, value and expectation.
func (e *InputError) Error() string {
	s := fmt.Sprintf("%s: %s: %q", e.Object, e.Field, e.Value)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Want != "" {
		s += ": want " + e.Want
	}
	return s
}

// Unwrap returns the sentinel, for errors.Is.
func (e *InputError) Unwrap() error { return e.Err }

// UnsupportedError says that a pod needs something this package does not
// decide about. Scheduling it anyway could place it wrongly.
type UnsupportedError struct {
	Pod   string // namespace/name
	Field string
	What  string
}

// Error names pod, field and what is not supported.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("pod %s: %s: %s is not supported", e.Pod, e.Field, e.What)
}

// GatedError is returned by Schedule for a pod that has scheduling gates.
type GatedError struct {
	Pod   string // namespace/name
	Gates []string
}

// Error returns the text of upstream's SchedulingGates plugin.
func (e *GatedError) Error() string {
	return fmt.Sprintf("waiting for scheduling gates: %v", e.Gates)
}
