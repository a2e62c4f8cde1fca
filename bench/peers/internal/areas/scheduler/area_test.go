package scheduler

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

// A comparison that cannot fail proves nothing: without any one of its plugins,
// our side must differ.
func TestEveryPluginIsSeen(t *testing.T) {
	for _, plugin := range []string{
		"NodeUnschedulable", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit", "PodTopologySpread",
		"InterPodAffinity", "NodeResourcesBalancedAllocation", "ImageLocality", "DefaultPreemption",
	} {
		t.Run(plugin, func(t *testing.T) {
			area := compare.Area{Name: "scheduler", Suites: []compare.Suite{decisions(&bench{percent: 100, disabled: []string{plugin}})}}
			if compare.Differences(compare.Run(area, compare.Options{Cases: 300, Seed: 2})) == 0 {
				t.Errorf("no difference without %s", plugin)
			}
		})
	}
}
