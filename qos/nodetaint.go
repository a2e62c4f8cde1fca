package qos

// A NodeCondition is one condition of a node's status.
type NodeCondition struct {
	Type   string `json:"type"`
	Status string `json:"status"` // True, False or Unknown
}

const (
	taintNetworkUnavailable = "node.kubernetes.io/network-unavailable"
	taintUnschedulable      = "node.kubernetes.io/unschedulable"

	statusUnknown = "Unknown"
)

// taintKey returns the key of the taint that a condition brings, "" for
// none.
func (c NodeCondition) taintKey() string {
	switch {
	case c.Type == conditionReady && c.Status == statusFalse:
		return taintNotReady
	case c.Type == conditionReady && c.Status == statusUnknown:
		return taintUnreachable
	case c.Status != statusTrue:
		return ""
	case c.Type == "NetworkUnavailable":
		return taintNetworkUnavailable
	}
	for i := range conditions {
		if conditions[i].name == c.Type {
			return conditions[i].taint
		}
	}
	return ""
}

// NodeTaints returns the NoSchedule taints that a node's conditions, and being
// unschedulable (cordoned), bring, in the order of the conditions. The kubelet
// reports conditions; it is the node lifecycle controller that taints.
func NodeTaints(reported []NodeCondition, unschedulable bool) []Taint {
	var taints []Taint
	for _, c := range reported {
		if key := c.taintKey(); key != "" {
			taints = append(taints, Taint{Key: key, Effect: effectNoSchedule})
		}
	}
	if unschedulable {
		taints = append(taints, Taint{Key: taintUnschedulable, Effect: effectNoSchedule})
	}
	return taints
}

// EvictionTaint returns the NoExecute taint of a node that is not ready or
// unreachable, once Zones lets it be tainted; ok is false for others.
func EvictionTaint(reported []NodeCondition) (t Taint, ok bool) {
	for _, c := range reported {
		if c.Type == conditionReady {
			if key := c.taintKey(); key != "" {
				return Taint{Key: key, Effect: effectNoExecute}, true
			}
			break
		}
	}
	return Taint{}, false
}
