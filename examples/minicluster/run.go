package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/apply"
	"github.com/orchcore/orchcore/examples/minicluster/check"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/node"
)

// job is one run.
type job struct {
	options options
	config  apply.Config
	input   *input
	tl      *timeline
	members *members
	client  *control.Client
	plane   *plane

	bound   map[string]string // pods that came with a node, by key
	stays   []control.Stay
	drained string
	shown   map[string]string // UIDs of the pods that were listed, by key
	broken  []check.Violation // found while the run went on
	acked   []string
	found   []string
}

// phaseLimit bounds the steps of a phase that should take milliseconds.
const phaseLimit = 20 * time.Second

// run does everything: read, start, apply, break, check, report.
func run(ctx context.Context, o options, stdin io.Reader, stdout io.Writer) (err error) {
	start := time.Now()
	j := &job{options: o, config: apply.Config{Seed: o.seed, Now: start}, tl: newTimeline(stdout, start)}
	if j.input, err = readInput(o, stdin, j.config); err != nil {
		return err
	}
	j.input.describe(j.tl)
	dir := o.data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "minicluster-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if j.members, err = openMembers(dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.members.close()) }()
	j.client = j.members.endpoints.Client(0)
	if err := j.apply(ctx); err != nil {
		return err
	}
	if j.plane, err = startPlane(ctx, j.members, o, j.tl); err != nil {
		return err
	}
	defer j.plane.stop()
	for _, phase := range j.phases() {
		if err := phase(j.plane.ctx); err != nil {
			return j.plane.cause(err)
		}
	}
	return j.finish(ctx)
}

// phases are what happens to the cluster, in order.
func (j *job) phases() []func(context.Context) error {
	phases := []func(context.Context) error{j.reopen, j.settle, j.placed}
	if j.options.faults {
		phases = append(phases, j.killLeader)
		if j.options.drain != drainNone {
			phases = append(phases, j.drain)
		}
	}
	return phases
}

// reopen opens nodes that a run was draining when it was killed, unless this run is
// about to drain the same one.
func (j *job) reopen(ctx context.Context) error {
	view, err := control.Snapshot(ctx, j.client)
	if err != nil {
		return err
	}
	for n := range view.Nodes.All() {
		name, wish := n.Object.Metadata.Name, j.options.drain
		goesOn := j.options.faults && (wish == "" || wish == name)
		if n.Object.Metadata.Annotations[control.AnnotationDrain] == "" || goesOn {
			continue
		}
		if err := j.edit(ctx, name, func(n *control.Stored[api.Node]) (control.Action, bool, error) {
			return control.Cordon(n, false)
		}); err != nil {
			return err
		}
		j.tl.say("operator", "uncordon node %s, which an earlier run was draining", name)
	}
	return nil
}

// apply waits for the store and brings the input into it.
func (j *job) apply(ctx context.Context) error {
	i, term, err := j.members.leader(ctx)
	if err != nil {
		return err
	}
	view, err := control.Snapshot(ctx, j.client)
	if err != nil {
		return err
	}
	j.tl.say("store", "%d members on loopback, member %d leads at term %d, revision %d", memberCount, i+1, term, view.Revision)
	if len(view.Nodes) > 0 {
		bound := 0
		for p := range view.Pods.All() {
			if p.Object.Spec.NodeName != "" {
				bound++
			}
		}
		j.tl.say("store", "found a cluster: %d nodes, %d pods, %d of them on nodes", len(view.Nodes), len(view.Pods), bound)
	}
	if name := j.options.drain; name != "" && name != drainNone && !j.input.names(name) && view.Nodes[api.Nodes.Key("", name)] == nil {
		return &inputError{fmt.Errorf("-drain %s: there is no such node", name)}
	}
	plan, err := apply.New(view, j.input.all(view), j.config)
	if err != nil {
		return &inputError{err}
	}
	if err := j.commit(ctx, plan); err != nil {
		return err
	}
	for _, row := range []struct {
		what string
		m    map[string]int
	}{{"created", plan.Created}, {"configured", plan.Changed}, {"unchanged", plan.Unchanged}} {
		if len(row.m) > 0 {
			j.tl.say("apply", "%s: %s", row.what, counts(row.m))
		}
	}
	for _, n := range plan.Notes {
		j.tl.say("apply", "note: %s", n)
	}
	return j.rememberBound(ctx)
}

// commit writes a plan. A write whose outcome was not seen, or that found an object
// changed, is settled by a new plan: what is in the store already is not in it.
func (j *job) commit(ctx context.Context, plan *apply.Plan) error {
	for attempt := 1; len(plan.Stages) > 0; attempt++ {
		var failed error
		for _, stage := range plan.Stages {
			for _, r := range control.CommitAll(ctx, j.client, stage) {
				failed = errors.Join(failed, r.Err)
			}
			if failed != nil {
				break
			}
		}
		if failed != nil && (ctx.Err() != nil || attempt == applyAttemptsMax) {
			return fmt.Errorf("apply: %w", failed)
		}
		view, err := control.Snapshot(ctx, j.client)
		if err != nil {
			return err
		}
		if plan, err = apply.New(view, j.input.all(view), j.config); err != nil {
			return err
		}
	}
	return nil
}

const applyAttemptsMax = 5

// drainNone as the node to drain means none.
const drainNone = "none"

// rememberBound notes where pods are that came with the input and a node.
func (j *job) rememberBound(ctx context.Context) error {
	view, err := control.Snapshot(ctx, j.client)
	if err != nil {
		return err
	}
	j.bound = map[string]string{}
	for p := range view.Pods.All() {
		if p.Object.Spec.NodeName != "" && !check.Scheduled(&p.Object) && !p.Object.Metadata.Deleting() {
			j.bound[p.Key] = p.Object.Spec.NodeName
		}
	}
	return nil
}

// settle waits until the cluster is at rest and says what it has come to.
func (j *job) settle(context.Context) error {
	open, err := j.plane.settle()
	if err != nil {
		return err
	}
	j.tl.tally()
	running, ready, pending := 0, 0, 0
	for p := range j.plane.view.Pods.All() {
		switch {
		case !p.Object.Active():
		case p.Object.Spec.NodeName == "":
			pending++
		case p.Object.Ready():
			ready++
			running++
		default:
			running++
		}
	}
	state := "at rest"
	if open != "" {
		state = "stuck, not at rest: " + open + ";"
	}
	j.tl.say("cluster", "%s at revision %d: %d pods on nodes, %d of them ready, %d without a node",
		state, j.plane.view.Revision, running, ready, pending)
	found := check.Objects(j.plane.view).Violations
	for _, v := range found {
		j.tl.say("check", "BROKEN %s", v)
	}
	j.broken = append(j.broken, found...)
	return nil
}

// placed reports what the input has come to, before anything is broken.
func (j *job) placed(context.Context) error {
	view := j.plane.view
	compiler, err := node.NewCompiler(view)
	if err != nil {
		return err
	}
	sizes := newRuleSizes()
	for range sizes.counted(compiler.All()) {
	}
	if err := compiler.Err(); err != nil {
		return err
	}
	j.shown = map[string]string{}
	j.placements("Pods and why they are where they are", view)
	for p := range view.Pods.All() {
		j.shown[p.Key] = p.Object.Metadata.UID
	}
	j.unplaced(view)
	j.nodes(view)
	j.rules(sizes)
	j.tl.section("Store")
	j.tl.line("revision %d", view.Revision)
	j.tl.section("Then")
	return nil
}

// finish stops everything that writes, checks, and reports.
func (j *job) finish(ctx context.Context) error {
	if err := j.uncordon(ctx); err != nil {
		return err
	}
	j.plane.stop()
	if err := clearProbe(ctx, j.client); err != nil {
		return err
	}
	view, err := control.Snapshot(ctx, j.client)
	if err != nil {
		return err
	}
	if err := j.members.level(ctx); err != nil {
		return err
	}
	states, err := j.members.states()
	if err != nil {
		return err
	}
	compiler, err := node.NewCompiler(view)
	if err != nil {
		return err
	}
	sizes := newRuleSizes()
	report := check.Run(&check.State{
		View: view, Rules: sizes.counted(compiler.All()), Bound: j.bound, Evicted: j.tl.evicted(),
		Acknowledged: j.acked, Found: j.found, Members: states,
	})
	if err := compiler.Err(); err != nil {
		return err
	}
	// What was broken at some time is broken, even if it has healed.
	for _, v := range j.broken {
		if !slices.Contains(report.Violations, v) {
			report.Violations = append(report.Violations, v)
		}
	}
	j.summary(view, sizes, states, report)
	if n := len(report.Violations); n > 0 {
		return fmt.Errorf("%d violations, the first: %s", n, report.Violations[0])
	}
	return nil
}

// uncordon opens the drained node again and lets the cluster come to rest.
func (j *job) uncordon(ctx context.Context) error {
	if j.drained == "" {
		return nil
	}
	if err := j.edit(ctx, j.drained, func(n *control.Stored[api.Node]) (control.Action, bool, error) {
		return control.Cordon(n, false)
	}); err != nil {
		return err
	}
	j.tl.say("operator", "uncordon node %s", j.drained)
	return j.settle(ctx)
}
