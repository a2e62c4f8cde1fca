package proxyrules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// A start in pieces ends where a start at once does.
func TestNFTChunks(t *testing.T) {
	eachWorld(t, 25, func(t *testing.T, seed uint64, s ruletest.State) {
		r := compile(t, s)
		var texts []string
		for text := range r.NFTChunks(1 + int(seed%3)) {
			texts = append(texts, string(text))
		}
		require.GreaterOrEqual(t, len(texts), 1+len(r.Policies())/(1+int(seed%3)))
		p, err := proxyrules.ParseNFT(texts...)
		require.NoError(t, err)
		whole, err := proxyrules.ParseNFT(string(r.AppendNFT(nil)))
		require.NoError(t, err)
		w, err := proxyrules.Equivalent(p, whole, proxyrules.Environment{Local: s.Config.NodeIPs})
		require.NoError(t, err)
		require.Nil(t, w, "seed %d", seed)
	})
}
