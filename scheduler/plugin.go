package scheduler

import (
	"context"
	"time"
)

// Plugin is one rule of scheduling. A plugin takes part in a cycle by having
// the methods of one or more of the interfaces below; New finds out which.
// Plugins of the user's own use the same interfaces as the built-in ones.
//
// Within a cycle a plugin may keep what it has computed in the Cycle (Store,
// Load); it must not keep anything in itself, since one plugin may serve
// several schedulers.
type Plugin interface {
	// Name is unique within a profile.
	Name() string
}

// PreFilter looks at the pod once, before any node.
type PreFilter interface {
	Plugin
	// PreFilter may reject the pod outright, or narrow the nodes to those
	// named in only; nil means no narrowing. With Skip the plugin's Filter is
	// off for this cycle.
	PreFilter(c *Cycle) (only map[string]bool, verdict Status)
}

// Filter decides whether the pod can run on a node.
type Filter interface {
	Plugin
	Filter(c *Cycle, n *NodeInfo) Status
}

// PodTracker keeps what PreFilter has computed true while pods are added to
// and removed from nodes within the cycle: for nominated pods and during
// preemption. The node already carries the change.
type PodTracker interface {
	Plugin
	AddPod(c *Cycle, p *PodInfo, n *NodeInfo)
	RemovePod(c *Cycle, p *PodInfo, n *NodeInfo)
}

// PostFilter runs when no node admits the pod. It may nominate a node.
type PostFilter interface {
	Plugin
	PostFilter(c *Cycle, e *FitError) (*Nomination, Status)
}

// PreScore looks at the feasible nodes once, before they are scored. With Skip
// the plugin does not score in this cycle.
type PreScore interface {
	Plugin
	PreScore(c *Cycle, feasible []*NodeInfo) Status
}

// Score rates a feasible node: higher is better.
type Score interface {
	Plugin
	Score(c *Cycle, n *NodeInfo) int64
}

// Normalizer turns the raw scores of all feasible nodes into 0 to MaxNodeScore.
// A Score plugin without it returns values in that range by itself.
type Normalizer interface {
	Normalize(c *Cycle, feasible []*NodeInfo, scores []int64)
}

// Reserver books what the plugin keeps outside the Cycle for a pod that has a
// node, before anything is bound. Unreserve gives it back. When a later step
// fails Unreserve is called on every Reserver, the last first, even where
// Reserve was not reached or has failed itself (kube-scheduler 1.36): it must
// do nothing when nothing was booked.
type Reserver interface {
	Plugin
	Reserve(b *Binding) Status
	Unreserve(b *Binding)
}

// Permitter has the last word before a pod is bound. With the code Wait the pod
// waits until Binding.Allow, Binding.Reject or the end of the timeout, which is
// at most 15 minutes.
type Permitter interface {
	Plugin
	Permit(b *Binding) (verdict Status, timeout time.Duration)
}

// PreBinder does what has to be done before the pod is bound, such as attaching
// a volume.
type PreBinder interface {
	Plugin
	PreBind(ctx context.Context, b *Binding) Status
}

// PluginBinder binds pods in place of the caller's Binder. With Skip the next
// one is asked, and in the end the Binder.
type PluginBinder interface {
	Plugin
	Bind(ctx context.Context, b *Binding) Status
}

// StateCloner is implemented by values kept with Cycle.Store that a PodTracker
// changes: each simulated node works on a clone.
type StateCloner interface {
	CloneState() any
}

// MaxNodeScore is the best normalised score.
const MaxNodeScore = 100

// normalize scales scores so that the highest becomes MaxNodeScore, and turns
// them round if the highest is the worst.
func normalize(scores []int64, reverse bool) {
	var top int64
	for _, s := range scores {
		top = max(top, s)
	}
	for i, s := range scores {
		switch {
		case top == 0 && reverse:
			scores[i] = MaxNodeScore
		case top == 0:
		case reverse:
			scores[i] = MaxNodeScore - s*MaxNodeScore/top
		default:
			scores[i] = s * MaxNodeScore / top
		}
	}
}
