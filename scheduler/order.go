package scheduler

import "slices"

// nodeOrder deals nodes out zone by zone, one of each zone per round, so that
// a scan that stops early has seen all zones alike. Zones are in the order in
// which they were first seen, nodes of a zone in the order of being added.
//
//	zone a: a1 a2 a3
//	zone b: b1           →  a1 b1 c1 a2 c2 a3
//	zone c: c1 c2
type nodeOrder struct {
	zones []zoneNodes
}

type zoneNodes struct {
	key   string
	nodes []*NodeInfo
}

func (o *nodeOrder) add(zone string, n *NodeInfo) {
	i := o.index(zone)
	if i < 0 {
		o.zones = append(o.zones, zoneNodes{key: zone})
		i = len(o.zones) - 1
	}
	o.zones[i].nodes = append(o.zones[i].nodes, n)
}

func (o *nodeOrder) remove(zone string, n *NodeInfo) {
	i := o.index(zone)
	if i < 0 {
		return
	}
	z := &o.zones[i]
	if at := slices.Index(z.nodes, n); at >= 0 {
		z.nodes = slices.Delete(z.nodes, at, at+1)
	}
	if len(z.nodes) == 0 {
		o.zones = slices.Delete(o.zones, i, i+1)
	}
}

func (o *nodeOrder) index(zone string) int {
	return slices.IndexFunc(o.zones, func(z zoneNodes) bool { return z.key == zone })
}

// appendTo appends all nodes in order.
func (o *nodeOrder) appendTo(dst []*NodeInfo) []*NodeInfo {
	for round, found := 0, true; found; round++ {
		found = false
		for i := range o.zones {
			if nodes := o.zones[i].nodes; round < len(nodes) {
				dst = append(dst, nodes[round])
				found = true
			}
		}
	}
	return dst
}
