// Command etcdapi runs members of a raftstore behind etcd's API.
//
// One member at 127.0.0.1:2379, which etcdctl and clientv3 find by default:
//
//	etcdapi -dir data
//
// Three members in one process, at ports 2379 to 2381:
//
//	etcdapi -local 3 -dir data
//
// Three members as three processes, on one machine or on three:
//
//	etcdapi -id 1 -dir data1 -listen 10.0.0.1:2379 \
//	    -cluster 1=10.0.0.1:2380,2=10.0.0.2:2380,3=10.0.0.3:2380
//	etcdapi -id 2 …
//
// A fourth one later: add it (etcdctl member add, best with --learner), start it under
// the id that was printed, with -join and the id of the cluster, and promote it if it
// is a learner.
//
// It ends with SIGINT or SIGTERM, and hands leadership over before.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "etcdapi:", err)
		}
		os.Exit(1)
	}
}
