package proxyrules_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// inNamespace runs a command in a network namespace of its own, so that the
// machine's rules are not touched. It skips the test where that is not
// possible.
func inNamespace(t *testing.T, stdin []byte, script string, tools ...string) (string, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	for _, tool := range append(tools, "unshare", "sh") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	cmd := exec.Command("unshare", "-n", "sh", "-c", script)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// The real nft loads the script, a second time over the first, and what it
// lists afterwards still means the same.
func TestKernelTakesNFT(t *testing.T) {
	for _, family := range []proxyrules.Family{proxyrules.IPv4, proxyrules.IPv6} {
		for seed := range uint64(12) {
			s := ruletest.Random(seed, family, proxyrules.NFTables)
			r := compile(t, s)
			listed, err := inNamespace(t, r.AppendNFT(nil), "cat > /dev/shm/$$; nft -c -f /dev/shm/$$ && nft -f /dev/shm/$$ && nft -f /dev/shm/$$ && nft list ruleset; s=$?; rm /dev/shm/$$; exit $s", "nft")
			require.NoError(t, err, "seed %d: %s", seed, listed)
			p, err := proxyrules.ParseNFT(listed)
			require.NoError(t, err)
			requireSameMeaning(t, s, r, p, seed)
		}
	}
}

// The real iptables-restore loads the text and the jumps, and what
// iptables-save prints means the same.
func TestKernelTakesIPTables(t *testing.T) {
	for family, tool := range map[proxyrules.Family]string{proxyrules.IPv4: "iptables", proxyrules.IPv6: "ip6tables"} {
		for seed := range uint64(12) {
			s := ruletest.Random(seed, family, proxyrules.IPTables)
			r := compile(t, s)
			text := r.AppendIPTables(nil)
			out, err := inNamespace(t, text, tool+"-restore --test --noflush --counters", tool+"-restore")
			require.NoError(t, err, "seed %d: %s", seed, out)
			saved, err := inNamespace(t, r.AppendIPTablesJumps(text), tool+"-restore --noflush --counters && "+tool+"-save", tool+"-restore", tool+"-save")
			require.NoError(t, err, "seed %d: %s", seed, saved)
			p, err := proxyrules.ParseIPTables(saved)
			require.NoError(t, err, "seed %d", seed)
			requireSameMeaning(t, s, r, p, seed)
		}
	}
}

func requireSameMeaning(t *testing.T, s ruletest.State, r *proxyrules.RuleSet, p *proxyrules.Program, seed uint64) {
	t.Helper()
	for _, f := range ruletest.Flows(s, seed, 100) {
		trace, err := r.Trace(f)
		require.NoError(t, err)
		ends, err := p.Run(f, proxyrules.Environment{Local: s.Config.NodeIPs})
		require.NoError(t, err)
		require.NoError(t, sameEnds(trace, ends), "seed %d, %+v", seed, f)
	}
}
