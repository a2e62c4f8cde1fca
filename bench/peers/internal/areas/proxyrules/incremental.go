package proxyrules

import (
	"fmt"
	"strings"

	discovery "k8s.io/api/discovery/v1"

	"github.com/orchcore/orchcore/bench/peers/internal/measure"
	"github.com/orchcore/orchcore/proxyrules"
)

// turn is the n-th change of one endpoint: both sides get the same, the ones
// after the others over all services.
type turn struct {
	index         int // of the service
	ours          proxyrules.EndpointSlice
	before, after *discovery.EndpointSlice
}

func (b *big) turn(n int) turn {
	t := turn{index: n * 7919 % ratioServices}
	ip := fmt.Sprintf("10.200.%d.%d", n/250%250, 1+n%250)
	t.ours = b.state.Slices[t.index]
	t.ours.Endpoints = append([]proxyrules.Endpoint(nil), t.ours.Endpoints...)
	t.ours.Endpoints[0].Addresses = []string{ip}
	b.state.Slices[t.index] = t.ours
	t.before = b.slices[t.index]
	t.after = t.before.DeepCopy()
	t.after.Endpoints[0].Addresses = []string{ip}
	b.slices[t.index] = t.after
	return t
}

// compiler gives our side all objects.
func (b *big) compiler() (*proxyrules.Compiler, error) {
	c, err := proxyrules.NewCompiler(b.state.Config)
	if err != nil {
		return nil, err
	}
	for i := range b.state.Services {
		if err := c.SetService(&b.state.Services[i]); err != nil {
			return nil, err
		}
		if err := c.SetEndpointSlice(&b.state.Slices[i]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// live is our side, up and running.
type live struct {
	mode     proxyrules.Mode
	compiler *proxyrules.Compiler
	rules    *proxyrules.RuleSet
	buf      []byte
}

func (b *big) live() (*live, error) {
	c, err := b.compiler()
	if err != nil {
		return nil, err
	}
	l := &live{mode: b.state.Config.Mode, compiler: c, rules: c.RuleSet()}
	b.render(l.rules, nil)
	return l, nil
}

// change takes a slice in and returns the text to apply.
func (l *live) change(s *proxyrules.EndpointSlice) ([]byte, error) {
	if err := l.compiler.SetEndpointSlice(s); err != nil {
		return nil, err
	}
	next := l.compiler.RuleSet()
	u := proxyrules.Diff(l.rules, next)
	if l.mode == proxyrules.NFTables {
		l.buf = u.AppendNFT(l.buf[:0])
	} else {
		l.buf = u.AppendIPTables(l.buf[:0])
	}
	l.rules = next
	return l.buf, nil
}

const (
	oursTurns = 200 // per sample; one is over too soon to be measured
	peerTurns = 3
)

// openIncremental measures from one changed endpoint to the text that the
// kernel would be told.
func openIncremental(mode proxyrules.Mode) (*measure.Pair, error) {
	b, err := newBig(mode)
	if err != nil {
		return nil, err
	}
	l, err := b.live()
	if err != nil {
		return nil, err
	}
	g, err := b.generator()
	if err != nil {
		return nil, err
	}
	sync1(g, &b.set, b.services, b.slices)
	g.learn()
	n := 0
	var last turn
	next := func() turn {
		last = b.turn(n)
		n++
		return last
	}
	return &measure.Pair{
		Ours: func() (measure.Sample, error) {
			turns := make([]turn, oursTurns)
			for i := range turns {
				turns[i] = next()
			}
			var text []byte
			s, err := measure.Timed(func() (int, error) {
				for i := range turns {
					if text, err = l.change(&turns[i].ours); err != nil {
						return i, err
					}
				}
				return len(turns), nil
			}, measure.PerOp)
			b.ours = string(text)
			for _, t := range turns {
				g.OnEndpointSliceUpdate(t.before, t.after)
			}
			g.OnServiceSynced()
			g.learn()
			return s, err
		},
		Peer: func() (measure.Sample, error) {
			var m measure.Meter
			for range peerTurns {
				t := next()
				text, err := l.change(&t.ours)
				if err != nil {
					return measure.Sample{}, err
				}
				b.ours = string(text)
				m.Start()
				g.OnEndpointSliceUpdate(t.before, t.after)
				g.OnServiceSynced()
				m.Stop(1)
				b.peer = g.text()
				g.learn()
			}
			return m.Sample(measure.PerOp)
		},
		Check: func() error { return checkTurn(mode, last, b.ours, b.peer) },
	}, nil
}

// checkTurn holds the two texts for one changed endpoint against each other:
// the same lines for iptables; for nftables both name the new endpoint.
func checkTurn(mode proxyrules.Mode, t turn, ours, peer string) error {
	if mode == proxyrules.IPTables {
		// In large clusters kube-proxy removes stale chains only now and then.
		ours, peer = withoutRemovals(ours), withoutRemovals(peer)
		if d := onlyIn(peer, ours) + onlyIn(ours, peer); d != "" {
			return fmt.Errorf("lines that one side has alone: %.400s", d)
		}
		return nil
	}
	for _, text := range []string{ours, peer} {
		if want := t.ours.Endpoints[0].Addresses[0] + " . 8080"; !strings.Contains(text, want) {
			return fmt.Errorf("%q is not in %.400s", want, text)
		}
	}
	return nil
}

// withoutRemovals leaves out the chains that a text deletes.
func withoutRemovals(text string) string {
	gone := map[string]bool{}
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "-X "); ok {
			gone[":"+strings.TrimSpace(name)+" - [0:0]\n"] = true
		}
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !gone[line] && !strings.HasPrefix(line, "-X ") {
			out.WriteString(line)
		}
	}
	return out.String()
}
