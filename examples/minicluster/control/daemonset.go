package control

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/selector"
)

// DaemonSets keeps one pod of each daemon set on every node that suits it. It
// names the node by an affinity; placing the pod is the scheduler's business.
type DaemonSets struct {
	Seed uint64
}

// Name implements Controller.
func (c *DaemonSets) Name() string { return "daemonset" }

// Kinds implements Controller.
func (c *DaemonSets) Kinds() []api.Kind {
	return []api.Kind{api.DaemonSets, api.Nodes, api.Pods, api.PriorityClasses}
}

// Reconcile implements Controller.
func (c *DaemonSets) Reconcile(view *View, now time.Time) ([]Action, time.Duration, error) {
	groups := podsByOwner(view)
	var actions []Action
	for ds := range view.DaemonSets.All() {
		if ds.Object.Metadata.Deleting() {
			continue
		}
		more, err := c.sync(view, ds, owned(groups, api.DaemonSets, &ds.Object.Metadata), now)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", ds.Key, err)
		}
		actions = append(actions, more...)
	}
	return actions, 0, nil
}

func (c *DaemonSets) sync(view *View, ds *Stored[api.DaemonSet], pods []*Stored[api.Pod], now time.Time) ([]Action, error) {
	hash, err := templateHash(&ds.Object.Spec.Template)
	if err != nil {
		return nil, err
	}
	byNode := podsByNode(pods)
	want := api.DaemonSetStatus{ObservedGeneration: ds.Object.Metadata.Generation}
	var actions []Action
	var surplus []*Stored[api.Pod]
	var outdated *Stored[api.Pod] // made from an older template
	moving := false               // a node's pod is still to come, or to go
	for n := range view.Nodes.All() {
		should, may := DaemonSuits(&ds.Object, &n.Object)
		mine := byNode[n.Object.Metadata.Name]
		count(&want, should, mine)
		if should && len(mine) == 0 {
			a, err := c.create(view, ds, n.Object.Metadata.Name, now)
			if err != nil {
				return nil, err
			}
			actions = append(actions, a)
			moving = true
		}
		if may && len(mine) > 0 {
			kept := mine[0]
			moving = moving || !kept.Object.Active() || !kept.Object.Ready()
			if made := kept.Object.Metadata.Annotations[AnnotationTemplate]; made != "" && made != hash {
				outdated = kept
			}
			mine = mine[1:]
		}
		surplus = append(surplus, mine...)
	}
	if outdated != nil && !moving {
		surplus = append(surplus, outdated)
	}
	for _, p := range surplus {
		if p.Object.Metadata.Deleting() {
			continue
		}
		a, err := DeletePod("delete", p, now)
		if err != nil {
			return nil, err
		}
		actions = append(actions, a)
	}
	report, err := statusPatch(api.DaemonSets, ds, &ds.Object.Metadata, ds.Object.Status, want)
	return append(actions, report...), err
}

// count adds one node to a status.
func count(status *api.DaemonSetStatus, should bool, pods []*Stored[api.Pod]) {
	if should {
		status.DesiredNumberScheduled++
	}
	if len(pods) == 0 {
		return
	}
	if pods[0].Object.Spec.NodeName != "" {
		status.CurrentNumberScheduled++
	}
	if pods[0].Object.Ready() {
		status.NumberReady++
	}
}

// podsByNode groups daemon pods by the node they are for, those worth keeping first.
func podsByNode(pods []*Stored[api.Pod]) map[string][]*Stored[api.Pod] {
	byNode := map[string][]*Stored[api.Pod]{}
	for _, p := range pods {
		if !p.Object.Finished() {
			byNode[DaemonNode(&p.Object)] = append(byNode[DaemonNode(&p.Object)], p)
		}
	}
	for _, mine := range byNode {
		slices.SortStableFunc(mine, func(a, b *Stored[api.Pod]) int {
			return cmp.Or(
				first(a.Object.Active(), b.Object.Active()),
				first(a.Object.Spec.NodeName != "", b.Object.Spec.NodeName != ""),
				a.Object.Metadata.CreationTimestamp.Compare(b.Object.Metadata.CreationTimestamp),
			)
		})
	}
	return byNode
}

// create makes the pod for a node. Its name depends on the node alone: as long as
// the pod exists nobody can create it again.
func (c *DaemonSets) create(view *View, ds *Stored[api.DaemonSet], node string, now time.Time) (Action, error) {
	meta := &ds.Object.Metadata
	name := childName(meta.Name, Suffix(5, c.Seed, meta.Namespace, meta.Name, node))
	w, err := newPod(view, podRecipe{
		kind: api.DaemonSets, owner: meta, template: &ds.Object.Spec.Template, name: name,
		adjust: func(spec api.Fields) { pin(spec, node, ds.Object.Spec.Template.Spec.HostNetwork) },
	}, c.Seed, now)
	if err != nil {
		return Action{}, err
	}
	return Action{Verb: "create", Object: api.Title("Pod", meta.Namespace, name), Writes: []Write{w}}, nil
}

// pin makes a pod fit one node only and tolerate what daemons must live with.
func pin(spec api.Fields, node string, hostNetwork bool) {
	byName := []any{api.Fields{"matchFields": []any{
		api.Fields{"key": "metadata.name", "operator": "In", "values": []any{node}},
	}}}
	affinity := child(child(spec, "affinity"), "nodeAffinity")
	child(affinity, "requiredDuringSchedulingIgnoredDuringExecution")["nodeSelectorTerms"] = byName
	tolerations, _ := spec["tolerations"].([]any)
	for _, t := range daemonTolerations(hostNetwork) {
		tolerations = append(tolerations, api.Fields{"key": t.Key, "operator": t.Operator, "effect": t.Effect})
	}
	spec["tolerations"] = tolerations
}

// child returns the object under a field, made if there is none.
func child(parent api.Fields, field string) api.Fields {
	c, ok := parent[field].(api.Fields)
	if !ok {
		c = api.Fields{}
		parent[field] = c
	}
	return c
}

// daemonTolerations are added to every daemon pod: a daemon serves its node also
// while the node is troubled or closed to other pods.
func daemonTolerations(hostNetwork bool) []api.Toleration {
	list := []api.Toleration{
		{Key: api.TaintNotReady, Operator: "Exists", Effect: api.NoExecute},
		{Key: api.TaintUnreachable, Operator: "Exists", Effect: api.NoExecute},
		{Key: "node.kubernetes.io/disk-pressure", Operator: "Exists", Effect: api.NoSchedule},
		{Key: "node.kubernetes.io/memory-pressure", Operator: "Exists", Effect: api.NoSchedule},
		{Key: "node.kubernetes.io/pid-pressure", Operator: "Exists", Effect: api.NoSchedule},
		{Key: api.TaintUnschedulable, Operator: "Exists", Effect: api.NoSchedule},
	}
	if hostNetwork {
		list = append(list, api.Toleration{Key: "node.kubernetes.io/network-unavailable", Operator: "Exists", Effect: api.NoSchedule})
	}
	return list
}

// DaemonSuits reports whether a daemon set should have a pod on a node, and
// whether a pod that is there already may stay: a NoSchedule taint keeps pods
// away, only a NoExecute taint drives them out.
func DaemonSuits(ds *api.DaemonSet, node *api.Node) (should, may bool) {
	spec := &ds.Spec.Template.Spec.PodSpec
	if spec.NodeName != "" && spec.NodeName != node.Metadata.Name || !matchesNode(spec, node) {
		return false, false
	}
	tolerations := append(daemonTolerations(spec.HostNetwork), spec.Tolerations...)
	should, may = true, true
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if tolerated(tolerations, taint) {
			continue
		}
		switch taint.Effect {
		case api.NoSchedule:
			should = false
		case api.NoExecute:
			should, may = false, false
		}
	}
	return should, may
}

// matchesNode evaluates nodeSelector and required node affinity as the scheduler does.
func matchesNode(spec *api.PodSpec, node *api.Node) bool {
	labels := selector.NewLabels(node.Metadata.Labels)
	if !selector.FromMap(spec.NodeSelector).Matches(labels) {
		return false
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.Required == nil {
		return true
	}
	return selector.CompileNodeSelectorLazy(spec.Affinity.NodeAffinity.Required).Matches(node.Metadata.Name, labels)
}

func tolerated(tolerations []api.Toleration, taint *api.Taint) bool {
	return slices.ContainsFunc(tolerations, func(t api.Toleration) bool { return t.Tolerates(taint) })
}

// DaemonNode is the node that a daemon pod is for: where it runs, or where its
// affinity sends it.
func DaemonNode(p *api.Pod) string {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName
	}
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil || p.Spec.Affinity.NodeAffinity.Required == nil {
		return ""
	}
	for _, term := range p.Spec.Affinity.NodeAffinity.Required.NodeSelectorTerms {
		for _, field := range term.MatchFields {
			if field.Key == "metadata.name" && len(field.Values) == 1 {
				return field.Values[0]
			}
		}
	}
	return ""
}
