package qos

import (
	"fmt"
	"strings"
)

// A Shortage is how much of a resource a pod still needs to be admitted: cpu
// in thousandths, "pods" as a count, anything else in its unit.
type Shortage struct {
	Resource string
	Amount   int64
}

// Preemptable reports whether the preemptor may drive out the victim at
// admission: it is critical and the victim is not, or both have a priority and
// the preemptor's is higher.
func Preemptable(preemptor, victim *Pod) bool {
	if IsCritical(preemptor) && !IsCritical(victim) {
		return true
	}
	a, b := preemptor.Spec.Priority, victim.Spec.Priority
	return a != nil && b != nil && *a > *b
}

// PreemptionVictims returns the pods to kill so that a critical pod can be
// admitted in spite of the shortages: first as few Guaranteed pods as would be
// needed if all others went, then as few Burstable ones, then BestEffort. They
// come in the order BestEffort, Burstable, Guaranteed. Within a class the pod
// is taken, one by one, whose requests come closest to what is still short.
//
// For a pod that is not critical, and when all preemptable pods together would
// not do, the answer is an error and nobody is to be killed.
func PreemptionVictims(preemptor *Pod, running []*Pod, shortages []Shortage) ([]*Pod, error) {
	if !IsCritical(preemptor) {
		return nil, fmt.Errorf("pod %s/%s is not critical: want a static pod, a mirror pod or priority %d",
			preemptor.Metadata.Namespace, preemptor.Metadata.Name, int64(SystemCriticalPriority))
	}
	var byClass [Guaranteed + 1][]victim
	for _, p := range running {
		if class := ClassOf(p); class <= Guaranteed && Preemptable(preemptor, p) {
			byClass[class] = append(byClass[class], newVictim(p, shortages))
		}
	}
	need := newNeed(shortages)
	bestEffort, burstable, guaranteed := byClass[BestEffort], byClass[Burstable], byClass[Guaranteed]
	if left := need.after(bestEffort, burstable, guaranteed); len(left) > 0 {
		return nil, left.unmet()
	}
	guaranteed, err := closest(guaranteed, need.after(bestEffort, burstable))
	if err != nil {
		return nil, err
	}
	burstable, err = closest(burstable, need.after(bestEffort, guaranteed))
	if err != nil {
		return nil, err
	}
	bestEffort, err = closest(bestEffort, need.after(burstable, guaranteed))
	if err != nil {
		return nil, err
	}
	var victims []*Pod
	for _, class := range [][]victim{bestEffort, burstable, guaranteed} {
		for _, v := range class {
			victims = append(victims, v.pod)
		}
	}
	return victims, nil
}

// A victim is a pod with what it requests of each resource that is short.
type victim struct {
	pod         *Pod
	frees       []int64 // by the index of the shortage
	memory, cpu int64
}

func newVictim(p *Pod, shortages []Shortage) victim {
	v := victim{pod: p, memory: admissionRequest(p, Memory), cpu: admissionRequest(p, CPU)}
	for _, s := range shortages {
		v.frees = append(v.frees, admissionRequest(p, s.Resource))
	}
	return v
}

// admissionRequest is RequestOf in the unit of a Shortage.
func admissionRequest(p *Pod, name string) int64 {
	switch name {
	case "pods":
		return 1
	case CPU:
		return RequestOf(p, name).MilliValue()
	}
	return RequestOf(p, name).Value()
}

// A need is what is still short.
type need []openShortage

type openShortage struct {
	Shortage
	index int // in the caller's list
}

func newNeed(shortages []Shortage) need {
	var n need
	for i, s := range shortages {
		n = append(n, openShortage{s, i})
	}
	return n
}

// after returns what is still short once the victims are gone.
func (n need) after(classes ...[]victim) need {
	var left need
	for _, s := range n {
		s.Amount = s.after(classes)
		if s.Amount > 0 {
			left = append(left, s)
		}
	}
	return left
}

func (s openShortage) after(classes [][]victim) int64 {
	amount := s.Amount
	for _, class := range classes {
		for _, v := range class {
			if amount = saturatingSub(amount, v.frees[s.index]); amount <= 0 {
				return 0
			}
		}
	}
	return amount
}

func (n need) unmet() error {
	var b strings.Builder
	for _, s := range n {
		fmt.Fprintf(&b, "(res: %v, q: %d), ", s.Resource, s.Amount)
	}
	return fmt.Errorf("no set of running pods found to reclaim resources: [%s]", b.String())
}

// distance is how far the victim's requests stay below what is short: the sum
// over the shortages of the squared share that it leaves open.
func (n need) distance(v victim) float64 {
	sum := 0.0
	for _, s := range n {
		if open := float64(saturatingSub(s.Amount, v.frees[s.index])); open > 0 {
			share := open / float64(s.Amount)
			sum += float64(share * share) // the conversion forbids a fused multiply-add
		}
	}
	return sum
}

// closest takes victims until nothing is short: each time the one with the
// smallest distance, among those the one with the smaller requests, among
// those the last. The last candidate takes the place of the one taken, which
// decides later ties as it does upstream.
func closest(candidates []victim, n need) ([]victim, error) {
	var taken []victim
	for len(n) > 0 {
		if len(candidates) == 0 {
			return nil, n.unmet()
		}
		best, shortest := 0, float64(len(n)+1)
		for i, v := range candidates {
			distance := n.distance(v)
			if distance < shortest || distance == shortest && !candidates[best].smallerThan(v) {
				best, shortest = i, distance
			}
		}
		v := candidates[best]
		n = n.after([]victim{v})
		taken = append(taken, v)
		candidates[best] = candidates[len(candidates)-1]
		candidates = candidates[:len(candidates)-1]
	}
	return taken, nil
}

// smallerThan compares by memory, then by cpu.
func (v victim) smallerThan(w victim) bool {
	if v.memory != w.memory {
		return v.memory < w.memory
	}
	return v.cpu < w.cpu
}
