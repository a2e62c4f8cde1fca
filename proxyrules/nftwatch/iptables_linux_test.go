package nftwatch_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/nftwatch"
)

// iptablesKeeper applies rules of iptables-nft as a proxy would.
type iptablesKeeper struct {
	t     *testing.T
	watch *nftwatch.Watch
	guard proxyrules.Guard
	rules *proxyrules.RuleSet
}

func newIPTablesKeeper(t *testing.T, n, endpoints int) *iptablesKeeper {
	t.Helper()
	enter(t)
	for _, tool := range []string{"iptables-nft", "iptables-nft-restore", "iptables-nft-save"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	w, err := nftwatch.OpenIPTables(proxyrules.IPv4)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	svcs, slices := services(n, endpoints)
	r, err := proxyrules.Compile(proxyrules.Config{}, svcs, slices)
	require.NoError(t, err)
	return &iptablesKeeper{t: t, watch: w, rules: r}
}

func (k *iptablesKeeper) observe() proxyrules.Observation {
	k.t.Helper()
	o, err := k.watch.Observe()
	require.NoError(k.t, err)
	return o
}

func command(t *testing.T, stdin []byte, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

func (k *iptablesKeeper) restore(text []byte) int {
	command(k.t, text, "iptables-nft-restore", "--noflush", "--counters")
	return bytes.Count(text, []byte("COMMIT\n"))
}

// sync makes sure of the rules, and reports whether it had to. Jumps are
// inserted where they are missing, since inserting them again would double
// them.
func (k *iptablesKeeper) sync() bool {
	k.t.Helper()
	if k.guard.Intact(k.observe()) {
		return false
	}
	text := k.rules.AppendIPTables(nil)
	for _, table := range strings.SplitAfter(string(k.rules.AppendIPTablesJumps(nil)), "COMMIT\n") {
		if table == "" {
			continue
		}
		saved := command(k.t, nil, "iptables-nft-save", "-t", strings.TrimPrefix(strings.Fields(table)[0], "*"))
		missing := ""
		for line := range strings.Lines(table) {
			rule, jump := strings.CutPrefix(line, "-I ")
			if !jump {
				missing += line
				continue
			}
			words := strings.Fields(rule)
			if !jumps(saved, words[0], words[len(words)-1]) {
				missing += line
			}
		}
		if strings.Contains(missing, "\n-I ") {
			text = append(text, missing...)
		}
	}
	n := k.restore(text)
	k.guard.LoadedIn(k.observe(), n)
	return true
}

func jumps(saved, from, to string) bool {
	for line := range strings.Lines(saved) {
		if strings.HasPrefix(line, "-A "+from+" ") && strings.HasSuffix(line, " -j "+to+"\n") {
			return true
		}
	}
	return false
}

// rulesOf are the rules of a listing that are or lead to ours.
func rulesOf(saved string) []string {
	var out []string
	for line := range strings.Lines(saved) {
		if line[0] == '-' && strings.Contains(line, "KUBE-") {
			out = append(out, line)
		}
	}
	return out
}

// requireRules compares what the kernel has, whatever the order of chains.
func requireRules(t *testing.T, want []string, what string) {
	t.Helper()
	count := map[string]int{}
	for _, line := range want {
		count[line]++
	}
	for _, line := range rulesOf(command(t, nil, "iptables-nft-save")) {
		if count[line]--; count[line] == 0 {
			delete(count, line)
		}
	}
	require.Empty(t, count, what)
}

// Whoever changes our chains, or the kernel's that lead there, is noticed and
// the rules made good; whoever changes others is not.
func TestKernelIPTablesRepair(t *testing.T) {
	k := newIPTablesKeeper(t, 20, 3)
	require.True(t, k.sync(), "nothing was loaded")
	require.False(t, k.sync())
	saved := command(t, nil, "iptables-nft-save")
	good := rulesOf(saved)
	service := ""
	for _, line := range good {
		if words := strings.Fields(line); strings.HasPrefix(words[1], "KUBE-SVC-") {
			service = words[1]
		}
	}
	for _, c := range []struct {
		what, script string // of iptables-nft-restore --noflush
		touches      bool
	}{
		{"a chain of others", "*nat\n:DOCKER - [0:0]\n-A DOCKER -s 10.0.0.1 -j ACCEPT\nCOMMIT\n", false},
		{"another table", "*mangle\n:KUBE-X - [0:0]\n-A KUBE-X -j ACCEPT\nCOMMIT\n", false},
		{"those go", "*nat\n:DOCKER - [0:0]\n-X DOCKER\nCOMMIT\n*mangle\n:KUBE-X - [0:0]\n-X KUBE-X\nCOMMIT\n", false},
		{"a rule more", "*nat\n-I KUBE-SERVICES -j ACCEPT\nCOMMIT\n", true},
		{"a rule less", "*nat\n-D " + service + " 1\nCOMMIT\n", true},
		{"a chain less", "*nat\n:" + service + " - [0:0]\nCOMMIT\n", true},
		{"all of our chains", "*filter\n:KUBE-FORWARD - [0:0]\n:KUBE-SERVICES - [0:0]\nCOMMIT\n", true},
		{"a jump less", "*nat\n-D PREROUTING 1\nCOMMIT\n", true},
		{"a rule before our jumps", "*nat\n-I PREROUTING -d 127.1.2.3 -j ACCEPT\n-D PREROUTING 1\nCOMMIT\n", true},
		{"a policy", "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n", true},
	} {
		k.restore([]byte(c.script))
		require.Equal(t, c.touches, k.sync(), c.what)
		if c.touches {
			requireRules(t, good, c.what)
		}
		require.False(t, k.sync(), c.what)
	}
	for _, script := range []string{"flush table ip nat", "delete table ip nat", "flush ruleset", "delete table ip filter; add table ip filter"} {
		nft(t, []byte(strings.ReplaceAll(script, "; ", "\n")+"\n"), "-f", "-")
		require.True(t, k.sync(), script)
		requireRules(t, good, script)
		require.False(t, k.sync(), script)
	}
}

// Updates of our own are no reason to load anything again; an update while
// somebody touches the chains is.
func TestKernelIPTablesOwnUpdates(t *testing.T) {
	k := newIPTablesKeeper(t, 20, 3)
	k.sync()
	svcs, slices := services(20, 3)
	update := func(address string) {
		slices[3].Endpoints[0].Addresses = []string{address}
		next, err := proxyrules.Compile(proxyrules.Config{}, svcs, slices)
		require.NoError(t, err)
		n := k.restore(proxyrules.Diff(k.rules, next).AppendIPTables(nil))
		k.guard.UpdatedIn(k.observe(), n)
		k.rules = next
	}
	for _, address := range []string{"10.99.0.1", "10.99.0.2", "10.99.0.3"} {
		require.False(t, k.sync())
		update(address)
		command(t, nil, "iptables-nft", "-t", "nat", "-N", "OTHER-"+address)
	}
	require.False(t, k.sync())
	command(t, nil, "iptables-nft", "-t", "nat", "-I", "KUBE-MARK-MASQ", "-j", "RETURN")
	update("10.99.1.1")
	require.True(t, k.sync(), "somebody came between the last look and the update")
	require.False(t, k.sync())
}
