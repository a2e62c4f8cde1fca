// Command minicluster-on-etcd runs the control plane of examples/minicluster, its
// controllers, scheduler and simulated nodes, on a cluster of etcd. It applies
// manifests, waits until the cluster is at rest, checks it, and ends with status 1 if
// something is wrong.
//
//	minicluster-on-etcd                                 three members of etcd in this process
//	minicluster-on-etcd -endpoints http://10.0.0.1:2379  a cluster that exists, empty or from an earlier run
//	minicluster-on-etcd -f manifests/                    something else than the built-in shop
//
// Nothing of the control plane knows: it is written against raftstore.KV.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	endpoints []string
	files     []string
	members   int
	seed      uint64
	timeout   time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "minicluster-on-etcd:", err)
		}
		os.Exit(1)
	}
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("minicluster-on-etcd", flag.ContinueOnError)
	f.SetOutput(out)
	f.Func("endpoints", "`url,…` of the members of etcd; without it etcd is started here", func(v string) error {
		o.endpoints = append(o.endpoints, strings.Split(v, ",")...)
		return nil
	})
	f.Func("f", "`file or directory` with manifests, or - for standard input; may be repeated", func(v string) error {
		o.files = append(o.files, v)
		return nil
	})
	f.IntVar(&o.members, "members", 3, "`number` of members to start without -endpoints")
	f.Uint64Var(&o.seed, "seed", 1, "`number` that generated names depend on")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "`time` that the cluster may take to come to rest")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("argument is %q, expected flags only", f.Arg(0))
	case o.members < 1 || o.members > 9:
		return o, fmt.Errorf("-members is %d, expected 1 to 9", o.members)
	case o.timeout <= 0:
		return o, fmt.Errorf("-timeout is %v, expected more than 0", o.timeout)
	}
	return o, nil
}
