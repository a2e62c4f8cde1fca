// Command ratios runs orchcore and a peer in turn on the same workloads:
//
//	go run ./ratios -area AREA [-rows REGEX] [-count N] [-o json]
//
// It asserts that both give the same answer and prints the medians of each row
// with their ratio; above 1, orchcore is faster or needs less.
package main

import (
	"os"

	"github.com/orchcore/orchcore/bench/peers/internal/areas/proxyrules"
	"github.com/orchcore/orchcore/bench/peers/internal/areas/qos"
	"github.com/orchcore/orchcore/bench/peers/internal/areas/raftstore"
	"github.com/orchcore/orchcore/bench/peers/internal/areas/scheduler"
	"github.com/orchcore/orchcore/bench/peers/internal/areas/selector"
	"github.com/orchcore/orchcore/bench/peers/internal/measure"
)

// areas lists what can be measured. An area comes from its own package.
func areas() []measure.Area {
	return []measure.Area{
		qos.Ratios(),
		selector.Ratios(),
		scheduler.Ratios(),
		proxyrules.Ratios(),
		raftstore.Ratios(),
	}
}

func main() {
	if exit, child := raftstore.Child(); child {
		os.Exit(exit)
	}
	os.Exit(measure.Command(areas(), os.Args[1:], os.Stdout, os.Stderr))
}
