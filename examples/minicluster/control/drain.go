package control

import (
	"fmt"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// Stay is a pod that a drain leaves on the node, and why.
type Stay struct {
	Pod    string
	Reason string
}

// AnnotationDrain marks a node that is being drained, for whoever has to go on
// with it.
const AnnotationDrain = "minicluster.orchcore/drain"

// Cordon closes a node to new pods, or opens it again. ok is false when it is so already.
func Cordon(n *Stored[api.Node], closed bool) (a Action, ok bool, err error) {
	marked := n.Object.Metadata.Annotations[AnnotationDrain] != ""
	if n.Object.Spec.Unschedulable == closed && marked == closed {
		return Action{}, false, nil
	}
	verb, value, mark := "uncordon", any(nil), any(nil)
	if closed {
		verb, value, mark = "cordon", true, "true"
	}
	a, err = Patched(verb, api.Title("Node", "", n.Object.Metadata.Name), n, api.Fields{
		"metadata": api.Fields{"annotations": api.Fields{AnnotationDrain: mark}},
		"spec":     api.Fields{"unschedulable": value},
	})
	return a, true, err
}

// Drain evicts what can be made again elsewhere from a node, as kubectl drain does
// with --ignore-daemonsets: static pods belong to the kubelet, daemon pods would
// come back to the same node, and a pod that nobody manages would be lost.
func Drain(view *View, node string, now time.Time) (actions []Action, stay []Stay, err error) {
	for p := range view.Pods.All() {
		if p.Object.Spec.NodeName != node || p.Object.Metadata.Deleting() {
			continue
		}
		meta := &p.Object.Metadata
		if reason := staysBecause(view, &p.Object); reason != "" {
			stay = append(stay, Stay{Pod: meta.Namespace + "/" + meta.Name, Reason: reason})
			continue
		}
		a, err := DeletePod("evict", p, now)
		if err != nil {
			return nil, nil, fmt.Errorf("drain %s: %w", node, err)
		}
		actions = append(actions, a)
	}
	return actions, stay, nil
}

func staysBecause(view *View, p *api.Pod) string {
	if p.Finished() {
		return ""
	}
	if p.Static() {
		return "static pod, run by the kubelet itself"
	}
	ref := p.Metadata.Controller()
	if ref == nil {
		return "no controller would make it again"
	}
	owner, ok := api.KindOf(ref.APIVersion, ref.Kind)
	if ok && owner == api.DaemonSets {
		return "daemon set pod"
	}
	if !ok || !managed(view, owner, p) {
		return fmt.Sprintf("its controller %s is not in this cluster", api.Title(ref.Kind, "", ref.Name))
	}
	return ""
}

// managed reports whether the controller that a pod names exists.
func managed(view *View, kind api.Kind, p *api.Pod) bool {
	ref := p.Metadata.Controller()
	key := kind.Key(p.Metadata.Namespace, ref.Name)
	switch kind {
	case api.ReplicaSets:
		o := view.ReplicaSets[key]
		return o != nil && p.Metadata.ControlledBy(kind, &o.Object.Metadata)
	case api.StatefulSets:
		o := view.StatefulSets[key]
		return o != nil && p.Metadata.ControlledBy(kind, &o.Object.Metadata)
	case api.DaemonSets:
		o := view.DaemonSets[key]
		return o != nil && p.Metadata.ControlledBy(kind, &o.Object.Metadata)
	}
	return false
}
