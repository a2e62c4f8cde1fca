package node

import (
	"hash/fnv"
	"time"

	"github.com/orchcore/orchcore/examples/minicluster/api"
)

// Pace says how long things take on a simulated node.
type Pace struct {
	// Start is the time from binding to running, at least; each pod takes up to
	// twice as long, by its name.
	Start time.Duration
	// ProbeSecond is how long one second of a readiness probe's initial delay takes.
	ProbeSecond time.Duration
	// Stop is the time from the request to end a pod to its end.
	Stop time.Duration
}

// DefaultPace makes a pod ready in some tens of milliseconds.
func DefaultPace() Pace {
	return Pace{Start: 10 * time.Millisecond, ProbeSecond: time.Millisecond, Stop: 20 * time.Millisecond}
}

// step is what a kubelet does next with a pod.
type step int

const (
	rest   step = iota // nothing to do
	start              // containers run; ready at once if there is no probe
	report             // the probe succeeds
	remove             // the pod has stopped
)

// waitingForProbe marks pods that this kubelet started and that are not ready yet.
// Pods of a dump that run without being ready have another reason and are left alone.
const waitingForProbe = "ReadinessProbePending"

// next decides about a pod that is bound to a node with a working kubelet. after is
// how long the pod must have been in its present state first.
func (p Pace) next(pod *api.Pod) (s step, after time.Duration) {
	switch {
	case pod.Metadata.Deleting():
		return remove, p.Stop
	case pod.Status.Phase == "" || pod.Status.Phase == api.PodPending:
		return start, p.Start + time.Duration(spread(pod)*float64(p.Start))
	case pod.Status.Phase == api.PodRunning:
		if c := api.ConditionOf(pod.Status.Conditions, api.Ready); c != nil && c.Reason == waitingForProbe {
			return report, time.Duration(probeDelaySeconds(pod)) * p.ProbeSecond
		}
	}
	return rest, 0
}

// spread is a number in [0,1) that depends on the pod's name alone.
func spread(pod *api.Pod) float64 {
	h := fnv.New32a()
	h.Write([]byte(pod.Metadata.Namespace + "/" + pod.Metadata.Name))
	return float64(h.Sum32()) / (1 << 32)
}

// probeDelaySeconds is the longest initial delay among the containers' readiness
// probes, -1 when there is no probe.
func probeDelaySeconds(pod *api.Pod) int32 {
	delay := int32(-1)
	for i := range pod.Spec.Containers {
		if probe := pod.Spec.Containers[i].ReadinessProbe; probe != nil {
			delay = max(delay, probe.InitialDelaySeconds)
		}
	}
	return delay
}

// started is the status of a pod whose containers have just begun to run.
func started(pod *api.Pod, node *api.Node, podIP string, now time.Time) api.Fields {
	now = now.UTC().Truncate(time.Second)
	ready := api.Condition{Type: api.Ready, Status: api.True, LastTransitionTime: now}
	if probeDelaySeconds(pod) >= 0 {
		ready.Status, ready.Reason = api.False, waitingForProbe
	}
	conditions := pod.Status.Conditions
	for _, kind := range []string{"Initialized", "PodReadyToStartContainers"} {
		conditions = api.WithCondition(conditions, api.Condition{Type: kind, Status: api.True, LastTransitionTime: now})
	}
	contained := ready
	contained.Type = "ContainersReady"
	conditions = api.WithCondition(api.WithCondition(conditions, contained), ready)
	return api.Fields{"status": api.Fields{
		"phase":      api.PodRunning,
		"conditions": conditions,
		"hostIP":     node.InternalIP(),
		"podIP":      podIP,
		"podIPs":     []any{api.Fields{"ip": podIP}},
		"startTime":  now,
	}}
}

// probed is the status of a pod whose readiness probe has succeeded.
func probed(pod *api.Pod, now time.Time) api.Fields {
	conditions := pod.Status.Conditions
	for _, kind := range []string{"ContainersReady", api.Ready} {
		conditions = api.WithCondition(conditions, api.Condition{
			Type: kind, Status: api.True, LastTransitionTime: now.UTC().Truncate(time.Second),
		})
	}
	return api.Fields{"status": api.Fields{"conditions": conditions}}
}

// Busy reports whether a kubelet still has to do something for the pod.
func Busy(pod *api.Pod) bool {
	todo, _ := DefaultPace().next(pod)
	return todo != rest && pod.Status.Message == ""
}
