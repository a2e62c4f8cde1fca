// Trace answers what a node's service proxy would do with packets.
//
// It reads one state a line from standard input,
//
//	{"services":[…],"endpointSlices":[…],"nodeName":"a","nodeIPs":["192.168.0.2"],
//	 "nodeLabels":{…},"family":"IPv4","mode":"iptables",
//	 "config":{"clusterCIDRs":["10.0.0.0/8"],"masqueradeAll":false,"nodePortAddresses":[],
//	           "localhostNodePorts":false,"serviceCIDRs":["172.30.0.0/16"]},
//	 "packets":[{"protocol":"TCP","sourceIP":"10.0.0.5","sourcePort":4000,
//	             "destIP":"172.30.0.10","destPort":80}]}
//
// With bridgeInterface or interfaceNamePrefix in the config, in place of
// clusterCIDRs, a packet's interface tells whether a pod sent it.
//
// and prints a line per packet with the verdict, the backends it may reach and
// why. A state or packet that is refused gives a line with the key "error",
// and exit status 1 in the end.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/orchcore/orchcore/proxyrules"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: trace < states.jsonl")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "trace: unexpected argument %q: states are read from standard input\n", flag.Arg(0))
		os.Exit(2)
	}
	refused, err := run(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "trace:", err)
	}
	if err != nil || refused {
		os.Exit(1)
	}
}

type state struct {
	Services       []proxyrules.Service       `json:"services"`
	EndpointSlices []proxyrules.EndpointSlice `json:"endpointSlices"`
	NodeName       string                     `json:"nodeName"`
	NodeIPs        []string                   `json:"nodeIPs"`
	NodeLabels     map[string]string          `json:"nodeLabels"`
	Family         proxyrules.Family          `json:"family"`
	Mode           proxyrules.Mode            `json:"mode"`
	Config         config                     `json:"config"`
	Packets        []packet                   `json:"packets"`
}

type config struct {
	ClusterCIDRs       []string          `json:"clusterCIDRs"`
	MasqueradeAll      bool              `json:"masqueradeAll"`
	MasqueradeBit      int               `json:"masqueradeBit"`
	NodePortAddresses  []string          `json:"nodePortAddresses"`
	LocalhostNodePorts bool              `json:"localhostNodePorts"`
	ServiceCIDRs       []string          `json:"serviceCIDRs"`
	NodeLabels         map[string]string `json:"nodeLabels"` // accepted here too

	BridgeInterface     string `json:"bridgeInterface"`
	InterfaceNamePrefix string `json:"interfaceNamePrefix"`
	TCPBeLiberal        bool   `json:"tcpBeLiberal"`
}

type packet struct {
	Protocol   string `json:"protocol"`
	SourceIP   string `json:"sourceIP"`
	SourcePort uint16 `json:"sourcePort"`
	DestIP     string `json:"destIP"`
	DestPort   uint16 `json:"destPort"`
	Interface  string `json:"interface"`
}

type answer struct {
	State      int        `json:"state"`
	Packet     int        `json:"packet"`
	Verdict    string     `json:"verdict"`
	Endpoints  []endpoint `json:"endpoints"`
	Masquerade bool       `json:"masquerade"`
	Why        []string   `json:"why"`
}

type endpoint struct {
	Address     string  `json:"address"`
	Probability float64 `json:"probability"`
	// Masquerade is set where endpoints differ: a hairpin connection is
	// masqueraded for one of them only.
	Masquerade *bool `json:"masquerade,omitempty"`
	// Verdict is set where a filter stops what was sent to the endpoint, whose
	// address is that of a Service.
	Verdict string `json:"verdict,omitempty"`
}

type failure struct {
	State  int    `json:"state"`
	Packet *int   `json:"packet,omitempty"`
	Error  string `json:"error"`
}

// run answers every line of in, and reports whether something was refused.
func run(in io.Reader, out io.Writer) (refused bool, err error) {
	w := bufio.NewWriter(out)
	defer func() { err = errors.Join(err, w.Flush()) }()
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), lineSizeMax)
	for n := 0; lines.Scan(); {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		bad, err := answerState(n, line, enc)
		refused = refused || bad
		if err != nil {
			return refused, err
		}
		n++
	}
	return refused, lines.Err()
}

// lineSizeMax bounds one state.
const lineSizeMax = 512 << 20

func answerState(n int, line []byte, enc *json.Encoder) (refused bool, err error) {
	var s state
	if err := json.Unmarshal(line, &s); err != nil {
		return true, enc.Encode(failure{State: n, Error: err.Error()})
	}
	rules, err := s.compile()
	if err != nil {
		return true, enc.Encode(failure{State: n, Error: err.Error()})
	}
	for i, p := range s.Packets {
		flow, err := p.flow()
		var t proxyrules.Trace
		if err == nil {
			t, err = rules.Trace(flow)
		}
		if err != nil {
			refused = true
			if err := enc.Encode(failure{State: n, Packet: &i, Error: err.Error()}); err != nil {
				return refused, err
			}
			continue
		}
		if err := enc.Encode(describe(n, i, t)); err != nil {
			return refused, err
		}
	}
	return refused, nil
}

func describe(state, packet int, t proxyrules.Trace) answer {
	a := answer{State: state, Packet: packet, Verdict: t.Verdict.String(), Endpoints: []endpoint{}, Masquerade: t.Masquerade, Why: t.Why}
	if t.Verdict != proxyrules.DNAT {
		return a
	}
	for _, c := range t.Choices {
		e := endpoint{Address: c.Backend.Address.String(), Probability: c.Probability}
		if c.Verdict != proxyrules.DNAT {
			e.Verdict = c.Verdict.String()
		}
		if c.Masquerade != t.Masquerade {
			e.Masquerade = &c.Masquerade
		}
		a.Endpoints = append(a.Endpoints, e)
	}
	return a
}

func (s *state) compile() (*proxyrules.RuleSet, error) {
	cfg := proxyrules.Config{
		NodeName: s.NodeName, NodeLabels: s.NodeLabels, Family: s.Family, Mode: s.Mode,
		MasqueradeAll: s.Config.MasqueradeAll, MasqueradeBit: s.Config.MasqueradeBit,
		LocalhostNodePorts: s.Config.LocalhostNodePorts, TCPBeLiberal: s.Config.TCPBeLiberal,
		BridgeInterface: s.Config.BridgeInterface, InterfaceNamePrefix: s.Config.InterfaceNamePrefix,
	}
	if cfg.NodeLabels == nil {
		cfg.NodeLabels = s.Config.NodeLabels
	}
	var err error
	if cfg.NodeIPs, err = parseAll("nodeIPs", s.NodeIPs, netip.ParseAddr); err != nil {
		return nil, err
	}
	if cfg.ClusterCIDRs, err = parseAll("config.clusterCIDRs", s.Config.ClusterCIDRs, netip.ParsePrefix); err != nil {
		return nil, err
	}
	if cfg.ServiceCIDRs, err = parseAll("config.serviceCIDRs", s.Config.ServiceCIDRs, netip.ParsePrefix); err != nil {
		return nil, err
	}
	ports := s.Config.NodePortAddresses
	if len(ports) == 1 && ports[0] == "primary" {
		for _, ip := range cfg.NodeIPs {
			cfg.NodePortAddresses = append(cfg.NodePortAddresses, netip.PrefixFrom(ip, ip.BitLen()))
		}
	} else if cfg.NodePortAddresses, err = parseAll("config.nodePortAddresses", ports, netip.ParsePrefix); err != nil {
		return nil, err
	}
	return proxyrules.Compile(cfg, s.Services, s.EndpointSlices)
}

func parseAll[T any](field string, in []string, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for i, text := range in {
		v, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", field, i, err)
		}
		out = append(out, v)
	}
	return out, nil
}

func (p packet) flow() (proxyrules.Flow, error) {
	proto, ok := proxyrules.ParseProtocol(strings.ToUpper(p.Protocol))
	if !ok {
		return proxyrules.Flow{}, fmt.Errorf("protocol: %q: expected TCP, UDP or SCTP", p.Protocol)
	}
	src, err := netip.ParseAddr(p.SourceIP)
	if err != nil {
		return proxyrules.Flow{}, fmt.Errorf("sourceIP: %w", err)
	}
	dst, err := netip.ParseAddr(p.DestIP)
	if err != nil {
		return proxyrules.Flow{}, fmt.Errorf("destIP: %w", err)
	}
	return proxyrules.Flow{
		Protocol:    proto,
		Source:      netip.AddrPortFrom(src, p.SourcePort),
		Destination: netip.AddrPortFrom(dst, p.DestPort),
		Interface:   p.Interface,
	}, nil
}
