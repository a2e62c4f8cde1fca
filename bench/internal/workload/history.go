package workload

import (
	"fmt"
	"maps"
	"math/rand/v2"
)

// History is a cluster and what then happens to it.
type History struct {
	Cluster
	Events []Event `json:"events"`
}

// Event is one change, or one pod to decide about. An event about something
// that is not there (any more) means nothing.
type Event struct {
	Op        string `json:"op"`                  // one of the Op constants
	Node      Object `json:"node,omitempty"`      // of addNode and updateNode
	Pod       Object `json:"pod,omitempty"`       // of addPod, updatePod and decide
	Namespace Object `json:"namespace,omitempty"` // of setNamespace
	Service   Object `json:"service,omitempty"`   // of setService
	Name      string `json:"name,omitempty"`      // of the others; pods and services as namespace/name
}

// The things that happen.
const (
	OpAddNode    = "addNode"
	OpUpdateNode = "updateNode"
	OpRemoveNode = "removeNode"
	OpAddPod     = "addPod"    // a pod that is bound to a node
	OpUpdatePod  = "updatePod" // its labels change
	OpRemovePod  = "removePod"
	OpConfirm    = "confirm" // of a pod that was decided and assumed
	OpDecide     = "decide"

	OpSetNamespace  = "setNamespace"
	OpSetService    = "setService"
	OpRemoveService = "removeService"
)

// JSON returns the encoded history.
func (h *History) JSON() []byte { return mustJSON(h) }

// NewHistory draws a cluster without pending pods and a number of events.
func NewHistory(r *rand.Rand, config ClusterConfig, events int) *History {
	config.Pending = 1
	h := &History{Cluster: *NewCluster(r, config)}
	h.Pods = h.Pods[:len(h.Pods)-1]
	g := &historian{generator: generator{random: random{r}, features: config.Features, sizes: map[string]int{}}}
	for _, n := range h.Nodes {
		g.nodes = append(g.nodes, name(n))
	}
	for _, p := range h.Pods {
		g.bound = append(g.bound, p)
	}
	for i := range events {
		h.Events = append(h.Events, g.event(i))
	}
	return h
}

// historian makes events; it remembers names, not whether they still stand for
// something.
type historian struct {
	generator
	bound   []Object
	decided []string
	added   int
}

func name(o Object) string { return o.child("metadata")["name"].(string) }

func fullName(p Object) string {
	return p.child("metadata")["namespace"].(string) + "/" + name(p)
}

func (g *historian) event(i int) Event {
	switch g.IntN(12) {
	case 0:
		g.added++
		return Event{Op: OpAddNode, Node: g.node(500 + g.added)}
	case 1, 2:
		again := g.pick(g.nodes...)
		n := g.node(0)
		g.nodes = g.nodes[:len(g.nodes)-1]
		rename(n, again)
		return Event{Op: OpUpdateNode, Node: n}
	case 3:
		return Event{Op: OpRemoveNode, Name: g.pick(g.nodes...)}
	case 4:
		p := g.placed(fmt.Sprintf("e%04d", i))
		g.bound = append(g.bound, p)
		return Event{Op: OpAddPod, Pod: p}
	case 5:
		if len(g.bound) > 0 {
			return Event{Op: OpUpdatePod, Pod: g.relabelled(g.bound[g.IntN(len(g.bound))])}
		}
	case 6:
		if len(g.bound) > 0 {
			return Event{Op: OpRemovePod, Name: fullName(g.bound[g.IntN(len(g.bound))])}
		}
	case 7:
		if len(g.decided) > 0 {
			return Event{Op: g.pick(OpConfirm, OpRemovePod), Name: g.pick(g.decided...)}
		}
	}
	if g.chance(8) {
		return g.lookup()
	}
	p := g.pending(fmt.Sprintf("d%04d", i))
	g.decided = append(g.decided, fullName(p))
	return Event{Op: OpDecide, Pod: p}
}

// lookup changes what pods are matched by: labels of a namespace, a service.
func (g *historian) lookup() Event {
	app, namespace := g.pick(apps...), g.pick(namespaces...)
	switch g.IntN(3) {
	case 0:
		return Event{Op: OpSetNamespace, Namespace: Object{"metadata": Object{"name": namespace,
			"labels": Object{"kubernetes.io/metadata.name": namespace, "tier": g.pick("a", "b")}}}}
	case 1:
		return Event{Op: OpRemoveService, Name: namespace + "/" + app}
	}
	return Event{Op: OpSetService, Service: Object{
		"metadata": Object{"name": app, "namespace": namespace},
		"spec":     Object{"selector": Object{"app": g.pick(apps...)}}}}
}

// rename gives a freshly drawn node the name of another.
func rename(n Object, name string) {
	meta := n.child("metadata")
	meta["name"] = name
	meta.child("labels")[hostnameKey] = name
}

// relabelled copies a pod with other labels.
func (g *historian) relabelled(p Object) Object {
	pod, meta := maps.Clone(p), maps.Clone(p.child("metadata"))
	meta["labels"] = Object{"app": g.pick(apps...), "ver": g.pick("1", "2", "3")}
	pod["metadata"] = meta
	return pod
}
