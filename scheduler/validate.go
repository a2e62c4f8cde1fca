package scheduler

import (
	"fmt"
	"slices"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
)

// ValidatePod checks what an API server would have checked and the decisions
// rely on: operators, effects, policies, amounts and ranges. It returns an
// *InputError for the first fault in the order of the fields.
func ValidatePod(p *Pod) error {
	v := validator{object: "pod " + orDefault(p.Namespace) + "/" + p.Name}
	if p.Name == "" {
		v.object = "pod"
		v.fault("metadata.name", "", "a name")
	}
	spec := &p.Spec
	v.containers("spec.initContainers", spec.InitContainers)
	v.containers("spec.containers", spec.Containers)
	v.amounts("spec.overhead", spec.Overhead)
	if spec.Resources != nil {
		v.amounts("spec.resources.requests", spec.Resources.Requests)
	}
	if pp := spec.PreemptionPolicy; pp != nil {
		v.oneOf("spec.preemptionPolicy", *pp, "PreemptLowerPriority", "Never")
	}
	for i := range spec.Tolerations {
		v.toleration(fmt.Sprintf("spec.tolerations[%d]", i), &spec.Tolerations[i])
	}
	for i := range spec.TopologySpreadConstraints {
		v.spread(fmt.Sprintf("spec.topologySpreadConstraints[%d]", i), &spec.TopologySpreadConstraints[i])
	}
	if spec.Affinity != nil {
		v.affinity(spec.Affinity)
	}
	for i, g := range spec.SchedulingGates {
		if g.Name == "" {
			v.fault(fmt.Sprintf("spec.schedulingGates[%d].name", i), "", "a name")
		}
	}
	if g := spec.SchedulingGroup; g != nil && (g.PodGroupName == nil || *g.PodGroupName == "") {
		v.fault("spec.schedulingGroup.podGroupName", "", "a name")
	}
	return v.err()
}

// ValidateNode is ValidatePod for nodes.
func ValidateNode(n *Node) error {
	v := validator{object: "node " + n.Name}
	v.amounts("status.allocatable", n.Status.Allocatable)
	for i := range n.Spec.Taints {
		t, field := &n.Spec.Taints[i], fmt.Sprintf("spec.taints[%d]", i)
		if t.Key == "" {
			v.fault(field+".key", "", "a key")
		}
		v.oneOf(field+".effect", t.Effect, NoSchedule, PreferNoSchedule, NoExecute)
	}
	for i := range n.Status.Images {
		if size := n.Status.Images[i].SizeBytes; size < 0 {
			v.fault(fmt.Sprintf("status.images[%d].sizeBytes", i), fmt.Sprint(size), "0 or more")
		}
	}
	return v.err()
}

// maxAmount keeps the sums and products of amounts, which are int64, far from
// overflow: a thousand pods of this size still add up.
const maxAmount = 1 << 53

// validator keeps the first fault of an object.
type validator struct {
	object string
	first  *InputError
}

func (v *validator) err() error {
	if v.first == nil {
		return nil
	}
	return v.first
}

func (v *validator) fault(field, value, want string) {
	if v.first == nil {
		v.first = &InputError{Object: v.object, Field: field, Value: value, Want: want}
	}
}

func (v *validator) oneOf(field, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.fault(field, value, fmt.Sprintf("one of %v", allowed))
	}
}

// amounts reports the first bad amount by name.
func (v *validator) amounts(field string, list resource.List) {
	bad, want := "", ""
	for name, q := range list {
		if w := amountFault(name, q); w != "" && (bad == "" || name < bad) {
			bad, want = name, w
		}
	}
	if want != "" {
		q := list[bad]
		v.fault(field+"["+bad+"]", q.String(), want)
	}
}

// amountFault says what is wanted instead of a bad amount.
func amountFault(name string, q resource.Quantity) string {
	value := q.Value()
	if name == "cpu" {
		value = q.MilliValue()
	}
	switch {
	case q.Sign() < 0:
		return "0 or more"
	case value > maxAmount:
		return "at most 2^53, in thousandths for cpu"
	}
	return ""
}

func (v *validator) containers(field string, list []Container) {
	for i := range list {
		c, field := &list[i], fmt.Sprintf("%s[%d]", field, i)
		v.amounts(field+".resources.requests", c.Resources.Requests)
		if c.RestartPolicy != nil {
			v.oneOf(field+".restartPolicy", *c.RestartPolicy, "Always", "OnFailure", "Never")
		}
		for k := range c.Ports {
			port, field := &c.Ports[k], fmt.Sprintf("%s.ports[%d]", field, k)
			if port.HostPort < 0 || port.HostPort > 65535 {
				v.fault(field+".hostPort", fmt.Sprint(port.HostPort), "0 to 65535")
			}
			v.oneOf(field+".protocol", port.Protocol, "", "TCP", "UDP", "SCTP")
		}
	}
}

func (v *validator) toleration(field string, t *Toleration) {
	v.oneOf(field+".operator", t.Operator, "", "Equal", "Exists", "Lt", "Gt")
	v.oneOf(field+".effect", t.Effect, "", NoSchedule, PreferNoSchedule, NoExecute)
	if t.Key == "" && t.Operator != "Exists" {
		v.fault(field+".operator", t.Operator, "Exists, since the key is empty")
	}
	if t.Operator == "Exists" && t.Value != "" {
		v.fault(field+".value", t.Value, "no value with the operator Exists")
	}
}

func (v *validator) spread(field string, c *TopologySpreadConstraint) {
	if c.MaxSkew <= 0 {
		v.fault(field+".maxSkew", fmt.Sprint(c.MaxSkew), "1 or more")
	}
	if c.TopologyKey == "" {
		v.fault(field+".topologyKey", "", "a label key")
	}
	v.oneOf(field+".whenUnsatisfiable", c.WhenUnsatisfiable, doNotSchedule, scheduleAnyway)
	if m := c.MinDomains; m != nil && *m <= 0 {
		v.fault(field+".minDomains", fmt.Sprint(*m), "1 or more")
	}
	if p := c.NodeAffinityPolicy; p != nil {
		v.oneOf(field+".nodeAffinityPolicy", *p, policyHonor, policyIgnore)
	}
	if p := c.NodeTaintsPolicy; p != nil {
		v.oneOf(field+".nodeTaintsPolicy", *p, policyHonor, policyIgnore)
	}
	v.labelSelector(field+".labelSelector", c.LabelSelector)
}

func (v *validator) affinity(a *Affinity) {
	if na := a.NodeAffinity; na != nil {
		field := "spec.affinity.nodeAffinity"
		if na.Required != nil {
			for i := range na.Required.NodeSelectorTerms {
				v.nodeTerm(fmt.Sprintf("%s.%s.nodeSelectorTerms[%d]", field, requiredRules, i), &na.Required.NodeSelectorTerms[i])
			}
		}
		for i := range na.Preferred {
			t, field := &na.Preferred[i], fmt.Sprintf("%s.%s[%d]", field, preferredRules, i)
			v.weight(field, t.Weight)
			v.nodeTerm(field+".preference", &t.Preference)
		}
	}
	v.podAffinity("spec.affinity.podAffinity", a.PodAffinity)
	v.podAffinity("spec.affinity.podAntiAffinity", a.PodAntiAffinity)
}

// The names of the two lists that all kinds of affinity have.
const (
	requiredRules  = "requiredDuringSchedulingIgnoredDuringExecution"
	preferredRules = "preferredDuringSchedulingIgnoredDuringExecution"
)

func (v *validator) weight(field string, w int32) {
	if w < 1 || w > 100 {
		v.fault(field+".weight", fmt.Sprint(w), "1 to 100")
	}
}

// nodeTerm checks operators only: a term whose values cannot be used is valid
// for the API server, and matches nothing.
func (v *validator) nodeTerm(field string, t *selector.NodeSelectorTerm) {
	for i, r := range t.MatchExpressions {
		v.oneOf(fmt.Sprintf("%s.matchExpressions[%d].operator", field, i), r.Operator,
			"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
	}
	for i, r := range t.MatchFields {
		v.oneOf(fmt.Sprintf("%s.matchFields[%d].operator", field, i), r.Operator, "In", "NotIn")
	}
}

func (v *validator) podAffinity(field string, a *PodAffinity) {
	if a == nil {
		return
	}
	for i := range a.Required {
		v.podTerm(fmt.Sprintf("%s.%s[%d]", field, requiredRules, i), &a.Required[i])
	}
	for i := range a.Preferred {
		field := fmt.Sprintf("%s.%s[%d]", field, preferredRules, i)
		v.weight(field, a.Preferred[i].Weight)
		v.podTerm(field+".podAffinityTerm", &a.Preferred[i].PodAffinityTerm)
	}
}

func (v *validator) podTerm(field string, t *PodAffinityTerm) {
	if t.TopologyKey == "" {
		v.fault(field+".topologyKey", "", "a label key")
	}
	v.labelSelector(field+".labelSelector", t.LabelSelector)
	v.labelSelector(field+".namespaceSelector", t.NamespaceSelector)
}

func (v *validator) labelSelector(field string, s *selector.LabelSelector) {
	if s == nil || v.first != nil {
		return
	}
	if _, err := selector.Compile(s); err != nil {
		v.first = &InputError{Object: v.object, Field: field, Value: fmt.Sprint(*s), Err: err}
	}
}
