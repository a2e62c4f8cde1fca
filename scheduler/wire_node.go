package scheduler

import "github.com/orchcore/orchcore/qos/resource"

// Node is a Kubernetes v1 Node as far as scheduling reads it.
type Node struct {
	ObjectMeta `json:"metadata"`
	Spec       NodeSpec   `json:"spec,omitzero"`
	Status     NodeStatus `json:"status,omitzero"`
}

// NodeSpec is what the administrator says about the node.
type NodeSpec struct {
	Unschedulable bool    `json:"unschedulable,omitempty"`
	Taints        []Taint `json:"taints,omitempty"`
}

// NodeStatus is what the kubelet says about the node.
type NodeStatus struct {
	Allocatable      resource.List    `json:"allocatable,omitempty"`
	Images           []ContainerImage `json:"images,omitempty"`
	DeclaredFeatures []string         `json:"declaredFeatures,omitempty"`
	Conditions       []NodeCondition  `json:"conditions,omitempty"`
}

// NodeCondition is one condition of a node. No built-in plugin reads it; its
// changes are events.
type NodeCondition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

// ContainerImage is an image that the node has, under one or more names.
type ContainerImage struct {
	Names     []string `json:"names"`
	SizeBytes int64    `json:"sizeBytes,omitempty"`
}

// Taint repels the pods that do not tolerate it.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// The effects of a taint.
const (
	NoSchedule       = "NoSchedule"
	PreferNoSchedule = "PreferNoSchedule"
	NoExecute        = "NoExecute"
)

// Labels with a meaning of their own.
const (
	LabelHostname = "kubernetes.io/hostname"
	LabelZone     = "topology.kubernetes.io/zone"
	LabelRegion   = "topology.kubernetes.io/region"

	labelZoneBeta   = "failure-domain.beta.kubernetes.io/zone"
	labelRegionBeta = "failure-domain.beta.kubernetes.io/region"
)

// TaintUnschedulable is the key of the taint that stands for a cordoned node.
const TaintUnschedulable = "node.kubernetes.io/unschedulable"
