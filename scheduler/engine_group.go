package scheduler

import "math"

// groups sorts the feasible nodes of a class by what scores that look at more
// than one node, PodTopologySpread and InterPodAffinity, see of them: nodes that
// look the same to these get the same scores, whatever the scores are. So a
// placement that changes a zone's count changes what a few groups add to the
// totals, and nothing about their nodes.
//
// What is seen of a node are parts: for each constraint and key the node's
// domain where there are few, its count where there are many, and always the
// node's own count for constraints by hostname.
//
// Invariant: of is right for every feasible node. A node's group is found when
// it is put; nodes whose count in a domain changes are put again.
type groups struct {
	of       []int32
	keys     []groupKey
	ids      map[groupKey]int32
	feasible []int32 // by group
	// ignored: the nodes lack the label of a strict soft constraint.
	ignored []bool
	// parts is how many there are.
	parts int
	// tooMany: there are too many groups or parts. Then all nodes are in group 0
	// and scores are computed node by node.
	tooMany  bool
	overflow bool // a count does not fit into a key

	// What the groups get in the present decision.
	spread, interPod       []int64 // raw
	added                  []int64
	weights                []float64
	low, high, least, most int64
}

const (
	groupParts   = 6
	groupsMax    = 512
	fewDomains   = 64
	missingLabel = -1
)

type groupKey [groupParts]int32

// reset forgets all groups but number 0. Every feasible node has to be put
// again.
func (g *groups) reset(parts int) {
	g.keys, g.feasible, g.ignored = g.keys[:0], g.feasible[:0], g.ignored[:0]
	clear(g.ids)
	g.parts, g.overflow = parts, false
	g.tooMany = g.tooMany || parts > groupParts
	g.number(groupKey{}, false)
}

// number returns the group with a key, a new one if need be.
func (g *groups) number(key groupKey, ignored bool) int32 {
	id, ok := g.ids[key]
	if !ok {
		if g.ids == nil {
			g.ids = make(map[groupKey]int32)
		}
		id = int32(len(g.keys))
		g.ids[key] = id
		g.keys = append(g.keys, key)
		g.feasible = append(g.feasible, 0)
		g.ignored = append(g.ignored, ignored)
	}
	return id
}

// byCount says that the nodes of a counter are told apart by its sums.
func (c *counter) byCount() bool { return len(c.sum) > fewDomains }

// part is what is seen of the node through the counter. Nodes without the label
// are in domain 0, whose sum stays 0.
func (c *counter) part(at int32) int64 {
	d := c.col.id[at]
	if c.byCount() {
		return c.sum[d]
	}
	return int64(d)
}

// amount is the inverse of part: the sum in the node's domain.
func (c *counter) amount(part int32) int64 {
	if c.byCount() {
		return int64(part)
	}
	return c.sum[part]
}

func (sc *spreadCounter) part(at int32) int64 {
	switch {
	case sc.col.id[at] == absentDomain:
		return missingLabel
	case sc.hostname():
		return sc.node[at]
	}
	return sc.counter.part(at)
}

func (sc *spreadCounter) amount(part int32) int64 {
	if sc.hostname() {
		return int64(part)
	}
	return sc.counter.amount(part)
}

// groupOf finds the group of a node.
func (k *class) groupOf(at int32) int32 {
	g := &k.groups
	if g.tooMany || g.parts == 0 || g.parts != len(k.soft)+len(k.weights) {
		return 0
	}
	var key groupKey
	ignored := false
	for i := range k.soft {
		part := k.soft[i].part(at)
		ignored = ignored || part == missingLabel && k.strict
		g.see(&key, i, part)
	}
	for i, c := range k.weights {
		g.see(&key, len(k.soft)+i, c.part(at))
	}
	return g.number(key, ignored)
}

func (g *groups) see(key *groupKey, i int, part int64) {
	if part < math.MinInt32 || part > math.MaxInt32 {
		g.overflow = true
	}
	key[i] = int32(part)
}

// regroup sorts all feasible nodes again: when there are other parts, or so many
// groups that most may be empty by now.
func (k *class) regroup() {
	g := &k.groups
	g.reset(len(k.soft) + len(k.weights))
	for at := range k.fits.all() {
		g.of[at] = k.groupOf(at)
		g.feasible[g.of[at]]++
	}
	if !g.tooMany && (len(g.keys) > groupsMax/2 || g.overflow) {
		g.tooMany = true
		k.regroup()
	}
	k.best.soilAll()
}

// scoreGroups finds what each group adds to the totals.
func (k *class) scoreGroups() {
	g := &k.groups
	g.added = resize(g.added, len(g.keys))
	clear(g.added)
	if len(k.soft) > 0 {
		k.spreadGroups()
	}
	if k.booked > 0 {
		k.interPodGroups()
	}
}

// spreadGroups is topologySpread's PreScore, Score and Normalize by group.
func (k *class) spreadGroups() {
	g := &k.groups
	g.weights = g.weights[:0]
	for i := range k.soft {
		size := k.soft[i].opened
		if k.soft[i].hostname() {
			size = k.feasible - k.ignored
		}
		g.weights = append(g.weights, math.Log(float64(size+2)))
	}
	g.spread = resize(g.spread, len(g.keys))
	g.low, g.high = math.MaxInt64, 0
	for i := range g.keys {
		if g.spread[i] = 0; g.feasible[i] == 0 || g.ignored[i] {
			continue
		}
		g.spread[i] = k.spreadOfGroup(i)
		g.low, g.high = min(g.low, g.spread[i]), max(g.high, g.spread[i])
	}
	for i := range g.keys {
		g.added[i] += k.parts.spreadWeight * g.spreadScore(i)
	}
}

func (k *class) spreadOfGroup(group int) int64 {
	var score float64
	for i := range k.soft {
		part := k.groups.keys[group][i]
		if part == missingLabel {
			continue
		}
		sc := &k.soft[i]
		score += float64(float64(sc.amount(part))*k.groups.weights[i]) + float64(sc.constraint.maxSkew-1)
	}
	return int64(math.Round(score))
}

func (g *groups) spreadScore(i int) int64 {
	if g.feasible[i] == 0 {
		return 0
	}
	return spreadScore(g.spread[i], g.low, g.high, g.ignored[i])
}

// interPodGroups is interPodAffinity's Score and Normalize by group.
func (k *class) interPodGroups() {
	g := &k.groups
	g.interPod = resize(g.interPod, len(g.keys))
	g.least, g.most = math.MaxInt64, math.MinInt64
	for i := range g.keys {
		if g.feasible[i] == 0 {
			continue
		}
		var sum int64
		for j, c := range k.weights {
			sum += c.amount(g.keys[i][len(k.soft)+j])
		}
		g.interPod[i] = sum
		g.least, g.most = min(g.least, sum), max(g.most, sum)
	}
	for i := range g.keys {
		if g.feasible[i] > 0 {
			g.added[i] += k.parts.interPodWeight * interPodScore(g.interPod[i], g.least, g.most)
		}
	}
}

// dependent is the scores of one node that depend on other nodes.
type dependent struct {
	taintTop, affinityTop int64
	spreadRaw, spread     int64
	interPodRaw, interPod int64
}

func (k *class) dependentOf(at int32) dependent {
	g := &k.groups
	d := dependent{taintTop: k.taintTop.top, affinityTop: k.affinityTop.top}
	i := int(g.of[at])
	if len(k.soft) > 0 {
		d.spreadRaw, d.spread = g.spread[i], g.spreadScore(i)
	}
	if k.booked > 0 {
		d.interPodRaw, d.interPod = g.interPod[i], interPodScore(g.interPod[i], g.least, g.most)
	}
	return d
}
