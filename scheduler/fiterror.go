package scheduler

import (
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Rejection is the verdict that kept the pod from one node.
type Rejection struct {
	Node   string
	Plugin string
	Status Status
}

// FitError is returned by Schedule when no node admits the pod. Its text is
// upstream's; its fields are the same facts as data.
type FitError struct {
	// Pod is namespace/name of the pod.
	Pod string
	// NumNodes is the number of nodes in the cluster.
	NumNodes int
	// PreFilter is the verdict of the plugin that rejected the pod before any
	// node was looked at, and PreFilterPlugin its name; "" when none did.
	PreFilter       Status
	PreFilterPlugin string
	// Absent is the verdict on nodes that were not looked at because PreFilter
	// narrowed the set. Its code is UnschedulableAndUnresolvable.
	Absent Status
	// PostFilter is what the preemption said, "" when it did not run or did
	// not reject.
	PostFilter string
	// Nominated is set when preemption found a node for the pod; it is the
	// node that will have room once Victims are gone.
	Nominated *Nomination

	// rejected are the nodes that were looked at.
	rejected rejections
	// narrowed are the plugins that narrowed the nodes to a few.
	narrowed []string
	// unnominate: preemption was tried in vain, which ends a nomination that
	// the pod may have had.
	unnominate bool
}

// Rejections yields the nodes that were looked at, in scan order.
func (e *FitError) Rejections() iter.Seq[Rejection] {
	return func(yield func(Rejection) bool) {
		for n, v := range e.rejected.all() {
			if !yield(Rejection{n.Name, v.plugin, v.status}) {
				return
			}
		}
	}
}

// RejectedBy returns the names of the plugins that had a part in the failure,
// sorted: those that rejected a node, the one that rejected the pod outright,
// and those that left nodes out. What one of them registered for may cure it.
func (e *FitError) RejectedBy() []string {
	names := slices.Clone(e.narrowed)
	if e.PreFilterPlugin != "" {
		names = append(names, e.PreFilterPlugin)
	}
	for v := range e.rejected.counted() {
		names = append(names, v.plugin)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// notLookedAt is the verdict on a node that no plugin has seen.
var notLookedAt = Status{Code: UnschedulableAndUnresolvable}

// newFitError returns the error with no node looked at yet.
func newFitError(c *Cycle) *FitError {
	return &FitError{Pod: c.Pod.Name(), NumNodes: len(c.Nodes), Absent: notLookedAt}
}

// kept returns a copy that outlives the cycle.
func (e *FitError) kept(c *Cycle) *FitError {
	out := *e
	out.Pod = c.Pod.Name()
	out.rejected = e.rejected.clone()
	return &out
}

// Error returns upstream's text:
//
//	0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.
//
// The counted reasons are sorted as strings, so that "10 x" is before "2 y".
func (e *FitError) Error() string {
	text := e.FilterText()
	if e.PostFilter != "" {
		text += " " + e.PostFilter
	}
	return text
}

// FilterText is Error without what preemption said.
func (e *FitError) FilterText() string {
	b := append([]byte(nil), "0/"...)
	b = strconv.AppendInt(b, int64(e.NumNodes), 10)
	b = append(b, " nodes are available:"...)
	if e.PreFilterPlugin != "" {
		b = append(b, ' ')
		b = append(b, e.PreFilter.Message()...)
		b = append(b, '.')
	} else if counted := e.Histogram(); len(counted) > 0 {
		lines := make([]string, 0, len(counted))
		for text, n := range counted {
			lines = append(lines, strconv.Itoa(n)+" "+text)
		}
		slices.Sort(lines)
		b = append(b, ' ')
		b = append(b, strings.Join(lines, ", ")...)
		b = append(b, '.')
	}
	return string(b)
}

// Histogram counts the nodes by reason. A node counts for each of its reasons.
func (e *FitError) Histogram() map[string]int {
	counts := make(map[string]int)
	for v, nodes := range e.rejected.counted() {
		for text := range v.status.Texts() {
			counts[text] += nodes
		}
	}
	if absent := e.NumNodes - e.rejected.len; absent > 0 {
		for text := range e.Absent.Texts() {
			counts[text] += absent
		}
	}
	return counts
}

// NodeStatus returns the verdict on the named node and the plugin that gave
// it.
func (e *FitError) NodeStatus(node string) (Status, string) {
	if e.PreFilterPlugin != "" {
		return e.PreFilter, e.PreFilterPlugin
	}
	for n, v := range e.rejected.all() {
		if n.Name == node {
			return v.status, v.plugin
		}
	}
	return e.Absent, ""
}
