package scheduler

import (
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
)

// What a container that requests no CPU or memory counts for when nodes are
// scored, so that pods without requests spread too.
const (
	defaultCPUMilli    = 100
	defaultMemoryBytes = 200 << 20
)

// requestForm selects one of the ways in which the request of a pod is
// computed. Filter, node accounting and scores each use their own.
type requestForm struct {
	// status honours what in-place resize has allocated and actuated
	// (KEP-1287).
	status bool
	// podLevel honours spec.resources (KEP-2837).
	podLevel bool
	// missing stands in for names that a container does not request. An
	// explicit zero stays zero.
	missing resource.List
}

// podRequest returns what the pod asks for: the larger of what its containers
// use together and what any init container uses while it runs; sidecars count
// for both (KEP-753).
func podRequest(p *Pod, form requestForm) resource.List {
	total := containerRequest(p, form)
	if form.podLevel && hasPodLevelRequests(p) {
		replacePodLevel(total, p, form)
	}
	addTo(total, p.Spec.Overhead)
	return total
}

func containerRequest(p *Pod, form requestForm) resource.List {
	total, sidecars, initPeak := resource.List{}, resource.List{}, resource.List{}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		addTo(total, form.requestsOf(p, c, true))
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		req := form.requestsOf(p, c, c.restartable())
		if c.restartable() {
			addTo(total, req)
			addTo(sidecars, req)
			raiseTo(initPeak, sidecars)
			continue
		}
		use := resource.List{}
		addTo(use, req)
		addTo(use, sidecars)
		raiseTo(initPeak, use)
	}
	raiseTo(total, initPeak)
	return total
}

// requestsOf returns the requests of one container; resizable ones honour
// their status.
func (form requestForm) requestsOf(p *Pod, c *Container, resizable bool) resource.List {
	req := c.Resources.Requests
	if form.status && resizable {
		if s := containerStatus(p, c.Name); s != nil && s.Resources != nil {
			req = effectiveRequest(p, req, s.Resources.Requests, s.AllocatedResources)
		}
	}
	if len(form.missing) == 0 {
		return req
	}
	filled := resource.List{}
	addTo(filled, req)
	for name, q := range form.missing {
		if _, ok := req[name]; !ok {
			filled[name] = q
		}
	}
	return filled
}

// containerStatus returns the status of the named container. Names are shared
// by init and regular containers, and the last entry counts.
func containerStatus(p *Pod, name string) *ContainerStatus {
	for _, list := range [...][]ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// effectiveRequest is what counts while a resize is under way: the largest of
// what is wanted, actuated and allocated, or without what is wanted when the
// node has refused it.
func effectiveRequest(p *Pod, spec, actuated, allocated resource.List) resource.List {
	out := resource.List{}
	if !resizeInfeasible(p) {
		raiseTo(out, spec)
	}
	raiseTo(out, actuated)
	raiseTo(out, allocated)
	return out
}

func resizeInfeasible(p *Pod) bool {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == "PodResizePending" {
			return p.Status.Conditions[i].Reason == "Infeasible"
		}
	}
	return false
}

// replacePodLevel puts the pod-level requests in place of the sums.
func replacePodLevel(total resource.List, p *Pod, form requestForm) {
	wanted := p.Spec.Resources.Requests
	effective := wanted
	if form.status && p.Status.Resources != nil {
		effective = effectiveRequest(p, wanted, p.Status.Resources.Requests, p.Status.AllocatedResources)
	}
	for name := range wanted {
		if isPodLevelName(name) {
			total[name] = effective[name]
		}
	}
}

func hasPodLevelRequests(p *Pod) bool {
	if p.Spec.Resources == nil {
		return false
	}
	for name := range p.Spec.Resources.Requests {
		if isPodLevelName(name) {
			return true
		}
	}
	return false
}

// isPodLevelName says that the resource can be requested for a whole pod.
func isPodLevelName(name string) bool {
	return name == "cpu" || name == "memory" || strings.HasPrefix(name, "hugepages-")
}

// containerDefaults stand in for what one container does not request.
func containerDefaults() resource.List {
	return resource.List{
		"cpu":    resource.NewMilli(defaultCPUMilli),
		"memory": resource.NewInt(defaultMemoryBytes),
	}
}

// missingDefaults are the stand-ins of a pod's containers. With pod-level
// requests only a name that nobody requests is filled in.
func missingDefaults(p *Pod, requested resource.List) resource.List {
	missing := containerDefaults()
	if !hasPodLevelRequests(p) {
		return missing
	}
	for name := range missing {
		if _, ok := requested[name]; ok {
			delete(missing, name)
		}
	}
	return missing
}

// addTo adds b to a, name by name.
func addTo(a, b resource.List) {
	for name, q := range b {
		if have, ok := a[name]; ok {
			q = have.Add(q)
		}
		a[name] = q
	}
}

// raiseTo raises a to at least b, name by name.
func raiseTo(a, b resource.List) {
	for name, q := range b {
		if have, ok := a[name]; !ok || q.Cmp(have) > 0 {
			a[name] = q
		}
	}
}
