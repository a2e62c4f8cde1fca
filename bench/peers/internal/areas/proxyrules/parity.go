// Package proxyrules holds orchcore's proxyrules package against kube-proxy's
// two rule generators, running in process.
package proxyrules

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"

	"github.com/orchcore/orchcore/bench/peers/internal/compare"
	"github.com/orchcore/orchcore/proxyrules"
	"github.com/orchcore/orchcore/proxyrules/ruletest"
)

// Parity compares both texts of kube-proxy with ours: what a strict tracer
// makes of them, flow by flow; for iptables also the lines themselves, and for
// nftables, whose shape differs, all classes of flows.
func Parity() compare.Area {
	return compare.Area{
		Name:   "proxyrules",
		Doc:    "proxyrules/doc.go",
		Suites: []compare.Suite{suite(proxyrules.IPTables), suite(proxyrules.NFTables)},
	}
}

const flowsPerState = 50

// stateCase is a state of a cluster, and flows to try on its rules.
type stateCase struct {
	State ruletest.State
	Flows []proxyrules.Flow
}

func suite(mode proxyrules.Mode) compare.Suite {
	var driver driver
	parts := []string{string(mode) + "/trace", string(mode) + "/text"}
	if mode == proxyrules.IPTables {
		parts = append(parts, string(mode)+"/lines")
	} else {
		parts = append(parts, string(mode)+"/equivalent")
	}
	return &compare.Cases[stateCase]{
		Parts:   parts,
		Corners: corners(mode),
		Generate: func(r *rand.Rand) stateCase {
			family := proxyrules.IPv4
			if r.IntN(3) == 0 {
				family = proxyrules.IPv6
			}
			return newCase(r.Uint64(), family, mode)
		},
		Compare: func(c stateCase, rec *compare.Record) { driver.compare(c, rec) },
		Shrink:  shrink,
		Documented: []compare.Difference[stateCase]{{
			Differs: "an address of the node and a node port of another Service meet",
			Applies: func(_ stateCase, d compare.Disagreement) bool { return strings.HasPrefix(d.Ours, orderDiffers) },
		}},
	}
}

func newCase(seed uint64, family proxyrules.Family, mode proxyrules.Mode) stateCase {
	s := ruletest.Random(seed, family, mode)
	return stateCase{s, ruletest.Flows(s, seed, flowsPerState)}
}

// corners are hand-picked: no objects at all, and seeds that are the same for
// every run.
func corners(mode proxyrules.Mode) []stateCase {
	empty := ruletest.Random(0, proxyrules.IPv4, mode)
	empty.Services, empty.Slices = nil, nil
	out := []stateCase{{empty, ruletest.Flows(empty, 0, flowsPerState)}}
	for seed := range uint64(20) {
		for _, f := range []proxyrules.Family{proxyrules.IPv4, proxyrules.IPv6} {
			out = append(out, newCase(seed, f, mode))
		}
	}
	return out
}

// driver keeps what is costly to make. Suites run one after the other, but
// nothing says so.
type driver struct {
	mu  sync.Mutex
	nft nftProxiers
}

// both is the outcome of one state on both sides.
type both struct {
	upstream, ours         *proxyrules.Program
	rules                  *proxyrules.RuleSet
	upstreamText, oursText string
}

func (d *driver) compare(c stateCase, rec *compare.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	mode := c.State.Config.Mode
	b, err := d.run(c.State)
	if err != nil {
		rec.Text(string(mode)+"/trace", "rules", err.Error())
		return
	}
	env := proxyrules.Environment{Local: c.State.Config.NodeIPs}
	var trace, text verdicts
	for _, f := range c.Flows {
		up, err := b.upstream.Run(f, env)
		if err != nil {
			trace.differ(false, "an answer of the tracer on upstream's rules", err.Error())
			break
		}
		known := claimsMeet(c.State, f)
		if got := traced(b.rules, f); !same(up, got) {
			trace.differ(known && refused(up) && refused(got), show(f, up), show(f, got))
		}
		ends, err := b.ours.Run(f, env)
		switch {
		case err != nil:
			text.differ(false, show(f, up), err.Error())
		case !same(up, ends):
			text.differ(known && refused(up) && refused(ends), show(f, up), show(f, ends))
		}
	}
	rec.Text(string(mode)+"/trace", trace.upstream, trace.ours)
	rec.Text(string(mode)+"/text", text.upstream, text.ours)
	if mode == proxyrules.IPTables {
		up, our := onlyIn(b.upstreamText, b.oursText), onlyIn(b.oursText, b.upstreamText)
		rec.Text("iptables/lines", up, our)
		return
	}
	w, err := proxyrules.Equivalent(b.upstream, b.ours, env)
	switch {
	case err != nil:
		rec.Text("nftables/equivalent", "equivalent", err.Error())
	case w != nil:
		rec.Text("nftables/equivalent", show(w.Flow, w.A), show(w.Flow, w.B))
	default:
		rec.Text("nftables/equivalent", "", "")
	}
}

// verdicts are what two sides say about the flow in which they differ. A
// difference that is not a known one comes before those that are.
type verdicts struct{ upstream, ours string }

// orderDiffers begins the answer of our side where a known difference is the
// only one.
const orderDiffers = "(rules of two services meet) "

func (v *verdicts) differ(known bool, upstream, ours string) {
	switch {
	case known && v.ours == "":
		v.upstream, v.ours = upstream, orderDiffers+ours
	case !known && (v.ours == "" || strings.HasPrefix(v.ours, orderDiffers)):
		v.upstream, v.ours = upstream, ours
	}
}

// refused: the flow has one end, and that is REJECT or DROP.
func refused(ends []proxyrules.Outcome) bool {
	return len(ends) == 1 && (ends[0].Verdict == proxyrules.Reject || ends[0].Verdict == proxyrules.Drop)
}

// claimsMeet: an address of the node is an external address of one Service,
// at a port that is another Service's node port. Which of their rules comes
// first is left to the order of a map in kube-proxy's iptables mode.
func claimsMeet(s ruletest.State, f proxyrules.Flow) bool {
	if s.Config.Mode != proxyrules.IPTables || !slices.Contains(s.Config.NodeIPs, f.Destination.Addr()) {
		return false
	}
	address, nodePort := -1, -1
	for i, svc := range s.Services {
		for _, p := range svc.Spec.Ports {
			if strings.ToLower(p.Protocol) != f.Protocol.String() {
				continue
			}
			if p.NodePort == int32(f.Destination.Port()) {
				nodePort = i
			}
			ips := slices.Clone(svc.Spec.ExternalIPs)
			for _, in := range svc.Status.LoadBalancer.Ingress {
				ips = append(ips, in.IP)
			}
			if p.Port == int32(f.Destination.Port()) && slices.Contains(ips, f.Destination.Addr().String()) {
				address = i
			}
		}
	}
	return address >= 0 && nodePort >= 0 && address != nodePort
}

func (d *driver) run(s ruletest.State) (*both, error) {
	services, endpointSlices, err := upstreamObjects(s)
	if err != nil {
		return nil, err
	}
	b := &both{}
	if b.rules, err = proxyrules.Compile(s.Config, s.Services, s.Slices); err != nil {
		return nil, err
	}
	set := settingsOf(s.Config)
	if s.Config.Mode == proxyrules.NFTables {
		sink := newRecorder(set.family)
		p, err := d.nft.new(&set, sink)
		if err != nil {
			return nil, err
		}
		sync1(p, &set, services, endpointSlices)
		b.upstreamText, b.oursText = sink.text, string(b.rules.AppendNFT(nil))
		if b.upstream, err = proxyrules.ParseNFT(b.upstreamText); err != nil {
			return nil, fmt.Errorf("upstream's text: %w", err)
		}
		b.ours, err = proxyrules.ParseNFT(b.oursText)
		return b, err
	}
	sink := &restorer{}
	p, err := newIPTables(&set, sink)
	if err != nil {
		return nil, err
	}
	sync1(p, &set, services, endpointSlices)
	b.upstreamText, b.oursText = string(sink.text), string(b.rules.AppendIPTables(nil))
	if b.upstream, err = proxyrules.ParseIPTables(sink.jumpText(), b.upstreamText); err != nil {
		return nil, fmt.Errorf("upstream's text: %w", err)
	}
	b.ours, err = proxyrules.ParseIPTables(b.oursText, string(b.rules.AppendIPTablesJumps(nil)))
	return b, err
}

// sync1 feeds a fresh proxier and lets it write its rules once.
func sync1(p proxier, s *settings, services []*v1.Service, slices []*discovery.EndpointSlice) {
	feed(p, s, services, slices)
	p.OnServiceSynced()
	p.OnEndpointSlicesSynced()
}

// upstreamObjects hands the same bytes to upstream's types.
func upstreamObjects(s ruletest.State) (services []*v1.Service, slices []*discovery.EndpointSlice, err error) {
	data, err := json.Marshal(s.Services)
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(data, &services); err != nil {
		return nil, nil, err
	}
	if data, err = json.Marshal(s.Slices); err != nil {
		return nil, nil, err
	}
	return services, slices, json.Unmarshal(data, &slices)
}

// traced is Trace's answer in the terms of the tracer.
func traced(r *proxyrules.RuleSet, f proxyrules.Flow) []proxyrules.Outcome {
	t, err := r.Trace(f)
	if err != nil {
		return nil
	}
	if len(t.Choices) == 0 {
		return []proxyrules.Outcome{{Verdict: t.Verdict, Probability: 1}}
	}
	sum := map[proxyrules.Outcome]float64{}
	for _, c := range t.Choices {
		o := proxyrules.Outcome{Verdict: c.Verdict}
		if c.Verdict == proxyrules.DNAT {
			o.Backend, o.Masquerade = c.Backend.Address, c.Masquerade
		}
		sum[o] += c.Probability
	}
	var out []proxyrules.Outcome
	for o, p := range sum {
		o.Probability = p
		out = append(out, o)
	}
	return out
}

// probabilityTolerance is what printing ten decimals and storing 31 bits may
// cost with few backends.
const probabilityTolerance = 1e-8

func same(a, b []proxyrules.Outcome) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y proxyrules.Outcome) bool {
			return x.Verdict == y.Verdict && x.Backend == y.Backend && x.Masquerade == y.Masquerade &&
				math.Abs(x.Probability-y.Probability) < probabilityTolerance
		}) {
			return false
		}
	}
	return true
}

func show(f proxyrules.Flow, ends []proxyrules.Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s → %s:", f.Protocol, f.Source, f.Destination)
	lines := make([]string, 0, len(ends))
	for _, e := range ends {
		lines = append(lines, fmt.Sprintf(" %s %s masquerade=%t p=%.6f;", e.Verdict, e.Backend, e.Masquerade, e.Probability))
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
	return b.String()
}

// onlyIn lists the lines of a that b does not have as often. kube-proxy
// writes services in the order of a map.
func onlyIn(a, b string) string {
	count := map[string]int{}
	for line := range strings.Lines(b) {
		count[line]++
	}
	var out []string
	for line := range strings.Lines(a) {
		if count[line]--; count[line] < 0 {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

// shrink takes objects and flows away.
func shrink(c stateCase) iter.Seq[stateCase] {
	data, err := json.Marshal(c)
	if err != nil {
		return func(func(stateCase) bool) {}
	}
	removable := func(path []string, _ int) bool {
		last := path[len(path)-1]
		return !slices.Contains([]string{"State", "Flows", "Config", "Mode", "Family", "Protocol", "Source", "Destination",
			"metadata", "name", "namespace", "addressType", "addresses", "clusterIP", "clusterIPs", "port", "protocol", "timeoutSeconds", "clientIP"}, last)
	}
	return func(yield func(stateCase) bool) {
		for smaller := range compare.ShrinkJSON(data, removable) {
			var s stateCase
			if json.Unmarshal(smaller, &s) == nil && !yield(s) {
				return
			}
		}
	}
}
