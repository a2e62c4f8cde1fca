package qos

import (
	"container/heap"
	"math"
	"slices"
	"strings"
	"time"
)

// The taints of nodes that do not answer, which drive pods out.
const (
	taintNotReady    = "node.kubernetes.io/not-ready"
	taintUnreachable = "node.kubernetes.io/unreachable"

	defaultTolerationSeconds = 300
)

// A Stay says how long a pod may stay on a node with certain taints.
type Stay struct {
	// Forever: no limit; For means nothing.
	Forever bool
	// For is how long from now; 0 is not at all.
	For time.Duration
}

// StayOn returns how long a pod with such tolerations may stay on a node with
// such taints: not at all if one NoExecute taint is not tolerated, else for the
// shortest time that the tolerations used for them give. For each taint the
// first matching toleration counts.
//
// A node without NoExecute taints lets pods stay forever.
func StayOn(taints []Taint, tolerations []Toleration) Stay {
	stay, _ := stayOn(taints, tolerations)
	return stay
}

// stayOn is StayOn that also reports whether every taint is tolerated, if only
// for no time.
func stayOn(taints []Taint, tolerations []Toleration) (stay Stay, tolerated bool) {
	shortest := int64(math.MaxInt64)
	for _, taint := range taints {
		if taint.Effect != effectNoExecute {
			continue
		}
		i := slices.IndexFunc(tolerations, func(t Toleration) bool { return t.Tolerates(taint) })
		if i < 0 {
			return Stay{}, false
		}
		if s := tolerations[i].TolerationSeconds; s != nil {
			shortest = min(shortest, max(*s, 0))
		}
	}
	if shortest == math.MaxInt64 {
		return Stay{Forever: true}, true
	}
	// Differs: durations saturate at 292 years, where upstream's product wraps.
	return Stay{For: time.Duration(min(shortest, math.MaxInt64/int64(time.Second))) * time.Second}, true
}

// DefaultTolerations returns the pod's tolerations with those added that
// admission adds: 300 seconds for nodes that are not ready or unreachable,
// unless the pod tolerates these taints in some way already.
func DefaultTolerations(tolerations []Toleration) []Toleration {
	out := tolerations[:len(tolerations):len(tolerations)]
	for _, key := range []string{taintNotReady, taintUnreachable} {
		mentioned := false
		for _, t := range tolerations {
			mentioned = mentioned || (t.Key == key || t.Key == "") && (t.Effect == effectNoExecute || t.Effect == "")
		}
		if !mentioned {
			seconds := int64(defaultTolerationSeconds)
			out = append(out, Toleration{Key: key, Operator: "Exists", Effect: effectNoExecute, TolerationSeconds: &seconds})
		}
	}
	return out
}

// A TaintEvictor keeps the times at which pods must leave their tainted nodes.
// It has no clock: Sync tells it what changed, Due asks who must go. The zero
// value keeps nobody. One goroutine at a time may use it.
type TaintEvictor struct {
	scheduled map[string]*departure
	queue     departures
}

// A departure is when a pod leaves, and since when that is known.
type departure struct {
	pod          string
	since, leave time.Time
	gone         bool // cancelled; still in the queue
}

// Sync takes in the taints of a pod's node and the pod's tolerations, after
// either changed. pod is any name that is unique, such as namespace/name. It
// reports when the pod leaves, if it does.
//
// A departure that is set already stays as it is while the pod tolerates the
// taints, even if for a shorter or longer time than before, as upstream has it.
// It is cancelled when the taints go or are tolerated forever.
func (e *TaintEvictor) Sync(pod string, taints []Taint, tolerations []Toleration, now time.Time) (leave time.Time, leaves bool) {
	stay, tolerated := stayOn(taints, tolerations)
	if stay.Forever {
		e.Cancel(pod)
		return time.Time{}, false
	}
	if d := e.scheduled[pod]; d != nil && tolerated && d.since.Before(now) {
		return d.leave, true
	}
	e.Cancel(pod)
	d := &departure{pod: pod, since: now, leave: now.Add(stay.For)}
	if e.scheduled == nil {
		e.scheduled = map[string]*departure{}
	}
	e.scheduled[pod] = d
	heap.Push(&e.queue, d)
	return d.leave, true
}

// Cancel forgets a pod, which may have been deleted, and reports whether it was
// to leave.
func (e *TaintEvictor) Cancel(pod string) bool {
	d := e.scheduled[pod]
	if d == nil {
		return false
	}
	d.gone = true
	delete(e.scheduled, pod)
	return true
}

// Due returns the pods that must leave by now, in order of their times and
// names, and forgets them.
func (e *TaintEvictor) Due(now time.Time) []string {
	var out []string
	for len(e.queue) > 0 && (e.queue[0].gone || !e.queue[0].leave.After(now)) {
		d := heap.Pop(&e.queue).(*departure)
		if !d.gone {
			delete(e.scheduled, d.pod)
			out = append(out, d.pod)
		}
	}
	return out
}

// Next returns the time of the next departure, if there is one.
func (e *TaintEvictor) Next() (time.Time, bool) {
	for len(e.queue) > 0 && e.queue[0].gone {
		heap.Pop(&e.queue)
	}
	if len(e.queue) == 0 {
		return time.Time{}, false
	}
	return e.queue[0].leave, true
}

// departures is a heap, the earliest first.
type departures []*departure

func (d departures) Len() int { return len(d) }

func (d departures) Less(i, j int) bool {
	if order := d[i].leave.Compare(d[j].leave); order != 0 {
		return order < 0
	}
	return strings.Compare(d[i].pod, d[j].pod) < 0
}

func (d departures) Swap(i, j int) { d[i], d[j] = d[j], d[i] }

func (d *departures) Push(x any) { *d = append(*d, x.(*departure)) }

func (d *departures) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return x
}
