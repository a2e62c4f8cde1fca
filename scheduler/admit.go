package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/orchcore/orchcore/qos"
	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
)

// PriorityClass is a scheduling.k8s.io/v1 PriorityClass. Decisions read the
// number that admission has written into the pod; see Admitted.
type PriorityClass struct {
	ObjectMeta       `json:"metadata"`
	Value            int32   `json:"value"`
	GlobalDefault    bool    `json:"globalDefault,omitempty"`
	PreemptionPolicy *string `json:"preemptionPolicy,omitempty"`
}

// systemClasses are the classes that every cluster has.
var systemClasses = map[string]int32{
	"system-cluster-critical": qos.SystemCriticalPriority,
	"system-node-critical":    qos.SystemCriticalPriority + 1000,
}

// Admitted returns the pod as the API server stores it, as far as decisions
// read what it fills in: priority and preemption policy of the class, requests
// where only limits are given, ports of pods on the host's network, tolerations
// of nodes that are not ready or unreachable for five minutes, and the label keys of affinity terms merged into their selectors (KEP-3633). Pods
// that come from a cluster have all that; pods from manifests need it. The pod
// passed in is not changed. An unknown class is an *InputError.
func Admitted(p *Pod, classes []*PriorityClass) (*Pod, error) {
	out := *p
	if err := resolvePriority(&out, classes); err != nil {
		return nil, err
	}
	out.Spec.Tolerations = withDefaultTolerations(p.Spec.Tolerations)
	out.Spec.InitContainers = admittedContainers(&p.Spec, p.Spec.InitContainers)
	out.Spec.Containers = admittedContainers(&p.Spec, p.Spec.Containers)
	if a := p.Spec.Affinity; a != nil {
		merged := *a
		merged.PodAffinity = mergedTerms(a.PodAffinity, p.Labels)
		merged.PodAntiAffinity = mergedTerms(a.PodAntiAffinity, p.Labels)
		out.Spec.Affinity = &merged
	}
	return &out, nil
}

func resolvePriority(p *Pod, classes []*PriorityClass) error {
	if p.Spec.Priority != nil {
		return nil
	}
	name := p.Spec.PriorityClassName
	if value, ok := systemClasses[name]; ok {
		p.Spec.Priority = &value
		return nil
	}
	var class PriorityClass
	found := false
	for _, c := range classes {
		// Of several global defaults the lowest counts (kube-apiserver 1.36).
		if c.Name == name || name == "" && c.GlobalDefault && (!found || c.Value < class.Value) {
			class, found = *c, true
		}
	}
	if !found && name != "" {
		return &InputError{
			Object: fmt.Sprintf("pod %s/%s", orDefault(p.Namespace), p.Name),
			Field:  "spec.priorityClassName", Value: name, Want: "the name of a PriorityClass",
		}
	}
	p.Spec.Priority = &class.Value
	p.Spec.PreemptionPolicy = cmp.Or(p.Spec.PreemptionPolicy, class.PreemptionPolicy)
	return nil
}

func admittedContainers(spec *PodSpec, list []Container) []Container {
	list = slices.Clone(list)
	for i := range list {
		c := &list[i]
		requests := maps.Clone(c.Resources.Requests)
		for name, limit := range c.Resources.Limits {
			if _, ok := requests[name]; !ok {
				if requests == nil {
					requests = make(resource.List)
				}
				requests[name] = limit
			}
		}
		c.Resources.Requests = requests
		if spec.HostNetwork {
			c.Ports = slices.Clone(c.Ports)
			for j := range c.Ports {
				c.Ports[j].HostPort = cmp.Or(c.Ports[j].HostPort, c.Ports[j].ContainerPort)
			}
		}
	}
	return list
}

func mergedTerms(a *PodAffinity, labels map[string]string) *PodAffinity {
	if a == nil {
		return nil
	}
	out := PodAffinity{Required: slices.Clone(a.Required), Preferred: slices.Clone(a.Preferred)}
	for i := range out.Required {
		mergeKeys(&out.Required[i], labels)
	}
	for i := range out.Preferred {
		mergeKeys(&out.Preferred[i].PodAffinityTerm, labels)
	}
	return &out
}

// mergeKeys adds to the term's selector that pods agree with this one in
// matchLabelKeys and differ in mismatchLabelKeys. Keys that the pod lacks, and
// terms without a selector, are left alone, as are keys merged already.
func mergeKeys(t *PodAffinityTerm, labels map[string]string) {
	if t.LabelSelector == nil {
		return
	}
	merged := *t.LabelSelector
	merged.MatchExpressions = slices.Clone(merged.MatchExpressions)
	add := func(keys []string, operator string) {
		for _, key := range keys {
			value, ok := labels[key]
			want := selector.LabelSelectorRequirement{Key: key, Operator: operator, Values: []string{value}}
			has := func(r selector.LabelSelectorRequirement) bool {
				return r.Key == key && r.Operator == operator && slices.Equal(r.Values, want.Values)
			}
			if ok && !slices.ContainsFunc(merged.MatchExpressions, has) {
				merged.MatchExpressions = append(merged.MatchExpressions, want)
			}
		}
	}
	add(t.MatchLabelKeys, "In")
	add(t.MismatchLabelKeys, "NotIn")
	t.LabelSelector = &merged
}
