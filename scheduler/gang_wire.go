package scheduler

// PodSchedulingGroup names the PodGroup that a pod belongs to.
type PodSchedulingGroup struct {
	PodGroupName *string `json:"podGroupName,omitempty"`
}

// PodGroup is a scheduling.k8s.io/v1alpha2 PodGroup: pods that are scheduled
// together.
type PodGroup struct {
	ObjectMeta `json:"metadata"`
	Spec       PodGroupSpec `json:"spec,omitzero"`
}

// PodGroupSpec says how the pods are scheduled. The fields behind further
// alpha gates are decoded so that a group which sets them can be refused.
type PodGroupSpec struct {
	SchedulingPolicy      PodGroupPolicy  `json:"schedulingPolicy,omitzero"`
	SchedulingConstraints *map[string]any `json:"schedulingConstraints,omitempty"`
	ResourceClaims        []any           `json:"resourceClaims,omitempty"`
	DisruptionMode        *string         `json:"disruptionMode,omitempty"`
}

// PodGroupPolicy is either Basic, pods on their own, or Gang.
type PodGroupPolicy struct {
	Basic *struct{}   `json:"basic,omitempty"`
	Gang  *GangPolicy `json:"gang,omitempty"`
}

// GangPolicy asks for all or nothing: fewer than MinCount pods are not run.
type GangPolicy struct {
	MinCount int32 `json:"minCount"`
}
