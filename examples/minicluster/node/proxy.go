package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"sync"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/admit"
	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/proxyrules"
)

// Proxies compiles service rules whenever services, endpoints or nodes change, as
// the proxy on each node would. It writes nothing to the store. In a large cluster
// it stands for the proxies of the first nodes only: in this process they share two
// or three processors, not a thousand.
type Proxies struct {
	mu       sync.Mutex
	compiles int
	rules    map[string]*proxyrules.RuleSet
}

const proxiesMax = 16

// Name implements control.Controller.
func (c *Proxies) Name() string { return "proxy" }

// Kinds implements control.Controller.
func (c *Proxies) Kinds() []api.Kind {
	return []api.Kind{api.Services, api.EndpointSlices, api.Nodes}
}

// Reconcile implements control.Controller.
func (c *Proxies) Reconcile(view *control.View, _ time.Time) ([]control.Action, time.Duration, error) {
	compiler, err := NewCompiler(view)
	if err != nil {
		return nil, 0, err
	}
	rules := map[string]*proxyrules.RuleSet{}
	for node, compiled := range compiler.All() {
		rules[node] = compiled
		if len(rules) == proxiesMax {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = rules
	c.compiles += len(rules)
	return nil, 0, compiler.Err()
}

// Compiles counts the rule sets that were compiled.
func (c *Proxies) Compiles() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.compiles
}

// Compiler compiles the rules of one node after the other.
type Compiler struct {
	view     *control.View
	services []proxyrules.Service
	slices   []proxyrules.EndpointSlice
	err      error
}

// NewCompiler decodes what the nodes have in common.
func NewCompiler(view *control.View) (*Compiler, error) {
	services, err := decodeAll[proxyrules.Service](view.Services)
	if err != nil {
		return nil, err
	}
	slices, err := decodeAll[proxyrules.EndpointSlice](view.Slices)
	if err != nil {
		return nil, err
	}
	return &Compiler{view: view, services: services, slices: slices}, nil
}

// All compiles the rules of each node in turn, in the order of their names, and
// ends at the first error.
func (c *Compiler) All() iter.Seq2[string, *proxyrules.RuleSet] {
	return func(yield func(string, *proxyrules.RuleSet) bool) {
		for n := range c.view.Nodes.All() {
			rules, err := c.compile(&n.Object)
			if err != nil {
				c.err = fmt.Errorf("rules of node %s: %w", n.Object.Metadata.Name, err)
				return
			}
			if !yield(n.Object.Metadata.Name, rules) {
				return
			}
		}
	}
}

// Err is the error that ended All.
func (c *Compiler) Err() error { return c.err }

func (c *Compiler) compile(n *api.Node) (*proxyrules.RuleSet, error) {
	config := proxyrules.Config{
		NodeName:     n.Metadata.Name,
		NodeLabels:   n.Metadata.Labels,
		ClusterCIDRs: []netip.Prefix{admit.PodCIDR},
		ServiceCIDRs: []netip.Prefix{admit.ServiceCIDR},
		SkipRefused:  true, // the summary lists them
	}
	if ip, err := netip.ParseAddr(n.InternalIP()); err == nil {
		config.NodeIPs = []netip.Addr{ip}
	}
	return proxyrules.Compile(config, c.services, c.slices)
}

func decodeAll[W, T any](t control.Table[T]) ([]W, error) {
	var out []W
	for s := range t.All() {
		var wire W
		if err := json.Unmarshal(s.Raw, &wire); err != nil {
			return nil, fmt.Errorf("object %s: %w", s.Key, err)
		}
		out = append(out, wire)
	}
	return out, nil
}

// RuleCounts are the sizes of one node's rules in the two texts.
type RuleCounts struct {
	IPTablesChains, IPTablesRules int
	NFTChains, NFTRules           int
	NFTElements                   int
}

// CountRules renders a rule set and counts what the kernel would get.
func CountRules(r *proxyrules.RuleSet) RuleCounts {
	var n RuleCounts
	for line := range bytes.Lines(r.AppendIPTables(nil)) {
		switch {
		case bytes.HasPrefix(line, []byte(":")):
			n.IPTablesChains++
		case bytes.HasPrefix(line, []byte("-A ")):
			n.IPTablesRules++
		}
	}
	for line := range bytes.Lines(r.AppendNFT(nil)) {
		switch {
		case bytes.HasPrefix(line, []byte("add chain ")):
			n.NFTChains++
		case bytes.HasPrefix(line, []byte("add rule ")):
			n.NFTRules++
		case bytes.HasPrefix(line, []byte("add element ")):
			n.NFTElements += 1 + bytes.Count(line, []byte(", "))
		}
	}
	return n
}
