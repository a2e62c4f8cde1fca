package api

import (
	"net/netip"
	"time"

	"github.com/orchcore/orchcore/qos/resource"
)

// Taint effects.
const (
	NoSchedule       = "NoSchedule"
	PreferNoSchedule = "PreferNoSchedule"
	NoExecute        = "NoExecute"
)

// Taints that the control plane itself sets.
const (
	TaintUnschedulable = "node.kubernetes.io/unschedulable"
	TaintNotReady      = "node.kubernetes.io/not-ready"
	TaintUnreachable   = "node.kubernetes.io/unreachable"
)

// Labels that nodes carry.
const (
	LabelHostname = "kubernetes.io/hostname"
	LabelZone     = "topology.kubernetes.io/zone"
)

// Node is the view of a node.
type Node struct {
	TypeMeta
	Metadata ObjectMeta `json:"metadata"`
	Spec     NodeSpec   `json:"spec,omitzero"`
	Status   NodeStatus `json:"status,omitzero"`
}

// NodeSpec is the view of a node's spec.
type NodeSpec struct {
	Unschedulable bool    `json:"unschedulable,omitempty"`
	Taints        []Taint `json:"taints,omitempty"`
	PodCIDR       string  `json:"podCIDR,omitempty"`
}

// Taint keeps pods off a node.
type Taint struct {
	Key       string    `json:"key"`
	Value     string    `json:"value,omitempty"`
	Effect    string    `json:"effect"`
	TimeAdded time.Time `json:"timeAdded,omitzero"`
}

// NodeStatus is the view of a node's status.
type NodeStatus struct {
	Capacity    resource.List `json:"capacity,omitempty"`
	Allocatable resource.List `json:"allocatable,omitempty"`
	Conditions  []Condition   `json:"conditions,omitempty"`
	Addresses   []NodeAddress `json:"addresses,omitempty"`
}

// NodeAddress is one way to reach a node.
type NodeAddress struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

// InternalIP is the node's own IPv4 address in the cluster, or "".
func (n *Node) InternalIP() string {
	for _, a := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(a.Address); a.Type == "InternalIP" && err == nil && ip.Is4() {
			return a.Address
		}
	}
	return ""
}

// Ready reports the Ready condition; a node that says nothing is not ready.
func (n *Node) Ready() bool {
	c := ConditionOf(n.Status.Conditions, Ready)
	return c != nil && c.Status == True
}

// Lease is a node's heartbeat.
type Lease struct {
	TypeMeta
	Metadata ObjectMeta `json:"metadata"`
	Spec     LeaseSpec  `json:"spec"`
}

// LeaseSpec says who is alive and when that was last said.
type LeaseSpec struct {
	HolderIdentity       string    `json:"holderIdentity,omitempty"`
	LeaseDurationSeconds int32     `json:"leaseDurationSeconds,omitempty"`
	RenewTime            time.Time `json:"renewTime,omitzero"`
}
