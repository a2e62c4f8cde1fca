package api

import (
	"slices"
	"strings"
)

// Root is the prefix of every object's key.
const Root = "/registry/"

// Kind says how objects of one kind are named on the wire and in the store.
type Kind struct {
	APIVersion string
	Name       string
	Plural     string
	Namespaced bool
}

// The kinds that the control plane works with. Anything else in an input is
// listed and skipped.
var (
	Namespaces      = Kind{"v1", "Namespace", "namespaces", false}
	Nodes           = Kind{"v1", "Node", "nodes", false}
	Pods            = Kind{"v1", "Pod", "pods", true}
	Services        = Kind{"v1", "Service", "services", true}
	Deployments     = Kind{"apps/v1", "Deployment", "deployments", true}
	ReplicaSets     = Kind{"apps/v1", "ReplicaSet", "replicasets", true}
	DaemonSets      = Kind{"apps/v1", "DaemonSet", "daemonsets", true}
	StatefulSets    = Kind{"apps/v1", "StatefulSet", "statefulsets", true}
	EndpointSlices  = Kind{"discovery.k8s.io/v1", "EndpointSlice", "endpointslices", true}
	Leases          = Kind{"coordination.k8s.io/v1", "Lease", "leases", true}
	Budgets         = Kind{"policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true}
	PriorityClasses = Kind{"scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false}
)

// Kinds lists every kind, in the order in which an input is applied: what others
// refer to comes first, and pods come before the objects that may own them, so
// that an owner in the store means that its pods were applied, too.
func Kinds() []Kind {
	return []Kind{
		Namespaces, PriorityClasses, Nodes, Services, EndpointSlices, Budgets, Pods,
		ReplicaSets, DaemonSets, StatefulSets, Deployments,
	}
}

// KindOf finds the kind that an object declares. Kinds compare exactly, as in
// Kubernetes: "deployment" is unknown.
func KindOf(apiVersion, name string) (Kind, bool) {
	all := Kinds()
	i := slices.IndexFunc(all, func(k Kind) bool { return k.APIVersion == apiVersion && k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return all[i], true
}

// Key is where the object lives: /registry/<plural>[/<namespace>]/<name>.
func (k Kind) Key(namespace, name string) string {
	if k.Namespaced {
		return Root + k.Plural + "/" + namespace + "/" + name
	}
	return Root + k.Plural + "/" + name
}

// Prefix is the common prefix of all keys of the kind.
func (k Kind) Prefix() string { return Root + k.Plural + "/" }

// SplitKey takes a key apart; ok is false for keys that are not an object's.
func SplitKey(key string) (plural, namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(key, Root)
	if !ok {
		return "", "", "", false
	}
	switch parts := strings.Split(rest, "/"); len(parts) {
	case 2:
		return parts[0], "", parts[1], true
	case 3:
		return parts[0], parts[1], parts[2], true
	}
	return "", "", "", false
}

// Title names an object for people: "Pod shop/cart-0", "Node a".
func Title(kind, namespace, name string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	return strings.TrimSpace(kind + " " + name)
}
