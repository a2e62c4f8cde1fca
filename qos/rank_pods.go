package qos

import "github.com/orchcore/orchcore/qos/resource"

// RankPods returns what Rank returns of Candidates(pods, summary), for a
// question asked once: it reads of pods and statistics only what the signal is
// about, and keeps nothing of it.
func RankPods(pods []*Pod, summary *Summary, s Signal, layout Layout) []int {
	o := oneShot{pods, summary.of(pods), s, layout}
	return sorted(o.keys(), &o)
}

// FirstPod returns what First returns of Candidates(pods, summary), at the cost
// of RankPods less the sorting.
func FirstPod(pods []*Pod, summary *Summary, s Signal, layout Layout) int {
	o := oneShot{pods, summary.of(pods), s, layout}
	best := rankKey{index: -1}
	for _, key := range o.keys() {
		switch {
		case best.index >= 0 && key.compare(best) > 0 || IsCritical(pods[key.index]):
		case best.index < 0 || key.compare(best) < 0,
			compareExactly(key, best, &o) < 0:
			best = key
		}
	}
	return int(best.index)
}

// oneShot is a question about pods that are not compiled.
type oneShot struct {
	pods   []*Pod
	stats  []*PodStats // by pod
	signal Signal
	layout Layout
}

// blockPods is how many pods at a time go through each step of keys. What pods
// and statistics point to lies scattered over memory, and most of the time goes
// into waiting for it: in a loop that does little else, the processor fetches
// that of several pods at once.
const blockPods = 32

func (o *oneShot) keys() []rankKey {
	keys := make([]rankKey, 0, len(o.pods))
	var block [blockPods]Candidate
	for len(keys) < len(o.pods) {
		start := len(keys)
		block := block[:min(blockPods, len(o.pods)-start)]
		for i := range block {
			block[i].compileFor(o.pods[start+i], o.signal)
		}
		for i := range block {
			block[i].observeFor(o.stats[start+i], o.signal)
		}
		for i := range block {
			keys = append(keys, newRankKey(block[i].KeyFor(o.signal, o.layout), start+i))
		}
	}
	return keys
}

func (o *oneShot) pod(i int32) *Pod { return o.pods[i] }

func (o *oneShot) excess(i int32) resource.Quantity {
	var c Candidate
	c.compileFor(o.pods[i], o.signal)
	c.observeFor(o.stats[i], o.signal)
	return c.KeyFor(o.signal, o.layout).Excess
}

// compileFor is Compile as far as the signal's keys depend on it.
func (c *Candidate) compileFor(p *Pod, s Signal) {
	*c = Candidate{Pod: p, priority: Priority(p)}
	switch s {
	case MemoryAvailable, AllocatableMemoryAvailable:
		c.Memory = RequestOf(p, Memory)
	case PIDAvailable:
	default:
		c.EphemeralStorage = RequestOf(p, EphemeralStorage)
		if s.countsInodes() {
			c.Inodes = RequestOf(p, inodes)
		}
	}
}

// observeFor is Observe in the same way, after compileFor.
func (c *Candidate) observeFor(stats *PodStats, s Signal) {
	c.stats, c.Known = stats, stats != nil
	if !c.Known {
		return
	}
	switch s {
	case MemoryAvailable, AllocatableMemoryAvailable:
		c.observeMemory()
	case PIDAvailable:
		c.observeProcesses()
	default:
		c.observeDisk(!s.countsInodes(), s.countsInodes())
	}
}
