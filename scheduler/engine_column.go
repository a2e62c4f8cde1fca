package scheduler

import (
	"maps"
	"slices"
)

// labelColumn is the value of one label on every node, as small numbers: the
// topology domains of the label's key. It is immutable; when labels move a new
// one takes its place.
//
//	position   0    1    2    3    4
//	label      b    a    -    b    ""      zone
//	id         2    3    0    2    1       0: absent, 1: the empty value
type labelColumn struct {
	key string
	id  []int32 // by position in the scan order
	of  map[string]int32

	// The positions of domain d are members[first[d]:first[d+1]].
	first, members []int32
}

const (
	absentDomain = 0
	emptyDomain  = 1
)

func newLabelColumn(key string, nodes []*NodeInfo) *labelColumn {
	c := &labelColumn{key: key, id: make([]int32, len(nodes)), of: map[string]int32{"": emptyDomain}}
	for i, n := range nodes {
		c.id[i] = c.number(n)
	}
	c.index()
	return c
}

// number returns the domain of a node, a new one if need be.
func (c *labelColumn) number(n *NodeInfo) int32 {
	value, ok := n.Labels.Lookup(c.key)
	if !ok {
		return absentDomain
	}
	id, ok := c.of[value]
	if !ok {
		id = int32(len(c.of) + 1)
		c.of[value] = id
	}
	return id
}

// moved says that the node at a position is in another domain now.
func (c *labelColumn) moved(at int32, n *NodeInfo) bool {
	value, ok := n.Labels.Lookup(c.key)
	if !ok {
		return c.id[at] != absentDomain
	}
	id, known := c.of[value]
	return !known || c.id[at] != id
}

// domains is one more than the highest domain number.
func (c *labelColumn) domains() int { return len(c.of) + 1 }

// in returns the positions of a domain.
func (c *labelColumn) in(domain int32) []int32 {
	return c.members[c.first[domain]:c.first[domain+1]]
}

// index sorts the positions by domain, counting.
func (c *labelColumn) index() {
	c.first = make([]int32, c.domains()+1)
	for _, id := range c.id {
		c.first[id+1]++
	}
	for d := range c.first[1:] {
		c.first[d+1] += c.first[d]
	}
	next := slices.Clone(c.first)
	c.members = make([]int32, len(c.id))
	for i, id := range c.id {
		c.members[next[id]] = int32(i)
		next[id]++
	}
}

// updated returns the column as it is after the nodes at some positions were
// redefined: itself if none has moved. Values that no node has any more keep
// their numbers until there are too many of them.
func (c *labelColumn) updated(redefined []int32, nodes []*NodeInfo) *labelColumn {
	if !slices.ContainsFunc(redefined, func(at int32) bool { return c.moved(at, nodes[at]) }) {
		return c
	}
	if len(c.of) > 2*len(nodes)+64 {
		return newLabelColumn(c.key, nodes)
	}
	out := &labelColumn{key: c.key, id: slices.Clone(c.id), of: maps.Clone(c.of)}
	for _, at := range redefined {
		out.id[at] = out.number(nodes[at])
	}
	out.index()
	return out
}
