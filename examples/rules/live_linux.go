package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/nftwatch"
)

// live builds a node with two pods and a client in network namespaces, loads
// rules into it and holds what the kernel does with packets against Trace.
func live(w io.Writer, mode proxyrules.Mode) error {
	if os.Geteuid() != 0 {
		return errors.New("-live needs root, to make network namespaces; this machine's own rules stay untouched")
	}
	l := &demo{w: w, mode: mode}
	defer l.close()
	if err := l.build(); err != nil {
		return err
	}
	if err := l.loadAll(); err != nil {
		return err
	}
	fmt.Fprintf(w, "node 192.168.0.2 with pods b1 10.0.1.10 and b2 10.0.2.10, client 192.168.0.100; %s rules of %d service ports loaded\n\n", mode, len(l.rules.Policies()))
	fmt.Fprintf(w, "%-8s %-34s %-44s %s\n", "from", "flow", "Trace says", "the kernel did")
	differs := 0
	for _, p := range l.probes() {
		same, err := l.probe(p)
		if err != nil {
			return err
		}
		if !same {
			differs++
		}
	}
	for _, step := range []func() (bool, error){l.removeBackend, l.vandal} {
		same, err := step()
		if err != nil {
			return err
		}
		if !same {
			differs++
		}
	}
	if differs > 0 {
		return errDiffers
	}
	fmt.Fprintln(w, "\nthe kernel did what Trace says, every time")
	return nil
}

const liveObjects = `{"items":[
{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"demo","name":"web"},"spec":{"type":"NodePort","clusterIP":"172.30.0.10","ports":[{"name":"http","port":80,"nodePort":30080}]}},
{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"demo","name":"local"},"spec":{"type":"NodePort","externalTrafficPolicy":"Local","clusterIP":"172.30.0.11","ports":[{"name":"http","port":80,"nodePort":30081}]}},
{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"demo","name":"away"},"spec":{"type":"NodePort","externalTrafficPolicy":"Local","clusterIP":"172.30.0.12","ports":[{"name":"http","port":80,"nodePort":30082}]}},
{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"demo","name":"empty"},"spec":{"clusterIP":"172.30.0.13","ports":[{"name":"http","port":80}]}},
{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"demo","name":"sticky"},"spec":{"clusterIP":"172.30.0.14","sessionAffinity":"ClientIP","ports":[{"name":"http","port":80}]}},
SLICE web node-a node-a, SLICE local node-a node-b, SLICE away node-b node-b, SLICE sticky node-a node-b]}`

const liveSlice = `{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"namespace":"demo","name":"NAME-1","labels":{"kubernetes.io/service-name":"NAME"}},
"addressType":"IPv4","ports":[{"name":"http","protocol":"TCP","port":8080}],
"endpoints":[{"addresses":["10.0.1.10"],"nodeName":"NODE1"},{"addresses":["10.0.2.10"],"nodeName":"NODE2"}]}`

// demo is a rig and the rules in it.
type demo struct {
	w       io.Writer
	mode    proxyrules.Mode
	config  proxyrules.Config
	objects *objects
	rules   *proxyrules.RuleSet
	hosts   map[string]*host
	closers []io.Closer
	watch   *nftwatch.Watch // nft only
	guard   proxyrules.Guard
}

func (l *demo) close() {
	for _, c := range l.closers {
		c.Close()
	}
	for _, h := range l.hosts {
		close(h.work)
	}
}

func (l *demo) build() error {
	text := liveObjects
	for _, name := range []string{"web node-a node-a", "local node-a node-b", "away node-b node-b", "sticky node-a node-b"} {
		w := strings.Fields(name)
		text = strings.Replace(text, "SLICE "+name, strings.NewReplacer("NAME", w[0], "NODE1", w[1], "NODE2", w[2]).Replace(liveSlice), 1)
	}
	if !json.Valid([]byte(text)) {
		return errors.New("the demonstration's own objects are not JSON")
	}
	var err error
	if l.objects, err = load("demo", []byte(text)); err != nil {
		return err
	}
	l.config = proxyrules.Config{
		NodeName: "node-a", Mode: l.mode,
		ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("172.30.0.0/16")},
	}
	for _, ip := range []string{"192.168.0.2", "10.0.1.1", "10.0.2.1", "198.51.100.1"} {
		l.config.NodeIPs = append(l.config.NodeIPs, netip.MustParseAddr(ip))
	}
	if l.rules, err = l.objects.compile(l.config); err != nil {
		return err
	}
	return l.network()
}

// network links the hosts to the node. A black hole is the node's default
// route, so that packets which keep a service address are forwarded.
func (l *demo) network() error {
	l.hosts = map[string]*host{}
	for _, name := range []string{"node", "client", "b1", "b2"} {
		h, err := newHost(name)
		if err != nil {
			return err
		}
		l.hosts[name] = h
	}
	node := l.hosts["node"]
	err := node.run("ip link set lo up\nsysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.icmp_ratelimit=0", nil)
	for _, c := range []struct{ host, link, nodeIP, ip string }{
		{"client", "vc", "192.168.0.2", "192.168.0.100"}, {"b1", "vb1", "10.0.1.1", "10.0.1.10"}, {"b2", "vb2", "10.0.2.1", "10.0.2.10"},
	} {
		h := l.hosts[c.host]
		fill := strings.NewReplacer("LINK", c.link, "TID", strconv.Itoa(h.tid), "NODE", c.nodeIP, "IP", c.ip)
		err = errors.Join(err,
			node.run(fill.Replace("ip link add LINK type veth peer name eth0 netns TID\nip addr add NODE/24 dev LINK\nip link set LINK up\nsysctl -qw net.ipv4.conf.LINK.rp_filter=0"), nil),
			h.run(fill.Replace("ip link set lo up\nip addr add IP/24 dev eth0\nip link set eth0 up\nip route add default via NODE"), nil))
	}
	err = errors.Join(err, node.run("ip link add d0 type veth peer name d1\nip link set d1 up\nip addr add 198.51.100.1/24 dev d0\nip link set d0 up\n"+
		"ip route add default via 198.51.100.254 dev d0\nip neigh add 198.51.100.254 lladdr 02:00:00:00:00:01 dev d0", nil))
	for _, name := range []string{"b1", "b2"} {
		c, serveErr := l.hosts[name].serve()
		if serveErr != nil {
			return serveErr
		}
		l.closers = append(l.closers, c)
	}
	return err
}

// loadAll loads the rules as a whole.
func (l *demo) loadAll() error {
	if l.mode == proxyrules.NFTables {
		if err := l.openWatch(); err != nil {
			return err
		}
	}
	err := l.load(l.rules.AppendNFT, func(dst []byte) []byte {
		return l.rules.AppendIPTablesJumps(l.rules.AppendIPTables(dst))
	})
	return errors.Join(err, l.note((*proxyrules.Guard).Loaded))
}

func (l *demo) openWatch() (err error) {
	if l.watch != nil {
		return nil
	}
	l.hosts["node"].do(func() { l.watch, err = nftwatch.Open(l.config.Family) })
	if err == nil {
		l.closers = append(l.closers, l.watch)
		_, err = l.intact()
	}
	return err
}

// note tells the guard what was done.
func (l *demo) note(what func(*proxyrules.Guard, proxyrules.Observation)) error {
	if l.watch == nil {
		return nil
	}
	seen, err := l.watch.Observe()
	what(&l.guard, seen)
	return err
}

// intact asks the guard whether the kernel has our rules.
func (l *demo) intact() (bool, error) {
	seen, err := l.watch.Observe()
	return err == nil && l.guard.Intact(seen), err
}

// vandal plays somebody else who changes rules: their own, and then ours.
func (l *demo) vandal() (bool, error) {
	if l.watch == nil {
		return true, nil // iptables rules have no guard
	}
	fmt.Fprintln(l.w, "\nsomebody else changes rules; what the guard says without listing ours:")
	for _, command := range []string{"nft add table ip theirs", "nft flush chain ip kube-proxy services"} {
		before := l.guard
		if err := l.hosts["node"].run(command, nil); err != nil {
			return false, err
		}
		ok, err := l.intact()
		if err != nil {
			return false, err
		}
		fmt.Fprintf(l.w, "  %-40s intact: %t\n", command, ok)
		if ours := strings.Contains(command, "kube-proxy"); ok == ours || before == l.guard {
			return false, nil
		}
	}
	if err := l.loadAll(); err != nil {
		return false, err
	}
	fmt.Fprintln(l.w, "loaded again:")
	same, err := l.probe(probe{"client", "192.168.0.100", "172.30.0.10:80"})
	ok, watchErr := l.intact()
	return same && ok, errors.Join(err, watchErr)
}

// load gives one of the texts to the node's kernel.
func (l *demo) load(nft, iptables func([]byte) []byte) error {
	if l.mode == proxyrules.NFTables {
		return l.hosts["node"].run("nft -f -", nft(nil))
	}
	return l.hosts["node"].run("iptables-restore --noflush --counters", iptables(nil))
}

type probe struct{ from, src, dst string }

func (l *demo) probes() []probe {
	return []probe{
		{"client", "192.168.0.100", "172.30.0.10:80"}, {"client", "192.168.0.100", "192.168.0.2:30080"},
		{"client", "192.168.0.100", "192.168.0.2:30081"}, {"client", "192.168.0.100", "192.168.0.2:30082"},
		{"client", "192.168.0.100", "172.30.0.13:80"}, {"client", "192.168.0.100", "172.30.0.10:81"},
		{"b1", "10.0.1.10", "172.30.0.10:80"}, {"b1", "10.0.1.10", "192.168.0.2:30082"}, {"node", "192.168.0.2", "172.30.0.10:80"},
	}
}

const (
	tries       = 40
	dropTimeout = 400 * time.Millisecond
)

// probe opens connections and counts who answered, and prints it beside the
// trace.
func (l *demo) probe(p probe) (same bool, err error) {
	dst := netip.MustParseAddrPort(p.dst)
	src := netip.MustParseAddr(p.src)
	t, err := l.rules.Trace(proxyrules.Flow{Protocol: proxyrules.TCP, Source: netip.AddrPortFrom(src, 40000), Destination: dst})
	if err != nil {
		return false, err
	}
	says, want := l.expected(t)
	got := l.hosts[p.from].count(src, dst, t.Verdict == proxyrules.DNAT)
	seen := map[string]bool{}
	var did []string
	for _, k := range slices.Sorted(maps.Keys(got)) {
		name, source, answered := strings.Cut(k, " seeing ")
		if answered && source != p.src {
			name += " (masqueraded)"
		}
		what := k
		if t.Verdict == proxyrules.Accept && k == "DROP" {
			name, what = "ACCEPT", "no answer" // nobody has the address
		}
		seen[name] = true
		did = append(did, fmt.Sprintf("%s ×%d", what, got[k]))
	}
	same = maps.Equal(want, seen)
	mark := ""
	if !same {
		mark = "   ← DIFFERS"
	}
	_, err = fmt.Fprintf(l.w, "%-8s %-34s %-44s %s%s\n", p.from, p.src+" → "+p.dst, says, strings.Join(did, ", "), mark)
	return same, err
}

// expected is a trace in a few words, and the ends that it leads to.
func (l *demo) expected(t proxyrules.Trace) (says string, ends map[string]bool) {
	if t.Verdict != proxyrules.DNAT {
		return t.Verdict.String(), map[string]bool{t.Verdict.String(): true}
	}
	ends = map[string]bool{}
	for _, c := range t.Choices {
		end := l.pod(c.Backend.Address)
		if c.Masquerade {
			end += " (masqueraded)"
		}
		ends[end] = true
	}
	return "DNAT to " + strings.Join(slices.Sorted(maps.Keys(ends)), ", "), ends
}

func (l *demo) pod(a netip.AddrPort) string {
	if a.Addr() == netip.MustParseAddr("10.0.1.10") {
		return "b1"
	}
	return "b2"
}

// removeBackend takes b1 out of a service while a connection to it is open.
func (l *demo) removeBackend() (bool, error) {
	client, src, dst := l.hosts["client"], netip.MustParseAddr("192.168.0.100"), netip.MustParseAddrPort("172.30.0.10:80")
	var c net.Conn
	answer := ""
	for !strings.HasPrefix(answer, "b1") {
		var err error
		if c, answer, err = client.dial(src, dst, 5*time.Second); err != nil {
			return false, err
		}
		defer c.Close()
	}
	fmt.Fprintf(l.w, "\na connection to 172.30.0.10:80 is open; %s. Now b1 leaves the service:\n", answer)
	for i := range l.objects.slices {
		if s := &l.objects.slices[i]; s.Metadata.Name == "web-1" {
			s.Endpoints = s.Endpoints[1:]
		}
	}
	next, err := l.objects.compile(l.config)
	if err != nil {
		return false, err
	}
	u := proxyrules.Diff(l.rules, next)
	if l.mode == proxyrules.NFTables {
		fmt.Fprintf(l.w, "%s", u.AppendNFT(nil))
	}
	if err := errors.Join(l.load(u.AppendNFT, u.AppendIPTables), l.note((*proxyrules.Guard).Updated)); err != nil {
		return false, err
	}
	l.rules = next
	again, err := ask(c, 5*time.Second)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(l.w, "the old connection still has %s; new ones:\n", again)
	same, err := l.probe(probe{"client", src.String(), dst.String()})
	return same && again == answer, err
}

// host is a thread in a network namespace of its own.
type host struct {
	name string
	tid  int
	work chan func()
}

func newHost(name string) (*host, error) {
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
	return h, <-started
}

func (h *host) do(f func()) {
	done := make(chan struct{})
	h.work <- func() { f(); close(done) }
	<-done
}

// run starts commands, one a line, with stdin for each.
func (h *host) run(script string, stdin []byte) (err error) {
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		h.do(func() {
			cmd := exec.Command(words[0], words[1:]...)
			cmd.Stdin = bytes.NewReader(stdin)
			var out []byte
			if out, err = cmd.CombinedOutput(); err != nil {
				err = fmt.Errorf("%s: %s: %w: %s", h.name, strings.TrimSpace(line), err, out)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// serve answers each line of each connection with who answers to whom.
func (h *host) serve() (io.Closer, error) {
	var l net.Listener
	var err error
	h.do(func() { l, err = net.Listen("tcp4", ":8080") })
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				ip, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				for r := bufio.NewReader(c); ; {
					if _, err := r.ReadString('\n'); err != nil {
						return
					}
					fmt.Fprintf(c, "%s seeing %s\n", h.name, ip)
				}
			}()
		}
	}()
	return l, nil
}

func (h *host) dial(src netip.Addr, dst netip.AddrPort, timeout time.Duration) (c net.Conn, answer string, err error) {
	d := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{IP: src.AsSlice()}}
	h.do(func() { c, err = d.Dial("tcp4", dst.String()) })
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
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// count opens connections and counts answers, or REJECT and DROP.
func (h *host) count(src netip.Addr, dst netip.AddrPort, expectAnswers bool) map[string]int {
	n, timeout := 2, dropTimeout
	if expectAnswers {
		n, timeout = tries, 5*time.Second
	}
	out := map[string]int{}
	for range n {
		c, answer, err := h.dial(src, dst, timeout)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED):
			answer = "REJECT"
		case err != nil:
			answer = "DROP"
		default:
			c.Close()
		}
		out[answer]++
	}
	return out
}
