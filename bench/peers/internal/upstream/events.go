package upstream

import (
	"fmt"

	v1 "k8s.io/api/core/v1"

	"github.com/orchcore/orchcore/bench/internal/workload"
)

// Event is a change of the cluster, or a pod to decide about, with the keys of
// workload.Event.
type Event struct {
	Op        string        `json:"op"`
	Node      *v1.Node      `json:"node"`
	Pod       *v1.Pod       `json:"pod"`
	Namespace *v1.Namespace `json:"namespace"`
	Service   *v1.Service   `json:"service"`
	Name      string        `json:"name"`
}

// Apply makes a change. It reports whether the event meant anything: a change of
// what is not there does not.
func (s *Scheduler) Apply(e *Event) (bool, error) {
	if e.Pod != nil {
		complete(e.Pod)
	}
	switch e.Op {
	case workload.OpAddNode, workload.OpUpdateNode:
		return s.setNode(e)
	case workload.OpRemoveNode:
		n := s.nodes[e.Name]
		if n == nil {
			return false, nil
		}
		delete(s.nodes, e.Name)
		return true, s.sched.Cache.RemoveNode(s.log, n)
	case workload.OpAddPod:
		if s.pods[podName(e.Pod)] != nil {
			return false, nil
		}
		s.index(s.podIndexer(), e.Pod)
		return true, s.addPod(e.Pod)
	case workload.OpUpdatePod:
		return s.updatePod(e.Pod)
	case workload.OpConfirm:
		return s.confirm(e.Name)
	case workload.OpRemovePod:
		if s.pods[e.Name] == nil {
			return false, nil
		}
		return true, s.Remove(e.Name)
	case workload.OpSetNamespace:
		s.index(s.indexerFor(e.Namespace), e.Namespace)
		return true, nil
	case workload.OpSetService:
		s.index(s.indexerFor(e.Service), e.Service)
		return true, nil
	case workload.OpRemoveService:
		return s.removeService(e.Name)
	case workload.OpDecide:
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
	if (old == nil) != (e.Op == workload.OpAddNode) {
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

func (s *Scheduler) removeService(name string) (bool, error) {
	indexer := s.indexerFor(&v1.Service{})
	service, exists, err := indexer.GetByKey(name)
	if err != nil || !exists {
		return false, err
	}
	return true, indexer.Delete(service)
}
