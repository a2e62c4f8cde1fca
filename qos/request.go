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
