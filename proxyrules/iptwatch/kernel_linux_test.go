//go:build linux && (amd64 || arm64)

package iptwatch_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/iptwatch"
)

func enter(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	for _, tool := range []string{"iptables-legacy", "ip6tables-legacy", "iptables-legacy-restore", "iptables-legacy-save"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	if out, err := exec.Command("iptables-legacy", "-t", "nat", "-S").CombinedOutput(); err != nil {
		t.Skipf("needs a kernel with iptables-legacy: %s", out)
	}
}

func command(t testing.TB, stdin string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

func rules(t testing.TB, n int) *proxyrules.RuleSet {
	t.Helper()
	port, tcp, number := "http", "TCP", int32(8080)
	var svcs []proxyrules.Service
	var slices []proxyrules.EndpointSlice
	for i := range n {
		var s proxyrules.Service
		s.Metadata.Namespace, s.Metadata.Name = "w", fmt.Sprintf("s%d", i)
		s.Spec.ClusterIP = netip.AddrFrom4([4]byte{172, 30, byte(i >> 8), byte(i)}).String()
		s.Spec.Ports = []proxyrules.ServicePort{{Name: port, Port: 80, Protocol: tcp}}
		var e proxyrules.EndpointSlice
		e.Metadata.Namespace, e.Metadata.Name, e.AddressType = "w", s.Metadata.Name+"-1", "IPv4"
		e.Metadata.Labels = map[string]string{"kubernetes.io/service-name": s.Metadata.Name}
		e.Ports = []proxyrules.EndpointPort{{Name: &port, Protocol: &tcp, Port: &number}}
		e.Endpoints = []proxyrules.Endpoint{{Addresses: []string{fmt.Sprintf("10.0.%d.%d", i>>8, i&255)}}}
		svcs, slices = append(svcs, s), append(slices, e)
	}
	r, err := proxyrules.Compile(proxyrules.Config{}, svcs, slices)
	require.NoError(t, err)
	return r
}

// keeper applies rules as a proxy would.
type keeper struct {
	t     *testing.T
	watch *iptwatch.Watch
	guard proxyrules.Guard
	rules *proxyrules.RuleSet
}

func (k *keeper) look(all bool) proxyrules.Observation {
	k.t.Helper()
	look := k.watch.Observe
	if all {
		look = k.watch.ObserveAll
	}
	o, err := look()
	require.NoError(k.t, err)
	return o
}

// load empties both tables first, so that jumps are there once.
func (k *keeper) load() {
	k.t.Helper()
	text := k.rules.AppendIPTablesJumps(k.rules.AppendIPTables(nil))
	for _, table := range []string{"filter", "nat"} {
		command(k.t, "", "iptables-legacy", "-t", table, "-F")
		command(k.t, "", "iptables-legacy", "-t", table, "-X")
	}
	command(k.t, "", "iptables-legacy", "-P", "FORWARD", "ACCEPT")
	command(k.t, string(text), "iptables-legacy-restore", "--noflush", "--counters")
	k.guard.Loaded(k.look(true))
}

// Each kind of intervention is noticed, by sizes or else by rules, and a load
// makes it good; traffic is not.
func TestKernelLegacyRepair(t *testing.T) {
	enter(t)
	w, err := iptwatch.Open(proxyrules.IPv4)
	require.NoError(t, err)
	defer w.Close()
	k := &keeper{t: t, watch: w, rules: rules(t, 20)}
	require.False(t, k.guard.Intact(k.look(true)), "nothing was loaded")
	k.load()
	good := saved(t)
	require.True(t, k.guard.Intact(k.look(false)))
	require.True(t, k.guard.Intact(k.look(true)))
	service := ""
	for _, word := range strings.Fields(good) {
		if strings.HasPrefix(word, "KUBE-SVC-") {
			service = word
		}
	}
	for _, c := range []struct {
		what, script string
		bySize       bool
	}{
		{"a rule deleted", "iptables-legacy -t nat -D " + service + " 1", true},
		{"a rule inserted", "iptables-legacy -t nat -I KUBE-SERVICES -j ACCEPT", true},
		{"a chain flushed", "iptables-legacy -t nat -F " + service, true},
		{"a jump removed", "iptables-legacy -t nat -D PREROUTING 1", true},
		{"a table flushed", "iptables-legacy -t filter -F", true},
		{"a rule in place of another", "iptables-legacy -t nat -R KUBE-MARK-MASQ 1 -j MARK --or-mark 0x8000", false},
		{"a policy", "iptables-legacy -P FORWARD DROP", false},
		{"a table replaced by one of its size", "iptables-legacy-save -t nat | sed 's/10.0.0.7:8080/10.0.0.7:8081/' | iptables-legacy-restore -T nat", false},
		{"a table replaced", "printf '*nat\\nCOMMIT\\n' | iptables-legacy-restore", true},
	} {
		command(t, "", "sh", "-c", c.script)
		require.Equal(t, !c.bySize, k.guard.Intact(k.look(false)), c.what)
		require.False(t, k.guard.Intact(k.look(true)), c.what)
		k.load()
		require.Equal(t, good, saved(t), c.what)
		require.True(t, k.guard.Intact(k.look(true)), c.what)
	}
	// Packets count in rules, and make no change.
	command(t, "", "ip", "link", "set", "lo", "up")
	before := command(t, "", "iptables-legacy-save", "-c", "-t", "filter")
	exec.Command("ping", "-c", "1", "-W", "1", "127.0.0.1").Run()
	if before == command(t, "", "iptables-legacy-save", "-c", "-t", "filter") {
		t.Log("no packet was counted")
	}
	require.True(t, k.guard.Intact(k.look(true)))
}

// saved are the rules without counters and comments.
func saved(t testing.TB) string {
	var out strings.Builder
	for line := range strings.Lines(command(t, "", "iptables-legacy-save")) {
		if line[0] == '-' || line[0] == '*' {
			out.WriteString(line)
		}
	}
	return out.String()
}

// An update of our own is no reason to load all again.
func TestKernelLegacyUpdates(t *testing.T) {
	enter(t)
	w, err := iptwatch.Open(proxyrules.IPv4)
	require.NoError(t, err)
	defer w.Close()
	k := &keeper{t: t, watch: w, rules: rules(t, 20)}
	require.False(t, k.guard.Intact(k.look(true)))
	k.load()
	for n := 19; n > 15; n-- {
		next := rules(t, n)
		require.True(t, k.guard.Intact(k.look(false)))
		command(t, string(proxyrules.Diff(k.rules, next).AppendIPTables(nil)), "iptables-legacy-restore", "--noflush", "--counters")
		k.guard.Updated(k.look(true))
		k.rules = next
		require.True(t, k.guard.Intact(k.look(true)))
	}
}

func TestKernelLegacyIPv6(t *testing.T) {
	enter(t)
	w, err := iptwatch.Open(proxyrules.IPv6)
	require.NoError(t, err)
	defer w.Close()
	if out, err := exec.Command("ip6tables-legacy", "-t", "nat", "-S").CombinedOutput(); err != nil {
		t.Skipf("needs a kernel with ip6tables-legacy: %s", out)
	}
	k := &keeper{t: t, watch: w}
	first := k.look(true)
	require.Equal(t, first.Generation, k.look(true).Generation)
	command(t, "", "ip6tables-legacy", "-t", "nat", "-N", "KUBE-X")
	second := k.look(false)
	require.Equal(t, first.Generation+1, second.Generation)
	command(t, "", "ip6tables-legacy", "-t", "nat", "-A", "KUBE-X", "-s", "fd00::1", "-j", "ACCEPT")
	require.Equal(t, first.Generation+2, k.look(true).Generation)
	command(t, "", "ip6tables-legacy", "-t", "nat", "-R", "KUBE-X", "1", "-s", "fd00::2", "-j", "ACCEPT")
	require.Equal(t, first.Generation+2, k.look(false).Generation)
	require.Equal(t, first.Generation+3, k.look(true).Generation)
}

func TestOpenRefusals(t *testing.T) {
	_, err := iptwatch.Open("IPv5")
	require.ErrorContains(t, err, `family "IPv5": expected IPv4 or IPv6`)
}

func BenchmarkObserve(b *testing.B) {
	enter(b)
	w, err := iptwatch.Open(proxyrules.IPv4)
	require.NoError(b, err)
	defer w.Close()
	r := rules(b, 1000)
	command(b, string(r.AppendIPTables(nil)), "iptables-legacy-restore", "--noflush", "--counters")
	for name, look := range map[string]func() (proxyrules.Observation, error){"sizes": w.Observe, "rules": w.ObserveAll} {
		b.Run("services=1000/look="+name, func(b *testing.B) {
			first, err := look()
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if o, err := look(); err != nil || o.Generation != first.Generation {
					b.Fatal(o, err)
				}
			}
		})
	}
}
