package proxyrules_test

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// golden is the input of one golden test: the objects, and the node.
type golden struct {
	Services       []proxyrules.Service
	EndpointSlices []proxyrules.EndpointSlice
	NodeName       string
	NodeIPs        []netip.Addr
	Config         struct {
		Family                                        proxyrules.Family
		ClusterCIDRs, NodePortAddresses, ServiceCIDRs []netip.Prefix
		BridgeInterface, InterfaceNamePrefix          string
		MasqueradeAll, LocalhostNodePorts             bool
	}
}

func (g *golden) config() proxyrules.Config {
	return proxyrules.Config{
		NodeName: g.NodeName, NodeIPs: g.NodeIPs, Family: g.Config.Family, ClusterCIDRs: g.Config.ClusterCIDRs,
		NodePortAddresses: g.Config.NodePortAddresses, ServiceCIDRs: g.Config.ServiceCIDRs,
		MasqueradeAll: g.Config.MasqueradeAll, LocalhostNodePorts: g.Config.LocalhostNodePorts,
		BridgeInterface: g.Config.BridgeInterface, InterfaceNamePrefix: g.Config.InterfaceNamePrefix,
	}
}

func (g *golden) compile() (*proxyrules.RuleSet, error) {
	return proxyrules.Compile(g.config(), g.Services, g.EndpointSlices)
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			var g golden
			require.NoError(t, json.Unmarshal(data, &g))
			r, err := g.compile()
			require.NoError(t, err)
			base := strings.TrimSuffix(file, ".json")
			for name, text := range map[string][]byte{
				base + ".iptables": r.AppendIPTables(nil),
				base + ".nft":      r.AppendNFT(nil),
			} {
				if *update {
					require.NoError(t, os.WriteFile(name, text, 0o644))
				}
				want, err := os.ReadFile(name)
				require.NoError(t, err)
				require.Equal(t, string(want), string(text), name)
			}
		})
	}
}
