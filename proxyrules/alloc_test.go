package proxyrules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

func TestLookupAllocatesNothing(t *testing.T) {
	eachWorld(t, 20, func(t *testing.T, seed uint64, s ruletest.State) {
		r := compile(t, s)
		flows := ruletest.Flows(s, seed, 50)
		require.Zero(t, testing.AllocsPerRun(10, func() {
			for _, f := range flows {
				r.Lookup(&f, 1)
				r.Lookup(&proxyrules.Flow{Protocol: f.Protocol, Source: f.Source, Destination: f.Destination}, 1)
			}
		}))
	})
}
