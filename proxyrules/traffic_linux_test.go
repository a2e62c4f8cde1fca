package proxyrules_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/orchcore/orchcore/proxyrules"
)

// host is a thread in a network namespace of its own; what it starts and the
// sockets that it opens are there.
type host struct {
	name string
	tid  int
	work chan func()
}

func newHost(t *testing.T, name string) *host {
	t.Helper()
	h := &host{name: name, work: make(chan func())}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		h.tid = syscall.Gettid()
		started <- err
		for f := range h.work {
			f()
		}
	}()
	if err := <-started; err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	t.Cleanup(func() { close(h.work) })
	return h
}

func (h *host) do(f func()) {
	done := make(chan struct{})
	h.work <- func() { f(); close(done) }
	<-done
}

// run starts commands, one a line, and gives stdin to each.
func (h *host) run(t *testing.T, script string, stdin []byte) {
	t.Helper()
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		var out []byte
		var err error
		h.do(func() {
			cmd := exec.Command(words[0], words[1:]...)
			cmd.Stdin = bytes.NewReader(stdin)
			out, err = cmd.CombinedOutput()
		})
		require.NoError(t, err, "%s: %s: %s", h.name, line, out)
	}
}

// serve answers every connection and datagram with the name of the host and
// the address it came from, and once more for every line.
func (h *host) serve(t *testing.T, port int) {
	t.Helper()
	var l net.Listener
	var u net.PacketConn
	h.do(func() {
		var err error
		l, err = net.Listen("tcp4", fmt.Sprintf(":%d", port))
		require.NoError(t, err)
		u, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		require.NoError(t, err)
	})
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			_, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			u.WriteTo([]byte(h.answer(from)), from)
		}
	}()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					if _, err := r.ReadString('\n'); err != nil {
						return
					}
					io.WriteString(c, h.answer(c.RemoteAddr()))
				}
			}()
		}
	}()
}

func (h *host) answer(from net.Addr) string {
	ip, _, _ := net.SplitHostPort(from.String())
	return h.name + " " + ip + "\n"
}

const (
	dropTimeout = 300 * time.Millisecond
	tries       = 24 // each of two backends misses all of them once in 16 million times
)

// dial opens a connection from src, and returns it with the first answer.
func (h *host) dial(proto proxyrules.Protocol, src netip.Addr, dst netip.AddrPort, timeout time.Duration) (c net.Conn, answer string, err error) {
	d := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: src.AsSlice()}}
	network := "tcp4"
	if proto == proxyrules.UDP {
		d.LocalAddr, network = &net.UDPAddr{IP: src.AsSlice()}, "udp4"
	}
	h.do(func() { c, err = d.Dial(network, dst.String()) })
	if err != nil {
		return nil, "", err
	}
	answer, err = ask(c, timeout)
	if err != nil {
		c.Close()
	}
	return c, answer, err
}

func ask(c net.Conn, timeout time.Duration) (string, error) {
	c.SetDeadline(time.Now().Add(timeout))
	if _, err := io.WriteString(c, "?\n"); err != nil {
		return "", err
	}
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	return strings.TrimSpace(string(buf[:n])), err
}

// rig is a node with a client outside and two pods on it, each a host.
type rig struct {
	node, client, b1, b2 *host
	names                map[string]string // backend address → host
}

func newRig(t *testing.T, tools ...string) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	for _, tool := range append(tools, "ip", "sysctl") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	r := &rig{
		node: newHost(t, "node"), client: newHost(t, "client"), b1: newHost(t, "b1"), b2: newHost(t, "b2"),
		names: map[string]string{"10.0.1.10:8080": "b1", "10.0.2.10:8080": "b2"},
	}
	r.node.run(t, "ip link set lo up", nil)
	r.link(t, r.client, "vc", "192.168.0.2", "192.168.0.100")
	r.link(t, r.b1, "vb1", "10.0.1.1", "10.0.1.10")
	r.link(t, r.b2, "vb2", "10.0.2.1", "10.0.2.10")
	r.client.run(t, "ip addr add 192.168.0.101/24 dev eth0", nil)
	// A black hole as the default route, so that packets which kept a service
	// address are forwarded; and no limit on the ICMP errors of REJECT.
	r.node.run(t, `sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.icmp_ratelimit=0
		ip link add d0 type veth peer name d1
		ip link set d1 up
		ip addr add 198.51.100.1/24 dev d0
		ip link set d0 up
		ip route add default via 198.51.100.254 dev d0
		ip neigh add 198.51.100.254 lladdr 02:00:00:00:00:01 dev d0`, nil)
	r.b1.serve(t, 8080)
	r.b2.serve(t, 8080)
	return r
}

func (r *rig) link(t *testing.T, h *host, name, nodeIP, ip string) {
	t.Helper()
	r.node.run(t, strings.NewReplacer("NAME", name, "TID", strconv.Itoa(h.tid), "NODE", nodeIP).Replace(
		`ip link add NAME type veth peer name eth0 netns TID
		ip addr add NODE/24 dev NAME
		ip link set NAME up
		sysctl -qw net.ipv4.conf.NAME.rp_filter=0`), nil)
	h.run(t, strings.NewReplacer("IP", ip, "NODE", nodeIP).Replace(
		`ip link set lo up
		ip addr add IP/24 dev eth0
		ip link set eth0 up
		ip route add default via NODE`), nil)
}

// probe tries a flow and holds what happens to what Trace says.
func (r *rig) probe(t *testing.T, rules *proxyrules.RuleSet, from *host, proto proxyrules.Protocol, src, dst string) {
	t.Helper()
	source, to := netip.MustParseAddr(src), netip.MustParseAddrPort(dst)
	trace, err := rules.Trace(proxyrules.Flow{
		Protocol: proto, Source: netip.AddrPortFrom(source, 40000), Destination: to,
		Interface: map[*host]string{r.client: "vc", r.b1: "vb1", r.b2: "vb2"}[from],
	})
	require.NoError(t, err)
	what := fmt.Sprintf("%s %s %s → %s: %s %q", from.name, proto, src, dst, trace.Verdict, trace.Why)
	if trace.Verdict != proxyrules.DNAT {
		_, answer, err := from.dial(proto, source, to, dropTimeout)
		require.Error(t, err, "%s, but %q answered", what, answer)
		require.Equal(t, trace.Verdict == proxyrules.Reject, errors.Is(err, syscall.ECONNREFUSED), "%s: %v", what, err)
		return
	}
	expected := map[string]bool{}
	for _, c := range trace.Choices {
		seen := src
		if c.Masquerade {
			seen = "masqueraded"
		}
		expected[r.names[c.Backend.Address.String()]+" "+seen] = true
	}
	answers := map[string]bool{}
	for range tries {
		c, answer, err := from.dial(proto, source, to, 5*time.Second)
		require.NoError(t, err, what)
		c.Close()
		name, seen, _ := strings.Cut(answer, " ")
		if seen != src || from == r.node {
			seen = "masqueraded"
		}
		answers[name+" "+seen] = true
	}
	require.Equal(t, expected, answers, what)
}

const trafficServices = `
 {"metadata":{"namespace":"t","name":"web"},"spec":{"type":"NodePort","clusterIP":"172.30.0.10","ports":[{"name":"t","port":80,"nodePort":30080},{"name":"u","protocol":"UDP","port":80,"nodePort":30080}]}},
 {"metadata":{"namespace":"t","name":"sticky"},"spec":{"clusterIP":"172.30.0.11","sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":1}},"ports":[{"name":"t","port":80}]}},
 {"metadata":{"namespace":"t","name":"empty"},"spec":{"type":"NodePort","clusterIP":"172.30.0.12","ports":[{"name":"t","port":80,"nodePort":30081},{"name":"u","protocol":"UDP","port":80,"nodePort":30081}]}},
 {"metadata":{"namespace":"t","name":"elocal"},"spec":{"type":"NodePort","externalTrafficPolicy":"Local","clusterIP":"172.30.0.13","ports":[{"name":"t","port":80,"nodePort":30082}]}},
 {"metadata":{"namespace":"t","name":"nolocal"},"spec":{"type":"NodePort","externalTrafficPolicy":"Local","internalTrafficPolicy":"Local","clusterIP":"172.30.0.14","ports":[{"name":"t","port":80,"nodePort":30083}]}},
 {"metadata":{"namespace":"t","name":"lbfw"},"spec":{"type":"LoadBalancer","clusterIP":"172.30.0.15","externalIPs":["5.6.7.9"],"loadBalancerSourceRanges":["192.168.0.100/32"],"ports":[{"name":"t","port":80}]},
  "status":{"loadBalancer":{"ingress":[{"ip":"5.6.7.8"}]}}}`

func trafficSlice(service, b1Node, b2Node string) string {
	return `{"metadata":{"namespace":"t","name":"` + service + `-1","labels":{"kubernetes.io/service-name":"` + service + `"}},"addressType":"IPv4",
	"ports":[{"name":"t","protocol":"TCP","port":8080},{"name":"u","protocol":"UDP","port":8080}],
	"endpoints":[{"addresses":["10.0.1.10"],"nodeName":"` + b1Node + `"},{"addresses":["10.0.2.10"],"nodeName":"` + b2Node + `"}]}`
}

// loaders put rules into a node, by the tools of each data plane.
var loaders = []struct {
	name string
	mode proxyrules.Mode
	tool string
}{
	{"nft", proxyrules.NFTables, "nft"},
	{"iptables-nft", proxyrules.IPTables, "iptables-nft-restore"},
	{"iptables-legacy", proxyrules.IPTables, "iptables-legacy-restore"},
}

// Real packets: each of three data planes does what Trace says.
func TestKernelMovesPackets(t *testing.T) {
	for _, l := range loaders {
		t.Run(l.name, func(t *testing.T) {
			r := newRig(t, l.tool)
			services, slices := trafficObjects(t)
			cfg := trafficConfig(l.mode)
			cfg.ClusterCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}
			rules, err := proxyrules.Compile(cfg, services, slices)
			require.NoError(t, err)
			r.load(t, l.mode, l.tool, rules)
			r.probes(t, rules)
			r.affinity(t)
			r.survival(t, l.mode, l.tool, cfg, rules, services, slices)
		})
	}
}

// The same flows, with pods told by the interface that they are behind.
func TestKernelTellsPodsByInterface(t *testing.T) {
	for _, l := range loaders {
		t.Run(l.name, func(t *testing.T) {
			r := newRig(t, l.tool)
			services, slices := trafficObjects(t)
			for _, c := range []proxyrules.Config{{BridgeInterface: "vb1"}, {InterfaceNamePrefix: "vb"}} {
				cfg := trafficConfig(l.mode)
				cfg.BridgeInterface, cfg.InterfaceNamePrefix = c.BridgeInterface, c.InterfaceNamePrefix
				rules, err := proxyrules.Compile(cfg, services, slices)
				require.NoError(t, err)
				r.load(t, l.mode, l.tool, rules)
				for _, dst := range []string{"172.30.0.10:80", "192.168.0.2:30082", "192.168.0.2:30083"} {
					r.probe(t, rules, r.client, proxyrules.TCP, "192.168.0.100", dst)
					r.probe(t, rules, r.b1, proxyrules.TCP, "10.0.1.10", dst)
					r.probe(t, rules, r.b2, proxyrules.TCP, "10.0.2.10", dst)
					r.probe(t, rules, r.node, proxyrules.TCP, "192.168.0.2", dst)
				}
				if l.mode == proxyrules.IPTables { // jumps must not be there twice
					r.node.run(t, strings.TrimSuffix(l.tool, "-restore")+" -F\n"+strings.TrimSuffix(l.tool, "-restore")+" -t nat -F", nil)
				}
			}
		})
	}
}

func trafficObjects(t *testing.T) ([]proxyrules.Service, []proxyrules.EndpointSlice) {
	return decode(t, trafficServices, strings.Join([]string{
		trafficSlice("web", "node-a", "node-a"), trafficSlice("sticky", "node-a", "node-a"), trafficSlice("elocal", "node-a", "node-b"),
		trafficSlice("nolocal", "node-b", "node-b"), trafficSlice("lbfw", "node-a", "node-a"),
	}, ","))
}

func trafficConfig(mode proxyrules.Mode) proxyrules.Config {
	cfg := proxyrules.Config{NodeName: "node-a", Mode: mode, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("172.30.0.0/16")}}
	for _, ip := range []string{"192.168.0.2", "10.0.1.1", "10.0.2.1", "198.51.100.1"} {
		cfg.NodeIPs = append(cfg.NodeIPs, netip.MustParseAddr(ip))
	}
	return cfg
}

func (r *rig) apply(t *testing.T, mode proxyrules.Mode, tool string, u *proxyrules.Update) {
	if mode == proxyrules.NFTables {
		r.node.run(t, "nft -f -", u.AppendNFT(nil))
	} else {
		r.node.run(t, tool+" --noflush --counters", u.AppendIPTables(nil))
	}
}

func (r *rig) load(t *testing.T, mode proxyrules.Mode, tool string, rules *proxyrules.RuleSet) {
	if mode == proxyrules.NFTables {
		r.node.run(t, "nft -f -", rules.AppendNFT(nil))
	} else {
		r.node.run(t, tool+" --noflush --counters", rules.AppendIPTablesJumps(rules.AppendIPTables(nil)))
	}
}

// probes are flows of every kind that tells verdicts apart.
func (r *rig) probes(t *testing.T, rules *proxyrules.RuleSet) {
	tcp, udp := proxyrules.TCP, proxyrules.UDP
	for _, dst := range []string{"172.30.0.10:80", "192.168.0.2:30080", "172.30.0.12:80", "192.168.0.2:30081"} {
		r.probe(t, rules, r.client, tcp, "192.168.0.100", dst)
		r.probe(t, rules, r.client, udp, "192.168.0.100", dst)
	}
	for _, dst := range []string{
		"172.30.0.13:80", "192.168.0.2:30082", "172.30.0.14:80", "192.168.0.2:30083", "172.30.0.15:80", "5.6.7.8:80", "5.6.7.9:80", "172.30.0.10:81", "172.30.9.9:80",
	} {
		r.probe(t, rules, r.client, tcp, "192.168.0.100", dst)
	}
	r.probe(t, rules, r.client, tcp, "192.168.0.101", "5.6.7.8:80")
	r.probe(t, rules, r.client, tcp, "192.168.0.101", "5.6.7.9:80")
	for _, dst := range []string{"172.30.0.10:80", "192.168.0.2:30082", "192.168.0.2:30083", "172.30.0.12:80"} {
		r.probe(t, rules, r.b1, tcp, "10.0.1.10", dst)
	}
	for _, dst := range []string{"172.30.0.10:80", "172.30.0.12:80", "192.168.0.2:30080", "192.168.0.2:30082", "192.168.0.2:30083", "192.168.0.2:30081"} {
		r.probe(t, rules, r.node, tcp, "192.168.0.2", dst)
	}
}

// affinity: one client stays with one backend, until it stayed away for the
// timeout.
func (r *rig) affinity(t *testing.T) {
	src, dst := netip.MustParseAddr("192.168.0.100"), netip.MustParseAddrPort("172.30.0.11:80")
	first := func() string {
		c, answer, err := r.client.dial(proxyrules.TCP, src, dst, 5*time.Second)
		require.NoError(t, err)
		c.Close()
		name, _, _ := strings.Cut(answer, " ")
		return name
	}
	want := first()
	for range tries {
		require.Equal(t, want, first(), "the client moved to another backend")
	}
	for range tries {
		time.Sleep(1300 * time.Millisecond)
		if first() != want {
			return
		}
	}
	t.Fatal("affinity did not expire")
}

// survival: a connection lives on while its backend leaves the service, while
// others change, and while everything is loaded anew.
func (r *rig) survival(t *testing.T, mode proxyrules.Mode, tool string, cfg proxyrules.Config, rules *proxyrules.RuleSet, services []proxyrules.Service, slices []proxyrules.EndpointSlice) {
	src, dst := netip.MustParseAddr("192.168.0.100"), netip.MustParseAddrPort("172.30.0.10:80")
	var c net.Conn
	var answer string
	for !strings.HasPrefix(answer, "b1 ") {
		var err error
		c, answer, err = r.client.dial(proxyrules.TCP, src, dst, 5*time.Second)
		require.NoError(t, err)
		defer c.Close()
	}
	slices[0].Endpoints = slices[0].Endpoints[1:] // web loses b1
	next, err := proxyrules.Compile(cfg, services[:5], slices)
	require.NoError(t, err)
	u := proxyrules.Diff(rules, next)
	r.apply(t, mode, tool, u)
	if mode == proxyrules.NFTables {
		time.Sleep(time.Second)
		r.node.run(t, "nft -f -", u.AppendNFTCleanup(nil))
	}
	alive := func() {
		again, err := ask(c, 5*time.Second)
		require.NoError(t, err)
		require.Equal(t, answer, again)
	}
	alive()
	before := next
	for i := range 10 {
		slices[2].Endpoints[0].Addresses = []string{fmt.Sprintf("10.0.3.%d", 1+i)} // elocal
		now, err := proxyrules.Compile(cfg, services[:5], slices)
		require.NoError(t, err)
		r.apply(t, mode, tool, proxyrules.Diff(before, now))
		before = now
		alive()
	}
	slices[2].Endpoints[0].Addresses = []string{"10.0.1.10"}
	if mode == proxyrules.NFTables {
		r.node.run(t, "nft -f -", next.AppendNFT(nil))
	} else {
		r.node.run(t, tool+" --noflush --counters", next.AppendIPTables(nil))
	}
	alive()
	r.probe(t, next, r.client, proxyrules.TCP, "192.168.0.100", "172.30.0.10:80")
	r.probe(t, next, r.client, proxyrules.TCP, "192.168.0.100", "172.30.0.13:80")
}
