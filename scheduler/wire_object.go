package scheduler

import "github.com/orchcore/orchcore/selector"

// Namespace is a Kubernetes v1 Namespace: pod affinity reads its labels.
type Namespace struct {
	ObjectMeta `json:"metadata"`
}

// Service is a Kubernetes v1 Service: its selector groups pods for the default
// topology spread.
type Service struct {
	ObjectMeta `json:"metadata"`
	Spec       ServiceSpec `json:"spec,omitzero"`
}

// ServiceSpec holds the selector; nil selects nothing.
type ServiceSpec struct {
	Selector map[string]string `json:"selector,omitempty"`
}

// ReplicationController is a Kubernetes v1 ReplicationController.
type ReplicationController struct {
	ObjectMeta `json:"metadata"`
	Spec       ReplicationControllerSpec `json:"spec,omitzero"`
}

// ReplicationControllerSpec holds the selector, a plain map.
type ReplicationControllerSpec struct {
	Selector map[string]string `json:"selector,omitempty"`
}

// ReplicaSet is an apps/v1 ReplicaSet.
type ReplicaSet struct {
	ObjectMeta `json:"metadata"`
	Spec       WorkloadSpec `json:"spec,omitzero"`
}

// StatefulSet is an apps/v1 StatefulSet.
type StatefulSet struct {
	ObjectMeta `json:"metadata"`
	Spec       WorkloadSpec `json:"spec,omitzero"`
}

// WorkloadSpec holds the label selector of a workload.
type WorkloadSpec struct {
	Selector *selector.LabelSelector `json:"selector,omitempty"`
}

// PodDisruptionBudget is a policy/v1 PodDisruptionBudget: preemption prefers
// victims that violate none.
type PodDisruptionBudget struct {
	ObjectMeta `json:"metadata"`
	Spec       PodDisruptionBudgetSpec   `json:"spec,omitzero"`
	Status     PodDisruptionBudgetStatus `json:"status,omitzero"`
}

// PodDisruptionBudgetSpec holds the selector; {} selects the whole namespace,
// nil nothing.
type PodDisruptionBudgetSpec struct {
	Selector *selector.LabelSelector `json:"selector,omitempty"`
}

// PodDisruptionBudgetStatus holds what the disruption controller allows.
type PodDisruptionBudgetStatus struct {
	DisruptionsAllowed int32          `json:"disruptionsAllowed"`
	DisruptedPods      map[string]any `json:"disruptedPods,omitempty"`
}
