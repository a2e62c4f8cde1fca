package scheduler

import (
	"time"

	"github.com/orchcore/orchcore/qos/resource"
	"github.com/orchcore/orchcore/selector"
)

// DefaultSchedulerName is the scheduler of a pod that names none.
const DefaultSchedulerName = "default-scheduler"

// defaultNamespace is where an object without a namespace lives, as for
// kubectl.
const defaultNamespace = "default"

// Pod is a Kubernetes v1 Pod as far as scheduling reads it. Unknown fields are
// ignored when decoding; fields of the wrong JSON type are errors.
type Pod struct {
	ObjectMeta `json:"metadata"`
	Spec       PodSpec   `json:"spec"`
	Status     PodStatus `json:"status,omitzero"`
}

// PodSpec is what the pod asks for.
type PodSpec struct {
	NodeName                  string                     `json:"nodeName,omitempty"`
	SchedulerName             string                     `json:"schedulerName,omitempty"`
	NodeSelector              map[string]string          `json:"nodeSelector,omitempty"`
	Affinity                  *Affinity                  `json:"affinity,omitempty"`
	Tolerations               []Toleration               `json:"tolerations,omitempty"`
	TopologySpreadConstraints []TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`
	InitContainers            []Container                `json:"initContainers,omitempty"`
	Containers                []Container                `json:"containers"`
	Resources                 *ResourceRequirements      `json:"resources,omitempty"`
	Overhead                  resource.List              `json:"overhead,omitempty"`
	Priority                  *int32                     `json:"priority,omitempty"`
	PriorityClassName         string                     `json:"priorityClassName,omitempty"`
	PreemptionPolicy          *string                    `json:"preemptionPolicy,omitempty"`
	SchedulingGates           []SchedulingGate           `json:"schedulingGates,omitempty"`
	Volumes                   []Volume                   `json:"volumes,omitempty"`
	ResourceClaims            []PodResourceClaim         `json:"resourceClaims,omitempty"`
	HostNetwork               bool                       `json:"hostNetwork,omitempty"`
	HostUsers                 *bool                      `json:"hostUsers,omitempty"`
	SchedulingGroup           *PodSchedulingGroup        `json:"schedulingGroup,omitempty"`
}

// PodStatus is what has become of the pod.
type PodStatus struct {
	Phase                 string                `json:"phase,omitempty"`
	NominatedNodeName     string                `json:"nominatedNodeName,omitempty"`
	StartTime             *time.Time            `json:"startTime,omitempty"`
	Conditions            []PodCondition        `json:"conditions,omitempty"`
	ContainerStatuses     []ContainerStatus     `json:"containerStatuses,omitempty"`
	InitContainerStatuses []ContainerStatus     `json:"initContainerStatuses,omitempty"`
	Resources             *ResourceRequirements `json:"resources,omitempty"`
	AllocatedResources    resource.List         `json:"allocatedResources,omitempty"`
}

// PodCondition is one condition of a pod's status.
type PodCondition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// ContainerStatus carries what in-place resize has actuated and allocated
// (KEP-1287).
type ContainerStatus struct {
	Name               string                `json:"name"`
	Resources          *ResourceRequirements `json:"resources,omitempty"`
	AllocatedResources resource.List         `json:"allocatedResources,omitempty"`
}

// Container is one container or init container.
type Container struct {
	Name               string               `json:"name"`
	Image              string               `json:"image,omitempty"`
	Ports              []ContainerPort      `json:"ports,omitempty"`
	Resources          ResourceRequirements `json:"resources,omitzero"`
	RestartPolicy      *string              `json:"restartPolicy,omitempty"`
	RestartPolicyRules []RestartRule        `json:"restartPolicyRules,omitempty"`
}

// RestartRule is what happens when a container exits in a certain way.
type RestartRule struct {
	Action string `json:"action"`
}

// restartable says that an init container is a sidecar (KEP-753).
func (c *Container) restartable() bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == "Always"
}

// ContainerPort is one port of a container; only host ports matter here.
type ContainerPort struct {
	Name          string `json:"name,omitempty"`
	ContainerPort int32  `json:"containerPort"`
	HostPort      int32  `json:"hostPort,omitempty"`
	HostIP        string `json:"hostIP,omitempty"`
	Protocol      string `json:"protocol,omitempty"`
}

// ResourceRequirements are requests and limits by resource name.
type ResourceRequirements struct {
	Requests resource.List `json:"requests,omitempty"`
	Limits   resource.List `json:"limits,omitempty"`
}

// PodResourceClaim is a claim for dynamically allocated resources, which this
// package does not decide about (see doc.go).
type PodResourceClaim struct {
	Name string `json:"name"`
}

// SchedulingGate keeps a pod out of scheduling until it is removed (KEP-3521).
type SchedulingGate struct {
	Name string `json:"name"`
}

// Affinity holds the three kinds of affinity.
type Affinity struct {
	NodeAffinity    *NodeAffinity `json:"nodeAffinity,omitempty"`
	PodAffinity     *PodAffinity  `json:"podAffinity,omitempty"`
	PodAntiAffinity *PodAffinity  `json:"podAntiAffinity,omitempty"`
}

// NodeAffinity chooses nodes by their labels and name.
type NodeAffinity struct {
	Required  *selector.NodeSelector             `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
	Preferred []selector.PreferredSchedulingTerm `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// PodAffinity chooses nodes by the pods that run in their topology domain.
// Anti-affinity has the same shape.
type PodAffinity struct {
	Required  []PodAffinityTerm         `json:"requiredDuringSchedulingIgnoredDuringExecution,omitempty"`
	Preferred []WeightedPodAffinityTerm `json:"preferredDuringSchedulingIgnoredDuringExecution,omitempty"`
}

// WeightedPodAffinityTerm is a preferred pod affinity term.
type WeightedPodAffinityTerm struct {
	Weight          int32           `json:"weight"`
	PodAffinityTerm PodAffinityTerm `json:"podAffinityTerm"`
}

// PodAffinityTerm selects pods, and with them the topology domain they are in.
// The API server merges matchLabelKeys and mismatchLabelKeys into the label
// selector when a pod is created, so that the scheduler never reads them.
type PodAffinityTerm struct {
	LabelSelector     *selector.LabelSelector `json:"labelSelector,omitempty"`
	Namespaces        []string                `json:"namespaces,omitempty"`
	TopologyKey       string                  `json:"topologyKey"`
	NamespaceSelector *selector.LabelSelector `json:"namespaceSelector,omitempty"`
	MatchLabelKeys    []string                `json:"matchLabelKeys,omitempty"`
	MismatchLabelKeys []string                `json:"mismatchLabelKeys,omitempty"`
}

// TopologySpreadConstraint bounds or weighs how unevenly pods are spread over
// the domains of a topology key.
type TopologySpreadConstraint struct {
	MaxSkew            int32                   `json:"maxSkew"`
	TopologyKey        string                  `json:"topologyKey"`
	WhenUnsatisfiable  string                  `json:"whenUnsatisfiable"`
	LabelSelector      *selector.LabelSelector `json:"labelSelector,omitempty"`
	MinDomains         *int32                  `json:"minDomains,omitempty"`
	NodeAffinityPolicy *string                 `json:"nodeAffinityPolicy,omitempty"`
	NodeTaintsPolicy   *string                 `json:"nodeTaintsPolicy,omitempty"`
	MatchLabelKeys     []string                `json:"matchLabelKeys,omitempty"`
}

// Toleration lets a pod onto nodes with matching taints.
type Toleration struct {
	Key               string `json:"key,omitempty"`
	Operator          string `json:"operator,omitempty"`
	Value             string `json:"value,omitempty"`
	Effect            string `json:"effect,omitempty"`
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}
