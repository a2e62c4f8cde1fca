package scheduler

import "slices"

// labelColumn is the value of one label on every node, as small numbers: the
// topology domains of the label's key.
//
//	position   0    1    2    3    4
//	label      b    a    -    b    ""      zone
//	id         2    3    0    2    1       0: absent, 1: the empty value
type labelColumn struct {
	key string
	id  []int32 // by position in the scan order
	of  map[string]int32

	// The positions of domain d are members[first[d]:first[d+1]]. Made when it
	// is asked for.
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
	return c
}

// number returns the domain of a node.
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

// domains is one more than the highest domain number.
func (c *labelColumn) domains() int { return len(c.of) + 1 }

// update follows a node that was redefined and says whether it has moved.
func (c *labelColumn) update(at int32, n *NodeInfo) bool {
	id := c.number(n)
	if id == c.id[at] {
		return false
	}
	c.id[at] = id
	c.first, c.members = nil, nil
	return true
}

// in returns the positions of a domain.
func (c *labelColumn) in(domain int32) []int32 {
	if c.first == nil {
		c.index()
	}
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

// clone returns a copy that can be updated; the index is shared, since it is
// replaced, never changed.
func (c *labelColumn) clone() *labelColumn {
	out := *c
	out.id = slices.Clone(c.id)
	out.of = make(map[string]int32, len(c.of))
	for k, v := range c.of {
		out.of[k] = v
	}
	return &out
}
