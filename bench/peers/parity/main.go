// Command parity feeds generated cases to upstream's code and to orchcore and
// counts where they disagree:
//
//	go run ./parity -area AREA -cases N -seed S [-o json] [-minimise]
//
// It prints a row per part of the area. On a difference it prints the smallest
// case that shows it with both answers, and exits with status 1.
package main

import (
	"os"

	"github.com/orchcore/orchcore/bench/peers/internal/areas/proxyrules"
	"github.com/orchcore/orchcore/bench/peers/internal/areas/qos"
	"github.com/orchcore/orchcore/bench/peers/internal/areas/raftstore"
	"github.com/orchcore/orchcore/bench/peers/internal/areas/scheduler"
	"github.com/orchcore/orchcore/bench/peers/internal/areas/selector"
	"github.com/orchcore/orchcore/bench/peers/internal/compare"
)

// areas lists what can be compared. An area comes from its own package.
func areas() []compare.Area {
	return []compare.Area{
		qos.Parity(),
		selector.Parity(),
		scheduler.Parity(),
		proxyrules.Parity(),
		raftstore.Parity(),
	}
}

func main() {
	os.Exit(compare.Command(areas(), os.Args[1:], os.Stdout, os.Stderr))
}
