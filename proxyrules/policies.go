package proxyrules

import (
	"slices"
	"sort"
)

// policyList is a list of policies, sorted by key, in blocks. It is never
// changed: an edit makes new blocks where something changed and shares the
// others, so that two lists which share most are also compared block by block.
type policyList struct {
	blocks [][]*Policy // none is empty
}

// policyBlock is the usual length of a block; up to twice that is left alone.
// For 10,000 policies, an edit copies as many pointers to blocks as policies.
const policyBlock = 128

func newPolicyList(sorted []*Policy) policyList {
	return policyList{slices.Collect(slices.Chunk(sorted, policyBlock))}
}

// flat returns all policies in one piece.
func (l policyList) flat() []*Policy { return slices.Concat(l.blocks...) }

// blockOf is where a key is, or belongs: the last block that does not begin
// behind it, or the first.
func (l policyList) blockOf(k PortKey) int {
	after := sort.Search(len(l.blocks), func(i int) bool { return l.blocks[i][0].Key.compare(k) > 0 })
	return max(after-1, 0)
}

// edit returns the list with changes, which are sorted by key.
func (l policyList) edit(changes []change) policyList {
	if len(l.blocks) == 0 {
		return newPolicyList(replace(nil, changes))
	}
	out := make([][]*Policy, 0, len(l.blocks)+1)
	for len(changes) > 0 {
		at := l.blockOf(changes[0].key())
		out = append(out, l.blocks[:at]...)
		l.blocks = l.blocks[at:]
		n := len(changes)
		if len(l.blocks) > 1 {
			n = sort.Search(n, func(i int) bool { return changes[i].key().compare(l.blocks[1][0].Key) >= 0 })
		}
		switch block := replace(l.blocks[0], changes[:n]); {
		case len(block) > 2*policyBlock:
			out = append(out, newPolicyList(block).blocks...)
		case len(block) > 0:
			out = append(out, block)
		}
		l.blocks, changes = l.blocks[1:], changes[n:]
	}
	return policyList{append(out, l.blocks...)}
}

// replace returns the sorted policies with the changes, which are sorted too.
func replace(policies []*Policy, changes []change) []*Policy {
	out := make([]*Policy, 0, len(policies)+len(changes))
	for _, ch := range changes {
		at, found := slices.BinarySearchFunc(policies, ch.key(), func(p *Policy, k PortKey) int { return p.Key.compare(k) })
		out = append(out, policies[:at]...)
		policies = policies[at:]
		if found {
			policies = policies[1:]
		}
		if ch.new != nil {
			out = append(out, ch.new)
		}
	}
	return append(out, policies...)
}

// diff returns the policies that are not equal in both lists, by key.
func (l policyList) diff(m policyList) []change {
	var out []change
	a, b := cursor{blocks: l.blocks}, cursor{blocks: m.blocks}
	for {
		a.skipShared(&b)
		p, q := a.policy(), b.policy()
		switch {
		case p == nil && q == nil:
			return out
		case p == q:
			a.next()
			b.next()
		case q == nil || p != nil && p.Key.compare(q.Key) < 0:
			out = append(out, change{old: p})
			a.next()
		case p == nil || p.Key.compare(q.Key) > 0:
			out = append(out, change{new: q})
			b.next()
		default:
			if !p.equal(q) {
				out = append(out, change{p, q})
			}
			a.next()
			b.next()
		}
	}
}

// cursor is a place in a policyList.
type cursor struct {
	blocks [][]*Policy // the first is the one that the place is in
	at     int         // in it
}

// policy is nil behind the end.
func (c *cursor) policy() *Policy {
	if len(c.blocks) == 0 {
		return nil
	}
	return c.blocks[0][c.at]
}

func (c *cursor) next() {
	if c.at++; c.at == len(c.blocks[0]) {
		c.blocks, c.at = c.blocks[1:], 0
	}
}

// skipShared moves both over blocks that are the same.
func (c *cursor) skipShared(d *cursor) {
	for c.at == 0 && d.at == 0 && len(c.blocks) > 0 && len(d.blocks) > 0 {
		p, q := c.blocks[0], d.blocks[0]
		if &p[0] != &q[0] || len(p) != len(q) {
			return
		}
		c.blocks, d.blocks = c.blocks[1:], d.blocks[1:]
	}
}
