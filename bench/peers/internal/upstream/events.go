package upstream

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
)

// Event is a change of the cluster, or a pod to decide about, with the keys of
// workload.Event.
type Event struct {
	Op   string   `json:"op"`
	Node *v1.Node `json:"node"`
	Pod  *v1.Pod  `json:"pod"`
	Name string   `json:"name"`
}

// Apply makes a change. It reports whether the event meant anything: a change of
// what is not there does not.
func (s *Scheduler) Apply(e *Event) (bool, error) {
	if e.Pod != nil {
		complete(e.Pod)
	}
	switch e.Op {
	case "addNode", "updateNode":
		return s.setNode(e)
	case "removeNode":
		n := s.nodes[e.Name]
		if n == nil {
			return false, nil
		}
		delete(s.nodes, e.Name)
		return true, s.sched.Cache.RemoveNode(s.log, n)
	case "addPod":
		if s.pods[podName(e.Pod)] != nil {
			return false, nil
		}
		s.index(s.podIndexer(), e.Pod)
		return true, s.addPod(e.Pod)
	case "updatePod":
		return s.updatePod(e.Pod)
	case "confirm":
		return s.confirm(e.Name)
	case "removePod":
		if s.pods[e.Name] == nil {
			return false, nil
		}
		return true, s.Remove(e.Name)
	case "decide":
		if s.pods[podName(e.Pod)] != nil {
			return false, nil
		}
		s.index(s.podIndexer(), e.Pod)
		s.nominate(e.Pod)
		return true, nil
	}
	return false, fmt.Errorf("unknown event %q", e.Op)
}

func (s *Scheduler) setNode(e *Event) (bool, error) {
	old := s.nodes[e.Node.Name]
	if (old == nil) != (e.Op == "addNode") {
		return false, nil
	}
	if old == nil {
		s.sched.Cache.AddNode(s.log, e.Node)
	} else {
		s.sched.Cache.UpdateNode(s.log, old, e.Node)
	}
	s.nodes[e.Node.Name] = e.Node
	return true, nil
}

func (s *Scheduler) updatePod(p *v1.Pod) (bool, error) {
	old := s.pods[podName(p)]
	if old == nil || old.Spec.NodeName != p.Spec.NodeName {
		return false, nil
	}
	if assumed, err := s.sched.Cache.IsAssumedPod(old); err != nil || assumed {
		return false, err
	}
	s.index(s.podIndexer(), p)
	s.pods[podName(p)] = p
	return true, s.sched.Cache.UpdatePod(s.log, old, p)
}

func (s *Scheduler) confirm(name string) (bool, error) {
	p := s.pods[name]
	if p == nil {
		return false, nil
	}
	if assumed, err := s.sched.Cache.IsAssumedPod(p); err != nil || !assumed {
		return false, err
	}
	return true, s.sched.Cache.AddPod(s.log, p)
}
