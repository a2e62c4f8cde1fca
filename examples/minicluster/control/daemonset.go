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
	byNode := map[string][]*Stored[api.Pod]{}
	for _, p := range pods {
		if !p.Object.Finished() {
			byNode[DaemonNode(&p.Object)] = append(byNode[DaemonNode(&p.Object)], p)
		}
	}
	hash, err := templateHash(&ds.Object.Spec.Template)
	if err != nil {
		return nil, err
	}
	var actions []Action
	want := api.DaemonSetStatus{ObservedGeneration: ds.Object.Metadata.Generation}
	replacing := false // one outdated pod at a time gives way to a new one
	for n := range view.Nodes.All() {
		should, may := DaemonSuits(&ds.Object, &n.Object)
		mine := byNode[n.Object.Metadata.Name]
		slices.SortStableFunc(mine, func(a, b *Stored[api.Pod]) int {
			return cmp.Or(
				first(a.Object.Active(), b.Object.Active()),
				first(a.Object.Spec.NodeName != "", b.Object.Spec.NodeName != ""),
				a.Object.Metadata.CreationTimestamp.Compare(b.Object.Metadata.CreationTimestamp),
			)
		})
		keep := 0
		if may {
			keep = 1
		}
		if should {
			want.DesiredNumberScheduled++
		}
		for i, p := range mine {
			stale := p.Object.Metadata.Annotations[AnnotationTemplate]
			outdated := stale != "" && stale != hash && !replacing
			if i < keep && !outdated || p.Object.Metadata.Deleting() {
				if p.Object.Spec.NodeName != "" {
					want.CurrentNumberScheduled++
				}
				if p.Object.Ready() {
					want.NumberReady++
				} else if i < keep {
					replacing = true
				}
				continue
			}
			replacing = replacing || i < keep
			a, err := DeletePod("delete", p, now)
			if err != nil {
				return nil, err
			}
			actions = append(actions, a)
		}
		if should && len(mine) == 0 {
			replacing = true
			a, err := c.create(view, ds, n.Object.Metadata.Name, now)
			if err != nil {
				return nil, err
			}
			actions = append(actions, a)
		}
	}
	report, err := statusPatch(api.DaemonSets, ds, &ds.Object.Metadata, ds.Object.Status, want)
	return append(actions, report...), err
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
