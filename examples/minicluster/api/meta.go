package api

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TypeMeta is what every object begins with.
type TypeMeta struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
}

// ObjectMeta is the part of metadata that controllers read.
type ObjectMeta struct {
	Name              string            `json:"name,omitempty"`
	Namespace         string            `json:"namespace,omitempty"`
	UID               string            `json:"uid,omitempty"`
	Generation        int64             `json:"generation,omitempty"`
	CreationTimestamp time.Time         `json:"creationTimestamp,omitzero"`
	DeletionTimestamp time.Time         `json:"deletionTimestamp,omitzero"`
	Labels            map[string]string `json:"labels,omitempty"`
	Annotations       map[string]string `json:"annotations,omitempty"`
	OwnerReferences   []OwnerReference  `json:"ownerReferences,omitempty"`
}

// Deleting reports whether deletion was asked for.
func (m *ObjectMeta) Deleting() bool { return !m.DeletionTimestamp.IsZero() }

// OwnerReference points from an object to the one that made it.
type OwnerReference struct {
	APIVersion         string `json:"apiVersion"`
	Kind               string `json:"kind"`
	Name               string `json:"name"`
	UID                string `json:"uid"`
	Controller         bool   `json:"controller,omitempty"`
	BlockOwnerDeletion bool   `json:"blockOwnerDeletion,omitempty"`
}

// Controller is the one owner that manages the object, or nil.
func (m *ObjectMeta) Controller() *OwnerReference {
	for i := range m.OwnerReferences {
		if m.OwnerReferences[i].Controller {
			return &m.OwnerReferences[i]
		}
	}
	return nil
}

// ControlledBy reports whether owner manages the object. Without a UID in the
// reference (hand-written manifests) kind and name decide.
func (m *ObjectMeta) ControlledBy(kind Kind, owner *ObjectMeta) bool {
	ref := m.Controller()
	if ref == nil || ref.Kind != kind.Name || ref.Name != owner.Name || m.Namespace != owner.Namespace {
		return false
	}
	return ref.UID == "" || ref.UID == owner.UID
}

// OwnedBy is the reference that makes owner the controller.
func OwnedBy(kind Kind, owner *ObjectMeta) []OwnerReference {
	return []OwnerReference{{
		APIVersion: kind.APIVersion, Kind: kind.Name, Name: owner.Name, UID: owner.UID,
		Controller: true, BlockOwnerDeletion: true,
	}}
}

// Condition is one entry of status.conditions, of pods, nodes and workloads alike.
type Condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	Reason             string    `json:"reason,omitempty"`
	Message            string    `json:"message,omitempty"`
	LastTransitionTime time.Time `json:"lastTransitionTime,omitzero"`
}

// ConditionOf finds a condition by type, or returns nil.
func ConditionOf(conditions []Condition, kind string) *Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

// WithCondition returns conditions with c in the place of the one of its type.
// The transition time is kept while the status stays the same.
func WithCondition(conditions []Condition, c Condition) []Condition {
	out := make([]Condition, 0, len(conditions)+1)
	found := false
	for _, old := range conditions {
		if old.Type == c.Type {
			if old.Status == c.Status {
				c.LastTransitionTime = old.LastTransitionTime
			}
			old, found = c, true
		}
		out = append(out, old)
	}
	if !found {
		out = append(out, c)
	}
	return out
}

// IntOrString is a number or a name or percentage, as in targetPort and maxSurge.
type IntOrString struct {
	Int  int64
	Text string // decides when not empty
}

// UnmarshalJSON accepts a JSON integer or string.
func (v *IntOrString) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		v.Int = 0
		return json.Unmarshal(data, &v.Text)
	}
	n, err := strconv.ParseInt(string(data), 10, 32)
	if err != nil {
		return fmt.Errorf("%s: want a 32-bit integer or a string", data)
	}
	v.Int, v.Text = n, ""
	return nil
}

// MarshalJSON prints the form that was read.
func (v IntOrString) MarshalJSON() ([]byte, error) {
	if v.Text != "" {
		return json.Marshal(v.Text)
	}
	return strconv.AppendInt(nil, v.Int, 10), nil
}

func (v IntOrString) String() string {
	if v.Text != "" {
		return v.Text
	}
	return strconv.FormatInt(v.Int, 10)
}

// Share resolves a number or percentage of a total; percentages are rounded by round.
func (v *IntOrString) Share(of int, round func(float64) float64) (int, error) {
	switch {
	case v == nil:
		return 0, nil
	case v.Text == "" && v.Int >= 0:
		return int(v.Int), nil
	case v.Text == "":
		return 0, fmt.Errorf("%d: want a number that is not negative", v.Int)
	}
	digits, ok := strings.CutSuffix(v.Text, "%")
	percent, err := strconv.ParseUint(digits, 10, 31)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q: want a number or a percentage", v.Text)
	}
	return int(round(float64(percent) * float64(of) / 100)), nil
}
