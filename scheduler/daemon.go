package scheduler

import (
	"slices"

	"github.com/orchcore/orchcore/selector"
)

// daemonTaints are the taints that every pod of a DaemonSet tolerates: node
// problems neither keep daemons off nor drive them away.
var daemonTaints = [...]Taint{
	{Key: "node.kubernetes.io/not-ready", Effect: NoExecute},
	{Key: "node.kubernetes.io/unreachable", Effect: NoExecute},
	{Key: "node.kubernetes.io/disk-pressure", Effect: NoSchedule},
	{Key: "node.kubernetes.io/memory-pressure", Effect: NoSchedule},
	{Key: "node.kubernetes.io/pid-pressure", Effect: NoSchedule},
	{Key: TaintUnschedulable, Effect: NoSchedule},
}

const taintNetworkUnavailable = "node.kubernetes.io/network-unavailable"

// DaemonPod returns the pod of a DaemonSet for one node, as its controller
// makes it: the template with the daemon tolerations, and with its required
// node affinity replaced by the node's name. The template is not changed.
func DaemonPod(template *Pod, node string) *Pod {
	p := *template
	p.Spec.Tolerations = daemonTolerations(&template.Spec)
	affinity, nodes := Affinity{}, NodeAffinity{}
	if template.Spec.Affinity != nil {
		affinity = *template.Spec.Affinity
	}
	if affinity.NodeAffinity != nil {
		nodes = *affinity.NodeAffinity
	}
	named := selector.NodeSelectorRequirement{Key: "metadata.name", Operator: "In", Values: []string{node}}
	nodes.Required = &selector.NodeSelector{NodeSelectorTerms: []selector.NodeSelectorTerm{
		{MatchFields: []selector.NodeSelectorRequirement{named}},
	}}
	affinity.NodeAffinity = &nodes
	p.Spec.Affinity = &affinity
	return &p
}

// DaemonWanted says whether a DaemonSet wants a pod on the node, and whether
// one that is there already may stay. A taint NoSchedule keeps new daemons off
// but lets old ones run. Resources do not matter here: they are the scheduler's
// business, once the pod is made.
func DaemonWanted(template *Pod, node *Node) (run, stay bool) {
	if name := template.Spec.NodeName; name != "" && name != node.Name {
		return false, false
	}
	n := &NodeInfo{Name: node.Name, Node: node, Labels: selector.NewLabels(node.Labels)}
	if r := compileNodeRequirement(template); !r.matches(n) {
		return false, false
	}
	tolerations := daemonTolerations(&template.Spec)
	run, stay = true, true
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect == PreferNoSchedule || tolerated(tolerations, t) {
			continue
		}
		run = false
		stay = stay && t.Effect != NoExecute
	}
	return run, stay
}

// daemonTolerations returns the template's tolerations and those that every
// daemon has. One that the template limits in time is made permanent.
func daemonTolerations(spec *PodSpec) []Toleration {
	list := slices.Clone(spec.Tolerations)
	add := func(t Taint) {
		want := Toleration{Key: t.Key, Operator: "Exists", Effect: t.Effect}
		for i, have := range list {
			have.TolerationSeconds = nil
			if have == want {
				list[i] = want
				return
			}
		}
		list = append(list, want)
	}
	for _, t := range daemonTaints {
		add(t)
	}
	if spec.HostNetwork {
		add(Taint{Key: taintNetworkUnavailable, Effect: NoSchedule})
	}
	return list
}
