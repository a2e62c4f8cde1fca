package api

import "github.com/orchcore/orchcore/selector"

// PodDisruptionBudget is the view of a budget; package qos does its arithmetic on
// the same JSON.
type PodDisruptionBudget struct {
	TypeMeta
	Metadata ObjectMeta `json:"metadata"`
	Spec     BudgetSpec `json:"spec,omitzero"`
}

// BudgetSpec is the view of a budget's spec. An empty selector covers every pod of
// the namespace, none covers no pod.
type BudgetSpec struct {
	Selector       *selector.LabelSelector `json:"selector,omitempty"`
	MinAvailable   *IntOrString            `json:"minAvailable,omitempty"`
	MaxUnavailable *IntOrString            `json:"maxUnavailable,omitempty"`
}
