package proxyrules

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// The size at which rule generation is measured.
const (
	ratioServices  = 10000
	ratioEndpoints = 10
)

// Ratios measures generating the rules of 10,000 services with 10 endpoints
// each: from objects that were decoded, without applying them.
func Ratios() measure.Area {
	area := measure.Area{Name: "proxyrules"}
	for _, mode := range []proxyrules.Mode{proxyrules.IPTables, proxyrules.NFTables} {
		name := "iptables"
		if mode == proxyrules.NFTables {
			name = "nft"
		}
		area.Rows = append(area.Rows,
			measure.Row{Name: "cold/mode=" + name, Unit: "ns/op", Open: func() (*measure.Pair, error) { return openCold(mode) }},
			measure.Row{Name: "render/mode=" + name, Unit: "ns/op", Open: func() (*measure.Pair, error) { return openRender(mode) }},
			measure.Row{Name: "incremental/mode=" + name, Unit: "ns/op", Open: func() (*measure.Pair, error) { return openIncremental(mode) }},
		)
	}
	area.Rows = append(area.Rows,
		measure.Row{Name: "kernel-load/mode=nft", Unit: "ns/op", Open: openKernelLoad},
		measure.Row{Name: "kernel-sync-one/mode=nft", Unit: "ns/op", Open: openKernelSync},
		measure.Row{Name: "kernel-first-packet/mode=nft/service=first", Unit: "ns/op", Open: func() (*measure.Pair, error) { return openFirstPacket(0) }},
		measure.Row{Name: "kernel-first-packet/mode=nft/service=last", Unit: "ns/op", Open: func() (*measure.Pair, error) { return openFirstPacket(ratioServices - 1) }},
	)
	return area
}

// big is the cluster that both sides know.
type big struct {
	state    ruletest.State
	set      settings
	services []*v1.Service
	slices   []*discovery.EndpointSlice
	nft      nftProxiers

	ours, peer string // the texts of the last run
}

// newBig makes services of one port, every tenth endpoint on the node.
func newBig(mode proxyrules.Mode) (*big, error) {
	b := &big{}
	c := &b.state.Config
	c.NodeName, c.Family, c.Mode = "node-a", proxyrules.IPv4, mode
	c.NodeIPs = []netip.Addr{netip.MustParseAddr("192.168.0.2")}
	c.ClusterCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	c.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("172.30.0.0/15")}
	for i := range ratioServices {
		svc, slice := service(i)
		b.state.Services = append(b.state.Services, svc)
		b.state.Slices = append(b.state.Slices, slice)
	}
	b.set = settingsOf(*c)
	var err error
	b.services, b.slices, err = upstreamObjects(b.state)
	return b, err
}

func service(i int) (proxyrules.Service, proxyrules.EndpointSlice) {
	var s proxyrules.Service
	s.Metadata.Namespace, s.Metadata.Name = "bench", fmt.Sprintf("svc-%05d", i)
	s.Spec.Type, s.Spec.SessionAffinity = "ClusterIP", "None"
	s.Spec.ClusterIP = fmt.Sprintf("172.30.%d.%d", i/250, 1+i%250)
	s.Spec.ClusterIPs, s.Spec.IPFamilies = []string{s.Spec.ClusterIP}, []proxyrules.Family{proxyrules.IPv4}
	s.Spec.Ports = []proxyrules.ServicePort{{Name: "http", Protocol: "TCP", Port: 80}}
	name, tcp, port := "http", "TCP", int32(8080)
	var e proxyrules.EndpointSlice
	e.Metadata.Namespace, e.Metadata.Name = "bench", s.Metadata.Name+"-0"
	e.Metadata.Labels = map[string]string{"kubernetes.io/service-name": s.Metadata.Name}
	e.AddressType = "IPv4"
	e.Ports = []proxyrules.EndpointPort{{Name: &name, Protocol: &tcp, Port: &port}}
	yes, no := true, false
	for k := range ratioEndpoints {
		n := i*ratioEndpoints + k
		node := "node-b"
		if n%10 == 0 {
			node = "node-a"
		}
		e.Endpoints = append(e.Endpoints, proxyrules.Endpoint{
			Addresses: []string{endpointIP(n)}, NodeName: &node,
			Conditions: proxyrules.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
		})
	}
	return s, e
}

func endpointIP(n int) string {
	return fmt.Sprintf("10.%d.%d.%d", 1+n/62500, n/250%250, 1+n%250)
}

// generator is an upstream proxier with the way to its last text.
type generator struct {
	proxier
	text  func() string
	learn func()
}

func (b *big) generator() (*generator, error) {
	if b.state.Config.Mode == proxyrules.NFTables {
		sink := newRecorder(b.set.family)
		p, err := b.nft.new(&b.set, sink)
		return &generator{p, func() string { return sink.text }, sink.learn}, err
	}
	sink := &restorer{}
	p, err := newIPTables(&b.set, sink)
	return &generator{p, func() string { return string(sink.text) }, sink.learn}, err
}

func (b *big) render(r *proxyrules.RuleSet, dst []byte) []byte {
	if b.state.Config.Mode == proxyrules.NFTables {
		return r.AppendNFT(dst)
	}
	return r.AppendIPTables(dst)
}

// flow is one from outside to service i.
func (b *big) flow(i int) proxyrules.Flow {
	return proxyrules.Flow{
		Protocol: proxyrules.TCP, Source: netip.MustParseAddrPort("8.8.8.8:4000"),
		Destination: netip.MustParseAddrPort(b.state.Services[i].Spec.ClusterIP + ":80"),
	}
}

// check holds the texts of both sides against each other: line by line for
// iptables; for nftables, whose shape differs, flow by flow.
func (b *big) check() error {
	if b.state.Config.Mode == proxyrules.IPTables {
		if d := onlyIn(b.peer, b.ours) + onlyIn(b.ours, b.peer); d != "" {
			return fmt.Errorf("lines that one side has alone: %.400s", d)
		}
		return nil
	}
	up, err := proxyrules.ParseNFT(b.peer)
	if err != nil {
		return err
	}
	our, err := proxyrules.ParseNFT(b.ours)
	if err != nil {
		return err
	}
	env := proxyrules.Environment{Local: b.state.Config.NodeIPs}
	for i := 0; i < ratioServices; i += 97 {
		f := b.flow(i)
		a, err := up.Run(f, env)
		if err != nil {
			return err
		}
		o, err := our.Run(f, env)
		if err != nil {
			return err
		}
		if len(a) != ratioEndpoints || !same(a, o) {
			return errors.New(show(f, a) + " against ours: " + show(f, o))
		}
	}
	return nil
}

// openCold measures from objects to the first text.
func openCold(mode proxyrules.Mode) (*measure.Pair, error) {
	b, err := newBig(mode)
	if err != nil {
		return nil, err
	}
	var buf []byte
	return &measure.Pair{
		Ours: func() (measure.Sample, error) {
			buf = nil
			s, err := measure.Timed(func() (int, error) {
				r, err := proxyrules.Compile(b.state.Config, b.state.Services, b.state.Slices)
				if err == nil {
					buf = b.render(r, nil)
				}
				return 1, err
			}, measure.PerOp)
			b.ours = string(buf)
			return s, err
		},
		Peer: func() (measure.Sample, error) {
			g, err := b.generator()
			if err != nil {
				return measure.Sample{}, err
			}
			s, err := measure.Timed(func() (int, error) {
				sync1(g, &b.set, b.services, b.slices)
				return 1, nil
			}, measure.PerOp)
			b.peer = strings.Clone(g.text())
			return s, err
		},
		Check: b.check,
	}, nil
}

// openRender measures writing everything again with nothing changed, as
// kube-proxy does every hour and after failures.
func openRender(mode proxyrules.Mode) (*measure.Pair, error) {
	b, err := newBig(mode)
	if err != nil {
		return nil, err
	}
	g, err := b.generator()
	if err != nil {
		return nil, err
	}
	sync1(g, &b.set, b.services, b.slices)
	b.peer = g.text() // nftables' second text leaves out what is there
	r, err := proxyrules.Compile(b.state.Config, b.state.Services, b.state.Slices)
	if err != nil {
		return nil, err
	}
	buf := b.render(r, nil)
	return &measure.Pair{
		Ours: func() (measure.Sample, error) {
			s, err := measure.Timed(func() (int, error) {
				buf = b.render(r, buf[:0])
				return 1, nil
			}, measure.PerOp)
			b.ours = string(buf)
			return s, err
		},
		Peer: func() (measure.Sample, error) {
			g.learn()
			set(g.proxier, "needFullSync", true)
			return measure.Timed(func() (int, error) {
				g.OnServiceSynced()
				return 1, nil
			}, measure.PerOp)
		},
		Check: b.check,
	}, nil
}
