package scheduler

import (
	"math"
	"slices"
)

// listed is the scores of some feasible nodes, one column per node: of those
// that a truncated scan finds, or of all where totals depend on the domains of
// the others. The plain form computes the same in scoreTable.
type listed struct {
	at                    []int32 // positions, in scan order
	total                 []int64
	spread, interPod      []int64 // raw
	ignored               []bool  // by topologySpread
	taintTop, affinityTop int64
	low, high             int64 // of the spread scores that are not ignored
	least, most           int64 // of the interPod scores

	// Memory of spread: per soft constraint its weight, and which of its
	// domains are open.
	weights []float64
	open    []bool
}

// score fills the table for the nodes in l.at.
func (l *listed) score(k *class) {
	l.total = resize(l.total, len(l.at))
	l.taintTop, l.affinityTop = 0, 0
	for _, at := range l.at {
		l.taintTop = max(l.taintTop, int64(k.taints[at]))
		l.affinityTop = max(l.affinityTop, k.affinity[at])
	}
	for i, at := range l.at {
		l.total[i] = k.base[at] +
			k.parts.taintWeight*scaleReversed(int64(k.taints[at]), l.taintTop) +
			k.parts.affinityWeight*scale(k.affinity[at], l.affinityTop)
	}
	if len(k.soft) > 0 {
		l.scoreSpread(k)
	}
	if k.booked > 0 {
		l.scoreInterPod(k)
	}
}

// scoreSpread adds what PodTopologySpread thinks of the nodes.
func (l *listed) scoreSpread(k *class) {
	l.ignored = slices.Grow(l.ignored[:0], len(l.at))[:len(l.at)]
	ignored := 0
	for i, at := range l.at {
		l.ignored[i] = k.strict && !hasColumns(k.soft, at)
		if l.ignored[i] {
			ignored++
		}
	}
	l.weights = l.weights[:0]
	for i := range k.soft {
		size := len(l.at) - ignored
		if !k.soft[i].hostname() {
			size = l.opened(&k.soft[i])
		}
		l.weights = append(l.weights, math.Log(float64(size+2)))
	}
	l.spread = resize(l.spread, len(l.at))
	l.low, l.high = math.MaxInt64, 0
	for i, at := range l.at {
		l.spread[i] = 0
		if l.ignored[i] {
			continue
		}
		l.spread[i] = l.spreadOf(k, at)
		l.low, l.high = min(l.low, l.spread[i]), max(l.high, l.spread[i])
	}
	for i := range l.at {
		l.total[i] += k.parts.spreadWeight * spreadScore(l.spread[i], l.low, l.high, l.ignored[i])
	}
}

// opened counts the domains of the nodes that are not ignored.
func (l *listed) opened(sc *spreadCounter) int {
	l.open = slices.Grow(l.open[:0], len(sc.sum))[:len(sc.sum)]
	clear(l.open)
	size := 0
	for i, at := range l.at {
		if d := sc.domain(at); !l.ignored[i] && !l.open[d] {
			l.open[d] = true
			size++
		}
	}
	return size
}

func (l *listed) spreadOf(k *class, at int32) int64 {
	var score float64
	for i := range k.soft {
		sc := &k.soft[i]
		d := sc.col.id[at]
		if d == absentDomain {
			continue
		}
		count := sc.sum[d]
		if sc.hostname() {
			count = sc.node[at]
		}
		score += float64(float64(count)*l.weights[i]) + float64(sc.constraint.maxSkew-1)
	}
	return int64(math.Round(score))
}

// spreadScore is topologySpread.Normalize for one node.
func spreadScore(raw, low, high int64, ignored bool) int64 {
	switch {
	case ignored:
		return 0
	case high == 0:
		return MaxNodeScore
	}
	return MaxNodeScore * (high + low - raw) / high
}

// scoreInterPod adds what InterPodAffinity thinks of the nodes.
func (l *listed) scoreInterPod(k *class) {
	l.interPod = resize(l.interPod, len(l.at))
	l.least, l.most = math.MaxInt64, math.MinInt64
	for i, at := range l.at {
		var sum int64
		for _, c := range k.weights {
			sum += c.sum[c.col.id[at]]
		}
		l.interPod[i] = sum
		l.least, l.most = min(l.least, sum), max(l.most, sum)
	}
	for i := range l.at {
		l.total[i] += k.parts.interPodWeight * interPodScore(l.interPod[i], l.least, l.most)
	}
}

// interPodScore is interPodAffinity.Normalize for one node.
func interPodScore(raw, least, most int64) int64 {
	if most == least {
		return 0
	}
	return int64(float64(MaxNodeScore) * (float64(raw-least) / float64(most-least)))
}

func (l *listed) dependentOf(k *class, i int) dependent {
	d := dependent{taintTop: l.taintTop, affinityTop: l.affinityTop}
	if len(k.soft) > 0 {
		d.spreadRaw, d.spread = l.spread[i], spreadScore(l.spread[i], l.low, l.high, l.ignored[i])
	}
	if k.booked > 0 {
		d.interPodRaw, d.interPod = l.interPod[i], interPodScore(l.interPod[i], l.least, l.most)
	}
	return d
}

// appendPlugins appends what each plugin gave the node at a position.
func (k *class) appendPlugins(dst []PluginScore, at int32, n *NodeInfo, d dependent) []PluginScore {
	for _, s := range k.cycle.profile.scores {
		out := PluginScore{Plugin: s.plugin.Name()}
		switch s.plugin.(type) {
		case taintToleration:
			out.Raw = int64(k.taints[at])
			out.Normalized = scaleReversed(out.Raw, d.taintTop)
		case *nodeAffinity:
			if !k.scorePreferred {
				continue
			}
			out.Raw = k.affinity[at]
			out.Normalized = scale(out.Raw, d.affinityTop)
		case *topologySpread:
			if len(k.soft) == 0 {
				continue
			}
			out.Raw, out.Normalized = d.spreadRaw, d.spread
		case *interPodAffinity:
			if k.booked == 0 {
				continue
			}
			out.Raw, out.Normalized = d.interPodRaw, d.interPod
		case *balancedAllocation:
			if !k.scoreBalanced {
				continue
			}
			out.Raw = s.plugin.Score(&k.cycle, n)
			out.Normalized = out.Raw
		case volumeBinding:
			continue
		default:
			out.Raw = s.plugin.Score(&k.cycle, n)
			out.Normalized = out.Raw
		}
		out.Weighted = out.Normalized * s.weight
		dst = append(dst, out)
	}
	return dst
}
