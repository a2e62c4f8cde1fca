package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/orchcore/orchcore/examples/minicluster/apply"
	"github.com/orchcore/orchcore/examples/minicluster/check"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/examples/minicluster/load"
	"github.com/orchcore/orchcore/examples/minicluster/manifests"
	"github.com/orchcore/orchcore/examples/minicluster/node"
	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/etcdkv"
)

// run does everything: start etcd, apply, run the control plane, check.
func run(ctx context.Context, args []string, stdin io.Reader, out io.Writer) (err error) {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	input, err := readInput(o, stdin)
	if err != nil {
		return err
	}
	if len(o.endpoints) == 0 {
		dir, err := os.MkdirTemp("", "minicluster-on-etcd-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		endpoints, stop, err := startEtcd(dir, o.members)
		if err != nil {
			return err
		}
		defer stop()
		o.endpoints = endpoints
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: o.endpoints, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("the cluster was not at rest within %v", o.timeout))
	defer cancel()
	return work(ctx, etcdkv.New(client), o, input, out)
}

func readInput(o options, stdin io.Reader) (*load.Input, error) {
	if len(o.files) == 0 {
		return load.FS(manifests.Files, "manifests")
	}
	return load.Paths(o.files, stdin)
}

// work runs the control plane on a store until the cluster is at rest. It knows
// nothing of etcd.
func work(ctx context.Context, kv raftstore.LeasedKV, o options, input *load.Input, out io.Writer) error {
	start := time.Now()
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintf(out, "%7.3fs  "+format+"\n", append([]any{time.Since(start).Seconds()}, args...)...)
	}
	written, err := applyInput(ctx, kv, input, apply.Config{Seed: o.seed, Now: start})
	if err != nil {
		return err
	}
	say("applied: %d objects of %d were written", written, len(input.Objects))
	p := startPlane(ctx, kv, o.seed, say)
	view, err := p.settle()
	p.stop()
	if err != nil {
		return err
	}
	placed, pending := 0, 0
	for pod := range view.Pods.All() {
		switch {
		case pod.Object.Spec.NodeName != "":
			placed++
		case pod.Object.Active():
			pending++
		}
	}
	say("at rest at revision %d: %d pods on %d nodes, %d without one", view.Revision, placed, len(view.Nodes), pending)
	return judge(view, say)
}

// applyInput writes what the store does not have yet. A write that meets somebody
// else's is settled by a new plan.
func applyInput(ctx context.Context, kv raftstore.KV, input *load.Input, config apply.Config) (written int, err error) {
	for range applyAttemptsMax {
		view, err := control.Snapshot(ctx, kv)
		if err != nil {
			return written, err
		}
		plan, err := apply.New(view, input.Objects, config)
		if err != nil {
			return written, err
		}
		if len(plan.Stages) == 0 {
			return written, nil
		}
		for _, stage := range plan.Stages {
			var failed error
			for _, r := range control.CommitAll(ctx, kv, stage) {
				if r.Err == nil {
					written++
				}
				failed = errors.Join(failed, r.Err)
			}
			if ctx.Err() != nil {
				return written, failed
			}
			if failed != nil {
				break
			}
		}
	}
	return written, fmt.Errorf("apply: not done after %d attempts", applyAttemptsMax)
}

const applyAttemptsMax = 5

// judge checks what the cluster has come to, its rules included.
func judge(view *control.View, say func(string, ...any)) error {
	compiler, err := node.NewCompiler(view)
	if err != nil {
		return err
	}
	report := check.Run(&check.State{View: view, Rules: compiler.All()})
	if err := compiler.Err(); err != nil {
		return err
	}
	total := 0
	for _, n := range report.Checked {
		total += n
	}
	for _, v := range report.Violations {
		say("BROKEN %s", v)
	}
	if n := len(report.Violations); n > 0 {
		return fmt.Errorf("%d violations, the first: %s", n, report.Violations[0])
	}
	say("checked %d times, nothing is wrong", total)
	return nil
}
