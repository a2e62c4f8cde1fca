package scheduler

import (
	"flag"
	"testing"

	"github.com/orchcore/orchcore/bench/internal/workload"
	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/bench/peers/internal/measure"
)

var (
	cases = flag.Int("cases", 500, "checks per part, at least")
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
			if compare.Differences(compare.Run(area, compare.Options{Cases: 100, Seed: 6})) == 0 {
				t.Errorf("no difference without %s", plugin)
			}
		})
	}
}

// The rows at a size that takes no time: what they assert must hold there too.
func TestRowsAgree(t *testing.T) {
	sizes := map[string]size{}
	for _, name := range workload.Names() {
		sizes[name] = size{nodes: 60, percent: 100}
	}
	sizes["mixed"] = size{nodes: 200}
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			row := measure.Row{Name: name, Unit: "pods/s", Open: func() (*measure.Pair, error) { return open(name, size) }}
			res, err := measure.Run("scheduler", row, measure.Options{Count: 1})
			if err != nil {
				t.Fatal(err)
			}
			if res.Ours <= 0 || res.Peer <= 0 || res.Ratio <= 0 {
				t.Errorf("result %+v", res)
			}
		})
	}
}
