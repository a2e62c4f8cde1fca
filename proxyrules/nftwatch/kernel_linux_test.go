package nftwatch_test

import (
	"bytes"
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
	"github.com/orchcore/orchcore/proxyrules/nftwatch"
)

// enter moves the test into a network namespace of its own, for good.
func enter(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
}

func nft(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("nft", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "nft %v: %s", args, out)
	return string(out)
}

func services(n, endpoints int) ([]proxyrules.Service, []proxyrules.EndpointSlice) {
	name, tcp, number := "http", "TCP", int32(8080)
	var svcs []proxyrules.Service
	var slices []proxyrules.EndpointSlice
	for i := range n {
		var s proxyrules.Service
		s.Metadata.Namespace, s.Metadata.Name = "w", fmt.Sprintf("s%d", i)
		s.Spec.ClusterIP = netip.AddrFrom4([4]byte{172, 30, byte(i >> 8), byte(i)}).String()
		s.Spec.Ports = []proxyrules.ServicePort{{Name: name, Port: 80, Protocol: tcp}}
		var e proxyrules.EndpointSlice
		e.Metadata.Namespace, e.Metadata.Name, e.AddressType = "w", s.Metadata.Name+"-1", "IPv4"
		e.Metadata.Labels = map[string]string{"kubernetes.io/service-name": s.Metadata.Name}
		e.Ports = []proxyrules.EndpointPort{{Name: &name, Protocol: &tcp, Port: &number}}
		for k := range endpoints {
			ip := netip.AddrFrom4([4]byte{10, byte(k), byte(i >> 8), byte(i)})
			e.Endpoints = append(e.Endpoints, proxyrules.Endpoint{Addresses: []string{ip.String()}})
		}
		svcs, slices = append(svcs, s), append(slices, e)
	}
	return svcs, slices
}

// keeper applies rules as a proxy would.
type keeper struct {
	t       *testing.T
	watch   *nftwatch.Watch
	guard   proxyrules.Guard
	rules   *proxyrules.RuleSet
	repairs int
}

func (k *keeper) observe() proxyrules.Observation {
	k.t.Helper()
	o, err := k.watch.Observe()
	require.NoError(k.t, err)
	return o
}

// sync makes sure of the rules, and reports whether it had to.
func (k *keeper) sync() bool {
	k.t.Helper()
	if k.guard.Intact(k.observe()) {
		return false
	}
	nft(k.t, k.rules.AppendNFT(nil), "-f", "-")
	k.guard.Loaded(k.observe())
	k.repairs++
	return true
}

func (k *keeper) update(next *proxyrules.RuleSet) {
	k.t.Helper()
	u := proxyrules.Diff(k.rules, next)
	nft(k.t, u.AppendNFT(nil), "-f", "-")
	k.guard.Updated(k.observe())
	k.rules = next
}

func newKeeper(t *testing.T, n, endpoints int) *keeper {
	t.Helper()
	enter(t)
	w, err := nftwatch.Open(proxyrules.IPv4)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	svcs, slices := services(n, endpoints)
	r, err := proxyrules.Compile(proxyrules.Config{}, svcs, slices)
	require.NoError(t, err)
	return &keeper{t: t, watch: w, rules: r}
}

// Whoever changes our table is noticed and the table made good; whoever
// changes others is not, and nothing is listed or loaded for it.
func TestKernelRepair(t *testing.T) {
	k := newKeeper(t, 20, 3)
	require.True(t, k.sync(), "nothing was loaded")
	require.False(t, k.sync())
	good := nft(t, nil, "list", "table", "ip", "kube-proxy")
	chain, element := "", ""
	for line := range strings.Lines(good) {
		if name, ok := strings.CutPrefix(line, "\tchain service-"); ok && chain == "" {
			chain = "service-" + strings.TrimSuffix(name, " {\n")
		}
	}
	element = "172.30.0.3 . tcp . 80"
	for _, c := range []struct {
		what, script string
		touches      bool
	}{
		{"another table", "add table ip other; add chain ip other c; add rule ip other c accept", false},
		{"our name in another family", "add table ip6 kube-proxy; add chain ip6 kube-proxy c", false},
		{"a longer name", "add table ip kube-proxy-2", false},
		{"those go", "delete table ip other; delete table ip6 kube-proxy; delete table ip kube-proxy-2", false},
		{"a rule more", "insert rule ip kube-proxy services drop", true},
		{"a rule less", "flush chain ip kube-proxy " + chain, true},
		{"a chain less", "delete element ip kube-proxy service-ips { " + element + " }; flush chain ip kube-proxy CHAIN; delete chain ip kube-proxy CHAIN", true},
		{"an element less", "delete element ip kube-proxy service-ips { " + element + " }", true},
		{"all rules", "flush table ip kube-proxy", true},
		{"the table", "delete table ip kube-proxy", true},
		{"everything", "flush ruleset", true},
		{"the table, and back empty", "delete table ip kube-proxy; add table ip kube-proxy", true},
	} {
		at := strings.Index(good, element+" : goto ") + len(element+" : goto ")
		victim := good[at : at+strings.IndexAny(good[at:], ",\n }")]
		nft(t, []byte(strings.ReplaceAll(strings.ReplaceAll(c.script, "; ", "\n"), "CHAIN", victim)+"\n"), "-f", "-")
		require.Equal(t, c.touches, k.sync(), c.what)
		require.Equal(t, good, nft(t, nil, "list", "table", "ip", "kube-proxy"), c.what)
		require.False(t, k.sync(), c.what)
	}
}

// Updates of our own are no reason to load anything again, also when others
// are at work; an update while somebody touches the table is.
func TestKernelOwnUpdates(t *testing.T) {
	k := newKeeper(t, 20, 3)
	k.sync()
	svcs, slices := services(20, 3)
	change := func() *proxyrules.RuleSet {
		slices[3].Endpoints = slices[3].Endpoints[:1+len(slices[3].Endpoints)%3]
		r, err := proxyrules.Compile(proxyrules.Config{}, svcs, slices)
		require.NoError(t, err)
		return r
	}
	for i := range 10 {
		require.False(t, k.sync())
		slices[3].Endpoints[0].Addresses = []string{fmt.Sprintf("10.99.0.%d", i)}
		k.update(change())
		nft(t, nil, "add", "table", "ip", fmt.Sprintf("other%d", i))
	}
	require.False(t, k.sync())
	nft(t, nil, "flush", "chain", "ip", "kube-proxy", "services")
	slices[3].Endpoints[0].Addresses = []string{"10.99.1.1"}
	k.update(change())
	require.True(t, k.sync(), "somebody came between the last look and the update")
	require.Equal(t, 2, k.repairs)
}

// A load that overflows the buffer of notifications is known by its
// generation, and what comes after it is seen again.
func TestKernelLargeLoad(t *testing.T) {
	k := newKeeper(t, 3000, 20)
	require.False(t, k.guard.Intact(k.observe()))
	nft(t, k.rules.AppendNFT(nil), "-f", "-")
	loaded := k.observe()
	require.Empty(t, loaded.Commits, "the load must not fit into the buffer")
	k.guard.Loaded(loaded)
	require.False(t, k.sync())
	nft(t, nil, "add", "table", "ip", "other")
	require.False(t, k.sync())
	nft(t, nil, "add", "rule", "ip", "kube-proxy", "services", "drop")
	require.True(t, k.sync())
	require.False(t, k.sync())
}

func BenchmarkObserve(b *testing.B) {
	runtime.LockOSThread()
	if os.Geteuid() != 0 || syscall.Unshare(syscall.CLONE_NEWNET) != nil {
		b.Skip("needs root to make a network namespace")
	}
	w, err := nftwatch.Open(proxyrules.IPv4)
	require.NoError(b, err)
	defer w.Close()
	b.ReportAllocs()
	for b.Loop() {
		if o, err := w.Observe(); err != nil || len(o.Commits) > 0 {
			b.Fatal(o, err)
		}
	}
}

func TestOpenRefusals(t *testing.T) {
	_, err := nftwatch.Open("IPv5")
	require.ErrorContains(t, err, `family "IPv5": expected IPv4 or IPv6`)
}
