// Command decide reads cluster states as Kubernetes v1 JSON on standard input
// and prints, for each pending pod, which nodes admit it, why the others do
// not, and how each plugin scores: one JSON object a line.
//
//	decide [-lines] [-select first|upstream] [-percent N] [-preempt]
//
// A state is {nodes, pods, namespaces, services, replicationControllers,
// replicaSets, statefulSets, pdbs, pvcs, pvs, storageClasses, csiNodes,
// csiDrivers, csiStorageCapacities, volumeAttachments}; pods with spec.nodeName are placed
// already. A chosen pod is placed before the next one is decided.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	var opts options
	flag.BoolVar(&opts.lines, "lines", false, "read one state after another; output lines carry caseIndex")
	flag.StringVar(&opts.selection, "select", "first", "first: the first of the best nodes by name; upstream: as kube-scheduler breaks ties")
	flag.IntVar(&opts.percent, "percent", 100, "percentageOfNodesToScore with -select upstream; 0 adapts to the cluster's size")
	flag.BoolVar(&opts.preempt, "preempt", false, "remove the victims of the first picked node and place the pod there")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, os.Stderr, opts); err != nil {
		fmt.Fprintln(os.Stderr, "decide:", err)
		os.Exit(1)
	}
}

type options struct {
	lines     bool
	selection string
	percent   int
	preempt   bool
}

// run decides every state of in. With -lines a state that cannot be decided is
// reported on log and the rest go on; the error then says how many failed.
func run(in io.Reader, out, log io.Writer, opts options) error {
	if opts.selection != "first" && opts.selection != "upstream" {
		return fmt.Errorf("-select: %q: want first or upstream", opts.selection)
	}
	w := bufio.NewWriter(out)
	defer w.Flush()
	dec := json.NewDecoder(bufio.NewReaderSize(in, 1<<20))
	failed := 0
	for i := 0; ; i++ {
		var c state
		if err := dec.Decode(&c); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("case %d: %w", i, err)
		}
		index := &i
		if !opts.lines {
			index = nil
		}
		if err := decideState(&c, json.NewEncoder(w), index, opts); err != nil {
			if !opts.lines {
				return err
			}
			failed++
			fmt.Fprintf(log, "case %d: %v\n", i, err)
		}
		if !opts.lines {
			return w.Flush()
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d cases could not be decided", failed)
	}
	return nil
}
