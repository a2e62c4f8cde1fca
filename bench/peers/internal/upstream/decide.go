package upstream

import (
	"errors"
	"slices"
	"sort"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Decision is all that upstream thinks about one pod.
type Decision struct {
	Gated []string // reasons why the pod may not be scheduled yet; nothing else is set then
	Err   string   // why the attempt failed, other than by not fitting

	PreFilter []string             // reasons why PreFilter rejected the pod; no node was looked at
	Narrowed  bool                 // PreFilter left some nodes out; upstream scans the rest in random order
	Nominated bool                 // the nominated node fits; no other node was looked at
	Feasible  []string             // sorted
	Rejected  map[string]Rejection // by node

	Scores   map[string]map[string]int64 // weighted, by node and plugin; also of a single feasible node
	Best     []string                    // the nodes with the highest total, sorted
	ScoreErr string                      // why scoring failed; with a single feasible node the cycle does not score

	Node      string // what the scheduling cycle chose; "" when nothing fits
	Evaluated int    // nodes that the cycle looked at
	Found     int    // nodes that it found feasible

	FitError   string // without the words of PostFilter
	Preemption *Preemption
}

// Rejection is the verdict on one node.
type Rejection struct {
	Plugin  string
	Code    string
	Reasons []string // sorted: upstream's order is that of a map
}

// Decide makes one scheduling cycle for the pod and looks at every node beside
// it. It changes nothing but where the next scan begins.
func (s *Scheduler) Decide(pod *v1.Pod) (*Decision, error) {
	d, state, unfit, err := s.choose(pod)
	if err != nil || d.Gated != nil || d.Err != "" {
		return d, err
	}
	if unfit != nil {
		if d.Preemption, err = s.preempt(state, pod, unfit); err != nil {
			return nil, err
		}
	}
	return d, s.look(d, pod)
}

// Choose makes the scheduling cycle only. If PreFilter narrows the nodes, so
// that the scan is in random order, it looks at them as Decide does.
func (s *Scheduler) Choose(pod *v1.Pod) (*Decision, error) {
	d, _, _, err := s.choose(pod)
	if err != nil || d.Gated != nil || d.Err != "" {
		return d, err
	}
	// In a state of its own: Place needs what the cycle found out about volumes.
	if narrow, st, _ := s.profile.RunPreFilterPlugins(s.ctx, framework.NewCycleState(), pod); st.IsSuccess() && !narrow.AllNodes() {
		return d, s.look(d, pod)
	}
	return d, nil
}

func (s *Scheduler) choose(pod *v1.Pod) (*Decision, fwk.CycleState, *framework.FitError, error) {
	d := &Decision{Rejected: map[string]Rejection{}}
	for _, pl := range s.profile.PreEnqueuePlugins() {
		if st := pl.PreEnqueue(s.ctx, pod); !st.IsSuccess() {
			d.Gated = st.Reasons()
			return d, nil, nil, nil
		}
	}
	if err := s.sched.Cache.UpdateSnapshot(s.log, s.snapshot); err != nil {
		return nil, nil, nil, err
	}
	// Upstream's queue too ignores the error: a broken affinity term is the
	// plugin's to report.
	info, _ := framework.NewPodInfo(pod)
	state := framework.NewCycleState()
	s.state = state
	result, err := s.sched.SchedulePod(s.ctx, s.profile, state, &framework.QueuedPodInfo{PodInfo: info})
	var unfit *framework.FitError
	switch {
	case errors.As(err, &unfit):
		d.FitError = unfit.Error()
	case err != nil:
		d.Err = err.Error()
	}
	d.Node, d.Evaluated, d.Found = result.SuggestedHost, result.EvaluatedNodes, result.FeasibleNodes
	return d, state, unfit, nil
}

// look filters every node, and scores the feasible ones, in a cycle of its own:
// the real one stops early, and keeps its scores to itself.
func (s *Scheduler) look(d *Decision, pod *v1.Pod) error {
	state := framework.NewCycleState()
	narrow, st, _ := s.profile.RunPreFilterPlugins(s.ctx, state, pod)
	if !st.IsSuccess() {
		if !st.IsRejected() {
			return st.AsError()
		}
		d.PreFilter = st.Reasons()
		return nil
	}
	feasible, err := s.filter(d, state, pod, narrow)
	if err != nil || len(feasible) == 0 {
		return err
	}
	for _, n := range feasible {
		d.Feasible = append(d.Feasible, n.Node().Name)
	}
	slices.Sort(d.Feasible)
	if st := s.score(d, state, pod, feasible); !st.IsSuccess() {
		d.ScoreErr = st.AsError().Error()
	}
	return nil
}

// filter looks at the nominated node and, unless that fits, at all others.
func (s *Scheduler) filter(d *Decision, state fwk.CycleState, pod *v1.Pod, narrow *fwk.PreFilterResult) ([]fwk.NodeInfo, error) {
	if n, err := s.snapshot.Get(pod.Status.NominatedNodeName); err == nil {
		if st := s.profile.RunFilterPluginsWithNominatedPods(s.ctx, state, pod, n); st.IsSuccess() {
			d.Nominated = true
			return []fwk.NodeInfo{n}, nil
		}
	}
	d.Narrowed = !narrow.AllNodes()
	all, err := s.snapshot.NodeInfos().List()
	if err != nil {
		return nil, err
	}
	var feasible []fwk.NodeInfo
	for _, n := range all {
		name := n.Node().Name
		if d.Narrowed && !narrow.NodeNames.Has(name) {
			continue
		}
		st := s.profile.RunFilterPluginsWithNominatedPods(s.ctx, state, pod, n)
		switch {
		case st.IsSuccess():
			feasible = append(feasible, n)
		case st.IsRejected():
			d.Rejected[name] = rejection(st)
		default:
			return nil, st.AsError()
		}
	}
	return feasible, nil
}

func rejection(st *fwk.Status) Rejection {
	return Rejection{Plugin: st.Plugin(), Code: st.Code().String(), Reasons: slices.Sorted(slices.Values(st.Reasons()))}
}

func (s *Scheduler) score(d *Decision, state fwk.CycleState, pod *v1.Pod, feasible []fwk.NodeInfo) *fwk.Status {
	if st := s.profile.RunPreScorePlugins(s.ctx, state, pod, feasible); !st.IsSuccess() {
		return st
	}
	scores, st := s.profile.RunScorePlugins(s.ctx, state, pod, feasible)
	if !st.IsSuccess() {
		return st
	}
	d.Scores = map[string]map[string]int64{}
	best := int64(-1)
	for _, n := range scores {
		by := map[string]int64{}
		for _, p := range n.Scores {
			by[p.Name] = p.Score
		}
		d.Scores[n.Name] = by
		if n.TotalScore > best {
			best, d.Best = n.TotalScore, nil
		}
		if n.TotalScore == best {
			d.Best = append(d.Best, n.Name)
		}
	}
	sort.Strings(d.Best)
	return nil
}
