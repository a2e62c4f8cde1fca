package qos

import (
	"time"

	"github.com/orchcore/orchcore/qos/resource"
)

// The names of the resources that this package decides about.
const (
	CPU              = "cpu"
	Memory           = "memory"
	EphemeralStorage = "ephemeral-storage"
)

// A Pod is a Kubernetes v1 Pod as far as this package reads it. Unknown fields
// are ignored when decoding; DecodePod names the field of a wrong value.
type Pod struct {
	Metadata Metadata  `json:"metadata"`
	Spec     PodSpec   `json:"spec"`
	Status   PodStatus `json:"status,omitzero"`
}

// Metadata is a pod's identity and what owns it.
type Metadata struct {
	Name              string            `json:"name,omitempty"`
	Namespace         string            `json:"namespace,omitempty"`
	UID               string            `json:"uid,omitempty"`
	CreationTimestamp time.Time         `json:"creationTimestamp,omitzero"`
	DeletionTimestamp *time.Time        `json:"deletionTimestamp,omitempty"`
	Labels            map[string]string `json:"labels,omitempty"`
	Annotations       map[string]string `json:"annotations,omitempty"`
	OwnerReferences   []OwnerReference  `json:"ownerReferences,omitempty"`
}

// An OwnerReference names an object that the pod belongs to.
type OwnerReference struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
	Controller *bool  `json:"controller,omitempty"`
}

// PodSpec is what the pod asks for.
type PodSpec struct {
	NodeName                      string           `json:"nodeName,omitempty"`
	Priority                      *int32           `json:"priority,omitempty"`
	PriorityClassName             string           `json:"priorityClassName,omitempty"`
	TerminationGracePeriodSeconds *int64           `json:"terminationGracePeriodSeconds,omitempty"`
	InitContainers                []Container      `json:"initContainers,omitempty"`
	Containers                    []Container      `json:"containers"`
	Resources                     *Requirements    `json:"resources,omitempty"` // pod level, KEP-2837
	Overhead                      resource.Amounts `json:"overhead,omitempty"`
	Tolerations                   []Toleration     `json:"tolerations,omitempty"`
	Volumes                       []Volume         `json:"volumes,omitempty"`
}

// PodStatus is what has become of the pod.
type PodStatus struct {
	Phase      string         `json:"phase,omitempty"`
	Reason     string         `json:"reason,omitempty"`
	QOSClass   Class          `json:"qosClass,omitzero"`
	Conditions []PodCondition `json:"conditions,omitempty"`
}

// PodCondition is one condition of a pod's status.
type PodCondition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

// A Container is a regular or an init container.
type Container struct {
	Name          string       `json:"name"`
	Resources     Requirements `json:"resources,omitzero"`
	RestartPolicy string       `json:"restartPolicy,omitempty"`
}

// sidecar reports whether c, being an init container, keeps running (KEP-753).
func (c *Container) sidecar() bool { return c.RestartPolicy == "Always" }

// Requirements are the requests and limits of a container or of a pod.
type Requirements struct {
	Requests resource.Amounts `json:"requests,omitempty"`
	Limits   resource.Amounts `json:"limits,omitempty"`
}

// A Toleration lets a pod stay on a node in spite of matching taints.
type Toleration struct {
	Key               string `json:"key,omitempty"`
	Operator          string `json:"operator,omitempty"`
	Value             string `json:"value,omitempty"`
	Effect            string `json:"effect,omitempty"`
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}

// A Taint keeps away, or drives out, pods that do not tolerate it.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// A Volume is one of a pod's volumes, as far as its use of the node's own
// disk goes.
type Volume struct {
	Name      string          `json:"name"`
	HostPath  *struct{}       `json:"hostPath,omitempty"`
	EmptyDir  *EmptyDirVolume `json:"emptyDir,omitempty"`
	ConfigMap *struct{}       `json:"configMap,omitempty"`
	GitRepo   *struct{}       `json:"gitRepo,omitempty"`
}

// An EmptyDirVolume is scratch space; with medium "Memory" it counts as memory.
type EmptyDirVolume struct {
	Medium    string             `json:"medium,omitempty"`
	SizeLimit *resource.Quantity `json:"sizeLimit,omitempty"`
}
