package qos

import (
	"maps"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
)

// Defaulted returns a copy of p with requests filled in the way the API server
// does before a class is computed: a container's missing request is its limit;
// a missing pod-level request is the sum over the containers or else the
// pod-level limit. Amounts are rounded up to thousandths.
func Defaulted(p *Pod) *Pod {
	out := *p
	out.Spec.Containers = defaultedContainers(p.Spec.Containers)
	out.Spec.InitContainers = defaultedContainers(p.Spec.InitContainers)
	out.Spec.Resources = defaultedPodLevel(&out)
	out.Spec.Overhead = roundedToMilli(p.Spec.Overhead)
	for _, containers := range [][]Container{out.Spec.Containers, out.Spec.InitContainers} {
		for i := range containers {
			containers[i].Resources = containers[i].Resources.roundedToMilli()
		}
	}
	if out.Spec.Resources != nil {
		*out.Spec.Resources = out.Spec.Resources.roundedToMilli()
	}
	return &out
}

func defaultedContainers(containers []Container) []Container {
	out := slices.Clone(containers)
	for i := range out {
		r := &out[i].Resources
		requests, limits := maps.Clone(r.Requests.List()), r.Limits.List()
		if limits != nil {
			requests = filled(requests, limits, func(string) bool { return true })
		}
		r.Requests, r.Limits = resource.AmountsOf(requests), resource.AmountsOf(limits)
	}
	return out
}

// defaultedPodLevel fills in the pod-level block (KEP-2837) of a pod whose
// containers are defaulted already.
func defaultedPodLevel(p *Pod) *Requirements {
	if p.Spec.Resources == nil {
		return nil
	}
	requests, limits := p.Spec.Resources.Requests.List(), p.Spec.Resources.Limits.List()
	if len(requests)+len(limits) > 0 {
		limits = filled(limits, containerLimits(p), func(name string) bool {
			_, requested := requests[name]
			return strings.HasPrefix(name, hugePagesPrefix) && !requested
		})
	}
	if len(limits) > 0 {
		requests = filled(requests, containerRequests(p), func(name string) bool { return name == CPU || name == Memory })
		requests = filled(requests, limits, podLevelSupported)
	}
	return &Requirements{resource.AmountsOf(requests), resource.AmountsOf(limits)}
}

// filled adds to list what it lacks of more, as far as wanted.
func filled(list, more resource.List, wanted func(name string) bool) resource.List {
	for name, q := range more {
		if _, ok := list[name]; ok || !wanted(name) {
			continue
		}
		if list == nil {
			list = resource.List{}
		}
		list[name] = q
	}
	return list
}

func (r Requirements) roundedToMilli() Requirements {
	return Requirements{roundedToMilli(r.Requests), roundedToMilli(r.Limits)}
}

func roundedToMilli(amounts resource.Amounts) resource.Amounts {
	out := slices.Clone(amounts)
	for i := range out {
		out[i].Quantity, _ = out[i].Quantity.RoundUp(resource.Milli)
	}
	return out
}
