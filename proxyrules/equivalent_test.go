package proxyrules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// Rules that came about by updates are equivalent to those written at once.
func TestEquivalentAfterUpdates(t *testing.T) {
	eachWorld(t, 10, func(t *testing.T, seed uint64, s ruletest.State) {
		h := newHistory(t, seed, s)
		before := h.compiler.RuleSet()
		iptables := []string{string(before.AppendIPTables(nil)), string(before.AppendIPTablesJumps(nil))}
		nft := []string{string(before.AppendNFT(nil))}
		for range 15 {
			h.step(t)
			now := h.compiler.RuleSet()
			u := proxyrules.Diff(before, now)
			iptables, nft = append(iptables, string(u.AppendIPTables(nil))), append(nft, string(u.AppendNFT(nil)))
			before = now
		}
		var updated *proxyrules.Program
		var err error
		if s.Config.Mode == proxyrules.NFTables {
			updated, err = proxyrules.ParseNFT(nft...)
		} else {
			updated, err = proxyrules.ParseIPTables(iptables...)
		}
		require.NoError(t, err)
		w, err := proxyrules.Equivalent(program(t, s, h.fresh(t)), updated, proxyrules.Environment{Local: s.Config.NodeIPs})
		require.NoError(t, err)
		require.Nil(t, w)
	})
}

// Whatever one changed object changes for some flow, Equivalent finds.
func TestEquivalentFindsDifferences(t *testing.T) {
	found := 0
	eachWorld(t, 40, func(t *testing.T, seed uint64, s ruletest.State) {
		env := proxyrules.Environment{Local: s.Config.NodeIPs}
		h := newHistory(t, seed, s)
		for range 12 {
			h.step(t)
		}
		before := h.compiler.RuleSet()
		h.step(t)
		now := h.compiler.RuleSet()
		a, b := program(t, s, before), program(t, s, now)
		w, err := proxyrules.Equivalent(a, b, env)
		require.NoError(t, err)
		if w != nil {
			found++
			x, err := a.Run(w.Flow, env)
			require.NoError(t, err)
			require.Equal(t, w.A, x)
			require.NotEqual(t, w.A, w.B)
			return
		}
		for _, f := range h.flows(seed) {
			x, err := a.Run(f, env)
			require.NoError(t, err)
			y, err := b.Run(f, env)
			require.NoError(t, err)
			require.Equal(t, x, y, "seed %d: Equivalent missed %+v", seed, f)
		}
	})
	require.Greater(t, found, 20)
}

// Texts that tell pods by different interfaces, or by address, are told apart.
func TestEquivalentInterfaces(t *testing.T) {
	env := proxyrules.Environment{Local: nodeA.NodeIPs}
	services, slices := decode(t, webService, webSlice(`{"addresses":["10.0.1.10"]}`))
	for _, mode := range []proxyrules.Mode{proxyrules.IPTables, proxyrules.NFTables} {
		program := func(bridge, prefix string) *proxyrules.Program {
			cfg := proxyrules.Config{NodeName: "node-a", NodeIPs: nodeA.NodeIPs, Mode: mode, BridgeInterface: bridge, InterfaceNamePrefix: prefix}
			return program(t, ruletest.State{Config: cfg}, compile(t, ruletest.State{Config: cfg, Services: services, Slices: slices}))
		}
		programs := []*proxyrules.Program{program("", ""), program("cni", ""), program("cni0", ""), program("", "cni"), program("", "cni0")}
		for i, a := range programs {
			for k, b := range programs {
				w, err := proxyrules.Equivalent(a, b, env)
				require.NoError(t, err)
				require.Equal(t, i == k, w == nil, "%s: %d and %d: %+v", mode, i, k, w)
			}
		}
	}
}

// Small changes to a text that a reader would overlook.
func TestEquivalentWitness(t *testing.T) {
	env := proxyrules.Environment{Local: nodeA.NodeIPs}
	text := string(compileShop(proxyrules.NFTables).AppendNFT(nil))
	a, err := proxyrules.ParseNFT(text)
	require.NoError(t, err)
	for _, c := range []struct{ what, old, new, witness string }{
		{"another backend", "10.0.2.10 . 8080", "10.0.2.11 . 8080", "172.30.0.10:80"},
		{"another port", "172.30.0.10 . tcp . 80", "172.30.0.10 . tcp . 81", "172.30.0.10:80"},
		{"a wider range of pods", "saddr != 10.0.0.0/16", "saddr != 10.0.0.0/15", "172.30.0.10:9"},
		{"no masquerading of the node", "fib saddr type local mark set mark or 0x00004000", "fib saddr type local", "192.168.0.2:30080"},
		{"no hairpin", "add element ip kube-proxy hairpin-connections { 10.0.1.10 . 10.0.1.10 . tcp . 8080 }\n", "", "172.30.0.10:80"},
	} {
		t.Run(c.what, func(t *testing.T) {
			require.Contains(t, text, c.old)
			b, err := proxyrules.ParseNFT(strings.ReplaceAll(text, c.old, c.new))
			require.NoError(t, err)
			w, err := proxyrules.Equivalent(a, b, env)
			require.NoError(t, err)
			require.NotNil(t, w)
			if c.what == "a wider range of pods" {
				require.True(t, slices.Contains([]string{"172.30.0.10:9", "172.30.0.10:80"}, w.Flow.Destination.String()), w.Flow)
				return
			}
			require.Equal(t, c.witness, w.Flow.Destination.String())
		})
	}
}
