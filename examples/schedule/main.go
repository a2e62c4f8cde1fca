// Command schedule says where kube-scheduler would put pods, and why:
//
//	kubectl get nodes,pods -A -o json > dump.json
//	go run ./examples/schedule -f dump.json
//	go run ./examples/schedule -f dump.json -f deploy.yaml
//	go run ./examples/schedule -f dump.json -o json
//	go run ./examples/schedule -f dump.json -capacity shop/web-1 -shrink -pack kinds.yaml
//
// Pods that have a node count where they are. The others are placed one by one,
// the most important first: pending pods of the dump, and those that
// Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers
// and Jobs lack. Services, PodDisruptionBudgets, PriorityClasses, namespaces and
// storage objects are read, too. For each pod it prints the node, the scores of
// all plugins on all nodes that admit it, for the others the reasons and the
// smallest change that would admit it, and the preemption that would happen.
//
// Then it answers what is asked: how many more pods like one fit, which nodes
// could be emptied, and which nodes of the kinds in a file (a Node each, with its
// price in the annotation "price") the pods need that found no place.
//
// It changes nothing and needs no cluster. Without -f it looks at a small shop
// of its own. Exit status 2 means that the input was not understood.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

//go:embed shop.yaml
var shop []byte

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// files is a flag that may be given several times.
type files []string

func (f *files) String() string { return strings.Join(*f, ",") }

func (f *files) Set(name string) error {
	*f = append(*f, name)
	return nil
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var names files
	flags := flag.NewFlagSet("schedule", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Var(&names, "f", "JSON or YAML `file`; - reads standard input; may be given several times")
	format := flags.String("o", "text", "output format: text or json")
	rows := flags.Int("rows", 10, "with -o text: how many nodes that admit a pod, and groups of those that do not, are shown")
	var q questions
	flags.StringVar(&q.capacity, "capacity", "", "say how many more like the `pod`, namespace/name, fit")
	flags.BoolVar(&q.shrink, "shrink", false, "say which nodes could be emptied")
	flags.StringVar(&q.pack, "pack", "", "say how many nodes of the kinds in the `file` the pods need that are not placed")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	err := func() error {
		switch {
		case flags.NArg() > 0:
			return fmt.Errorf("unexpected argument %q", flags.Arg(0))
		case *format != "text" && *format != "json":
			return fmt.Errorf("-o: %q: want text or json", *format)
		case *rows < 0:
			return fmt.Errorf("-rows: %d: want 0 or more", *rows)
		}
		r, err := answer(names, q, stdin)
		if err != nil {
			return err
		}
		if *format == "json" {
			return r.writeJSON(stdout)
		}
		return r.writeText(stdout, *rows)
	}()
	if err != nil {
		fmt.Fprintln(stderr, "schedule:", clean(err.Error()))
		return 2
	}
	return 0
}

// answer reads the input and decides about its pods.
func answer(names []string, q questions, stdin io.Reader) (*report, error) {
	in := newInput()
	if len(names) == 0 {
		if err := in.read("built-in shop", shop); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		if err := in.readFile(name, stdin); err != nil {
			return nil, err
		}
	}
	if len(in.nodes) == 0 {
		return nil, errors.New("no Node in the input: want at least one")
	}
	if err := in.expand(); err != nil {
		return nil, err
	}
	r, err := in.decide()
	if err == nil {
		r.WhatIf, err = in.whatIf(q, stdin)
	}
	return r, err
}
