package workload

import (
	"fmt"
	"math/rand/v2"
)

// Cluster is a cluster with placed and pending pods, in the format that
// bench/decide reads. A pod with spec.nodeName is placed.
type Cluster struct {
	Nodes                  []Object `json:"nodes"`
	Pods                   []Object `json:"pods"`
	Namespaces             []Object `json:"namespaces,omitempty"`
	Services               []Object `json:"services,omitempty"`
	ReplicationControllers []Object `json:"replicationControllers,omitempty"`
	ReplicaSets            []Object `json:"replicaSets,omitempty"`
	StatefulSets           []Object `json:"statefulSets,omitempty"`
	PDBs                   []Object `json:"pdbs,omitempty"`
	PVCs                   []Object `json:"pvcs,omitempty"`
	PVs                    []Object `json:"pvs,omitempty"`
	StorageClasses         []Object `json:"storageClasses,omitempty"`
	CSINodes               []Object `json:"csiNodes,omitempty"`
}

// JSON returns the encoded cluster.
func (c *Cluster) JSON() []byte { return mustJSON(c) }

// ClusterConfig is the size and the mix of a cluster. The zero value is a small
// cluster on which pods only ask for resources.
type ClusterConfig struct {
	Nodes    int // 0: 12
	Placed   int // 0: 30
	Pending  int // 0: 15
	Features Features
}

// The names that generated objects choose from: few enough that selectors and
// topology keys meet objects often.
var (
	namespaces = []string{"default", "prod", "dev"}
	apps       = []string{"web", "db", "cache"}
	imageNames = []string{"img/a:v1", "img/b:v1", "img/c:latest", "registry.example:5000/d:latest"}
)

const (
	hostnameKey = "kubernetes.io/hostname"
	zoneKey     = "topology.kubernetes.io/zone"
	regionKey   = "topology.kubernetes.io/region"
)

// generator makes the objects of one mixed cluster.
type generator struct {
	random
	features Features
	nodes    []string // names made so far
	sizes    map[string]int
	claims   []claim
	inTree   bool // pods use in-tree disks, nodes report no CSI drivers
}

// NewCluster draws a mixed cluster.
func NewCluster(r *rand.Rand, config ClusterConfig) *Cluster {
	g := &generator{random: random{r}, features: config.Features, sizes: map[string]int{}}
	c := &Cluster{Pods: []Object{}}
	for _, name := range namespaces {
		c.Namespaces = append(c.Namespaces, Object{"metadata": Object{"name": name,
			"labels": Object{"kubernetes.io/metadata.name": name, "tier": g.pick("a", "b")}}})
	}
	for i := range orDefault(config.Nodes, 12) {
		c.Nodes = append(c.Nodes, g.node(i))
	}
	if g.features.Has(Owners) {
		g.owners(c)
	}
	if g.features.Has(Priorities) {
		g.budgets(c)
	}
	if g.features.Has(Volumes) {
		g.storage(c)
	}
	for i := range orDefault(config.Placed, 30) {
		c.Pods = append(c.Pods, g.placed(fmt.Sprintf("r%04d", i)))
	}
	for i := range orDefault(config.Pending, 15) {
		c.Pods = append(c.Pods, g.pending(fmt.Sprintf("p%04d", i)))
	}
	return c
}

func orDefault(v, byDefault int) int {
	if v == 0 {
		return byDefault
	}
	return v
}

// owners makes what the default topology spread finds pods' groups by.
func (g *generator) owners(c *Cluster) {
	for _, app := range apps {
		namespace := g.pick(namespaces...)
		meta := func() Object { return Object{"name": app, "namespace": namespace, "uid": app} }
		labels := Object{"app": app}
		if g.chance(2) {
			spec := Object{"selector": labels}
			if g.chance(6) {
				delete(spec, "selector")
			}
			c.Services = append(c.Services, Object{"metadata": meta(), "spec": spec})
		}
		selector := Object{"matchLabels": labels}
		switch g.IntN(4) {
		case 0:
			c.ReplicationControllers = append(c.ReplicationControllers, Object{"metadata": meta(), "spec": Object{"selector": labels}})
		case 1:
			c.ReplicaSets = append(c.ReplicaSets, Object{"metadata": meta(), "spec": Object{"selector": selector}})
		case 2:
			c.StatefulSets = append(c.StatefulSets, Object{"metadata": meta(), "spec": Object{"selector": selector}})
		}
	}
}

// budgets makes disruption budgets, some of them exhausted.
func (g *generator) budgets(c *Cluster) {
	for _, app := range apps {
		if g.chance(2) {
			continue
		}
		selector := Object{"matchLabels": Object{"app": app}}
		if g.chance(5) {
			selector = Object{}
		}
		c.PDBs = append(c.PDBs, Object{
			"metadata": Object{"name": app, "namespace": g.pick(namespaces...)},
			"spec":     Object{"selector": selector},
			"status":   Object{"disruptionsAllowed": g.IntN(3)},
		})
	}
}
