package scheduler

import (
	"iter"
	"slices"
)

// nodeOrder deals nodes out zone by zone, one of each zone per round, so that
// a scan that stops early has seen all zones alike. Zones are in the order in
// which they were first seen, nodes of a zone in the order of being added.
//
//	zone a: a1 a2 a3
//	zone b: b1           →  a1 b1 c1 a2 c2 a3
//	zone c: c1 c2
type nodeOrder struct {
	zones []zoneNodes
	// shared: a view of the Cache holds the same lists, which are copied before
	// they are changed.
	shared bool
}

type zoneNodes struct {
	key   string
	nodes []string
}

func (o *nodeOrder) add(zone, node string) {
	o.own()
	i := o.index(zone)
	if i < 0 {
		o.zones = append(o.zones, zoneNodes{key: zone})
		i = len(o.zones) - 1
	}
	o.zones[i].nodes = append(o.zones[i].nodes, node)
}

func (o *nodeOrder) remove(zone, node string) {
	o.own()
	i := o.index(zone)
	if i < 0 {
		return
	}
	z := &o.zones[i]
	if at := slices.Index(z.nodes, node); at >= 0 {
		z.nodes = slices.Delete(z.nodes, at, at+1)
	}
	if len(z.nodes) == 0 {
		o.zones = slices.Delete(o.zones, i, i+1)
	}
}

func (o *nodeOrder) index(zone string) int {
	return slices.IndexFunc(o.zones, func(z zoneNodes) bool { return z.key == zone })
}

// share returns a copy that will not see later changes.
func (o *nodeOrder) share() nodeOrder {
	o.shared = true
	return *o
}

func (o *nodeOrder) own() {
	if !o.shared {
		return
	}
	o.zones = slices.Clone(o.zones)
	for i := range o.zones {
		o.zones[i].nodes = slices.Clone(o.zones[i].nodes)
	}
	o.shared = false
}

// len returns the number of nodes.
func (o *nodeOrder) len() int {
	sum := 0
	for i := range o.zones {
		sum += len(o.zones[i].nodes)
	}
	return sum
}

// all yields all nodes in order.
func (o *nodeOrder) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		for round, found := 0, true; found; round++ {
			found = false
			for i := range o.zones {
				nodes := o.zones[i].nodes
				if round >= len(nodes) {
					continue
				}
				if found = true; !yield(nodes[round]) {
					return
				}
			}
		}
	}
}
