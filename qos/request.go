package qos

import (
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
)

const hugePagesPrefix = "hugepages-"

// podLevelSupported reports whether the pod-level block may speak about the
// resource.
func podLevelSupported(name string) bool {
	return name == CPU || name == Memory || strings.HasPrefix(name, hugePagesPrefix)
}

// Requests returns what the pod as a whole requests: per resource the larger
// of all regular containers and sidecars together and of the most demanding
// moment of initialisation (KEP-753); pod-level requests replace that
// (KEP-2837); overhead comes on top.
func Requests(p *Pod) resource.List {
	total := containerRequests(p)
	if p.Spec.Resources != nil {
		replaceSupported(total, p.Spec.Resources.Requests)
	}
	addTo(total, p.Spec.Overhead)
	return total
}

// Limits returns the pod's limits by the same rules; overhead comes on top
// only where there is a limit.
func Limits(p *Pod) resource.List {
	total := containerLimits(p)
	if p.Spec.Resources != nil {
		replaceSupported(total, p.Spec.Resources.Limits)
	}
	for _, a := range p.Spec.Overhead {
		if have, ok := total[a.Name]; ok && !have.IsZero() {
			total[a.Name] = have.Add(a.Quantity)
		}
	}
	return total
}

func replaceSupported(total resource.List, podLevel resource.Amounts) {
	for _, a := range podLevel {
		if podLevelSupported(a.Name) {
			total[a.Name] = a.Quantity
		}
	}
}

func containerRequests(p *Pod) resource.List {
	return aggregate(p, func(c *Container) resource.Amounts { return c.Resources.Requests })
}

func containerLimits(p *Pod) resource.List {
	return aggregate(p, func(c *Container) resource.Amounts { return c.Resources.Limits })
}

// aggregate returns the larger, per resource, of the running pod (regular
// containers and sidecars) and of each step of its initialisation (one init
// container beside the sidecars started before it).
func aggregate(p *Pod, of func(*Container) resource.Amounts) resource.List {
	running, sidecars, peak := resource.List{}, resource.List{}, resource.List{}
	for i := range p.Spec.Containers {
		addTo(running, of(&p.Spec.Containers[i]))
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.sidecar() {
			addTo(running, of(c))
			addTo(sidecars, of(c))
			peak = peak.Max(sidecars)
		} else {
			step := of(c).List().Add(sidecars)
			peak = peak.Max(step)
		}
	}
	return running.Max(peak)
}

func addTo(total resource.List, amounts resource.Amounts) {
	for _, a := range amounts {
		have, ok := total[a.Name]
		if ok {
			a.Quantity = have.Add(a.Quantity)
		}
		total[a.Name] = a.Quantity
	}
}

// RequestOf returns what the pod requests of one resource in the eyes of the
// kubelet's eviction and preemption: with pod-level resources (KEP-2837) only
// what the pod level requests, for any resource; overhead counts only on top
// of a request.
func RequestOf(p *Pod, name string) resource.Quantity {
	var total resource.Quantity
	if podLevelSet(p) {
		if podLevelSupported(name) {
			total = p.Spec.Resources.Requests.Of(name)
		}
	} else {
		total = aggregateOne(p, name)
	}
	if !total.IsZero() {
		total = total.Add(p.Spec.Overhead.Of(name))
	}
	return total
}

// aggregateOne is containerRequests(p)[name] without the maps.
func aggregateOne(p *Pod, name string) resource.Quantity {
	var running, sidecars, peak resource.Quantity
	var inRunning, inSidecars, inPeak bool
	for i := range p.Spec.Containers {
		q, ok := p.Spec.Containers[i].Resources.Requests.Lookup(name)
		running, inRunning = running.Add(q), inRunning || ok
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		q, ok := c.Resources.Requests.Lookup(name)
		step := q.Add(sidecars)
		inStep := inSidecars || ok
		if c.sidecar() {
			step = sidecars.Add(q) // the same amount in the sidecars' notation
			running, inRunning = running.Add(q), inRunning || ok
			sidecars, inSidecars = step, inStep
		}
		if inStep && (!inPeak || step.Cmp(peak) > 0) {
			peak, inPeak = step, true
		}
	}
	if inPeak && (!inRunning || peak.Cmp(running) > 0) {
		return peak
	}
	return running
}
