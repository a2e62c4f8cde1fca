package qos

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// DrainOptions are the consents that emptying a node needs, as kubectl drain's
// flags give them.
type DrainOptions struct {
	IgnoreDaemonSets   bool // leave pods of daemon sets where they are
	DeleteEmptyDirData bool // delete pods although their emptyDir data is lost
	Force              bool // delete pods that nobody will replace
}

// A DrainAction says what becomes of a pod when its node is drained.
type DrainAction uint8

const (
	// DrainEvict: the pod is evicted.
	DrainEvict DrainAction = iota
	// DrainWait: the pod is to be evicted, but its budget does not allow that now.
	DrainWait
	// DrainSkip: the pod stays.
	DrainSkip
	// DrainRefuse: the drain needs a consent that it has not got.
	DrainRefuse
)

// String names the action.
func (a DrainAction) String() string {
	switch a {
	case DrainEvict:
		return "evict"
	case DrainWait:
		return "wait"
	case DrainSkip:
		return "skip"
	case DrainRefuse:
		return "refuse"
	}
	return fmt.Sprintf("DrainAction(%d)", uint8(a))
}

// A DrainStep is what becomes of one pod and why.
type DrainStep struct {
	Pod    *Pod
	Action DrainAction
	Why    string
	// Charged is the pod's budget after this eviction, nil if it costs nothing.
	Charged *Budget
}

// Drain plans the emptying of a node. It returns a step for each pod: first
// what is to be evicted or waits, the pods of lower priority first and the
// critical last, then what stays. covering gives the budgets that cover a pod;
// evictions are charged as the plan goes, so that it never allows more than
// the budgets do. If any step is DrainRefuse, a drain evicts nobody.
//
// What a drain skips and what it needs a consent for follows kubectl. Which pod
// goes first is this package's choice: kubectl evicts all at once.
func Drain(pods []*Pod, options DrainOptions, covering func(*Pod) []*Budget, now time.Time) []DrainStep {
	steps := make([]DrainStep, 0, len(pods))
	for _, p := range pods {
		action, why := options.action(p)
		steps = append(steps, DrainStep{Pod: p, Action: action, Why: why})
	}
	slices.SortStableFunc(steps, func(a, b DrainStep) int {
		if order := cmp.Compare(min(a.Action, DrainWait), min(b.Action, DrainWait)); order != 0 {
			return order
		}
		if order := compareTrueFirst(!IsCritical(a.Pod), !IsCritical(b.Pod)); order != 0 {
			return order
		}
		if order := cmp.Compare(Priority(a.Pod), Priority(b.Pod)); order != 0 {
			return order
		}
		return compareTie(a.Pod, b.Pod)
	})
	current := map[*Budget]*Budget{}
	for i := range steps {
		if steps[i].Action == DrainEvict {
			steps[i].charge(covering(steps[i].Pod), current, now)
		}
	}
	return steps
}

// charge decides whether the budgets let the pod go now. current has the state
// of budgets that were charged already.
func (s *DrainStep) charge(covering []*Budget, current map[*Budget]*Budget, now time.Time) {
	budgets := make([]*Budget, len(covering))
	for i, b := range covering {
		budgets[i] = b
		if newer := current[b]; newer != nil {
			budgets[i] = newer
		}
	}
	charged, err := Evict(s.Pod, budgets, now)
	switch {
	case err != nil:
		s.Action, s.Why = DrainWait, err.Error()
	case charged != nil:
		s.Charged, s.Why = charged, "allowed by "+charged.Metadata.Name
		current[covering[0]] = charged
	}
}

// action decides without regard to budgets.
func (o DrainOptions) action(p *Pod) (DrainAction, string) {
	if IsMirror(p) {
		return DrainSkip, "static pod: its kubelet keeps it"
	}
	finished := p.Status.Phase == phaseSucceeded || p.Status.Phase == phaseFailed
	owner, owned := controllerOf(p)
	switch {
	case owned && owner.Kind == "DaemonSet" && !finished && o.IgnoreDaemonSets:
		return DrainSkip, fmt.Sprintf("DaemonSet %s would bring it back", owner.Name)
	case owned && owner.Kind == "DaemonSet" && !finished:
		return DrainRefuse, fmt.Sprintf("managed by DaemonSet %s: want IgnoreDaemonSets", owner.Name)
	case finished:
		return DrainEvict, "finished: " + p.Status.Phase
	case hasEmptyDir(p) && !o.DeleteEmptyDirData:
		return DrainRefuse, "has emptyDir data: want DeleteEmptyDirData"
	case !owned && !o.Force:
		return DrainRefuse, "no controller would replace it: want Force"
	}
	return DrainEvict, "no budget covers it"
}

func hasEmptyDir(p *Pod) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v Volume) bool { return v.EmptyDir != nil })
}
