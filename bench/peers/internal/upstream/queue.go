package upstream

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/backend/queue"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	clocktesting "k8s.io/utils/clock/testing"

	_ "unsafe" // for go:linkname
)

// Queue is upstream's scheduling queue with the hints and gates of the default
// profile and a clock that stands still between calls.
type Queue struct {
	*queue.PriorityQueue
	Clock *clocktesting.FakeClock

	s     *Scheduler
	hints queue.QueueingHintMap
	// Flying are the pods that were popped, by name.
	Flying map[string]*framework.QueuedPodInfo
}

//go:linkname flushBackoff k8s.io/kubernetes/pkg/scheduler/backend/queue.(*PriorityQueue).flushBackoffQCompleted
func flushBackoff(*queue.PriorityQueue, klog.Logger)

//go:linkname flushLeftover k8s.io/kubernetes/pkg/scheduler/backend/queue.(*PriorityQueue).flushUnschedulablePodsLeftover
func flushLeftover(*queue.PriorityQueue, klog.Logger)

// NewQueue returns an empty queue. What hints look up is what the Scheduler was
// last loaded with.
func (s *Scheduler) NewQueue(now time.Time) *Queue {
	real := s.sched.SchedulingQueue.(*queue.PriorityQueue)
	hints := *queueField[queue.QueueingHintMapPerProfile](real, "queueingHintMap")
	clock := clocktesting.NewFakeClock(now)
	return &Queue{
		PriorityQueue: queue.NewPriorityQueue(s.profile.QueueSortFunc(), s.factory,
			queue.WithClock(clock),
			queue.WithQueueingHintMapPerProfile(hints),
			queue.WithPreEnqueuePluginMap(*queueField[map[string]map[string]fwk.PreEnqueuePlugin](real, "preEnqueuePluginMap")),
			queue.WithMetricsRecorder(*queueField[*metrics.MetricAsyncRecorder](real, "metricsRecorder")),
		),
		Clock: clock, s: s, hints: hints[profileName], Flying: map[string]*framework.QueuedPodInfo{},
	}
}

func queueField[T any](q *queue.PriorityQueue, field string) *T {
	return (*T)(unsafe.Pointer(reflect.ValueOf(q).Elem().FieldByName(field).UnsafeAddr()))
}

// Flush does what the queue's goroutines do every second, and every 30 seconds.
func (q *Queue) Flush(leftover bool) {
	flushBackoff(q.PriorityQueue, q.s.log)
	if leftover {
		flushLeftover(q.PriorityQueue, q.s.log)
	}
}

// PopNow pops a pod if one can be popped without waiting.
func (q *Queue) PopNow() (*framework.QueuedPodInfo, error) {
	if len(q.PodsInActiveQ()) == 0 && !slices.ContainsFunc(q.PodsInBackoffQ(), q.rejected) {
		return nil, nil
	}
	p, err := q.Pop(q.s.log)
	if err != nil || p == nil {
		return nil, err
	}
	q.Flying[p.Pod.Name] = p
	return p, nil
}

// rejected says that the pod backs off because it was rejected, not by an error.
func (q *Queue) rejected(p *v1.Pod) bool {
	info, ok := q.GetPod(p.Name, p.Namespace)
	return ok && info.UnschedulablePlugins.Len()+info.PendingPlugins.Len() > 0
}

// Fail ends an attempt as the failure handler does.
func (q *Queue) Fail(name string, latest *v1.Pod, rejected, pending []string) error {
	p := q.Flying[name]
	delete(q.Flying, name)
	if latest == nil || latest.Spec.NodeName != "" || latest.UID != p.Pod.UID {
		q.Done(p.Pod.UID)
		return nil
	}
	p.ClearRejectorPlugins()
	if len(rejected)+len(pending) > 0 {
		p.UnschedulablePlugins, p.PendingPlugins = sets.New(rejected...), sets.New(pending...)
	}
	p.PodInfo, _ = framework.NewPodInfo(latest.DeepCopy())
	return q.AddUnschedulableIfNotPresent(q.s.log, p, q.SchedulingCycle())
}

// Event tells the queue of an event.
func (q *Queue) Event(e fwk.ClusterEvent, old, new any) {
	q.MoveAllToActiveOrBackoffQueue(q.s.log, e, old, new, nil)
}

// AssignedPodEvents returns the events that a bound pod stands for.
func AssignedPodEvents(old, new *v1.Pod) []fwk.ClusterEvent {
	switch {
	case old == nil:
		return []fwk.ClusterEvent{framework.EventAssignedPodAdd}
	case new == nil:
		return []fwk.ClusterEvent{framework.EventAssignedPodDelete}
	}
	return framework.PodSchedulingPropertiesChange(new, old)
}

// NodeEvents returns the events that a node stands for.
func NodeEvents(old, new *v1.Node) []fwk.ClusterEvent {
	switch {
	case old == nil:
		return []fwk.ClusterEvent{{Resource: fwk.Node, ActionType: fwk.Add}}
	case new == nil:
		return []fwk.ClusterEvent{{Resource: fwk.Node, ActionType: fwk.Delete}}
	}
	return framework.NodeSchedulingPropertiesChange(new, old)
}

// Hint asks the hints of one plugin about an event: "queue", "skip", or ""
// when the plugin did not register for it.
func (q *Queue) Hint(plugin string, pod *v1.Pod, e fwk.ClusterEvent, old, new any) string {
	answer := ""
	for registered, hints := range q.hints {
		if !framework.MatchClusterEvents(registered, e) {
			continue
		}
		for _, h := range hints {
			if h.PluginName != plugin {
				continue
			}
			if hint, err := h.QueueingHintFn(q.s.log, pod, old, new); hint == fwk.Queue || err != nil {
				return "queue"
			}
			answer = "skip"
		}
	}
	return answer
}

// Plugins returns the names of all plugins that can reject a pod.
func (s *Scheduler) Plugins() []string {
	var names []string
	for _, e := range s.profile.EnqueueExtensions() {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

// Describe says where a pod is and what the queue knows of it.
func (q *Queue) Describe(namespace, name string) string {
	p, ok := q.GetPod(name, namespace)
	if !ok {
		return "nowhere"
	}
	has := func(list []*v1.Pod) bool {
		return slices.ContainsFunc(list, func(x *v1.Pod) bool { return x.Namespace == namespace && x.Name == name })
	}
	place := "unschedulable"
	switch {
	case has(q.PodsInActiveQ()):
		place = "active"
	case has(q.PodsInBackoffQ()):
		place = "error backoff"
		if q.rejected(p.Pod) {
			place = "backoff"
		}
	}
	by := sets.List(p.UnschedulablePlugins.Union(p.PendingPlugins))
	return fmt.Sprintf("%s uid=%s by=[%s] gate=%s attempts=%d rejections=%d errors=%d since=%s",
		place, p.Pod.UID, strings.Join(by, " "), p.GatingPlugin, p.Attempts, p.UnschedulableCount, p.ConsecutiveErrorsCount,
		p.Timestamp.UTC().Format(time.RFC3339Nano))
}

// InFlight returns the names of the pods in flight, sorted.
func (q *Queue) InFlight() []string {
	var names []string
	for _, p := range q.InFlightPods() {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

// Log is what upstream's functions log to.
func (s *Scheduler) Log() klog.Logger { return s.log }

// Complete fills in what an API server would have.
func Complete(p *v1.Pod) { complete(p) }
