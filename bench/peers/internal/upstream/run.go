package upstream

import (
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Run schedules pods one after the other and assumes each on the node it got:
// the scheduling cycle alone, without queue, binding or events. It is what gets
// timed, and does what upstream does per pod: refresh the snapshot, run the
// cycle, copy the pod, assume it.
func (s *Scheduler) Run(pods []*framework.QueuedPodInfo, preempting bool) (nodes []string, err error) {
	nodes = make([]string, 0, len(pods))
	for _, p := range pods {
		node, err := s.cycle(p)
		var unfit *framework.FitError
		if preempting && errors.As(err, &unfit) {
			node, err = s.cycleAfterEviction(p, unfit)
		}
		if err != nil {
			return nil, fmt.Errorf("pod %s: %w", podName(p.Pod), err)
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// Prepare makes of pods what upstream's queue would hold.
func Prepare(pods []*v1.Pod) ([]*framework.QueuedPodInfo, error) {
	out := make([]*framework.QueuedPodInfo, 0, len(pods))
	for _, p := range pods {
		info, err := framework.NewPodInfo(p)
		if err != nil {
			return nil, err
		}
		out = append(out, &framework.QueuedPodInfo{PodInfo: info})
	}
	return out, nil
}

func (s *Scheduler) cycle(p *framework.QueuedPodInfo) (string, error) {
	if err := s.sched.Cache.UpdateSnapshot(s.log, s.snapshot); err != nil {
		return "", err
	}
	s.state = framework.NewCycleState()
	result, err := s.sched.SchedulePod(s.ctx, s.profile, s.state, p)
	if err != nil {
		return "", err
	}
	assumed := p.DeepCopy()
	assumed.Pod.Spec.NodeName = result.SuggestedHost
	if err := s.sched.Cache.AssumePod(s.log, assumed.Pod); err != nil {
		return "", err
	}
	s.sched.SchedulingQueue.DeleteNominatedPodIfExists(assumed.Pod)
	s.pods[podName(assumed.Pod)] = assumed.Pod
	return result.SuggestedHost, nil
}

// cycleAfterEviction finds victims with upstream's own sampling, evicts them at
// once and runs the second cycle.
func (s *Scheduler) cycleAfterEviction(p *framework.QueuedPodInfo, unfit *framework.FitError) (string, error) {
	pod := p.Pod
	if ok, message := s.preemption.PodEligibleToPreemptOthers(s.ctx, pod, unfit.Diagnosis.NodeToStatus.Get(pod.Status.NominatedNodeName)); !ok {
		return "", errors.New(message)
	}
	potential, err := unfit.Diagnosis.NodeToStatus.NodesForStatusCode(s.snapshot.NodeInfos(), fwk.Unschedulable)
	if err != nil {
		return "", err
	}
	offset, enough := s.preemption.GetOffsetAndNumCandidates(int32(len(potential)))
	found, _, err := s.preemption.Evaluator.DryRunPreemption(s.ctx, s.state, pod, potential, nil, offset, enough)
	if err != nil {
		return "", err
	}
	best := s.preemption.Evaluator.SelectCandidate(s.ctx, found)
	if best == nil {
		return "", fmt.Errorf("no candidate for preemption: %w", unfit)
	}
	for _, v := range best.Victims().Pods {
		if err := s.dropPod(v); err != nil {
			return "", err
		}
	}
	pod.Status.NominatedNodeName = best.Name()
	s.sched.SchedulingQueue.AddNominatedPod(s.log, p.PodInfo, &fwk.NominatingInfo{
		NominatingMode: fwk.ModeOverride, NominatedNodeName: best.Name()})
	return s.cycle(p)
}
