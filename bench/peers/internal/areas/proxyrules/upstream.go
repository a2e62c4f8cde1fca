package proxyrules

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/go-logr/logr"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/proxy"
	"k8s.io/kubernetes/pkg/proxy/conntrack"
	"k8s.io/kubernetes/pkg/proxy/healthcheck"
	"k8s.io/kubernetes/pkg/proxy/iptables"
	"k8s.io/kubernetes/pkg/proxy/nftables"
	proxyutil "k8s.io/kubernetes/pkg/proxy/util"
	utiliptables "k8s.io/kubernetes/pkg/util/iptables"
	"sigs.k8s.io/knftables"

	"github.com/orchcore/orchcore/proxyrules"
)

// settings are the parts of a kube-proxy's set-up that change its rules.
type settings struct {
	family             v1.IPFamily
	nodeName           string
	nodeIPs            []net.IP
	nodeLabels         map[string]string
	clusterCIDR        string
	bridge, prefix     string // interfaces of pods
	tcpBeLiberal       bool
	masqueradeAll      bool
	nodePortAddresses  []string
	localhostNodePorts bool
	serviceCIDRs       []string
}

func settingsOf(c proxyrules.Config) settings {
	s := settings{
		family: v1.IPFamily(c.Family), nodeName: c.NodeName, nodeLabels: c.NodeLabels,
		masqueradeAll: c.MasqueradeAll, localhostNodePorts: c.LocalhostNodePorts,
		bridge: c.BridgeInterface, prefix: c.InterfaceNamePrefix, tcpBeLiberal: c.TCPBeLiberal,
	}
	for _, ip := range c.NodeIPs {
		s.nodeIPs = append(s.nodeIPs, net.IP(ip.AsSlice()))
	}
	for _, p := range c.ClusterCIDRs {
		if p.Addr().Is4() == (s.family == v1.IPv4Protocol) && s.clusterCIDR == "" {
			s.clusterCIDR = p.String()
		}
	}
	for _, p := range c.NodePortAddresses {
		s.nodePortAddresses = append(s.nodePortAddresses, p.String())
	}
	for _, p := range c.ServiceCIDRs {
		s.serviceCIDRs = append(s.serviceCIDRs, p.String())
	}
	return s
}

func (s *settings) nodeIP() net.IP {
	for _, ip := range s.nodeIPs {
		if (ip.To4() != nil) == (s.family == v1.IPv4Protocol) {
			return ip
		}
	}
	return nil
}

func (s *settings) detector() proxyutil.LocalTrafficDetector {
	switch {
	case s.bridge != "":
		return proxyutil.NewDetectLocalByBridgeInterface(s.bridge)
	case s.prefix != "":
		return proxyutil.NewDetectLocalByInterfaceNamePrefix(s.prefix)
	case s.clusterCIDR != "":
		return proxyutil.NewDetectLocalByCIDR(s.clusterCIDR)
	}
	return proxyutil.NewNoOpLocalDetector()
}

// InterfaceAddrs makes settings the network interfaces of the node.
func (s *settings) InterfaceAddrs() ([]net.Addr, error) {
	var out []net.Addr
	for _, ip := range append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, s.nodeIPs...) {
		bits := 8 * len(ip)
		out = append(out, &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)})
	}
	return out, nil
}

// proxier is what both of kube-proxy's proxiers offer.
type proxier interface {
	OnServiceAdd(*v1.Service)
	OnServiceSynced()
	OnEndpointSliceAdd(*discovery.EndpointSlice)
	OnEndpointSliceUpdate(before, after *discovery.EndpointSlice)
	OnEndpointSlicesSynced()
	OnTopologyChange(map[string]string)
}

// feed hands over the objects that kube-proxy's informers let through. What
// is synced is synced once, at the end.
func feed(p proxier, s *settings, services []*v1.Service, slices []*discovery.EndpointSlice) {
	if s.nodeLabels != nil {
		p.OnTopologyChange(s.nodeLabels)
	}
	for _, svc := range services {
		if _, other := svc.Labels["service.kubernetes.io/service-proxy-name"]; !other && svc.Spec.ClusterIP != v1.ClusterIPNone {
			p.OnServiceAdd(svc)
		}
	}
	for _, e := range slices {
		if _, headless := e.Labels[v1.IsHeadlessService]; !headless {
			p.OnEndpointSliceAdd(e)
		}
	}
}

// field gives access to an unexported field: kube-proxy's tests fill these
// from inside its packages, and there is no other door.
func field(of any, name string) reflect.Value {
	f := reflect.ValueOf(of).Elem().FieldByName(name)
	if !f.IsValid() {
		panic(fmt.Sprintf("%T has no field %s any more", of, name))
	}
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
}

func set(of any, name string, value any) {
	if value == nil {
		field(of, name).SetZero()
		return
	}
	field(of, name).Set(reflect.ValueOf(value))
}

func quiet() context.Context {
	klog.SetLogger(logr.Discard())
	return klog.NewContext(context.Background(), logr.Discard())
}

const (
	syncPeriod    = 30 * time.Second
	masqueradeBit = 14
)

// common replaces what reaches out of the process.
func common(p any, s *settings) {
	set(p, "conntrack", conntrack.NewFake())
	set(p, "networkInterfacer", s)
	set(p, "serviceHealthServer", healthcheck.NewFakeServiceHealthServer())
}

// newIPTables makes kube-proxy's iptables proxier, writing to restorer.
func newIPTables(s *settings, restorer *restorer) (*iptables.Proxier, error) {
	restorer.v6 = s.family == v1.IPv6Protocol
	p, err := iptables.NewProxier(quiet(), s.family, restorer, sysctls{s.tcpBeLiberal}, syncPeriod, 0,
		s.masqueradeAll, s.localhostNodePorts && !restorer.v6, masqueradeBit, s.detector(), s.nodeName, s.nodeIP(),
		nil, nil, s.nodePortAddresses, false)
	if err != nil {
		return nil, err
	}
	common(p, s)
	set(p, "nfacct", nil)
	return p, nil
}

// nftProxiers makes kube-proxy's nftables proxiers. Making one runs the nft
// command to see whether it is there, so each family's is made once and
// emptied for every new state.
type nftProxiers struct {
	made map[v1.IPFamily]*nftables.Proxier
}

func (n *nftProxiers) new(s *settings, sink knftables.Interface) (*nftables.Proxier, error) {
	p := n.made[s.family]
	if p == nil {
		var err error
		if p, err = firstNFT(s); err != nil {
			return nil, err
		}
		if n.made == nil {
			n.made = map[v1.IPFamily]*nftables.Proxier{}
		}
		n.made[s.family] = p
	}
	emptyNFT(p, s)
	common(p, s)
	set(p, "nftables", sink)
	set(p, "masqueradeAll", s.masqueradeAll)
	set(p, "localDetector", s.detector())
	set(p, "nodeName", s.nodeName)
	set(p, "nodeIP", s.nodeIP())
	set(p, "nodePortAddresses", proxyutil.NewNodePortAddresses(s.family, s.nodePortAddresses))
	p.OnServiceCIDRsChanged(s.serviceCIDRs)
	return p, nil
}

// firstNFT lets the proxier find a command nft that is always content: its
// answers do not matter, since every transaction goes to the sink.
func firstNFT(s *settings) (*nftables.Proxier, error) {
	dir, err := os.MkdirTemp("", "nft")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	script := "#!/bin/sh\n[ \"$1\" = --version ] && echo 'nftables v1.0.6 (stand-in)'\nexit 0\n"
	if err := os.WriteFile(filepath.Join(dir, "nft"), []byte(script), 0o755); err != nil {
		return nil, err
	}
	path := os.Getenv("PATH")
	if err := os.Setenv("PATH", dir+":"+path); err != nil {
		return nil, err
	}
	defer os.Setenv("PATH", path)
	return nftables.NewProxier(quiet(), s.family, syncPeriod, 0, s.masqueradeAll, masqueradeBit,
		s.detector(), s.nodeName, s.nodeIP(), nil, nil, s.nodePortAddresses, false)
}

type (
	makeServicePort = func(*v1.ServicePort, *v1.Service, *proxy.BaseServicePortInfo) proxy.ServicePort
	makeEndpoint    = func(*proxy.BaseEndpointInfo, *proxy.ServicePortName) proxy.Endpoint
)

// emptyNFT takes a proxier back to the state before its first sync.
func emptyNFT(p *nftables.Proxier, s *settings) {
	tracker := field(p, "serviceChanges").Interface().(*proxy.ServiceChangeTracker)
	port := *(*makeServicePort)(field(tracker, "makeServiceInfo").Addr().UnsafePointer())
	endpoints := field(p, "endpointsChanges").Interface().(*proxy.EndpointsChangeTracker)
	cache := field(endpoints, "endpointSliceCache").Interface().(*proxy.EndpointSliceCache)
	endpoint := *(*makeEndpoint)(field(cache, "makeEndpointInfo").Addr().UnsafePointer())
	set(p, "serviceChanges", proxy.NewServiceChangeTracker(s.family, port, nil))
	set(p, "endpointsChanges", proxy.NewEndpointsChangeTracker(s.family, s.nodeName, endpoint, nil))
	set(p, "svcPortMap", proxy.ServicePortMap{})
	set(p, "endpointsMap", proxy.EndpointsMap{})
	set(p, "staleChains", map[string]time.Time{})
	for _, name := range []string{"topologyLabels", "endpointSlicesSynced", "servicesSynced", "lastFullSync", "initialized", "flushed"} {
		set(p, name, nil)
	}
	set(p, "needFullSync", true)
}

// sysctls answers 0 to everything but the one setting that changes rules.
type sysctls struct{ tcpBeLiberal bool }

func (s sysctls) GetSysctl(name string) (int, error) {
	if s.tcpBeLiberal && strings.HasSuffix(name, "nf_conntrack_tcp_be_liberal") {
		return 1, nil
	}
	return 0, nil
}

func (sysctls) SetSysctl(string, int) error { return nil }

// restorer keeps what iptables would have been told.
type restorer struct {
	v6     bool
	jumps  map[utiliptables.Table][]string
	text   []byte
	chains map[string]bool // of table nat, as iptables-save would list them
}

func (r *restorer) jumpText() string {
	var b strings.Builder
	for _, t := range []utiliptables.Table{utiliptables.TableFilter, utiliptables.TableNAT} {
		fmt.Fprintf(&b, "*%s\n%sCOMMIT\n", t, strings.Join(r.jumps[t], ""))
	}
	return b.String()
}

func (r *restorer) EnsureChain(t utiliptables.Table, c utiliptables.Chain) (bool, error) {
	if c == "KUBE-FIREWALL" {
		r.jump(t, fmt.Sprintf(":%s - [0:0]\n", c))
	}
	return false, nil
}

func (r *restorer) jump(t utiliptables.Table, line string) {
	if r.jumps == nil {
		r.jumps = map[utiliptables.Table][]string{}
	}
	r.jumps[t] = append(r.jumps[t], line)
}

func (r *restorer) EnsureRule(at utiliptables.RulePosition, t utiliptables.Table, c utiliptables.Chain, args ...string) (bool, error) {
	var words []string
	for _, a := range args {
		if strings.Contains(a, " ") {
			a = `"` + a + `"`
		}
		words = append(words, a)
	}
	r.jump(t, fmt.Sprintf("%s %s %s\n", at, c, strings.Join(words, " ")))
	return false, nil
}

func (r *restorer) FlushChain(utiliptables.Table, utiliptables.Chain) error  { return nil }
func (r *restorer) DeleteChain(utiliptables.Table, utiliptables.Chain) error { return nil }
func (r *restorer) ChainExists(utiliptables.Table, utiliptables.Chain) (bool, error) {
	return true, nil
}
func (r *restorer) DeleteRule(utiliptables.Table, utiliptables.Chain, ...string) error { return nil }
func (r *restorer) IsIPv6() bool                                                       { return r.v6 }
func (r *restorer) Protocol() utiliptables.Protocol {
	if r.v6 {
		return utiliptables.ProtocolIPv6
	}
	return utiliptables.ProtocolIPv4
}

func (r *restorer) SaveInto(t utiliptables.Table, b *bytes.Buffer) error {
	b.WriteString("*" + string(t) + "\n")
	for c := range r.chains {
		b.WriteString(":" + c + " - [0:0]\n")
	}
	b.WriteString("COMMIT\n")
	return nil
}

func (r *restorer) Restore(utiliptables.Table, []byte, utiliptables.FlushFlag, utiliptables.RestoreCountersFlag) error {
	return nil
}

func (r *restorer) RestoreAll(text []byte, _ utiliptables.FlushFlag, _ utiliptables.RestoreCountersFlag) error {
	r.text = text
	return nil
}

// learn notes which chains exist after the last text; kube-proxy asks for
// them in its next sync.
func (r *restorer) learn() {
	if r.chains == nil {
		r.chains = map[string]bool{}
	}
	_, nat, _ := bytes.Cut(r.text, []byte("*nat\n"))
	for line := range bytes.Lines(nat) {
		if line[0] == ':' {
			name, _, _ := bytes.Cut(line[1:], []byte(" "))
			r.chains[string(name)] = true
		} else if name, ok := bytes.CutPrefix(line, []byte("-X ")); ok {
			delete(r.chains, string(bytes.TrimSpace(name)))
		}
	}
}

func (r *restorer) Monitor(utiliptables.Chain, []utiliptables.Table, func(), time.Duration, <-chan struct{}) {
}
func (r *restorer) HasRandomFully() bool { return true }
func (r *restorer) Present() error       { return nil }

// recorder keeps the text of the transactions that nft would have got, and
// the names of what they left behind.
type recorder struct {
	*knftables.Fake
	text         string
	chains, sets map[string]bool
}

func newRecorder(f v1.IPFamily) *recorder {
	family := knftables.IPv4Family
	if f == v1.IPv6Protocol {
		family = knftables.IPv6Family
	}
	return &recorder{Fake: knftables.NewFake(family, "kube-proxy")}
}

func (r *recorder) Run(_ context.Context, tx *knftables.Transaction) error {
	r.text = tx.String()
	return nil
}

// learn notes which chains and sets exist after the last text.
func (r *recorder) learn() {
	if r.chains == nil {
		r.chains, r.sets = map[string]bool{}, map[string]bool{}
	}
	for line := range strings.Lines(r.text) {
		words := strings.Fields(line)
		if len(words) < 5 || words[1] != "chain" && words[1] != "set" {
			continue
		}
		of := r.chains
		if words[1] == "set" {
			of = r.sets
		}
		switch words[0] {
		case "add":
			of[words[4]] = true
		case "delete":
			delete(of, words[4])
		}
	}
}

func (r *recorder) ListAll(context.Context) (map[string][]string, error) {
	out := map[string][]string{"chain": {}, "set": {}}
	for c := range r.chains {
		out["chain"] = append(out["chain"], c)
	}
	for s := range r.sets {
		out["set"] = append(out["set"], s)
	}
	return out, nil
}

func (r *recorder) ListElements(context.Context, string, string) ([]*knftables.Element, error) {
	return nil, nil
}
