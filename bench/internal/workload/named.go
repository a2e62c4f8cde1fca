package workload

import (
	"fmt"
	"strings"
)

// Named is a workload of one shape for measuring: nodes, pods that are placed
// before the clock starts, and pods to place while it runs. Objects are made one
// at a time, so that a big workload need not be held as JSON.
type Named struct {
	Name                   string
	Nodes, Placed, Pending int

	// Preempts says that no pending pod fits until others are evicted.
	Preempts bool

	zones   int
	node    func(n Object, i int)
	placed  func(name string, i int) Object
	pending func(name string, i int) Object
}

// Names lists the named workloads.
func Names() []string {
	return []string{"basic", "nodeaffinity", "taints", "onepernode", "spread", "antiaffinity", "prefaffinity", "preemption", "mixed"}
}

// New returns the named workload for a number of nodes. The shapes are those of
// kube-scheduler's own performance tests, on nodes of 4 CPUs and 32 GiB.
func New(name string, nodes int) (*Named, error) {
	w := &Named{Name: name, Nodes: nodes, Placed: nodes, Pending: nodes, zones: 3,
		placed: func(name string, _ int) Object { return smallPod(name) }}
	plain := w.placed
	switch name {
	case "basic":
		w.Placed, w.Pending, w.pending = nodes/5, 2*nodes, plain
	case "nodeaffinity":
		w.zones, w.pending = 10, func(name string, _ int) Object { return inTwoZones(smallPod(name)) }
	case "taints":
		w.Placed, w.Pending, w.node = nodes/5, 2*nodes, taintSome
		w.pending = func(name string, _ int) Object { return tolerant(smallPod(name)) }
	case "onepernode":
		w.Placed, w.Pending = 0, nodes*4/5
		w.pending = func(name string, _ int) Object { return simplePod(name, "3", "500Mi") }
	case "spread":
		w.pending = func(name string, _ int) Object { return spreadByZone(smallPod(name)) }
	case "antiaffinity":
		w.Placed, w.Pending = nodes/5, nodes*2/5
		w.pending = func(name string, _ int) Object { return apart(smallPod(name)) }
		w.placed = w.pending
	case "prefaffinity":
		w.pending = func(name string, _ int) Object { return together(smallPod(name)) }
		w.placed = w.pending
	case "preemption":
		w.Preempts, w.Placed, w.Pending = true, 4*nodes, nodes/5
		w.placed, w.pending = victim, func(name string, _ int) Object {
			p := simplePod(name, "3", "500Mi")
			p.child("spec")["priority"] = 10
			return p
		}
	case "mixed":
		w.zones, w.node, w.pending = 10, taintSome, mixedPod
	default:
		return nil, fmt.Errorf("unknown workload %q: want one of %s", name, strings.Join(Names(), ", "))
	}
	return w, nil
}

// Node returns node i.
func (w *Named) Node(i int) Object {
	name := nodeName(i)
	resources := Object{"cpu": "4", "memory": "32Gi", "pods": "110"}
	n := Object{
		"metadata": Object{"name": name, "uid": name, "labels": Object{
			hostnameKey: name, zoneKey: fmt.Sprintf("zone%d", i%w.zones),
			"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
			"node.kubernetes.io/instance-type": fmt.Sprintf("m%d", i%4)}},
		"spec": Object{},
		"status": Object{"allocatable": resources, "capacity": resources,
			"conditions": list{Object{"type": "Ready", "status": "True"}}},
	}
	if w.node != nil {
		w.node(n, i)
	}
	return n
}

// PlacedPod returns placed pod i, which names its node.
func (w *Named) PlacedPod(i int) Object {
	p := w.placed(fmt.Sprintf("init-%d", i), i)
	p.child("spec")["nodeName"] = nodeName(i % w.Nodes)
	return p
}

// PendingPod returns pending pod i.
func (w *Named) PendingPod(i int) Object {
	return w.pending(fmt.Sprintf("pod-%d", i), i)
}

// Cluster returns the whole workload with at most pendingMax pending pods.
func (w *Named) Cluster(pendingMax int) *Cluster {
	c := &Cluster{Namespaces: []Object{{"metadata": Object{"name": "default"}}}}
	for i := range w.Nodes {
		c.Nodes = append(c.Nodes, w.Node(i))
	}
	for i := range w.Placed {
		c.Pods = append(c.Pods, w.PlacedPod(i))
	}
	for i := range min(w.Pending, pendingMax) {
		c.Pods = append(c.Pods, w.PendingPod(i))
	}
	return c
}

func nodeName(i int) string { return fmt.Sprintf("node-%05d", i) }

func simplePod(name, cpu, memory string) Object {
	resources := Object{"cpu": cpu, "memory": memory}
	return Object{
		"metadata": Object{"name": name, "namespace": "default", "uid": name},
		"spec": Object{"containers": list{Object{"name": "pause", "image": "registry.k8s.io/pause:3.10.1",
			"ports":     list{Object{"containerPort": 80}},
			"resources": Object{"requests": resources, "limits": resources}}}},
	}
}

func smallPod(name string) Object { return simplePod(name, "100m", "500Mi") }

func colour(p Object, value string) Object {
	p.child("metadata").child("labels")["color"] = value
	return Object{"matchLabels": Object{"color": value}}
}

func inTwoZones(p Object) Object {
	p.child("spec").child("affinity").child("nodeAffinity").child("requiredDuringSchedulingIgnoredDuringExecution")["nodeSelectorTerms"] = list{
		Object{"matchExpressions": list{Object{"key": zoneKey, "operator": "In", "values": list{"zone1", "zone2"}}}}}
	return p
}

func apart(p Object) Object {
	selector := colour(p, "green")
	p.child("spec").child("affinity").child("podAntiAffinity")["requiredDuringSchedulingIgnoredDuringExecution"] = list{
		Object{"labelSelector": selector, "topologyKey": hostnameKey}}
	return p
}

func together(p Object) Object {
	selector := colour(p, "red")
	p.child("spec").child("affinity").child("podAffinity")["preferredDuringSchedulingIgnoredDuringExecution"] = list{
		Object{"weight": 1, "podAffinityTerm": Object{"labelSelector": selector, "topologyKey": zoneKey}}}
	return p
}

func spreadByZone(p Object) Object {
	selector := colour(p, "blue")
	p.child("spec")["topologySpreadConstraints"] = list{
		Object{"maxSkew": 5, "topologyKey": zoneKey, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}}
	return p
}

func tolerant(p Object) Object {
	p.child("spec")["tolerations"] = list{
		Object{"key": "dedicated", "operator": "Equal", "value": "team0", "effect": "NoSchedule"},
		Object{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}}
	return p
}

func taintSome(n Object, i int) {
	var taints list
	if i%2 == 0 {
		taints = append(taints, Object{"key": "dedicated", "value": fmt.Sprintf("team%d", i%4), "effect": "NoSchedule"})
	}
	if i%3 == 0 {
		taints = append(taints, Object{"key": "spot", "effect": "PreferNoSchedule"})
	}
	if taints != nil {
		n.child("spec")["taints"] = taints
	}
}

func victim(name string, i int) Object {
	p := simplePod(name, "900m", "500Mi")
	p.child("status")["startTime"] = timestamp(firstStart + i%977)
	return p
}

// mixedPod takes turns among the shapes.
func mixedPod(name string, i int) Object {
	p := tolerant(smallPod(name))
	switch i % 5 {
	case 1:
		return inTwoZones(p)
	case 2:
		return spreadByZone(p)
	case 3:
		return together(p)
	case 4:
		return apart(p)
	}
	return p
}
