package raftstore

import (
	"flag"
	"testing"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
)

var (
	cases = flag.Int("cases", 1000, "checks per part, at least")
	seed  = flag.Uint64("seed", 1, "seed of the generated cases")
)

func TestParity(t *testing.T) {
	compare.Test(t, Parity(), "../../../../..", compare.Options{Cases: *cases, Seed: *seed})
}
