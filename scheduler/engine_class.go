package scheduler

import (
	"github.com/orchcore/orchcore/selector"
)

// class is what the engine keeps about all pods with one classKey: for every
// node whether it admits such a pod and how it scores. All of it is a function
// of the nodes, of what runs on them, and of the pod. What invalidates it:
//
//	what changed                          what is done again
//	pods on a node                        dynamic and count, for that node
//	the Node object                       static too, for that node
//	a label that is a key of a counter    everything
//	namespaces                            everything, if terms look at them
//	services, owners                      everything, if the defaults select
//	                                      other pods than before
//	which nodes there are, their order    everything
//	a count of a domain                   its nodes' feasibility, if it flips
//	the feasible nodes                    totals, if a normaliser changes
type class struct {
	id     classID
	pod    *PodInfo // any one of the class
	parts  *parts
	engine *engine
	mark   *owner
	cycle  Cycle // what plugins see
	used   uint64
	memo   memo

	// The state of the Cache that the class has followed.
	clock, cursor uint64

	// By node, in scan order.
	local    []localCause
	base     []int64 // weighted scores that need no normalising
	taints   []int32 // raw scores
	affinity []int64
	fits     bitset // the feasible nodes
	groups   groups

	feasible    int
	taintTop    tally // over the feasible nodes
	affinityTop tally
	best        bestNodes

	scorePreferred, scoreBalanced bool
	quick                         quick

	failed *failures // nil until a pod fits on no node

	// What depends on other nodes than the one that is looked at.
	hard, soft             []spreadCounter
	strict                 bool // nodes without the keys of soft take no part
	defaults               selector.Selector
	near, apart, repel     []*counter
	nearTerms, apartTerms  []affinityTerm
	namespace              selector.Labels
	skipsInterPodScore     bool
	prefers                bool
	attract, avoid         []affinityTerm
	weights                []*counter
	bookedBy               []int32
	booked, bookedNow      int64
	bookedAt               int32
	hardMoved, nearMoved   bool
	flips                  []flipped
	recounted              []flipped
	ignored                int // feasible nodes that soft constraints ignore
	counts, looksAtCluster bool
}

// localCause is why a node does not admit the pod, as far as the node alone
// tells; 0 when it does.
type localCause uint8

const (
	causeStatic  localCause = 1 << iota // node object
	causeDynamic                        // ports, resources
)

// tally is the highest raw score among the feasible nodes, and how many have
// it.
type tally struct{ top, nodes int64 }

func (t *tally) add(v int64) {
	if v > t.top {
		*t = tally{top: v}
	}
	if v == t.top {
		t.nodes++
	}
}

func (t *tally) drop(v int64) {
	if v == t.top {
		t.nodes--
	}
}

// static evaluates what depends on the Node object alone.
func (k *class) static(at int32, n *NodeInfo) {
	c, p := &k.cycle, k.parts
	// Most nodes and pods have nothing that a plugin would have to look at.
	tainted := p.taints && len(n.Node.Spec.Taints) > 0
	selects := p.affinity != nil && (p.affinity.added != nil || !k.pod.nodes.any)
	ok := (!p.unschedulable || !n.Node.Spec.Unschedulable || passes(nodeUnschedulable{}, c, n)) &&
		(!tainted || passes(taintToleration{}, c, n)) &&
		(!selects || passes(p.affinity, c, n)) &&
		(!p.features || len(k.pod.features) == 0 || passes(declaredFeatures{}, c, n))
	k.local[at] &^= causeStatic
	if !ok {
		k.local[at] |= causeStatic
	}
	if k.taints[at] = 0; tainted {
		k.taints[at] = int32(taintToleration{}.Score(c, n))
	}
	if k.scorePreferred {
		k.affinity[at] = p.affinity.Score(c, n)
	}
	k.takePart(at, n)
}

// takePart finds the spread constraints that the node counts for.
func (k *class) takePart(at int32, n *NodeInfo) {
	hasAll := hasColumns(k.hard, at)
	for i := range k.hard {
		sc := &k.hard[i]
		d := sc.col.id[at]
		if sc.takesPart[at] {
			sc.open[d]--
		}
		sc.takesPart[at] = hasAll && sc.constraint.includes(&k.cycle, n)
		if sc.takesPart[at] {
			sc.open[d]++
		}
		k.hardMoved = true
	}
	hasAll = !k.strict || hasColumns(k.soft, at)
	for i := range k.soft {
		sc := &k.soft[i]
		sc.takesPart[at] = hasAll && sc.constraint.includes(&k.cycle, n)
	}
}

// hasColumns is hasKeys for a position.
func hasColumns(list []spreadCounter, at int32) bool {
	for i := range list {
		if list[i].col.id[at] == absentDomain {
			return false
		}
	}
	return true
}

func passes(f Filter, c *Cycle, n *NodeInfo) bool {
	v := f.Filter(c, n)
	return v.Code == Success
}

// dynamic evaluates what depends on what runs on the node.
func (k *class) dynamic(at int32, n *NodeInfo) {
	k.local[at] &^= causeDynamic
	if k.local[at] != 0 {
		return
	}
	if !k.admits(n) {
		k.local[at] |= causeDynamic
		return
	}
	k.base[at] = k.baseOf(n)
}

// blocked says that the node is in a domain which is out of the question.
func (k *class) blocked(at int32) bool {
	for i := range k.hard {
		if k.hard[i].blocks(at) {
			return true
		}
	}
	for _, list := range [...][]*counter{k.near, k.apart, k.repel} {
		for _, c := range list {
			if c.blocks(at) {
				return true
			}
		}
	}
	return false
}

// lift takes a node out of the feasible ones, before its scores change.
func (k *class) lift(at int32) {
	if !k.fits.has(at) {
		return
	}
	k.fits.clear(at)
	k.feasible--
	k.taintTop.drop(int64(k.taints[at]))
	k.affinityTop.drop(k.affinity[at])
	k.groups.feasible[k.groups.of[at]]--
	k.open(at, -1)
	k.best.soil(at)
}

// put decides anew about a node that was lifted.
func (k *class) put(at int32) {
	if k.local[at] != 0 || k.looksAtCluster && k.blocked(at) {
		return
	}
	k.fits.set(at)
	k.feasible++
	k.taintTop.add(int64(k.taints[at]))
	k.affinityTop.add(k.affinity[at])
	group := k.groupOf(at)
	k.groups.of[at] = group
	k.groups.feasible[group]++
	k.open(at, 1)
	k.best.soil(at)
}

// open follows which domains of soft constraints have feasible nodes.
func (k *class) open(at int32, delta int32) {
	if len(k.soft) == 0 {
		return
	}
	if k.strict && !hasColumns(k.soft, at) {
		k.ignored += int(delta)
		return
	}
	for i := range k.soft {
		sc := &k.soft[i]
		if sc.hostname() {
			continue
		}
		open := &sc.open[sc.domain(at)]
		if *open == 0 {
			sc.opened++
		}
		if *open += delta; *open == 0 {
			sc.opened--
		}
	}
}

// follow brings the class up to date with the nodes that have changed.
func (k *class) follow(changed []int32, nodes []*NodeInfo) {
	for _, at := range changed {
		n := nodes[at]
		k.lift(at)
		if n.redefined > k.clock {
			k.static(at, n)
		}
		k.dynamic(at, n)
		if k.counts {
			k.count(at, n)
		}
	}
	k.rateDomains()
	for _, at := range changed {
		k.lift(at)
		k.put(at)
	}
	k.reconsider()
}

// reconsider brings up to date what depends on all feasible nodes.
func (k *class) reconsider() {
	for _, f := range k.recounted {
		for _, at := range f.counter.col.in(f.domain) {
			if k.fits.has(at) {
				k.lift(at)
				k.put(at)
			}
		}
	}
	k.recounted = k.recounted[:0]
	if g := &k.groups; g.parts != len(k.soft)+len(k.weights) || !g.tooMany && (g.overflow || len(g.keys) > groupsMax) {
		k.regroup()
	}
	k.retop()
}

// rateDomains finds the domains that are in or out of the question now, and
// decides anew about their nodes.
func (k *class) rateDomains() {
	if k.hardMoved {
		for i := range k.hard {
			k.rate(&k.hard[i])
		}
	}
	if k.nearMoved {
		k.rateNear()
	}
	k.hardMoved, k.nearMoved = false, false
	k.looksAtCluster = len(k.hard)+len(k.near)+len(k.apart)+len(k.repel) > 0
	for _, f := range k.flips {
		for _, at := range f.counter.col.in(f.domain) {
			k.lift(at)
			k.put(at)
		}
	}
	k.flips = k.flips[:0]
}

// retop finds the highest raw scores again if all nodes that had one are gone.
func (k *class) retop() {
	if k.feasible > 0 && (k.taintTop.nodes == 0 || k.affinityTop.nodes == 0) {
		k.taintTop, k.affinityTop = tally{}, tally{}
		for at := range k.fits.all() {
			k.taintTop.add(int64(k.taints[at]))
			k.affinityTop.add(k.affinity[at])
		}
	}
}

// ownPart is the weighted sum of a node's scores that do not depend on what runs
// on others.
func (k *class) ownPart(at int32) int64 {
	return k.base[at] +
		k.parts.taintWeight*scaleReversed(int64(k.taints[at]), k.taintTop.top) +
		k.parts.affinityWeight*scale(k.affinity[at], k.affinityTop.top)
}

// scale and scaleReversed are normalize for one score.
func scale(v, top int64) int64 {
	if top == 0 {
		return v
	}
	return v * MaxNodeScore / top
}

func scaleReversed(v, top int64) int64 {
	if top == 0 {
		return MaxNodeScore
	}
	return MaxNodeScore - v*MaxNodeScore/top
}
