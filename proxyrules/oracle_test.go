package proxyrules_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// eachWorld calls test for every family and mode, with many seeds.
func eachWorld(t *testing.T, seeds uint64, test func(t *testing.T, seed uint64, s ruletest.State)) {
	for _, family := range []proxyrules.Family{proxyrules.IPv4, proxyrules.IPv6} {
		for _, mode := range []proxyrules.Mode{proxyrules.IPTables, proxyrules.NFTables} {
			t.Run(fmt.Sprintf("%s/%s", family, mode), func(t *testing.T) {
				for seed := range seeds {
					test(t, seed, ruletest.Random(seed, family, mode))
				}
			})
		}
	}
}

func compile(t *testing.T, s ruletest.State) *proxyrules.RuleSet {
	t.Helper()
	r, err := proxyrules.Compile(s.Config, s.Services, s.Slices)
	require.NoError(t, err)
	return r
}

// program reads back the text that the state's mode would load.
func program(t *testing.T, s ruletest.State, r *proxyrules.RuleSet) *proxyrules.Program {
	t.Helper()
	var p *proxyrules.Program
	var err error
	if s.Config.Mode == proxyrules.NFTables {
		p, err = proxyrules.ParseNFT(string(r.AppendNFT(nil)))
	} else {
		p, err = proxyrules.ParseIPTables(string(r.AppendIPTables(nil)), string(r.AppendIPTablesJumps(nil)))
	}
	require.NoError(t, err)
	return p
}

// sameEnds compares a trace with the ends of a program. Probabilities may
// differ by what printing ten decimals and storing 31 bits costs.
func sameEnds(trace proxyrules.Trace, ends []proxyrules.Outcome) error {
	want := map[proxyrules.Outcome]float64{}
	for _, c := range trace.Choices {
		o := proxyrules.Outcome{Verdict: proxyrules.DNAT, Backend: c.Backend.Address, Masquerade: c.Masquerade}
		if c.Verdict != proxyrules.DNAT {
			o = proxyrules.Outcome{Verdict: c.Verdict}
		}
		want[o] += c.Probability
	}
	if len(trace.Choices) == 0 {
		want[proxyrules.Outcome{Verdict: trace.Verdict}] = 1
	}
	if len(want) != len(ends) {
		return fmt.Errorf("trace %v has %d ends, the text %d: %v", want, len(want), len(ends), ends)
	}
	for _, e := range ends {
		key := e
		key.Probability = 0
		if p, ok := want[key]; !ok || math.Abs(p-e.Probability) > 1e-8 {
			return fmt.Errorf("trace %v, text %v", want, ends)
		}
	}
	return nil
}

// The rules say what Trace says, for every flow.
func TestTextMeansTrace(t *testing.T) {
	eachWorld(t, 300, func(t *testing.T, seed uint64, s ruletest.State) {
		r := compile(t, s)
		p := program(t, s, r)
		env := proxyrules.Environment{Local: s.Config.NodeIPs}
		for _, f := range ruletest.Flows(s, seed, 50) {
			trace, err := r.Trace(f)
			require.NoError(t, err)
			ends, err := p.Run(f, env)
			require.NoError(t, err)
			if err := sameEnds(trace, ends); err != nil {
				t.Fatalf("seed %d, %+v: %v\nwhy: %q", seed, f, err, trace.Why)
			}
		}
	})
}

// Lookup is one of the choices of Trace, and each of them in its turn.
func TestLookupMeansTrace(t *testing.T) {
	eachWorld(t, 300, func(t *testing.T, seed uint64, s ruletest.State) {
		r := compile(t, s)
		for _, f := range ruletest.Flows(s, seed, 50) {
			trace, err := r.Trace(f)
			require.NoError(t, err)
			n := max(len(trace.Choices), 1)
			for i := range n {
				random := uint32((uint64(i)<<32 + uint64(n) - 1) / uint64(n))
				d := r.Lookup(&f, random)
				want := proxyrules.Decision{Verdict: trace.Verdict, Policy: trace.Policy}
				if len(trace.Choices) > 0 {
					c := trace.Choices[i]
					want.Verdict, want.Masquerade = c.Verdict, c.Masquerade
					want.Backend = c.Backend.Address
				}
				require.Equal(t, want, d, "seed %d, %+v, choice %d: %q", seed, f, i, trace.Why)
			}
		}
	})
}

// The generator is of no use unless every verdict, hairpins, short circuits
// and both policies occur.
func TestFlowsReachEveryVerdict(t *testing.T) {
	seen := map[string]int{}
	eachWorld(t, 200, func(t *testing.T, seed uint64, s ruletest.State) {
		r := compile(t, s)
		for _, f := range ruletest.Flows(s, seed, 50) {
			trace, err := r.Trace(f)
			require.NoError(t, err)
			key := fmt.Sprintf("%s/%s/%s", s.Config.Family, s.Config.Mode, trace.Verdict)
			seen[key]++
			if trace.Masquerade {
				seen[key+"/masquerade"]++
			}
			for _, c := range trace.Choices {
				if c.Masquerade != trace.Masquerade {
					seen[key+"/hairpin"]++
				}
			}
		}
	})
	for _, family := range []string{"IPv4", "IPv6"} {
		for _, mode := range []string{"iptables", "nftables"} {
			for _, v := range []string{"ACCEPT", "DNAT", "DNAT/masquerade", "DNAT/hairpin", "REJECT", "DROP"} {
				key := family + "/" + mode + "/" + v
				require.Greater(t, seen[key], 20, key)
			}
		}
	}
}
