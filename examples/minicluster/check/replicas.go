package check

import (
	"fmt"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
)

// owner identifies the controller of a pod or replica set.
type owner struct{ kind, namespace, name string }

func controllerOf(m *api.ObjectMeta) (owner, bool) {
	ref := m.Controller()
	if ref == nil {
		return owner{}, false
	}
	return owner{ref.Kind, m.Namespace, ref.Name}, true
}

func (r *Report) replicas(view *control.View) {
	pods := map[owner][]*api.Pod{}
	for p := range view.Pods.All() {
		if o, ok := controllerOf(&p.Object.Metadata); ok && p.Object.Active() {
			pods[o] = append(pods[o], &p.Object)
		}
	}
	sets := map[owner]int{} // pods per deployment
	for rs := range view.ReplicaSets.All() {
		m := &rs.Object.Metadata
		r.Checked[Replicas]++
		have := len(pods[owner{api.ReplicaSets.Name, m.Namespace, m.Name}])
		if want := api.Count(rs.Object.Spec.Replicas); have != want {
			r.fail(Replicas, api.Title("ReplicaSet", m.Namespace, m.Name), "%d pods, want %d", have, want)
		}
		if o, ok := controllerOf(m); ok {
			sets[o] += have
		}
	}
	for d := range view.Deployments.All() {
		m := &d.Object.Metadata
		r.Checked[Replicas]++
		have, want := sets[owner{api.Deployments.Name, m.Namespace, m.Name}], api.Count(d.Object.Spec.Replicas)
		if have != want && !d.Object.Spec.Paused {
			r.fail(Replicas, api.Title("Deployment", m.Namespace, m.Name), "%d pods in its replica sets, want %d", have, want)
		}
	}
	for s := range view.StatefulSets.All() {
		m := &s.Object.Metadata
		r.stateful(&s.Object, pods[owner{api.StatefulSets.Name, m.Namespace, m.Name}])
	}
	for ds := range view.DaemonSets.All() {
		m := &ds.Object.Metadata
		r.daemon(view, &ds.Object, pods[owner{api.DaemonSets.Name, m.Namespace, m.Name}])
	}
}

// stateful: each ordinal once. A set that makes its pods one after the other may
// stop at one that does not get ready.
func (r *Report) stateful(s *api.StatefulSet, pods []*api.Pod) {
	title := api.Title("StatefulSet", s.Metadata.Namespace, s.Metadata.Name)
	r.Checked[Replicas]++
	want := api.Count(s.Spec.Replicas)
	have := map[int]*api.Pod{}
	for _, p := range pods {
		i, ok := control.Ordinal(s.Metadata.Name, p.Metadata.Name)
		if !ok || i >= want {
			r.fail(Replicas, title, "pod %s is not one of its %d", p.Metadata.Name, want)
			continue
		}
		have[i] = p
	}
	for i := range want {
		p := have[i]
		if p == nil {
			r.fail(Replicas, title, "pod %s-%d is missing", s.Metadata.Name, i)
			return
		}
		if !p.Ready() && s.Spec.PodManagementPolicy != "Parallel" {
			if i+1 < want {
				r.note("%s: waits for pod %s before it makes the other %d", title, p.Metadata.Name, want-i-1)
			}
			return
		}
	}
}

// daemon: one pod on each node that suits, none on those that must not have one.
func (r *Report) daemon(view *control.View, ds *api.DaemonSet, pods []*api.Pod) {
	title := api.Title("DaemonSet", ds.Metadata.Namespace, ds.Metadata.Name)
	byNode := map[string]int{}
	for _, p := range pods {
		byNode[control.DaemonNode(p)]++
	}
	for n := range view.Nodes.All() {
		r.Checked[Replicas]++
		name := n.Object.Metadata.Name
		should, may := control.DaemonSuits(ds, &n.Object)
		switch have := byNode[name]; {
		case have > 1:
			r.fail(Replicas, title, "%d pods for node %s, want 1", have, name)
		case have == 0 && should:
			r.fail(Replicas, title, "no pod for node %s", name)
		case have == 1 && !may:
			r.fail(Replicas, title, "a pod for node %s, which it does not suit", name)
		}
	}
}

// placed: each pod that should run has a node that exists and runs there, or says
// why it has none.
func (r *Report) placed(view *control.View) {
	for p := range view.Pods.All() {
		pod := &p.Object
		if !pod.Active() {
			continue
		}
		r.Checked[Placed]++
		title := api.Title("Pod", pod.Metadata.Namespace, pod.Metadata.Name)
		if pod.Spec.NodeName == "" {
			c := api.ConditionOf(pod.Status.Conditions, api.PodScheduled)
			if c == nil || c.Status != api.False || c.Message == "" {
				r.fail(Placed, title, "has no node and nothing says why")
			}
			continue
		}
		n := view.Nodes[api.Nodes.Key("", pod.Spec.NodeName)]
		switch {
		case n == nil && Scheduled(pod):
			r.fail(Placed, title, "was bound to node %s, which does not exist", pod.Spec.NodeName)
		case n == nil:
			r.note("%s came on node %s, which is not in the input: it cannot be checked for room", title, pod.Spec.NodeName)
		case n.Object.Ready() && pod.Status.Phase != api.PodRunning && pod.Status.Message == "":
			r.fail(Placed, title, "is on node %s and does not run: phase %q", pod.Spec.NodeName, pod.Status.Phase)
		}
	}
}

// Scheduled reports whether this cluster's scheduler placed the pod.
func Scheduled(p *api.Pod) bool {
	_, ok := p.Metadata.Annotations[control.AnnotationPlacement]
	return ok && p.Spec.NodeName != ""
}

func portTitle(port *api.ContainerPort) string {
	protocol := port.Protocol
	if protocol == "" {
		protocol = "TCP"
	}
	return fmt.Sprintf("%s %d", protocol, port.HostPort)
}
