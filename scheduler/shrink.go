package scheduler

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/orchcore/orchcore/qos"
)

// ShrinkOptions say which nodes may be emptied and on which terms.
type ShrinkOptions struct {
	// Nodes are the candidates; nil means all.
	Nodes []string
	// Most is how many nodes to empty at most; 0 is no limit.
	Most int
	// Drain and Budgets are the rules for evictions, at the time Now.
	Drain   qos.DrainOptions
	Budgets []*qos.Budget
	Now     time.Time
}

// Shrinkage is which nodes a cluster can do without.
type Shrinkage struct {
	// Emptied are the nodes that can be emptied, one after the other.
	Emptied []EmptiedNode
	// Kept are the candidates that cannot, in the order in which they were
	// tried.
	Kept []KeptNode
}

// EmptiedNode is a node that was emptied, and where its pods went. Pods that a
// drain leaves alone, as those of daemon sets, are not among them.
type EmptiedNode struct {
	Node  string
	Moves []Move
}

// Move is a pod with its new node.
type Move struct {
	Pod string // namespace/name
	To  string
}

// KeptNode is a node that cannot be emptied.
type KeptNode struct {
	Node string
	// Pod is the first pod that stands in the way, "" when it is not a pod.
	Pod string
	// Why is the drain's reason to keep the pod, or the scheduler's not to
	// place it elsewhere.
	Why string
	// Fit is set when the pod fits on no other node.
	Fit *FitError
}

// Shrink empties nodes as long as their pods find room elsewhere: the emptiest
// first by the largest share of any resource that is requested, then by number
// of pods, then by name. Each node is drained by the rules of qos.Drain, and the
// pods evicted are placed again, the most important first; if one cannot be, the
// node is kept as it was. Earlier nodes stay emptied and cordoned, so that pods
// may move twice. Budgets are held against one node at a time: they recover
// before the next. This is greedy: another order may empty more.
//
// The fork is left with the nodes cordoned and the pods moved, assumed; Revert
// takes it back. On an error nothing has changed.
//
// Cost: O(candidates) drains and as many decisions as there are pods on them.
func (f *Fork) Shrink(options ShrinkOptions) (*Shrinkage, error) {
	names, err := f.shrinkOrder(options.Nodes)
	if err != nil {
		return nil, err
	}
	before := f.Mark()
	out := new(Shrinkage)
	for _, name := range names {
		if options.Most > 0 && len(out.Emptied) >= options.Most {
			break
		}
		here := f.Mark()
		moves, kept, err := f.empty(name, &options)
		switch {
		case err != nil:
			return nil, errors.Join(err, f.undo(before))
		case kept == nil:
			out.Emptied = append(out.Emptied, EmptiedNode{name, moves})
		default:
			out.Kept = append(out.Kept, *kept)
			if err := f.undo(here); err != nil {
				return nil, err
			}
		}
		f.unmark(here)
	}
	f.unmark(before)
	return out, nil
}

// empty drains one node. Changes are left behind when it is kept.
func (f *Fork) empty(name string, options *ShrinkOptions) ([]Move, *KeptNode, error) {
	steps, evicted, err := f.Drain(name, options.Drain, options.Budgets, options.Now)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range steps {
		if s.Action == qos.DrainRefuse || s.Action == qos.DrainWait {
			pod := orDefault(s.Pod.Metadata.Namespace) + "/" + s.Pod.Metadata.Name
			return nil, &KeptNode{Node: name, Pod: pod, Why: s.Why}, nil
		}
	}
	byPriority(evicted)
	var moves []Move
	for _, pod := range evicted {
		p, err := f.cache.compile(pod)
		var placement Placement
		if err == nil {
			placement, err = f.fit(p)
		}
		if err != nil {
			kept := &KeptNode{Node: name, Pod: keyOf(&pod.ObjectMeta).String(), Why: err.Error()}
			errors.As(err, &kept.Fit)
			return nil, kept, nil
		}
		moves = append(moves, Move{keyOf(&pod.ObjectMeta).String(), placement.Node})
	}
	return moves, nil, nil
}

// shrinkOrder sorts the candidates, the emptiest first.
func (f *Fork) shrinkOrder(names []string) ([]string, error) {
	if names == nil {
		names = f.Nodes()
	}
	names = slices.Clone(names)
	load := make(map[string]float64, len(names))
	for i, name := range names {
		n := f.cache.node(name)
		switch {
		case n == nil || n.Node == nil:
			return nil, unknownNode(name)
		case slices.Contains(names[:i], name):
			return nil, &InputError{Object: "shrink options", Field: fmt.Sprintf("Nodes[%d]", i), Value: name, Want: "each node once"}
		}
		load[name] = n.load()
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(load[a], load[b]),
			cmp.Compare(len(f.cache.node(a).Pods), len(f.cache.node(b).Pods)),
			cmp.Compare(a, b))
	})
	return names, nil
}

// load is the largest share of a resource of the node that is requested.
func (n *NodeInfo) load() float64 {
	return n.Requested.shareOf(&n.Allocatable)
}

// shareOf is the largest share of a resource that r takes of whole.
func (r *Resources) shareOf(whole *Resources) float64 {
	top := 0.0
	share := func(part, whole int64) {
		if part > 0 && whole > 0 {
			top = max(top, float64(part)/float64(whole))
		}
	}
	share(r.CPUMilli, whole.CPUMilli)
	share(r.MemoryBytes, whole.MemoryBytes)
	share(r.EphemeralBytes, whole.EphemeralBytes)
	for _, s := range r.Scalars {
		share(s.Value, whole.Scalar(s.Name))
	}
	return top
}
