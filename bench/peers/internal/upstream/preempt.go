package upstream

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/preemption"
)

// Preemption is what preempting could do for a pod that fits nowhere.
type Preemption struct {
	Ineligible string // why the pod may not preempt at all
	Candidates []Candidate
	Picked     []string // every node that upstream may pick of them; its order is that of a map
	FitError   string   // the text with the words of PostFilter; "" when there are candidates
}

// Candidate is a node on which evicting some pods makes room.
type Candidate struct {
	Node       string
	Victims    []string // namespace/name, in upstream's order
	Violations int64    // disruption budgets that evicting them violates
}

// draws is how often upstream is asked to pick: its ties fall in map order, and
// of a map with two keys the second comes first once in eight times only.
const draws = 400

func (s *Scheduler) preempt(state fwk.CycleState, pod *v1.Pod, unfit *framework.FitError) (*Preemption, error) {
	p := &Preemption{}
	nominated := unfit.Diagnosis.NodeToStatus.Get(pod.Status.NominatedNodeName)
	if ok, message := s.preemption.PodEligibleToPreemptOthers(s.ctx, pod, nominated); !ok {
		p.Ineligible = message
		p.FitError = s.fullFitError(state, pod, unfit)
		return p, nil
	}
	potential, err := unfit.Diagnosis.NodeToStatus.NodesForStatusCode(s.snapshot.NodeInfos(), fwk.Unschedulable)
	if err != nil {
		return nil, err
	}
	found, err := s.candidates(state, pod, potential)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		p.FitError = s.fullFitError(state, pod, unfit)
		return p, nil
	}
	for range draws {
		node := s.preemption.Evaluator.SelectCandidate(s.ctx, found).Name()
		if !slices.Contains(p.Picked, node) {
			p.Picked = append(p.Picked, node)
		}
	}
	slices.Sort(p.Picked)
	for _, c := range found {
		out := Candidate{Node: c.Name(), Violations: c.Victims().NumPDBViolations}
		for _, v := range c.Victims().Pods {
			out.Victims = append(out.Victims, podName(v))
		}
		p.Candidates = append(p.Candidates, out)
	}
	slices.SortFunc(p.Candidates, func(a, b Candidate) int { return cmp.Compare(a.Node, b.Node) })
	return p, nil
}

// candidates makes the dry run on all potential nodes: a count that none can
// reach keeps upstream from sampling.
func (s *Scheduler) candidates(state fwk.CycleState, pod *v1.Pod, potential []fwk.NodeInfo) ([]preemption.Candidate, error) {
	if len(potential) == 0 {
		return nil, nil
	}
	budgets, err := s.preemption.Evaluator.PdbLister.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(budgets, func(a, b *policyv1.PodDisruptionBudget) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	found, _, err := s.preemption.Evaluator.DryRunPreemption(s.ctx, state, pod, potential, budgets, 0, int32(len(potential)+1))
	return found, err
}

// fullFitError is the text when preemption does not help: the real PostFilter
// plugins run, and find nothing to evict.
func (s *Scheduler) fullFitError(state fwk.CycleState, pod *v1.Pod, unfit *framework.FitError) string {
	diagnosis := unfit.Diagnosis
	_, st := s.profile.RunPostFilterPlugins(s.ctx, state, pod, diagnosis.NodeToStatus)
	diagnosis.PostFilterMsg = st.Message()
	return (&framework.FitError{Pod: pod, NumAllNodes: unfit.NumAllNodes, Diagnosis: diagnosis}).Error()
}
