package proxyrules_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

func stickyRules(t *testing.T, endpoints string) *proxyrules.RuleSet {
	services, slices := decode(t, `{"metadata":{"namespace":"t","name":"web"},"spec":{"clusterIP":"172.30.0.10","sessionAffinity":"ClientIP",
		"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":60}},"ports":[{"name":"http","port":80}]}}`, webSlice(endpoints))
	r, err := proxyrules.Compile(nodeA, services, slices)
	require.NoError(t, err)
	return r
}

func TestAffinity(t *testing.T) {
	three := stickyRules(t, `{"addresses":["10.0.0.1"]},{"addresses":["10.0.0.2"]},{"addresses":["10.0.0.3"]}`)
	two := stickyRules(t, `{"addresses":["10.0.0.2"]},{"addresses":["10.0.0.3"]}`)
	a, now := proxyrules.NewAffinity(2), time.Unix(1000, 0)
	get := func(r *proxyrules.RuleSet, client string, random uint32, after time.Duration) string {
		now = now.Add(after)
		return a.Lookup(r, new(flow("tcp", client+":4000", "172.30.0.10:80")), random, now).Backend.Addr().String()
	}
	const last = 1<<32 - 1
	require.Equal(t, "10.0.0.1", get(three, "10.0.9.1", 0, 0))
	require.Equal(t, "10.0.0.1", get(three, "10.0.9.1", last, 59*time.Second), "remembered")
	require.Equal(t, "10.0.0.1", get(three, "10.0.9.1", last, 59*time.Second), "refreshed by each connection")
	require.Equal(t, "10.0.0.3", get(three, "10.0.9.1", last, 60*time.Second), "expired")
	require.Equal(t, "10.0.0.3", get(two, "10.0.9.1", 0, 0), "its backend is still there")
	require.Equal(t, "10.0.0.1", get(three, "10.0.9.2", 0, 0), "another client")
	require.Equal(t, "10.0.0.2", get(two, "10.0.9.2", 0, 0), "its backend left")
	require.Equal(t, "10.0.0.2", get(three, "10.0.9.2", 0, 0), "and is remembered from then on")
	require.Equal(t, 2, a.Len())
	require.Equal(t, "10.0.0.1", get(three, "10.0.9.3", 0, 0), "a third client takes the place of the first")
	require.Equal(t, 2, a.Len())
	require.Equal(t, "10.0.0.1", get(three, "10.0.9.1", 0, 0), "who is forgotten")
}

// With memory or without: the same verdicts, and a backend that Trace lists.
func TestBalancersMeanTrace(t *testing.T) {
	eachWorld(t, 60, func(t *testing.T, seed uint64, s ruletest.State) {
		r := compile(t, s)
		a := proxyrules.NewAffinity(0)
		for _, f := range ruletest.Flows(s, seed, 50) {
			trace, err := r.Trace(f)
			require.NoError(t, err)
			for _, d := range []proxyrules.Decision{a.Lookup(r, &f, 1<<31, time.Unix(0, 0)), r.LookupMaglev(&f)} {
				require.Equal(t, trace.Policy, d.Policy)
				if len(trace.Choices) == 0 {
					require.Equal(t, trace.Verdict, d.Verdict)
					continue
				}
				found := false
				for _, c := range trace.Choices {
					found = found || c.Backend.Address == d.Backend && c.Verdict == d.Verdict && c.Masquerade == d.Masquerade
				}
				require.True(t, found, "%+v is not a choice of %+v", d, trace.Choices)
			}
		}
	})
}

func TestMaglev(t *testing.T) {
	require.Nil(t, proxyrules.NewMaglev(nil).Pick(5))
	backends := make([]proxyrules.Backend, 20)
	for i := range backends {
		backends[i].Address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80)
	}
	const hashes = 200_000
	all := proxyrules.NewMaglev(backends)
	without := proxyrules.NewMaglev(append(append([]proxyrules.Backend(nil), backends[:7]...), backends[8:]...))
	share, moved := map[netip.AddrPort]int{}, 0
	for h := range uint64(hashes) {
		was, is := all.Pick(h*0x9e3779b97f4a7c15).Address, without.Pick(h*0x9e3779b97f4a7c15).Address
		share[was]++
		if was != is && was != backends[7].Address {
			moved++
		}
	}
	for a, n := range share {
		require.InDelta(t, hashes/len(backends), n, 0.05*hashes/float64(len(backends)), a.String())
	}
	require.Less(t, moved, hashes*5/100, "others' flows that moved when one backend left")
}

func TestBalancersAllocateNothing(t *testing.T) {
	r := stickyRules(t, `{"addresses":["10.0.0.1"]},{"addresses":["10.0.0.2"]}`)
	a, now := proxyrules.NewAffinity(10), time.Unix(0, 0)
	f := flow("tcp", "10.0.9.1:4000", "172.30.0.10:80")
	a.Lookup(r, &f, 0, now)
	r.LookupMaglev(&f)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		a.Lookup(r, &f, 0, now)
		r.LookupMaglev(&f)
	}))
}

func ExampleAffinity() {
	rules := compileShop(proxyrules.NFTables)
	memory, now := proxyrules.NewAffinity(1000), time.Unix(0, 0)
	d := memory.Lookup(rules, new(flow("tcp", "10.0.9.1:4000", "172.30.0.10:80")), 0, now)
	fmt.Println(d.Backend, "affinity:", d.Policy.Affinity)
	// Output: 10.0.1.10:8080 affinity: 0s
}
