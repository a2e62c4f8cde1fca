package admit

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/selector"
)

// DefaultNamespace is where objects live that name no namespace.
const DefaultNamespace = "default"

// Object checks one object of a known kind and fills in its namespace. The tree
// must already have the types that the kind's view has. What it returns is the
// object's metadata; a mistake is a *FieldError.
func Object(kind api.Kind, tree api.Fields) (api.ObjectMeta, error) {
	metadata, ok := tree["metadata"].(api.Fields)
	if !ok {
		return api.ObjectMeta{}, &FieldError{Field: "metadata", Value: tree["metadata"], Want: "want an object with a name"}
	}
	if kind.Namespaced && (metadata["namespace"] == nil || metadata["namespace"] == "") {
		metadata["namespace"] = DefaultNamespace
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		return api.ObjectMeta{}, err
	}
	if len(raw) > objectSizeMax {
		return api.ObjectMeta{}, &FieldError{Field: "metadata.name", Value: metadata["name"],
			Want: fmt.Sprintf("object of %d bytes, want at most %d", len(raw), objectSizeMax)}
	}
	c := &checker{}
	meta, err := c.object(kind, raw)
	if err != nil {
		return meta, err
	}
	return meta, c.err
}

// objectSizeMax keeps an object well below what the store takes in one request.
const objectSizeMax = 1 << 20

func (c *checker) object(kind api.Kind, raw []byte) (api.ObjectMeta, error) {
	switch kind {
	case api.Pods:
		return with(c, kind, raw, func(p *api.Pod) *api.ObjectMeta { return &p.Metadata }, func(p *api.Pod) {
			c.podSpec("spec", &p.Spec, rawSpec(raw))
		})
	case api.Deployments:
		return with(c, kind, raw, func(d *api.Deployment) *api.ObjectMeta { return &d.Metadata }, func(d *api.Deployment) {
			c.workload(d.Spec.Replicas, d.Spec.Selector, &d.Spec.Template)
			c.strategy(&d.Spec.Strategy)
		})
	case api.ReplicaSets:
		return with(c, kind, raw, func(s *api.ReplicaSet) *api.ObjectMeta { return &s.Metadata }, func(s *api.ReplicaSet) {
			c.workload(s.Spec.Replicas, s.Spec.Selector, &s.Spec.Template)
		})
	case api.StatefulSets:
		return with(c, kind, raw, func(s *api.StatefulSet) *api.ObjectMeta { return &s.Metadata }, func(s *api.StatefulSet) {
			c.workload(s.Spec.Replicas, s.Spec.Selector, &s.Spec.Template)
			m := s.Spec.PodManagementPolicy
			c.that(m == "" || m == "OrderedReady" || m == "Parallel", "spec.podManagementPolicy", m, "want OrderedReady or Parallel")
		})
	case api.DaemonSets:
		return with(c, kind, raw, func(s *api.DaemonSet) *api.ObjectMeta { return &s.Metadata }, func(s *api.DaemonSet) {
			c.workload(nil, s.Spec.Selector, &s.Spec.Template)
		})
	case api.Budgets:
		return with(c, kind, raw, func(b *api.PodDisruptionBudget) *api.ObjectMeta { return &b.Metadata }, func(b *api.PodDisruptionBudget) {
			c.budget(b)
		})
	case api.Services:
		return with(c, kind, raw, func(s *api.Service) *api.ObjectMeta { return &s.Metadata }, func(s *api.Service) {
			c.service(s, raw)
		})
	case api.EndpointSlices:
		return with(c, kind, raw, func(s *api.EndpointSlice) *api.ObjectMeta { return &s.Metadata }, func(*api.EndpointSlice) {
			c.slice(raw)
		})
	case api.Nodes:
		return with(c, kind, raw, func(n *api.Node) *api.ObjectMeta { return &n.Metadata }, func(n *api.Node) {
			c.node(n, raw)
		})
	case api.PriorityClasses:
		return with(c, kind, raw, func(p *api.PriorityClass) *api.ObjectMeta { return &p.Metadata }, func(p *api.PriorityClass) {
			c.priorityClass(p)
		})
	}
	return with(c, kind, raw, func(n *api.Namespace) *api.ObjectMeta { return &n.Metadata }, func(*api.Namespace) {})
}

// with decodes the view of a kind and runs the checks that all kinds share before
// those of its own.
func with[T any](c *checker, kind api.Kind, raw []byte, meta func(*T) *api.ObjectMeta, own func(*T)) (api.ObjectMeta, error) {
	var view T
	if err := json.Unmarshal(raw, &view); err != nil {
		return api.ObjectMeta{}, err
	}
	m := meta(&view)
	c.meta(kind, m)
	own(&view)
	return *m, nil
}

func rawSpec(raw []byte) []byte {
	var pod struct {
		Spec json.RawMessage `json:"spec"`
	}
	if json.Unmarshal(raw, &pod) != nil || pod.Spec == nil {
		return []byte("{}")
	}
	return pod.Spec
}

// replicasMax bounds one workload. The loader of the whole input bounds the sum.
const replicasMax = 10_000

func (c *checker) workload(replicas *int32, choose *selector.LabelSelector, template *api.PodTemplate) {
	if replicas != nil {
		c.that(*replicas >= 0 && *replicas <= replicasMax, "spec.replicas", *replicas, "want 0 to %d", replicasMax)
	}
	c.that(choose != nil && len(choose.MatchLabels)+len(choose.MatchExpressions) > 0, "spec.selector", choose, "want a selector that is not empty")
	c.labels("spec.template.metadata.labels", template.Metadata.Labels)
	if c.err != nil {
		return
	}
	s, err := selector.Compile(choose)
	if err != nil {
		c.note(&FieldError{Field: "spec.selector", Value: choose, Want: err.Error()})
		return
	}
	c.that(s.MatchesMap(template.Metadata.Labels), "spec.template.metadata.labels", template.Metadata.Labels,
		"want labels that spec.selector matches: %s", s)
	spec := &template.Spec
	c.that(spec.RestartPolicy == "" || spec.RestartPolicy == "Always", "spec.template.spec.restartPolicy", spec.RestartPolicy, "want Always")
	raw := spec.Raw
	if raw == nil {
		raw = []byte("{}")
	}
	c.podSpec("spec.template.spec", &spec.PodSpec, raw)
}

func (c *checker) strategy(s *api.Strategy) {
	c.that(s.Type == "" || s.Type == "RollingUpdate" || s.Type == "Recreate", "spec.strategy.type", s.Type, "want RollingUpdate or Recreate")
	if s.RollingUpdate == nil {
		return
	}
	c.that(s.Type != "Recreate", "spec.strategy.rollingUpdate", s.RollingUpdate, "want none, since the type is Recreate")
	c.share("spec.strategy.rollingUpdate.maxSurge", s.RollingUpdate.MaxSurge)
	c.share("spec.strategy.rollingUpdate.maxUnavailable", s.RollingUpdate.MaxUnavailable)
}

func (c *checker) budget(b *api.PodDisruptionBudget) {
	c.that(b.Spec.MinAvailable == nil || b.Spec.MaxUnavailable == nil, "spec.maxUnavailable", b.Spec.MaxUnavailable,
		"want none, since minAvailable is set")
	c.share("spec.minAvailable", b.Spec.MinAvailable)
	c.share("spec.maxUnavailable", b.Spec.MaxUnavailable)
	if _, err := selector.Compile(b.Spec.Selector); err != nil {
		c.note(&FieldError{Field: "spec.selector", Value: b.Spec.Selector, Want: err.Error()})
	}
}

func (c *checker) share(field string, v *api.IntOrString) {
	_, err := v.Share(100, math.Ceil)
	c.that(err == nil, field, v, "want a number that is not negative, or a percentage")
}

func (c *checker) priorityClass(p *api.PriorityClass) {
	c.that(p.Value <= 1_000_000_000, "value", p.Value, "want at most 1000000000; more is for the system's own classes")
	c.that(p.PreemptionPolicy == "" || p.PreemptionPolicy == "PreemptLowerPriority" || p.PreemptionPolicy == "Never",
		"preemptionPolicy", p.PreemptionPolicy, "want PreemptLowerPriority or Never")
}
