package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
)

// timeline prints what happens and when. Lines of controllers are counted and
// printed together, since there are many.
type timeline struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
	done  map[string]int  // "controller verb" since the last tally
	ended map[string]bool // keys of the pods that somebody asked to end
}

func newTimeline(out io.Writer, start time.Time) *timeline {
	return &timeline{out: out, start: start, done: map[string]int{}, ended: map[string]bool{}}
}

// say prints one line.
func (t *timeline) say(who, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%7.3fs  %-13s %s\n", time.Since(t.start).Seconds(), who, fmt.Sprintf(format, args...))
}

// note counts a committed action: one for each object written, apart from the
// count that a replica set keeps and the budget that an eviction is charged to.
func (t *timeline) note(controller string, r control.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(r.Action.Writes)
	if first := r.Action.Writes[0].Key; n > 1 && !strings.HasPrefix(first, api.Pods.Prefix()) && controller != "heartbeat" {
		n--
	}
	t.done[controller+" "+r.Action.Verb] += n
	switch r.Action.Verb {
	case "evict", "preempt", "delete":
		for _, w := range r.Action.Writes {
			if strings.HasPrefix(w.Key, api.Pods.Prefix()) {
				t.ended[w.Key] = true
			}
		}
	}
}

// evicted returns the keys of the pods that controllers or a drain have ended, for
// a reason each: they are not lost.
func (t *timeline) evicted() map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.ended)
}

// verbs are worth a word in the tally, with what they are done to.
var verbs = []struct{ controller, verb, text string }{
	{"deployment", "create", "%d replica sets made"},
	{"deployment", "scale", "%d replica sets scaled"},
	{"replicaset", "create", "%d pods made for replica sets"},
	{"replicaset", "delete", "%d pods too many"},
	{"statefulset", "create", "%d for stateful sets"},
	{"daemonset", "create", "%d for daemon sets"},
	{"daemonset", "delete", "%d daemons ended"},
	{"scheduler", "bind", "%d bound"},
	{"scheduler", "preempt", "%d preempted"},
	{"kubelet", "register", "%d nodes registered"},
	{"kubelet", "start", "%d started, to be probed"},
	{"kubelet", "ready", "%d ready"},
	{"kubelet", "remove", "%d stopped"},
	{"tainteviction", "evict", "%d driven out by taints"},
	{"operator", "evict", "%d evicted"},
	{"endpointslice", "create", "%d endpoint slices made"},
	{"endpointslice", "update", "%d updates of endpoint slices"},
	{"nodelifecycle", "taint", "%d changes of taints"},
}

// tally prints what the controllers have done since the last tally.
func (t *timeline) tally() {
	t.mu.Lock()
	done := t.done
	t.done = map[string]int{}
	t.mu.Unlock()
	var parts []string
	for _, v := range verbs {
		if n := done[v.controller+" "+v.verb]; n > 0 {
			parts = append(parts, fmt.Sprintf(v.text, n))
		}
	}
	if len(parts) > 0 {
		t.say("controllers", "%s", strings.Join(parts, ", "))
	}
}

// section prints a heading of the summary.
func (t *timeline) section(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "\n%s\n", fmt.Sprintf(format, args...))
}

// line prints a line of the summary.
func (t *timeline) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "  "+format+"\n", args...)
}

// counts prints a map as "3 Deployment, 1 Node", sorted by name.
func counts(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(parts, ", ")
}
