package api

import "github.com/orchcore/orchcore/selector"

// PodTemplate is what a workload makes pods from.
type PodTemplate struct {
	Metadata ObjectMeta   `json:"metadata,omitzero"`
	Spec     TemplateSpec `json:"spec"`
}

// Deployment keeps one replica set per version of its template.
type Deployment struct {
	TypeMeta
	Metadata ObjectMeta       `json:"metadata"`
	Spec     DeploymentSpec   `json:"spec"`
	Status   DeploymentStatus `json:"status,omitzero"`
}

// DeploymentSpec is the view of a deployment's spec.
type DeploymentSpec struct {
	Replicas *int32                  `json:"replicas,omitempty"`
	Selector *selector.LabelSelector `json:"selector,omitempty"`
	Template PodTemplate             `json:"template"`
	Strategy Strategy                `json:"strategy,omitzero"`
	Paused   bool                    `json:"paused,omitempty"`
}

// Strategy says how pods of an old template give way to those of the new one.
type Strategy struct {
	Type          string         `json:"type,omitempty"`
	RollingUpdate *RollingUpdate `json:"rollingUpdate,omitempty"`
}

// RollingUpdate bounds how far the number of pods may stray during an update.
type RollingUpdate struct {
	MaxSurge       *IntOrString `json:"maxSurge,omitempty"`
	MaxUnavailable *IntOrString `json:"maxUnavailable,omitempty"`
}

// DeploymentStatus is what the controller reports.
type DeploymentStatus struct {
	ObservedGeneration int64 `json:"observedGeneration"`
	Replicas           int32 `json:"replicas"`
	UpdatedReplicas    int32 `json:"updatedReplicas"`
	ReadyReplicas      int32 `json:"readyReplicas"`
}

// ReplicaSet keeps a number of equal pods.
type ReplicaSet struct {
	TypeMeta
	Metadata ObjectMeta       `json:"metadata"`
	Spec     ReplicaSetSpec   `json:"spec"`
	Status   ReplicaSetStatus `json:"status,omitzero"`
}

// ReplicaSetSpec is the view of a replica set's spec.
type ReplicaSetSpec struct {
	Replicas *int32                  `json:"replicas,omitempty"`
	Selector *selector.LabelSelector `json:"selector,omitempty"`
	Template PodTemplate             `json:"template"`
}

// ReplicaSetStatus is what the controller reports.
type ReplicaSetStatus struct {
	ObservedGeneration int64 `json:"observedGeneration"`
	Replicas           int32 `json:"replicas"`
	ReadyReplicas      int32 `json:"readyReplicas"`
}

// DaemonSet keeps one pod on every node that suits it.
type DaemonSet struct {
	TypeMeta
	Metadata ObjectMeta      `json:"metadata"`
	Spec     DaemonSetSpec   `json:"spec"`
	Status   DaemonSetStatus `json:"status,omitzero"`
}

// DaemonSetSpec is the view of a daemon set's spec.
type DaemonSetSpec struct {
	Selector *selector.LabelSelector `json:"selector,omitempty"`
	Template PodTemplate             `json:"template"`
}

// DaemonSetStatus is what the controller reports.
type DaemonSetStatus struct {
	ObservedGeneration     int64 `json:"observedGeneration"`
	DesiredNumberScheduled int32 `json:"desiredNumberScheduled"`
	CurrentNumberScheduled int32 `json:"currentNumberScheduled"`
	NumberReady            int32 `json:"numberReady"`
}

// StatefulSet keeps pods with names that last: name-0, name-1, …
type StatefulSet struct {
	TypeMeta
	Metadata ObjectMeta        `json:"metadata"`
	Spec     StatefulSetSpec   `json:"spec"`
	Status   StatefulSetStatus `json:"status,omitzero"`
}

// StatefulSetSpec is the view of a stateful set's spec.
type StatefulSetSpec struct {
	Replicas             *int32                  `json:"replicas,omitempty"`
	Selector             *selector.LabelSelector `json:"selector,omitempty"`
	Template             PodTemplate             `json:"template"`
	ServiceName          string                  `json:"serviceName,omitempty"`
	PodManagementPolicy  string                  `json:"podManagementPolicy,omitempty"`
	VolumeClaimTemplates []VolumeClaimTemplate   `json:"volumeClaimTemplates,omitempty"`
}

// VolumeClaimTemplate is read only to be refused: the example has no storage.
type VolumeClaimTemplate struct {
	Metadata ObjectMeta `json:"metadata"`
}

// StatefulSetStatus is what the controller reports.
type StatefulSetStatus struct {
	ObservedGeneration int64 `json:"observedGeneration"`
	Replicas           int32 `json:"replicas"`
	ReadyReplicas      int32 `json:"readyReplicas"`
}

// PriorityClass gives pods that name it their priority.
type PriorityClass struct {
	TypeMeta
	Metadata         ObjectMeta `json:"metadata"`
	Value            int32      `json:"value"`
	GlobalDefault    bool       `json:"globalDefault,omitempty"`
	PreemptionPolicy string     `json:"preemptionPolicy,omitempty"`
}

// Count reads an optional replica count; absent means one.
func Count(replicas *int32) int {
	if replicas == nil {
		return 1
	}
	return int(*replicas)
}
