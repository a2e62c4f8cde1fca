package scheduler

import (
	"math"
	"slices"
	"sort"
	"time"
)

// byImportance sorts pods, most important first. It must be the sort that
// upstream uses: among equals the order depends on the algorithm.
func byImportance(pods []*PodInfo) { sort.Sort(importance(pods)) }

type importance []*PodInfo

func (p importance) Len() int           { return len(p) }
func (p importance) Less(i, j int) bool { return moreImportant(p[i], p[j]) }
func (p importance) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }

// moreImportant: higher priority, then earlier start. Of two pods without a
// start time the first is more important: upstream reads the clock for both,
// one after the other.
func moreImportant(a, b *PodInfo) bool {
	if a.Priority != b.Priority {
		return a.Priority > b.Priority
	}
	s, t := a.Pod.Status.StartTime, b.Pod.Status.StartTime
	if s == nil || t == nil {
		return t == nil
	}
	return s.Before(*t)
}

// splitByBudget tells pods whose removal, in this order, would violate a
// PodDisruptionBudget from the others. Every budget that selects a pod is
// charged, also after another one is exhausted.
func (c *Cache) splitByBudget(pods []*PodInfo) (protected, free []*PodInfo) {
	if len(c.budgets.m) == 0 {
		return nil, pods
	}
	left := make(map[*disruptionBudget]int32, len(c.budgets.m))
	for _, b := range c.budgets.m {
		left[b] = b.allowed
	}
	for _, p := range pods {
		violated := false
		for _, b := range c.budgets.m {
			if b.covers(p) {
				left[b]--
				violated = violated || left[b] < 0
			}
		}
		if violated {
			protected = append(protected, p)
		} else {
			free = append(free, p)
		}
	}
	return protected, free
}

// covers says that removing the pod charges the budget. A pod without labels
// is covered by none, and an empty selector covers nothing.
func (b *disruptionBudget) covers(p *PodInfo) bool {
	return b.key.namespace == p.Namespace && p.Labels.Len() > 0 &&
		!b.pods.IsEverything() && b.pods.Matches(p.Labels) && !b.disrupted[p.Pod.Name]
}

// pickCriteria are what candidates are compared by, in turn; the highest is
// best.
var pickCriteria = [...]func(*candidate) int64{
	func(d *candidate) int64 { return int64(-d.violations) },
	func(d *candidate) int64 { return -int64(d.victims[0].Priority) },
	func(d *candidate) int64 { return -d.sumPriorities() },
	func(d *candidate) int64 { return -int64(len(d.victims)) },
	(*candidate).earliestStart,
}

// pick returns the best candidates: those that come first by each of the
// criteria in turn.
func pick(candidates []candidate) []candidate {
	best := slices.Clone(candidates)
	for _, rate := range pickCriteria {
		top := int64(math.MinInt64)
		kept := best[:0]
		for i := range best {
			r := rate(&best[i])
			if r > top {
				top, kept = r, best[:0]
			}
			if r == top {
				kept = append(kept, best[i]) // at or before i
			}
		}
		best = kept
		if len(best) == 1 {
			break
		}
	}
	return best
}

// sumPriorities adds 2^31 to each, so that fewer victims of negative priority
// are better than many.
func (d *candidate) sumPriorities() int64 {
	var sum int64
	for _, v := range d.victims {
		sum += int64(v.Priority) + 1<<31
	}
	return sum
}

// earliestStart is when the first of the most important victims was started;
// the node where that was latest is taken. A pod that has not started counts
// as started last.
func (d *candidate) earliestStart() int64 {
	var earliest *time.Time
	for _, v := range d.victims {
		if v.Priority != d.victims[0].Priority {
			continue
		}
		if t := v.Pod.Status.StartTime; t != nil && (earliest == nil || t.Before(*earliest)) {
			earliest = t
		}
	}
	if earliest == nil {
		return math.MaxInt64
	}
	return earliest.UnixNano()
}
