package api

import (
	"encoding/json"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
)

// Phases of a pod that decisions depend on.
const (
	PodPending   = "Pending"
	PodRunning   = "Running"
	PodSucceeded = "Succeeded"
	PodFailed    = "Failed"
)

// Condition types and statuses.
const (
	PodScheduled = "PodScheduled"
	Ready        = "Ready"
	True         = "True"
	False        = "False"
	Unknown      = "Unknown"
)

// Pod is the view of a pod.
type Pod struct {
	TypeMeta
	Metadata ObjectMeta `json:"metadata"`
	Spec     PodSpec    `json:"spec"`
	Status   PodStatus  `json:"status,omitzero"`
}

// PodSpec is the part of a pod's spec that the control plane itself reads; the
// scheduler decodes the rest of the same JSON into its own types.
type PodSpec struct {
	NodeName                      string                `json:"nodeName,omitempty"`
	NodeSelector                  map[string]string     `json:"nodeSelector,omitempty"`
	Affinity                      *Affinity             `json:"affinity,omitempty"`
	Tolerations                   []Toleration          `json:"tolerations,omitempty"`
	Containers                    []Container           `json:"containers,omitempty"`
	InitContainers                []Container           `json:"initContainers,omitempty"`
	Resources                     *ResourceRequirements `json:"resources,omitempty"`
	Overhead                      resource.List         `json:"overhead,omitempty"`
	HostNetwork                   bool                  `json:"hostNetwork,omitempty"`
	RestartPolicy                 string                `json:"restartPolicy,omitempty"`
	Priority                      *int32                `json:"priority,omitempty"`
	PriorityClassName             string                `json:"priorityClassName,omitempty"`
	SchedulerName                 string                `json:"schedulerName,omitempty"`
	TerminationGracePeriodSeconds *int64                `json:"terminationGracePeriodSeconds,omitempty"`
}

// Affinity carries the node affinity, which daemon sets read and write.
type Affinity struct {
	NodeAffinity *NodeAffinity `json:"nodeAffinity,omitempty"`
}

// NodeAffinity carries the required terms.
type NodeAffinity struct {
	Required *selector.NodeSelector `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// Container is the view of a container.
type Container struct {
	Name           string               `json:"name"`
	Image          string               `json:"image,omitempty"`
	Ports          []ContainerPort      `json:"ports,omitempty"`
	Resources      ResourceRequirements `json:"resources,omitzero"`
	RestartPolicy  string               `json:"restartPolicy,omitempty"`
	ReadinessProbe *Probe               `json:"readinessProbe,omitempty"`
}

// ContainerPort is one declared port.
type ContainerPort struct {
	Name          string `json:"name,omitempty"`
	ContainerPort int32  `json:"containerPort"`
	HostPort      int32  `json:"hostPort,omitempty"`
	HostIP        string `json:"hostIP,omitempty"`
	Protocol      string `json:"protocol,omitempty"`
}

// ResourceRequirements are requests and limits.
type ResourceRequirements struct {
	Requests resource.List `json:"requests,omitempty"`
	Limits   resource.List `json:"limits,omitempty"`
}

// Probe is the part of a readiness probe that a simulated kubelet honours.
type Probe struct {
	InitialDelaySeconds int32 `json:"initialDelaySeconds,omitempty"`
}

// Toleration lets a pod onto a node in spite of a taint.
type Toleration struct {
	Key               string `json:"key,omitempty"`
	Operator          string `json:"operator,omitempty"`
	Value             string `json:"value,omitempty"`
	Effect            string `json:"effect,omitempty"`
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}

// Tolerates reports whether t matches the taint. An empty effect matches all
// effects, an empty key all keys; the operator defaults to Equal.
func (t *Toleration) Tolerates(taint *Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
		return false
	}
	switch t.Operator {
	case "", "Equal":
		return t.Value == taint.Value
	case "Exists":
		return true
	}
	return false
}

// PodStatus is the view of a pod's status.
type PodStatus struct {
	Phase      string      `json:"phase,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
	Reason     string      `json:"reason,omitempty"`
	Message    string      `json:"message,omitempty"`
	HostIP     string      `json:"hostIP,omitempty"`
	PodIP      string      `json:"podIP,omitempty"`
	StartTime  string      `json:"startTime,omitempty"`
}

// Finished pods hold no resources.
func (p *Pod) Finished() bool {
	return p.Status.Phase == PodSucceeded || p.Status.Phase == PodFailed
}

// Active pods count as a replica: neither finished nor on their way out.
func (p *Pod) Active() bool { return !p.Finished() && !p.Metadata.Deleting() }

// Ready reports the Ready condition.
func (p *Pod) Ready() bool {
	c := ConditionOf(p.Status.Conditions, Ready)
	return c != nil && c.Status == True
}

// Static reports whether a kubelet runs the pod from a file of its own: the API
// object is only a mirror, and deleting it would stop nothing.
func (p *Pod) Static() bool {
	if p.Metadata.Annotations["kubernetes.io/config.mirror"] != "" {
		return true
	}
	ref := p.Metadata.Controller()
	return ref != nil && ref.Kind == Nodes.Name
}

// Requests is what the pod reserves on its node: the sum over its containers and
// sidecars, or the peak while init containers run if that is more, pod-level
// values in place of the sum where given, and overhead on top.
func (p *Pod) Requests() resource.List {
	sum, sidecars, peak := resource.List{}, resource.List{}, resource.List{}
	for i := range p.Spec.Containers {
		sum = sum.Add(p.Spec.Containers[i].Resources.Requests)
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		if c.RestartPolicy == "Always" {
			sum = sum.Add(c.Resources.Requests)
			sidecars = sidecars.Add(c.Resources.Requests)
			peak = peak.Max(sidecars)
			continue
		}
		peak = peak.Max(sidecars.Add(c.Resources.Requests))
	}
	total := sum.Max(peak)
	if p.Spec.Resources != nil {
		for name, q := range p.Spec.Resources.Requests {
			total[name] = q
		}
	}
	return total.Add(p.Spec.Overhead)
}

// TemplateSpec is the pod spec of a workload's template: the view beside the
// JSON itself, from which pods are made.
type TemplateSpec struct {
	PodSpec
	Raw json.RawMessage
}

// UnmarshalJSON keeps the bytes beside the view.
func (s *TemplateSpec) UnmarshalJSON(data []byte) error {
	s.Raw = append(json.RawMessage(nil), data...)
	return json.Unmarshal(data, &s.PodSpec)
}

// MarshalJSON prints the bytes that were read.
func (s TemplateSpec) MarshalJSON() ([]byte, error) {
	if s.Raw != nil {
		return s.Raw, nil
	}
	return json.Marshal(s.PodSpec)
}
