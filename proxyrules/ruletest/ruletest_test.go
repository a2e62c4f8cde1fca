package ruletest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// A seed decides about everything, and Compile takes what comes out.
func TestSeeds(t *testing.T) {
	for _, family := range []proxyrules.Family{proxyrules.IPv4, proxyrules.IPv6} {
		different := 0
		for seed := range uint64(50) {
			a, b := ruletest.Random(seed, family, proxyrules.NFTables), ruletest.Random(seed, family, proxyrules.NFTables)
			require.Equal(t, a, b)
			require.Equal(t, ruletest.Flows(a, seed, 20), ruletest.Flows(b, seed, 20))
			_, err := proxyrules.Compile(a.Config, a.Services, a.Slices)
			require.NoError(t, err)
			if next := ruletest.Random(seed+1, family, proxyrules.NFTables); len(next.Services) != len(a.Services) {
				different++
			}
		}
		require.Greater(t, different, 20)
	}
}
