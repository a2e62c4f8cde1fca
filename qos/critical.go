package qos

// The annotations by which a kubelet tells where a pod comes from, and the
// priorities from which on a pod is critical.
const (
	configSourceAnnotation = "kubernetes.io/config.source"
	configMirrorAnnotation = "kubernetes.io/config.mirror"
	sourceAPI              = "api"

	// SystemCriticalPriority is the value of system-cluster-critical; pods of at
	// least this priority are critical.
	SystemCriticalPriority = 2_000_000_000

	systemNodeCritical = "system-node-critical"
)

// Priority returns the pod's priority, 0 when it has none.
func Priority(p *Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// IsStatic reports whether the pod comes from a file or URL of the kubelet
// rather than from the API.
func IsStatic(p *Pod) bool {
	source, ok := p.Metadata.Annotations[configSourceAnnotation]
	return ok && source != sourceAPI
}

// IsMirror reports whether the pod is the API's image of a static pod.
func IsMirror(p *Pod) bool {
	_, ok := p.Metadata.Annotations[configMirrorAnnotation]
	return ok
}

// IsCritical reports whether the kubelet never evicts the pod: static pods,
// mirror pods, and pods of system-cluster-critical priority or above.
func IsCritical(p *Pod) bool {
	return IsStatic(p) || IsMirror(p) || Priority(p) >= SystemCriticalPriority
}

// isNodeCritical reports whether the kernel, too, should spare the pod.
func isNodeCritical(p *Pod) bool {
	return IsCritical(p) && p.Spec.PriorityClassName == systemNodeCritical
}
