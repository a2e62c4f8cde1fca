package scheduler

import (
	"cmp"
	"reflect"
)

// podHeap is a binary heap of queued pods that know their position, so that
// one can be moved or removed in O(log n).
type podHeap struct {
	pods []*QueuedPod
	less func(a, b *QueuedPod) bool
}

func (h *podHeap) peek() *QueuedPod {
	if len(h.pods) == 0 {
		return nil
	}
	return h.pods[0]
}

func (h *podHeap) add(p *QueuedPod) {
	p.at = len(h.pods)
	h.pods = append(h.pods, p)
	h.up(p.at)
}

func (h *podHeap) remove(p *QueuedPod) {
	at, last := p.at, len(h.pods)-1
	h.swap(at, last)
	h.pods[last] = nil
	h.pods = h.pods[:last]
	if at < last {
		h.fixAt(at)
	}
}

// fix restores the order after p has changed.
func (h *podHeap) fix(p *QueuedPod) { h.fixAt(p.at) }

func (h *podHeap) fixAt(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

func (h *podHeap) swap(i, j int) {
	h.pods[i], h.pods[j] = h.pods[j], h.pods[i]
	h.pods[i].at, h.pods[j].at = i, j
}

func (h *podHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(h.pods[i], h.pods[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *podHeap) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(h.pods) {
			return moved
		}
		if right := child + 1; right < len(h.pods) && h.less(h.pods[right], h.pods[child]) {
			child = right
		}
		if !h.less(h.pods[child], h.pods[i]) {
			return moved
		}
		h.swap(i, child)
		i, moved = child, true
	}
}

// podList is an unordered set of queued pods that know their position.
type podList []*QueuedPod

func (l *podList) add(p *QueuedPod) {
	p.at = len(*l)
	*l = append(*l, p)
}

func (l *podList) remove(p *QueuedPod) {
	last := len(*l) - 1
	moved := (*l)[last]
	(*l)[p.at] = moved
	moved.at = p.at
	(*l)[last] = nil
	*l = (*l)[:last]
}

// lessActive is the order of active pods: the most important first, then the
// one that waits longest, then the one that was queued first.
//
// Differs: upstream leaves open which of two pods that entered in the same
// nanosecond is first.
func lessActive(a, b *QueuedPod) bool {
	if a.Pod.Priority != b.Pod.Priority {
		return a.Pod.Priority > b.Pod.Priority
	}
	if c := a.Since.Compare(b.Since); c != 0 {
		return c < 0
	}
	return cmp.Less(a.sequence, b.sequence)
}

// lessBackoff is the order of pods that back off: by the second in which the
// backoff ends, within it as when they are active (KEP-5142).
func (q *Queue) lessBackoff(a, b *QueuedPod) bool {
	if c := q.backoffEnd(a).Compare(q.backoffEnd(b)); c != 0 {
		return c < 0
	}
	return lessActive(a, b)
}

// sameClass says that two pods differ in nothing that a decision reads but
// their names. Pods that name their claims, or belong to a group, are always
// on their own.
func sameClass(a, b *PodInfo) bool {
	if a.Namespace != b.Namespace || a.Priority != b.Priority || a.group != "" || b.group != "" ||
		len(a.volumeClaims)+len(b.volumeClaims) > 0 ||
		a.Pod.Status.NominatedNodeName != "" || b.Pod.Status.NominatedNodeName != "" {
		return false
	}
	return reflect.DeepEqual(&a.Pod.Spec, &b.Pod.Spec) && reflect.DeepEqual(a.Pod.Labels, b.Pod.Labels) &&
		reflect.DeepEqual(a.Pod.OwnerReferences, b.Pod.OwnerReferences)
}
