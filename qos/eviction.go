package qos

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orchcore/orchcore/qos/resource"
)

// EvictedReason is the reason in the status of an evicted pod, whose phase
// becomes Failed, and of a pod that is not admitted.
const EvictedReason = "Evicted"

// An Eviction is one pod to kill, and how.
type Eviction struct {
	Pod *Pod
	// Signal is what was short. It means nothing when Limit is set.
	Signal Signal
	// Limit names the limit of its own that the pod exceeds:
	// emptydirfs.limit, ephemeralpodfs.limit or ephemeralcontainerfs.limit.
	Limit string
	// GracePeriodSeconds is how long the pod has to end by itself.
	GracePeriodSeconds int64
	// Message is for the pod's status and for its event, as the kubelet words
	// it.
	Message string
}

// The limits of a pod's own local storage.
const (
	limitEmptyDir  = "emptydirfs.limit"
	limitPod       = "ephemeralpodfs.limit"
	limitContainer = "ephemeralcontainerfs.limit"
)

// overLimits returns the pods, critical ones excepted, that use more local
// storage than their own limits allow.
func overLimits(candidates []Candidate, layout Layout) []Eviction {
	var out []Eviction
	for i := range candidates {
		c := &candidates[i]
		if c.Critical || c.stats == nil {
			continue
		}
		limit, message := overEmptyDir(c)
		if limit == "" {
			limit, message = overPodLimit(c)
		}
		if limit == "" {
			limit, message = overContainerLimit(c, layout)
		}
		if limit != "" {
			out = append(out, Eviction{Pod: c.Pod, Limit: limit, GracePeriodSeconds: immediateGracePeriodSeconds, Message: message})
		}
	}
	return out
}

func overEmptyDir(c *Candidate) (limit, message string) {
	for i := range c.Pod.Spec.Volumes {
		v := &c.Pod.Spec.Volumes[i]
		if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil || v.EmptyDir.SizeLimit.Sign() <= 0 {
			continue
		}
		if used, ok := volumeUse(c.stats, v.Name); ok && used.Cmp(*v.EmptyDir.SizeLimit) > 0 {
			return limitEmptyDir, fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", v.Name, v.EmptyDir.SizeLimit)
		}
	}
	return "", ""
}

// volumeUse returns what the last statistics of that name say, as the map that
// upstream builds would.
func volumeUse(s *PodStats, name string) (resource.Quantity, bool) {
	for i := len(s.Volumes) - 1; i >= 0; i-- {
		if s.Volumes[i].Name == name && s.Volumes[i].UsedBytes != nil {
			return sizeOf(s.Volumes[i].UsedBytes), true
		}
	}
	return resource.Quantity{}, false
}

func overPodLimit(c *Candidate) (limit, message string) {
	allowed, limited := Limits(c.Pod)[EphemeralStorage]
	if !limited {
		return "", ""
	}
	var used resource.Quantity
	if c.stats.EphemeralStorage != nil {
		used = sizeOf(c.stats.EphemeralStorage.UsedBytes)
	}
	if used.Cmp(allowed) > 0 {
		return limitPod, fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", allowed)
	}
	return "", ""
}

func overContainerLimit(c *Candidate, layout Layout) (limit, message string) {
	for i := range c.stats.Containers {
		s := &c.stats.Containers[i]
		var used FSUsage
		used.add(s.Logs)
		if !layout.ImageFS {
			used.add(s.Rootfs)
		}
		for j := range c.Pod.Spec.Containers {
			allowed := c.Pod.Spec.Containers[j].Resources.Limits.Of(EphemeralStorage)
			if c.Pod.Spec.Containers[j].Name == s.Name && !allowed.IsZero() && used.Bytes.Cmp(allowed) > 0 {
				return limitContainer, fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q. ", s.Name, allowed)
			}
		}
	}
	return "", ""
}

// evictionMessage says what was short, how short, and which containers of the
// pod use more of it than they request.
func evictionMessage(short string, c *Candidate, starved []Threshold, observed Observations) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The node was low on resource: %v. ", short)
	for _, t := range starved {
		if t.Signal.Resource() != short {
			continue
		}
		if o, ok := observed.Of(t.Signal); ok {
			fmt.Fprintf(&b, "Threshold quantity: %v, available: %v. ", t.Value.Of(o.Capacity), o.Available)
			break
		}
	}
	if c.stats == nil {
		return b.String()
	}
	if short == Memory && podLevelSet(c.Pod) && c.stats.Memory != nil {
		if request, ok := c.Pod.Spec.Resources.Requests.Lookup(Memory); ok {
			fmt.Fprintf(&b, "Pod %s was using %s, request is %s, has larger consumption of %v. ", c.Pod.Metadata.Name, c.WorkingSet, request, short)
		}
	}
	for i := range c.stats.Containers {
		s := &c.stats.Containers[i]
		used, ok := containerUse(s, short)
		container := containerNamed(c.Pod, s.Name)
		if !ok || container == nil {
			continue
		}
		if request := container.Resources.Requests.Of(short); used.Cmp(request) > 0 {
			fmt.Fprintf(&b, "Container %s was using %s, request is %s, has larger consumption of %v. ", s.Name, used, request, short)
		}
	}
	return b.String()
}

func containerUse(s *ContainerStats, short string) (resource.Quantity, bool) {
	switch short {
	case Memory:
		if s.Memory != nil && s.Memory.WorkingSetBytes != nil {
			return sizeOf(s.Memory.WorkingSetBytes), true
		}
	case EphemeralStorage:
		if s.Rootfs != nil && s.Rootfs.UsedBytes != nil && s.Logs != nil && s.Logs.UsedBytes != nil {
			return sizeOf(s.Rootfs.UsedBytes).Add(sizeOf(s.Logs.UsedBytes)), true
		}
	}
	return resource.Quantity{}, false
}

func containerNamed(p *Pod, name string) *Container {
	named := func(c Container) bool { return c.Name == name }
	if i := slices.IndexFunc(p.Spec.Containers, named); i >= 0 {
		return &p.Spec.Containers[i]
	}
	if i := slices.IndexFunc(p.Spec.InitContainers, named); i >= 0 {
		return &p.Spec.InitContainers[i]
	}
	return nil
}

// Admit reports whether a node that reports these conditions takes in a pod,
// and if not, why. The order of the conditions does not matter.
//
// Under memory pressure alone BestEffort pods must tolerate its taint; under
// any other only critical pods are admitted.
func Admit(p *Pod, reported []Condition) (admitted bool, message string) {
	sorted := slices.Compact(slices.Sorted(slices.Values(reported)))
	if len(sorted) == 0 || IsCritical(p) {
		return true, ""
	}
	if len(sorted) == 1 && sorted[0] == MemoryPressure {
		if ClassOf(p) != BestEffort || tolerates(p.Spec.Tolerations, MemoryPressure.Taint()) {
			return true, ""
		}
	}
	return false, fmt.Sprintf("The node had condition: %v. ", sorted)
}

func tolerates(tolerations []Toleration, t Taint) bool {
	return slices.ContainsFunc(tolerations, func(tol Toleration) bool { return tol.Tolerates(t) })
}

// Tolerates reports whether the toleration matches the taint. The operators Lt
// and Gt never do: they are off by default upstream.
func (t Toleration) Tolerates(taint Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
		return false
	}
	switch t.Operator {
	case "", "Equal":
		return t.Value == taint.Value
	case "Exists":
		return true
	}
	return false
}
