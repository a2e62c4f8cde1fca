package check

import (
	"maps"
	"slices"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/qos/resource"
)

// Usage is what the pods of a node reserve.
type Usage struct {
	Pods int
	Sum  resource.List
}

// UsageOf sums the requests of the pods on every node. Pods that are ending still
// hold what they reserved; finished ones hold nothing.
func UsageOf(view *control.View, count func(*api.Pod) bool) map[string]Usage {
	usage := map[string]Usage{}
	for p := range view.Pods.All() {
		if p.Object.Spec.NodeName == "" || p.Object.Finished() || !count(&p.Object) {
			continue
		}
		u := usage[p.Object.Spec.NodeName]
		u.Pods++
		u.Sum = u.Sum.Add(p.Object.Requests())
		usage[p.Object.Spec.NodeName] = u
	}
	return usage
}

// over returns what exceeds a node's allocatable, by resource; "pods" included.
func (u Usage) over(allocatable resource.List) map[string][2]string {
	out := map[string][2]string{}
	for _, name := range u.Sum.Lacking(allocatable) {
		sum, room := u.Sum[name], allocatable[name]
		out[name] = [2]string{sum.String(), room.String()}
	}
	pods, room := resource.NewInt(int64(u.Pods)), allocatable["pods"]
	if pods.Cmp(room) > 0 {
		out["pods"] = [2]string{pods.String(), room.String()}
	}
	return out
}

func (r *Report) capacity(view *control.View) {
	all := UsageOf(view, func(*api.Pod) bool { return true })
	came := UsageOf(view, func(p *api.Pod) bool { return !Scheduled(p) })
	for n := range view.Nodes.All() {
		name := n.Object.Metadata.Name
		r.Checked[Capacity]++
		before := came[name].over(n.Object.Status.Allocatable)
		excess := all[name].over(n.Object.Status.Allocatable)
		for _, res := range slices.Sorted(maps.Keys(excess)) {
			if _, already := before[res]; already {
				r.note("Node %s: its pods came with the input and ask for %s %s of %s", name, excess[res][0], res, excess[res][1])
				continue
			}
			r.fail(Capacity, "Node "+name, "its pods request %s %s, allocatable is %s", excess[res][0], res, excess[res][1])
		}
	}
}

// hostPorts: no two pods on a node hold the same port of the host. Ports of pods
// that came bound with the input are theirs to answer for.
func (r *Report) hostPorts(view *control.View) {
	type holder struct{ node, port, ip string }
	held := map[holder]string{}
	for p := range view.Pods.All() {
		pod := &p.Object
		if pod.Spec.NodeName == "" || pod.Finished() {
			continue
		}
		title := api.Title("Pod", pod.Metadata.Namespace, pod.Metadata.Name)
		for i := range pod.Spec.Containers {
			for j := range pod.Spec.Containers[i].Ports {
				port := &pod.Spec.Containers[i].Ports[j]
				if port.HostPort == 0 {
					continue
				}
				r.Checked[Ports]++
				h := holder{pod.Spec.NodeName, portTitle(port), port.HostIP}
				if other, taken := held[h]; taken && other != title && Scheduled(pod) {
					r.fail(Ports, title, "%s on node %s is held by %s", h.port, h.node, other)
				}
				held[h] = title
			}
		}
	}
}
