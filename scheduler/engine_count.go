package scheduler

import (
	"math"

	"github.com/orchcore/orchcore/selector"
)

// noLabels are the labels that terms of the pending pod hold namespaces
// against: their selectors are unrolled already.
var noLabels selector.Labels

// counter adds up over the domains of a topology key what every node
// contributes: pods that a selector selects, or weights of affinity terms.
//
// A node's contribution is a function of the node, what runs on it, and the
// class. When the node changes it is computed anew and the difference booked;
// when labels of the key move, or namespaces, services or owners change, the
// whole class is built anew.
type counter struct {
	col  *labelColumn
	node []int64 // what each node contributes, by position
	sum  []int64 // by domain
	// bad are the domains whose nodes are out of the question.
	bad []bool
	now int64 // the contribution of the node that is being looked at
}

func newCounter(col *labelColumn) *counter {
	d := col.domains()
	return &counter{col: col, node: make([]int64, len(col.id)), sum: make([]int64, d), bad: make([]bool, d)}
}

// set books what a node contributes now; it says whether that has changed.
func (c *counter) set(at int32, v int64) bool {
	delta := v - c.node[at]
	if delta == 0 {
		return false
	}
	c.node[at] = v
	c.sum[c.col.id[at]] += delta
	return true
}

// blocks says that the node is in a domain which is out of the question.
func (c *counter) blocks(at int32) bool { return c.bad[c.col.id[at]] }

// spreadCounter is a counter for a topology spread constraint.
type spreadCounter struct {
	*counter
	constraint spreadConstraint
	// takesPart are the nodes that count.
	takesPart []bool
	self      int64 // 1 when the constraint selects the pod itself
	// open is the number of nodes by domain: for a hard constraint those that
	// take part, for a soft one the feasible ones that are not ignored, and
	// opened the number of domains that have any.
	open   []int32
	opened int
}

// hostname says that every node is its own domain, whatever its label.
func (sc *spreadCounter) hostname() bool { return sc.constraint.key == LabelHostname }

// domain is that of a node for a soft constraint. Where nodes need not have the
// label those without share the domain of the empty value.
func (sc *spreadCounter) domain(at int32) int32 { return max(sc.col.id[at], emptyDomain) }

// rate finds the domains of a hard constraint which would be too far above the
// smallest with the pod in them. O(domains).
func (k *class) rate(sc *spreadCounter) {
	low, domains := int64(math.MaxInt32), 0
	for d, open := range sc.open {
		if open > 0 {
			low = min(low, sc.sum[d])
			domains++
		}
	}
	if domains < sc.constraint.minDomains {
		low = 0
	}
	for d := range sc.bad {
		bad := d == absentDomain || sc.sum[d]-low+sc.self > sc.constraint.maxSkew
		if bad != sc.bad[d] {
			sc.bad[d] = bad
			k.flips = append(k.flips, flipped{sc.counter, int32(d)})
		}
	}
}

// flipped is a domain of a counter in which the sum has changed.
type flipped struct {
	counter *counter
	domain  int32
}

// count books the contributions of a node, and notes what that changes.
func (k *class) count(at int32, n *NodeInfo) {
	for i := range k.hard {
		sc := &k.hard[i]
		v := int64(0)
		if sc.takesPart[at] {
			v = sc.constraint.count(&k.cycle, n)
		}
		k.hardMoved = sc.set(at, v) || k.hardMoved
	}
	k.countSoft(at, n)
	if k.parts.interPod == nil {
		return
	}
	k.countTerms(at, n)
	k.countScores(at, n)
}

// countSoft counts for soft constraints. By hostname the count is the node's
// own, whether or not it takes part.
func (k *class) countSoft(at int32, n *NodeInfo) {
	for i := range k.soft {
		sc := &k.soft[i]
		var v int64
		if sc.hostname() || sc.takesPart[at] {
			v = sc.constraint.count(&k.cycle, n)
		}
		k.book(sc.counter, at, sc.domain(at), v)
	}
}

// countTerms counts the pods that the class's required terms select, and the
// terms of running pods that repel the class.
func (k *class) countTerms(at int32, n *NodeInfo) {
	near := int64(0)
	for _, c := range k.apart {
		c.now = 0
	}
	if len(k.near)+len(k.apart) > 0 {
		for _, q := range n.Pods {
			if matchesAll(k.nearTerms, q) {
				near++
			}
			for i := range k.apartTerms {
				if k.apartTerms[i].matches(q, noLabels) {
					k.apart[i].now++
				}
			}
		}
	}
	for _, c := range k.near {
		if c.col.id[at] != absentDomain {
			k.nearMoved = c.set(at, near) || k.nearMoved
		}
	}
	for _, c := range k.apart {
		k.settle(c, at)
	}
	for _, c := range k.repel {
		c.now = 0
	}
	for _, q := range n.WithAntiAffinity {
		for i := range q.requiredAnti {
			if t := &q.requiredAnti[i]; t.matches(k.pod, k.namespace) {
				k.counterOf(&k.repel, t.key).now++
			}
		}
	}
	for _, c := range k.repel {
		k.settle(c, at)
	}
}

// book books what a node contributes to a score in a domain, and notes that the
// domain's nodes look different if they are told apart by that.
func (k *class) book(c *counter, at, domain int32, v int64) {
	delta := v - c.node[at]
	if delta == 0 {
		return
	}
	c.node[at] = v
	c.sum[domain] += delta
	if c.byCount() {
		k.recounted = append(k.recounted, flipped{c, domain})
	}
}

// settle books the contribution to a counter whose domains are bad as soon as
// they count anything.
func (k *class) settle(c *counter, at int32) {
	d := c.col.id[at]
	if d == absentDomain || !c.set(at, c.now) {
		return
	}
	if bad := c.sum[d] > 0; bad != c.bad[d] {
		c.bad[d] = bad
		k.flips = append(k.flips, flipped{c, d})
	}
}

// countScores books weights for the score of InterPodAffinity.
func (k *class) countScores(at int32, n *NodeInfo) {
	if k.skipsInterPodScore {
		return
	}
	for _, c := range k.weights {
		c.now = 0
	}
	k.bookedNow, k.bookedAt = 0, at
	pods := n.WithAffinity
	if k.prefers {
		pods = n.Pods
	}
	for _, q := range pods {
		for i := range k.attract {
			k.weigh(&k.attract[i], q, noLabels, k.attract[i].weight)
		}
		for i := range k.avoid {
			k.weigh(&k.avoid[i], q, noLabels, -k.avoid[i].weight)
		}
		k.weighExisting(q)
	}
	for _, c := range k.weights {
		k.book(c, at, c.col.id[at], c.now)
	}
	k.booked += k.bookedNow - int64(k.bookedBy[at])
	k.bookedBy[at] = int32(k.bookedNow)
}

func (k *class) weighExisting(q *PodInfo) {
	if hard := k.parts.interPod.hardWeight; hard > 0 {
		for i := range q.required {
			k.weigh(&q.required[i], k.pod, k.namespace, hard)
		}
	}
	for i := range q.preferred {
		k.weigh(&q.preferred[i], k.pod, k.namespace, q.preferred[i].weight)
	}
	for i := range q.preferredAnti {
		k.weigh(&q.preferredAnti[i], k.pod, k.namespace, -q.preferredAnti[i].weight)
	}
}

// weigh books one term on the node that is being looked at, if it has the
// term's label.
func (k *class) weigh(t *affinityTerm, p *PodInfo, namespace selector.Labels, weight int64) {
	if !t.matches(p, namespace) {
		return
	}
	c := k.counterOf(&k.weights, t.key)
	if c.col.id[k.bookedAt] == absentDomain {
		return
	}
	c.now += weight
	k.bookedNow++
}

// counterOf finds the counter of a topology key, or makes one.
func (k *class) counterOf(list *[]*counter, key string) *counter {
	for _, c := range *list {
		if c.col.key == key {
			return c
		}
	}
	c := newCounter(k.engine.column(key))
	*list = append(*list, c)
	return c
}

// rateNear finds the domains that lack a pod which the class's affinity asks
// for. As long as there is none anywhere, a pod that its own terms select may
// be the first.
func (k *class) rateNear() {
	empty := true
	for _, c := range k.near {
		for _, sum := range c.sum {
			if sum > 0 {
				empty = false
			}
		}
	}
	first := empty && matchesAll(k.nearTerms, k.pod)
	for _, c := range k.near {
		for d := range c.bad {
			bad := d == absentDomain || !first && c.sum[d] <= 0
			if bad != c.bad[d] {
				c.bad[d] = bad
				k.flips = append(k.flips, flipped{c, int32(d)})
			}
		}
	}
}
