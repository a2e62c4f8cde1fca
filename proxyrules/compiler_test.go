package proxyrules_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// history is a cluster that changes at random: each step takes a Service or a
// slice out of another random state, or removes one.
type history struct {
	rng      *rand.Rand
	state    ruletest.State
	compiler *proxyrules.Compiler
	services map[string]proxyrules.Service
	slices   map[string]proxyrules.EndpointSlice
}

func newHistory(t *testing.T, seed uint64, s ruletest.State) *history {
	c, err := proxyrules.NewCompiler(s.Config)
	require.NoError(t, err)
	return &history{
		rng: rand.New(rand.NewPCG(seed, 5)), state: s, compiler: c,
		services: map[string]proxyrules.Service{}, slices: map[string]proxyrules.EndpointSlice{},
	}
}

func (h *history) step(t *testing.T) {
	other := ruletest.Random(h.rng.Uint64(), h.state.Config.Family, h.state.Config.Mode)
	switch h.rng.IntN(10) {
	case 0:
		if keys := slices.Sorted(maps.Keys(h.services)); len(keys) > 0 {
			s := h.services[keys[h.rng.IntN(len(keys))]]
			h.compiler.DeleteService(s.Metadata.Namespace, s.Metadata.Name)
			delete(h.services, s.Metadata.Namespace+"/"+s.Metadata.Name)
		}
	case 1, 2:
		if keys := slices.Sorted(maps.Keys(h.slices)); len(keys) > 0 {
			s := h.slices[keys[h.rng.IntN(len(keys))]]
			h.compiler.DeleteEndpointSlice(s.Metadata.Namespace, s.Metadata.Name)
			delete(h.slices, s.Metadata.Namespace+"/"+s.Metadata.Name)
		}
	case 3, 4, 5:
		s := other.Services[h.rng.IntN(len(other.Services))]
		require.NoError(t, h.compiler.SetService(&s))
		h.services[s.Metadata.Namespace+"/"+s.Metadata.Name] = s
	default:
		if len(other.Slices) > 0 {
			s := other.Slices[h.rng.IntN(len(other.Slices))]
			require.NoError(t, h.compiler.SetEndpointSlice(&s))
			h.slices[s.Metadata.Namespace+"/"+s.Metadata.Name] = s
		}
	}
}

// fresh compiles what the history has come to from nothing.
func (h *history) fresh(t *testing.T) *proxyrules.RuleSet {
	s := h.state
	s.Services = slices.Collect(maps.Values(h.services))
	s.Slices = slices.Collect(maps.Values(h.slices))
	return compile(t, s)
}

func (h *history) flows(seed uint64) []proxyrules.Flow {
	s := h.state
	byName := func(a, b proxyrules.Service) int { return cmp.Compare(a.Metadata.Name, b.Metadata.Name) }
	s.Services = slices.SortedFunc(maps.Values(h.services), byName)
	s.Slices = nil
	return ruletest.Flows(s, seed, 30)
}

// The Compiler arrives where Compile starts: same texts, same diagnostics,
// same answers.
func TestCompilerEqualsCompile(t *testing.T) {
	eachWorld(t, 8, func(t *testing.T, seed uint64, s ruletest.State) {
		h := newHistory(t, seed, s)
		for step := range 80 {
			for range 1 + h.rng.IntN(3) {
				h.step(t)
			}
			got, want := h.compiler.RuleSet(), h.fresh(t)
			at := fmt.Sprintf("seed %d, step %d", seed, step)
			require.Equal(t, string(want.AppendIPTables(nil)), string(got.AppendIPTables(nil)), at)
			require.Equal(t, string(want.AppendNFT(nil)), string(got.AppendNFT(nil)), at)
			require.Equal(t, want.Diagnostics(), got.Diagnostics(), at)
			for _, f := range h.flows(seed + uint64(step)) {
				d, e := got.Lookup(&f, 7), want.Lookup(&f, 7)
				require.Equal(t, e.Verdict, d.Verdict, at)
				require.Equal(t, e.Backend, d.Backend, at)
				require.Equal(t, e.Masquerade, d.Masquerade, at)
			}
			require.True(t, proxyrules.Diff(got, want).Empty(), at)
		}
	})
}

// Old RuleSets stay as they were.
func TestCompilerLeavesOldRuleSetsAlone(t *testing.T) {
	eachWorld(t, 4, func(t *testing.T, seed uint64, s ruletest.State) {
		h := newHistory(t, seed, s)
		type snapshot struct {
			r             *proxyrules.RuleSet
			iptables, nft string
		}
		var all []snapshot
		for range 30 {
			h.step(t)
			r := h.compiler.RuleSet()
			all = append(all, snapshot{r, string(r.AppendIPTables(nil)), string(r.AppendNFT(nil))})
		}
		for _, s := range all {
			require.Equal(t, s.iptables, string(s.r.AppendIPTables(nil)))
			require.Equal(t, s.nft, string(s.r.AppendNFT(nil)))
		}
	})
}

// Applying Diff(a, b) to the rules of a gives rules that mean what those of b
// mean.
func TestUpdatesReachTheirGoal(t *testing.T) {
	eachWorld(t, 6, func(t *testing.T, seed uint64, s ruletest.State) {
		h := newHistory(t, seed, s)
		before := h.compiler.RuleSet()
		iptables := []string{string(before.AppendIPTables(nil)), string(before.AppendIPTablesJumps(nil))}
		nft := []string{string(before.AppendNFT(nil))}
		for step := range 40 {
			for range 1 + h.rng.IntN(3) {
				h.step(t)
			}
			now := h.compiler.RuleSet()
			u := proxyrules.Diff(before, now)
			iptables = append(iptables, string(u.AppendIPTables(nil)))
			nft = append(nft, string(u.AppendNFT(nil)))
			if h.rng.IntN(3) > 0 {
				nft = append(nft, string(u.AppendNFTCleanup(nil)))
			}
			at := fmt.Sprintf("seed %d, step %d", seed, step)
			var p *proxyrules.Program
			var err error
			if s.Config.Mode == proxyrules.NFTables {
				p, err = proxyrules.ParseNFT(nft...)
			} else {
				p, err = proxyrules.ParseIPTables(iptables...)
			}
			require.NoError(t, err, at)
			for _, f := range h.flows(seed + uint64(step)) {
				trace, err := now.Trace(f)
				require.NoError(t, err)
				ends, err := p.Run(f, proxyrules.Environment{Local: s.Config.NodeIPs})
				require.NoError(t, err)
				require.NoError(t, sameEnds(trace, ends), at)
			}
			before = now
		}
	})
}

// A refused object leaves the version before it in force.
func TestCompilerRefusals(t *testing.T) {
	services, endpointSlices := decode(t, webService, webSlice(`{"addresses":["10.0.0.1"]}`))
	c, err := proxyrules.NewCompiler(nodeA)
	require.NoError(t, err)
	require.NoError(t, c.SetService(&services[0]))
	require.NoError(t, c.SetEndpointSlice(&endpointSlices[0]))
	want := c.RuleSet()
	services[0].Spec.Ports[0].Port = 0
	require.ErrorIs(t, c.SetService(&services[0]), proxyrules.ErrRefused)
	endpointSlices[0].Endpoints[0].Addresses[0] = "x"
	require.ErrorIs(t, c.SetEndpointSlice(&endpointSlices[0]), proxyrules.ErrRefused)
	require.Same(t, want, c.RuleSet())
	_, err = proxyrules.NewCompiler(proxyrules.Config{Mode: "ipvs"})
	require.ErrorIs(t, err, proxyrules.ErrRefused)
}

// Objects that say the same again change nothing.
func TestNoChangeNoUpdate(t *testing.T) {
	services, endpointSlices := decode(t, webService, webSlice(`{"addresses":["10.0.0.1"]}`))
	c, err := proxyrules.NewCompiler(nodeA)
	require.NoError(t, err)
	set := func() *proxyrules.RuleSet {
		require.NoError(t, c.SetService(&services[0]))
		require.NoError(t, c.SetEndpointSlice(&endpointSlices[0]))
		return c.RuleSet()
	}
	a, b := set(), set()
	u := proxyrules.Diff(a, b)
	require.True(t, u.Empty())
	require.Empty(t, u.AppendIPTables(nil))
	require.Empty(t, u.AppendNFT(nil))
	require.Empty(t, u.AppendNFTCleanup(nil))
	require.Same(t, a.Policies()[0], b.Policies()[0])
}

// One endpoint more is two lines for nft.
func TestUpdateIsSmall(t *testing.T) {
	services, endpointSlices := decode(t, webService, webSlice(`{"addresses":["10.0.0.1"]}`)+","+webSlice(`{"addresses":["10.0.0.2"]}`))
	c, err := proxyrules.NewCompiler(nodeA)
	require.NoError(t, err)
	require.NoError(t, c.SetService(&services[0]))
	require.NoError(t, c.SetEndpointSlice(&endpointSlices[0]))
	a := c.RuleSet()
	require.NoError(t, c.SetEndpointSlice(&endpointSlices[1]))
	require.Regexp(t, `^delete element ip kube-proxy endpoints-tcp-[0-9a-f]{2} \{ \d+ \}
add element ip kube-proxy endpoints-tcp-[0-9a-f]{2} \{ \d+ : 10.0.0.2 . 8080 \}
$`, string(proxyrules.Diff(a, c.RuleSet()).AppendNFT(nil)))
}

// UDP entries to forget: what leads to backends that do not serve any more.
func TestStaleFlows(t *testing.T) {
	dns := `{"metadata":{"namespace":"t","name":"web"},"spec":{"type":"NodePort","clusterIP":"172.30.0.10","ports":[{"name":"http","port":53,"protocol":"UDP","nodePort":30053}]}}`
	udp := func(endpoints string) string {
		return `{"metadata":{"namespace":"t","name":"web-1","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4","ports":[{"name":"http","protocol":"UDP","port":5353}],"endpoints":[` + endpoints + `]}`
	}
	services, endpointSlices := decode(t, dns, udp(`{"addresses":["10.0.0.1"]},{"addresses":["10.0.0.2"]}`)+","+udp(`{"addresses":["10.0.0.2"]}`)+","+udp(""))
	c, err := proxyrules.NewCompiler(nodeA)
	require.NoError(t, err)
	require.NoError(t, c.SetService(&services[0]))
	r := c.RuleSet()
	for i, want := range []string{
		"[{172.30.0.10:53 0 [10.0.0.1:5353 10.0.0.2:5353]} {invalid AddrPort 30053 [10.0.0.1:5353 10.0.0.2:5353]}]",
		"[{172.30.0.10:53 0 [10.0.0.2:5353]} {invalid AddrPort 30053 [10.0.0.2:5353]}]",
		"[{172.30.0.10:53 0 []} {invalid AddrPort 30053 []}]", // issue kubernetes/kubernetes#139628
	} {
		require.NoError(t, c.SetEndpointSlice(&endpointSlices[i]))
		next := c.RuleSet()
		require.Equal(t, want, fmt.Sprint(proxyrules.Diff(r, next).StaleFlows()))
		require.Empty(t, proxyrules.Diff(next, next).StaleFlows())
		r = next
	}
}

// A new zone of the node compiles everything again.
func TestNodeLabels(t *testing.T) {
	services, endpointSlices := decode(t, webService, webSlice(
		`{"addresses":["10.0.0.1"],"hints":{"forZones":[{"name":"z1"}]}},{"addresses":["10.0.0.2"],"hints":{"forZones":[{"name":"z2"}]}}`))
	c, err := proxyrules.NewCompiler(nodeA)
	require.NoError(t, err)
	require.NoError(t, c.SetService(&services[0]))
	require.NoError(t, c.SetEndpointSlice(&endpointSlices[0]))
	require.Len(t, c.RuleSet().Policies()[0].Cluster, 2)
	c.SetNodeLabels(map[string]string{"topology.kubernetes.io/zone": "z2"})
	require.Equal(t, []string{"10.0.0.2:8080"}, addresses(c.RuleSet().Policies()[0].Cluster))
	require.Equal(t, "PreferSameZone", c.RuleSet().Policies()[0].Topology)
}

// RuleSets of different settings of the node have nothing in common: the
// update is the whole.
func TestDiffOfSettings(t *testing.T) {
	services, endpointSlices := decode(t, webService, webSlice(`{"addresses":["10.0.0.1"]}`))
	a, err := proxyrules.Compile(nodeA, services, endpointSlices)
	require.NoError(t, err)
	cfg := nodeA
	cfg.MasqueradeAll = true
	b, err := proxyrules.Compile(cfg, services, endpointSlices)
	require.NoError(t, err)
	u := proxyrules.Diff(a, b)
	require.False(t, u.Empty())
	require.Equal(t, string(b.AppendNFT(nil)), string(u.AppendNFT(nil)))
	require.Empty(t, u.AppendNFTCleanup(nil))
	require.Equal(t, string(b.AppendIPTables(nil)), string(u.AppendIPTables(nil)))
}
