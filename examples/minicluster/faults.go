package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
)

// killLeader crashes the member that leads the store while writes go on, shows
// that another one takes over, and brings the first one back.
func (j *job) killLeader(ctx context.Context) error {
	p, err := startProbe(ctx, j.client)
	if err != nil {
		return err
	}
	defer p.cancel()
	const enough = 20
	if err := until(ctx, "writes before the crash", phaseLimit, func() bool { n, _ := p.count(); return n >= enough }); err != nil {
		return err
	}
	old, term, err := j.members.leader(ctx)
	if err != nil {
		return err
	}
	before, _ := p.count()
	crash := time.Now()
	j.tl.say("fault", "member %d, leader of the store at term %d, crashes after %d acknowledged probe writes", old+1, term, before)
	if err := j.members.kill(old); err != nil {
		return err
	}
	now, term, err := j.members.leader(ctx)
	if err != nil {
		return err
	}
	j.tl.say("store", "member %d leads at term %d, %v after the crash", now+1, term, time.Since(crash).Round(time.Millisecond))
	if err := until(ctx, "writes after the crash", phaseLimit, func() bool { n, _ := p.count(); return n >= before+enough }); err != nil {
		return err
	}
	missed := j.members.stores[now].Status().Applied
	if err := j.members.restart(old); err != nil {
		return err
	}
	back := time.Now()
	err = until(ctx, fmt.Sprintf("member %d catches up", old+1), phaseLimit, func() bool {
		return j.members.stores[old].Status().Applied >= missed
	})
	if err != nil {
		return err
	}
	j.tl.say("store", "member %d is back and has caught up to log index %d in %v", old+1, missed, time.Since(back).Round(time.Millisecond))
	if j.acked, j.found, err = p.stop(ctx); err != nil {
		return err
	}
	_, gap := p.count()
	j.tl.say("store", "%d probe writes acknowledged in all, the longest wait between two was %v", len(j.acked), gap.Round(time.Millisecond))
	return nil
}

// drain crashes the leading scheduler, empties a node and shows where its pods go.
func (j *job) drain(ctx context.Context) error {
	name, err := j.choose()
	if err != nil || name == "" {
		return err
	}
	if c := j.plane.leader(); c != nil && len(j.plane.candidates) > 1 {
		c.crash()
		j.tl.say("fault", "%s, the leading scheduler, crashes; its lease runs for up to %v", c.name, j.options.leaseDuration)
	}
	j.drained = name
	if err := j.edit(ctx, name, func(n *control.Stored[api.Node]) (control.Action, bool, error) {
		return control.Cordon(n, true)
	}); err != nil {
		return err
	}
	j.tl.say("operator", "cordon node %s and drain it", name)
	before := map[string]string{} // UIDs of pods by key
	for p := range j.plane.view.Pods.All() {
		before[p.Key] = p.Object.Metadata.UID
	}
	moved, held, err := j.evict(ctx)
	if err != nil {
		return err
	}
	j.tl.say("operator", "node %s is drained: %d pods evicted, %d stay", name, moved, len(j.stays))
	if held > 0 {
		j.tl.say("operator", "%d of them only because of their budgets, which have not changed for %v", held, drainPatience)
	}
	j.staying()
	if err := j.settle(ctx); err != nil {
		return err
	}
	j.replaced(before)
	return nil
}

// Bounds on what the timeline lists.
const (
	staysShownMax    = 10
	replacedShownMax = 30
)

// staying shows the pods that a drain leaves where they are, and why.
func (j *job) staying() {
	shown := min(len(j.stays), staysShownMax)
	for _, s := range j.stays[:shown] {
		j.tl.say("operator", "stays: pod %s: %s", s.Pod, s.Reason)
	}
	if rest := len(j.stays) - shown; rest > 0 {
		j.tl.say("operator", "… and %d more stay", rest)
	}
}

// replaced shows the pods that were made since, and where they went.
func (j *job) replaced(before map[string]string) {
	shown, more := 0, 0
	for p := range j.plane.view.Pods.All() {
		pod := &p.Object
		if before[p.Key] == pod.Metadata.UID {
			continue
		}
		if shown++; shown > replacedShownMax {
			more++
			continue
		}
		where := "on " + pod.Spec.NodeName
		if c := api.ConditionOf(pod.Status.Conditions, api.PodScheduled); pod.Spec.NodeName == "" && c != nil {
			where = "has no node: " + c.Message
		}
		j.tl.say("scheduler", "in its place: pod %s/%s %s", pod.Metadata.Namespace, pod.Metadata.Name, where)
	}
	if more > 0 {
		j.tl.say("scheduler", "… and %d more", more)
	}
}

// choose returns the node to drain: the one with most pods that can move. A node
// that an interrupted run has cordoned goes first.
func (j *job) choose() (string, error) {
	view := j.plane.view
	if name := j.options.drain; name != "" {
		if view.Nodes[api.Nodes.Key("", name)] == nil {
			return "", &inputError{fmt.Errorf("-drain %s: there is no such node", name)}
		}
		return name, nil
	}
	best, most := "", -1
	movable := control.Movable(view)
	for n := range view.Nodes.All() {
		name := n.Object.Metadata.Name
		if n.Object.Metadata.Annotations[control.AnnotationDrain] != "" {
			return name, nil
		}
		if n.Object.Ready() && !n.Object.Spec.Unschedulable && movable[name] > most {
			best, most = name, movable[name]
		}
	}
	if best == "" {
		j.tl.say("operator", "no node is ready and open, so none is drained")
	}
	return best, nil
}

// edit changes a node, again if somebody else changes it meanwhile.
func (j *job) edit(ctx context.Context, name string, change func(*control.Stored[api.Node]) (control.Action, bool, error)) error {
	for {
		view, err := control.Snapshot(ctx, j.client)
		if err != nil {
			return err
		}
		n := view.Nodes[api.Nodes.Key("", name)]
		if n == nil {
			return fmt.Errorf("node %s is gone", name)
		}
		a, ok, err := change(n)
		if err != nil || !ok {
			return err
		}
		if _, err := control.Commit(ctx, j.client, a); !again(err) {
			return err
		}
	}
}

// again reports whether an edit is to be tried once more: the object has changed,
// or the write may or may not have happened, which the next look will tell.
func again(err error) bool {
	return err != nil && !errors.Is(err, context.Canceled)
}

// evict asks for the end of every pod that a drain moves, until none is left. Where
// a budget holds a pod back it waits for the pod's fellows to be ready elsewhere;
// held counts those that it gave up on.
func (j *job) evict(ctx context.Context) (moved, held int, err error) {
	last := time.Now()
	said := map[string]bool{}
	for {
		view, err := control.Snapshot(ctx, j.client)
		if err != nil {
			return moved, 0, err
		}
		plan, err := control.Drain(view, j.drained, time.Now())
		if err != nil {
			return moved, 0, err
		}
		j.stays = append(plan.Stay, plan.Wait...)
		if len(plan.Actions) == 0 && (len(plan.Wait) == 0 || time.Since(last) > drainPatience) {
			return moved, len(plan.Wait), nil
		}
		for _, r := range control.CommitAll(ctx, j.client, plan.Actions) {
			if r.Err != nil && !again(r.Err) {
				return moved, 0, r.Err
			}
			if r.Err == nil {
				last = time.Now()
				j.tl.note("operator", r)
				moved += evictions(r.Action)
			}
		}
		for _, w := range plan.Wait {
			if !said[w.Reason] {
				j.tl.say("operator", "drain waits with pod %s: %s", w.Pod, w.Reason)
			}
			said[w.Reason] = true
		}
		select {
		case <-ctx.Done():
			return moved, 0, context.Cause(ctx)
		case <-time.After(drainPause):
		}
	}
}

// A drain looks again after drainPause, and gives up on what is held back when
// nothing has moved for drainPatience.
const (
	drainPause    = 50 * time.Millisecond
	drainPatience = 10 * time.Second
)

// evictions counts the pods that an action evicts.
func evictions(a control.Action) (pods int) {
	for _, w := range a.Writes {
		if strings.HasPrefix(w.Key, api.Pods.Prefix()) {
			pods++
		}
	}
	return pods
}
