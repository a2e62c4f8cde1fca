// Package check states what must be true of a cluster that has come to rest, and
// finds what is not. It computes everything from the objects themselves, not from
// the status that controllers report about their own work.
//
// Reading order: check.go, replicas.go, capacity.go, reach.go.
package check

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"github.com/orchcore/orchcore/examples/minicluster/api"
	"github.com/orchcore/orchcore/examples/minicluster/control"
	"github.com/orchcore/orchcore/proxyrules"
)

// Violation is one invariant that does not hold, where, and how.
type Violation struct {
	Invariant string
	Object    string
	Detail    string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: %s: %s", v.Invariant, v.Object, v.Detail)
}

// The invariants.
const (
	Replicas  = "every replica is there once"
	Placed    = "every pod is placed or explained"
	Capacity  = "no node is overcommitted"
	Ports     = "no host port is taken twice"
	Endpoints = "every ready endpoint is reachable"
	Kept      = "nothing is lost"
	Members   = "all members hold the same state"
)

// Member is what a member of the store says about its state.
type Member struct {
	ID       uint64
	Revision int64
	Hash     uint64
}

// State is a cluster at rest.
type State struct {
	View *control.View
	// Rules are the compiled rules of each node.
	Rules iter.Seq2[string, *proxyrules.RuleSet]
	// Bound is where pods were that came bound with the input, by key. They
	// must still be there, unless they were evicted.
	Bound   map[string]string
	Evicted map[string]bool
	// Acknowledged are writes that the store confirmed, Found those of them that
	// are in the store.
	Acknowledged, Found []string
	Members             []Member
}

// Report is the outcome.
type Report struct {
	Violations []Violation
	// Notes are things that are as they came and that nothing here can judge.
	Notes []string
	// Checked counts what was looked at, by invariant.
	Checked map[string]int
}

func (r *Report) fail(invariant, object, format string, args ...any) {
	r.Violations = append(r.Violations, Violation{invariant, object, fmt.Sprintf(format, args...)})
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Run checks every invariant.
func Run(s *State) *Report {
	r := Objects(s.View)
	r.reachable(s.View, s.Rules)
	r.kept(s)
	r.members(s.Members)
	r.sort()
	return r
}

// Objects checks the invariants that concern the objects alone.
func Objects(view *control.View) *Report {
	r := &Report{Checked: map[string]int{}}
	r.replicas(view)
	r.placed(view)
	r.capacity(view)
	r.hostPorts(view)
	r.sort()
	return r
}

func (r *Report) sort() {
	slices.SortFunc(r.Violations, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Invariant, b.Invariant), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Detail, b.Detail))
	})
	slices.Sort(r.Notes)
}

func (r *Report) kept(s *State) {
	for key, node := range s.Bound {
		r.Checked[Kept]++
		_, namespace, name, _ := api.SplitKey(key)
		switch p := s.View.Pods[key]; {
		case s.Evicted[key]:
		case p == nil:
			r.fail(Kept, api.Title("Pod", namespace, name), "came with the input on node %s and is gone", node)
		case p.Object.Spec.NodeName != node:
			r.fail(Kept, api.Title("Pod", namespace, name), "came with the input on node %s and is on %q now", node, p.Object.Spec.NodeName)
		}
	}
	found := map[string]bool{}
	for _, f := range s.Found {
		found[f] = true
	}
	for _, key := range s.Acknowledged {
		r.Checked[Kept]++
		if !found[key] {
			r.fail(Kept, key, "the write was acknowledged and is not in the store")
		}
	}
}

func (r *Report) members(members []Member) {
	for _, m := range members {
		r.Checked[Members]++
		first := members[0]
		switch object := fmt.Sprintf("member %d", m.ID); {
		case m.Revision != first.Revision:
			r.fail(Members, object, "at revision %d, member %d at %d", m.Revision, first.ID, first.Revision)
		case m.Hash != first.Hash:
			r.fail(Members, object, "state hash %016x at revision %d, member %d has %016x", m.Hash, m.Revision, first.ID, first.Hash)
		}
	}
}
