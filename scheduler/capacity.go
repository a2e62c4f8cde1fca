package scheduler

import (
	"errors"
	"slices"
	"strconv"
)

// Capacity is how many more pods of a kind a cluster takes.
type Capacity struct {
	// Pods is their number, and Nodes where they went, in scan order.
	Pods  int
	Nodes []NodeShare
	// Stopped is why there is no room for another one, nil when the limit was
	// reached. Its Histogram counts the nodes by reason.
	Stopped *FitError
}

// NodeShare is a number of pods on a node.
type NodeShare struct {
	Node string
	Pods int
}

// Capacity places pods like the template one after the other until one fits
// nowhere, or limit are placed; 0 is no limit. Preemption makes no room for
// them. It is what the scheduler would do, which where pods keep their distance
// from each other need not be the most that could be done. The fork is left as
// it was. Errors other than a *FitError are those of Scheduler.Schedule.
//
// Cost: that of the decisions and placements.
func (f *Fork) Capacity(template *Pod, limit int) (*Capacity, error) {
	p, err := f.cache.compile(template)
	if err != nil {
		return nil, err
	}
	if limit < 0 {
		return nil, &InputError{Object: p.object(), Field: "limit", Value: strconv.Itoa(limit), Want: "0 or more"}
	}
	before := f.Mark()
	out := new(Capacity)
	count := make(map[string]int)
	for number := 0; limit == 0 || out.Pods < limit; number++ {
		one := p.renamed(template.Name + "-" + strconv.Itoa(number))
		if f.cache.pod(one.key) != nil {
			continue
		}
		placement, err := f.fit(one)
		if errors.As(err, &out.Stopped) {
			break
		}
		if err != nil {
			return nil, errors.Join(err, f.undo(before))
		}
		count[placement.Node]++
		out.Pods++
	}
	for _, name := range f.Nodes() {
		if n := count[name]; n > 0 {
			out.Nodes = append(out.Nodes, NodeShare{name, n})
		}
	}
	return out, f.undo(before)
}

// fit is SchedulePod for pods that are not to preempt others: nobody looks for
// victims when they fit nowhere.
func (f *Fork) fit(p *PodInfo) (Placement, error) {
	s := f.Scheduler()
	s.meek = true
	defer func() { s.meek = false }()
	return f.SchedulePod(p)
}

// renamed returns a pod that is the same but for its name. Claims of ephemeral
// volumes are named after their pod.
func (p *PodInfo) renamed(name string) *PodInfo {
	pod, info := *p.Pod, *p
	pod.Name, pod.UID = name, ""
	info.Pod = &pod
	info.key.name = name
	if len(p.volumeClaims) > 0 {
		shape := *p.PodShape
		info.PodShape = &shape
		info.volumeClaims, info.claims = nil, nil
		info.compileVolumes()
	}
	return &info
}

// byPriority sorts pods as a queue would take them: the more important first,
// otherwise as they are.
func byPriority(pods []*Pod) {
	slices.SortStableFunc(pods, func(a, b *Pod) int { return int(priorityOf(b)) - int(priorityOf(a)) })
}

func priorityOf(p *Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}
