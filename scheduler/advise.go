package scheduler

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
)

// Change is something that would have to be different for a node to admit a
// pod.
type Change struct {
	// Plugin is the one that rejects the node as it is.
	Plugin string
	// Text is one line for people: "needs 250m cpu more".
	Text string

	// Resource and Amount say how much more of a resource is needed, in
	// thousandths for cpu.
	Resource string
	Amount   int64
	// Toleration is one that the pod would need.
	Toleration *Toleration
	// Leave pods would have to leave the node's domain of TopologyKey.
	Leave       int64
	TopologyKey string
}

// Advisor says what would have to change for a node that the plugin rejects.
// For plugins without it, Explain gives the verdict's text.
type Advisor interface {
	Plugin
	Advise(c *Cycle, n *NodeInfo) []Change
}

// changes asks every plugin that rejects the node, not only the first.
func (c *Cycle) changes(n *NodeInfo) []Change {
	var all []Change
	for _, pl := range c.filters {
		v := pl.plugin.Filter(c, n)
		if !v.Rejected() {
			continue
		}
		var list []Change
		if a, ok := pl.plugin.(Advisor); ok {
			list = a.Advise(c, n)
		}
		if len(list) == 0 {
			list = []Change{{Text: v.Message()}}
		}
		for _, change := range list {
			change.Plugin = pl.plugin.Name()
			all = append(all, change)
		}
	}
	if len(all) == 0 {
		return c.keptRoom(n)
	}
	return all
}

// keptRoom is the change for a node that would admit the pod but for the pods
// nominated to it.
func (c *Cycle) keptRoom(n *NodeInfo) []Change {
	var names []string
	for _, p := range c.cache.nominated.pods.m[n.Name] {
		if p.Priority >= c.Pod.Priority && p.key != c.Pod.key {
			names = append(names, p.Name())
		}
	}
	_, plugin := c.filter(n)
	return []Change{{Plugin: plugin, Text: "room is kept for " + strings.Join(names, ", ")}}
}

// Nearest returns the rejected node that the fewest changes would open, the
// first of several in scan order, or nil when none was rejected.
func (e *Explanation) Nearest() *NodeExplanation {
	var best *NodeExplanation
	for i := range e.Nodes {
		n := &e.Nodes[i]
		if len(n.Changes) > 0 && (best == nil || len(n.Changes) < len(best.Changes)) {
			best = n
		}
	}
	return best
}

func (nodeUnschedulable) Advise(*Cycle, *NodeInfo) []Change {
	return []Change{{
		Text:       "uncordon the node",
		Toleration: &Toleration{Key: TaintUnschedulable, Operator: "Exists", Effect: NoSchedule},
	}}
}

func (nodeName) Advise(c *Cycle, _ *NodeInfo) []Change {
	return []Change{{Text: "drop spec.nodeName " + strconv.Quote(c.Pod.Pod.Spec.NodeName)}}
}

func (taintToleration) Advise(c *Cycle, n *NodeInfo) []Change {
	var list []Change
	for i := range n.Node.Spec.Taints {
		t := &n.Node.Spec.Taints[i]
		if t.Effect == PreferNoSchedule || tolerated(c.Pod.Pod.Spec.Tolerations, t) {
			continue
		}
		name := t.Key
		if t.Value != "" {
			name += "=" + t.Value
		}
		list = append(list, Change{
			Text:       "add toleration for " + name + ":" + t.Effect,
			Toleration: &Toleration{Key: t.Key, Operator: "Equal", Value: t.Value, Effect: t.Effect},
		})
	}
	return list
}

// Advise names the labels of nodeSelector that differ. Of affinity terms it
// only says that none matches.
func (pl *nodeAffinity) Advise(c *Cycle, n *NodeInfo) []Change {
	var list []Change
	if pl.added != nil && !pl.added.Matches(n.Name, n.Labels) {
		return []Change{{Text: "match the node affinity that the profile adds"}}
	}
	for _, m := range c.Pod.nodes.labels.Explain(n.Labels) {
		list = append(list, Change{Text: "label the node " + m.Requirement.String()})
	}
	if !c.Pod.nodes.affinity.Matches(n.Name, n.Labels) {
		list = append(list, Change{Text: "match a term of the pod's node affinity"})
	}
	return list
}

func (nodePorts) Advise(c *Cycle, n *NodeInfo) []Change {
	var list []Change
	for _, want := range c.Pod.hostPorts {
		if portTaken(n.ports, want) {
			list = append(list, Change{Text: fmt.Sprintf("free host port %d/%s", want.port, want.protocol)})
		}
	}
	return list
}

func (pl *nodeResourcesFit) Advise(c *Cycle, n *NodeInfo) []Change {
	var list []Change
	if over := int64(len(n.Pods)) + 1 - n.Allocatable.Pods; over > 0 {
		list = append(list, lacking("pods", over))
	}
	names := []string{"cpu", "memory", "ephemeral-storage"}
	for _, s := range c.Pod.Request.Scalars {
		if !pl.ignores(s.Name) {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		want := c.Pod.Request.Amount(name)
		if over := want - (n.Allocatable.Amount(name) - n.Requested.Amount(name)); want > 0 && over > 0 {
			list = append(list, lacking(name, over))
		}
	}
	return list
}

func lacking(name string, amount int64) Change {
	q := resource.NewInt(amount)
	switch {
	case name == "pods":
		return Change{Text: fmt.Sprintf("needs room for %d more %s", amount, plural(amount, "pod")), Resource: name, Amount: amount}
	case name == "cpu":
		q = resource.NewMilli(amount)
	case name == "memory" || name == "ephemeral-storage" || strings.HasPrefix(name, "hugepages-"):
		q = q.WithFormat(resource.BinarySI)
	}
	return Change{Text: "needs " + q.String() + " " + name + " more", Resource: name, Amount: amount}
}

func (*topologySpread) Advise(c *Cycle, n *NodeInfo) []Change {
	var list []Change
	s := &c.spread
	for i := range s.hard {
		sc := &s.hard[i]
		value, ok := n.Labels.Lookup(sc.key)
		if !ok {
			list = append(list, Change{Text: "label the node with " + sc.key, TopologyKey: sc.key})
			continue
		}
		if over := s.skew(c, i, value) - sc.maxSkew; over > 0 {
			list = append(list, leaving(over, &sc.pods, sc.key, value))
		}
	}
	return list
}

// leaving asks for pods to leave a domain.
func leaving(count int64, pods *selector.Selector, key, value string) Change {
	text := fmt.Sprintf("would fit if %d %s", count, plural(count, "pod"))
	if pods != nil {
		text += " of " + strconv.Quote(pods.String())
	}
	return Change{Text: text + " left " + key + "=" + value, Leave: count, TopologyKey: key}
}

func plural(n int64, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func (*interPodAffinity) Advise(c *Cycle, n *NodeInfo) []Change {
	var list []Change
	s := &c.interPod
	for i := range s.affinity {
		t := &s.affinity[i]
		value, ok := n.Labels.Lookup(t.key)
		switch {
		case !ok:
			list = append(list, Change{Text: "label the node with " + t.key, TopologyKey: t.key})
		case s.together[domain{t.key, value}] <= 0 && !s.isTogether(c.Pod, n):
			list = append(list, Change{Text: fmt.Sprintf("needs a pod of %q in %s=%s", t.pods.String(), t.key, value), TopologyKey: t.key})
		}
	}
	for i := range s.anti {
		t := &s.anti[i]
		value, ok := n.Labels.Lookup(t.key)
		if count := s.apart[domain{t.key, value}]; ok && count > 0 {
			list = append(list, leaving(count, &t.pods, t.key, value))
		}
	}
	for key, value := range n.Labels.All() {
		if count := s.existing[domain{key, value}]; count > 0 {
			change := leaving(count, nil, key, value)
			change.Text += ": they repel it"
			list = append(list, change)
		}
	}
	return list
}
