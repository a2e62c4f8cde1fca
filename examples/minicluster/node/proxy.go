package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/admit"
	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/proxyrules"
)

// Proxies compiles the service rules of every node whenever services, endpoints or
// nodes change. It writes nothing to the store.
type Proxies struct {
	mu       sync.Mutex
	revision int64
	rules    map[string]*proxyrules.RuleSet
}

// Name implements control.Controller.
func (c *Proxies) Name() string { return "proxy" }

// Kinds implements control.Controller.
func (c *Proxies) Kinds() []api.Kind {
	return []api.Kind{api.Services, api.EndpointSlices, api.Nodes}
}

// Reconcile implements control.Controller.
func (c *Proxies) Reconcile(view *control.View, _ time.Time) ([]control.Action, time.Duration, error) {
	rules, err := CompileRules(view)
	if err != nil {
		return nil, 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules, c.revision = rules, view.Revision
	return nil, 0, nil
}

// Rules returns the newest rules by node, and the revision they stand for. The
// rule sets are immutable.
func (c *Proxies) Rules() (map[string]*proxyrules.RuleSet, int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rules, c.revision
}

// CompileRules compiles the rules of every node.
func CompileRules(view *control.View) (map[string]*proxyrules.RuleSet, error) {
	services, err := decodeAll[proxyrules.Service](view.Services)
	if err != nil {
		return nil, err
	}
	slices, err := decodeAll[proxyrules.EndpointSlice](view.Slices)
	if err != nil {
		return nil, err
	}
	out := map[string]*proxyrules.RuleSet{}
	for n := range view.Nodes.All() {
		config := proxyrules.Config{
			NodeName:     n.Object.Metadata.Name,
			NodeLabels:   n.Object.Metadata.Labels,
			ClusterCIDRs: []netip.Prefix{admit.PodCIDR},
			ServiceCIDRs: []netip.Prefix{admit.ServiceCIDR},
			SkipRefused:  true,
		}
		if ip, err := netip.ParseAddr(n.Object.InternalIP()); err == nil {
			config.NodeIPs = []netip.Addr{ip}
		}
		rules, err := proxyrules.Compile(config, services, slices)
		if err != nil {
			return nil, fmt.Errorf("rules of node %s: %w", n.Object.Metadata.Name, err)
		}
		out[n.Object.Metadata.Name] = rules
	}
	return out, nil
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
