package proxyrules_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
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

// namespace is a shell in a network namespace of its own.
type namespace struct {
	t     *testing.T
	in    io.Writer
	out   *bufio.Reader
	turns int
}

func newNamespace(t *testing.T, tools ...string) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	for _, tool := range append(tools, "unshare", "sh") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	cmd := exec.Command("unshare", "-n", "sh")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &namespace{t: t, in: in, out: bufio.NewReader(out)}
}

// run gives a command its input and returns what it prints; it must succeed.
func (n *namespace) run(command string, stdin []byte) string {
	n.t.Helper()
	n.turns++
	end := fmt.Sprintf("=== end of %d: ", n.turns)
	_, err := fmt.Fprintf(n.in, "%s 2>&1 <<'=== input ends'\n%s\n=== input ends\necho \"%s$?\"\n", command, stdin, end)
	require.NoError(n.t, err)
	var out strings.Builder
	for {
		line, err := n.out.ReadString('\n')
		require.NoError(n.t, err)
		if status, ok := strings.CutPrefix(line, end); ok {
			require.Equal(n.t, "0\n", status, "%s: %s", command, out.String())
			return out.String()
		}
		out.WriteString(line)
	}
}

// canonical brings the listing of a table into one order: objects, and
// elements of sets and maps.
func canonical(listing string) []string {
	var objects []string
	for _, o := range strings.Split(listing, "\n\t}") {
		head, elements, found := strings.Cut(o, "elements = {")
		if found {
			list := strings.Split(strings.TrimSuffix(strings.TrimSpace(elements), "}"), ",")
			for i := range list {
				list[i] = strings.Join(strings.Fields(list[i]), " ")
			}
			slices.Sort(list)
			o = head + strings.Join(list, ",")
		}
		objects = append(objects, strings.TrimSpace(o))
	}
	slices.Sort(objects)
	return objects
}

// Updates applied to a live table leave what a fresh load gives, change after
// change; and no transaction fails.
func TestKernelUpdatesNFT(t *testing.T) {
	steps := 260 // of each family
	if testing.Short() {
		steps = 20
	}
	for seed, family := range []proxyrules.Family{proxyrules.IPv4, proxyrules.IPv6} {
		live, other := newNamespace(t, "nft"), newNamespace(t, "nft")
		h := newHistory(t, uint64(seed), ruletest.Random(1, family, proxyrules.NFTables))
		before := h.compiler.RuleSet()
		live.run("nft -f -", before.AppendNFT(nil))
		for range steps {
			h.step(t)
			now := h.compiler.RuleSet()
			u := proxyrules.Diff(before, now)
			live.run("nft -f -", u.AppendNFT(nil))
			live.run("nft -f -", u.AppendNFTCleanup(nil))
			other.run("nft -f -", h.fresh(t).AppendNFT(nil))
			require.Equal(t, canonical(other.run("nft list ruleset", nil)), canonical(live.run("nft list ruleset", nil)))
			before = now
		}
	}
}

// The same for iptables, where chains that stay keep their rules untouched.
func TestKernelUpdatesIPTables(t *testing.T) {
	steps := 125 // of each family
	if testing.Short() {
		steps = 20
	}
	for seed, family := range []proxyrules.Family{proxyrules.IPv4, proxyrules.IPv6} {
		tool := map[proxyrules.Family]string{proxyrules.IPv4: "iptables", proxyrules.IPv6: "ip6tables"}[family]
		restore := tool + "-restore --noflush --counters"
		live, other := newNamespace(t, tool+"-restore", tool+"-save"), newNamespace(t, tool+"-restore", tool+"-save")
		h := newHistory(t, uint64(seed), ruletest.Random(1, family, proxyrules.IPTables))
		before := h.compiler.RuleSet()
		live.run(restore, before.AppendIPTables(nil))
		for range steps {
			h.step(t)
			now := h.compiler.RuleSet()
			live.run(restore, proxyrules.Diff(before, now).AppendIPTables(nil))
			other.run(tool+"-restore --counters", h.fresh(t).AppendIPTables(nil))
			saved := func(n *namespace) []string {
				var rules []string
				for line := range strings.Lines(n.run(tool+"-save", nil)) {
					if line[0] == '-' || strings.HasPrefix(line, ":KUBE") {
						rules = append(rules, line)
					}
				}
				// The order of rules counts within a chain only.
				slices.SortStableFunc(rules, func(a, b string) int { return cmp.Compare(chainOf(a), chainOf(b)) })
				return rules
			}
			require.Equal(t, saved(other), saved(live))
			before = now
		}
	}
}

func chainOf(line string) string {
	words := strings.Fields(line)
	return words[0][:1] + words[min(1, len(words)-1)]
}
