package raftstore

import (
	"fmt"
	"slices"
	"time"

	"github.com/orchcore/orchcore/raftstore/wal"
)

// simOperator changes the members of a cluster from time to time, as the leader
// allows: adds learners, promotes, replaces and removes.
type simOperator struct {
	w       *world
	waiting map[*request]func(error)
	next    uint64 // id of the next new member
	id      uint64 // of the cluster
	like    Config // of new members
}

func (o *simOperator) init(w *world) {
	if o.waiting == nil {
		o.w, o.waiting, o.next = w, map[*request]func(error){}, 10
	}
}

func (w *world) startOperator() {
	o := &w.operator
	o.init(w)
	if w.rng.IntN(2) == 0 {
		return
	}
	var again func()
	again = func() {
		if !w.calm {
			o.act()
			w.after(w.between(200*time.Millisecond, 4*time.Second), again)
		}
	}
	w.after(w.between(time.Second, 5*time.Second), again)
}

// act asks the leader for one change.
func (o *simOperator) act() {
	n := o.w.leaderNode()
	if n == nil || len(o.waiting) > 0 && o.w.rng.IntN(5) > 0 {
		return
	}
	o.id, o.like = n.replica.clusterID, n.cfg
	var learner, voter uint64
	for _, m := range n.replica.progress() {
		if m.Learner {
			learner = m.ID
		} else if voter == 0 || o.w.rng.IntN(2) == 0 {
			voter = m.ID
		}
	}
	members := len(n.replica.core.state.members)
	switch k := o.w.rng.IntN(4); {
	case learner != 0 && k < 2:
		o.ask(n, nil, memberChange{kind: memberPromote, id: learner})
	case learner != 0 && k == 2:
		o.ask(n, nil, memberChange{kind: memberPromote, id: learner}, memberChange{kind: memberRemove, id: voter})
	case members > 2 && k == 3:
		o.ask(n, nil, memberChange{memberMove, voter, fmt.Sprintf("moved:%d", o.w.now)})
	case members > 2:
		o.ask(n, nil, memberChange{kind: memberRemove, id: voter})
	case members < 5 && learner == 0:
		id := o.next
		o.next++
		address := fmt.Sprintf("sim:%d", id)
		kind := memberAddLearner
		if o.w.rng.IntN(2) == 0 {
			kind = memberAddVoter
		}
		o.ask(n, func(err error) {
			if err == nil {
				o.join(id)
			}
		}, memberChange{kind, id, address})
	}
}

func (o *simOperator) ask(n *simNode, done func(error), changes ...memberChange) {
	if err := n.replica.checkChange(changes); err != nil {
		o.w.tell("member %d refuses %v: %v", n.id, changes, err)
		return
	}
	r := &request{kind: commandMembers, body: appendChanges(nil, changes), done: make(chan struct{}, 1)}
	o.waiting[r] = func(err error) {
		o.w.tell("change %v: %v", changes, err)
		if err == nil {
			o.w.counts["member changes"]++
		}
		if done != nil {
			done(err)
		}
	}
	n.replica.core.write(r)
	n.turn()
}

// startMissing opens the members that were added although nobody was told so. One voter
// that was alone can do nothing without the second.
func (o *simOperator) startMissing() {
	members := o.w.members()
	for id := uint64(10); id < o.next; id++ {
		if _, ok := members[id]; ok {
			o.join(id)
		}
	}
}

// join opens a new member, unless it is there.
func (o *simOperator) join(id uint64) {
	w := o.w
	if slices.ContainsFunc(w.nodes, func(n *simNode) bool { return n.id == id }) {
		return
	}
	n := &simNode{w: w, id: id, fs: wal.NewMemFS(), period: 10 * time.Millisecond, slow: w.rng.IntN(3) == 0}
	n.cfg = o.like
	n.cfg.ID, n.cfg.Join, n.cfg.ClusterID = id, true, o.id
	n.cfg.Members = nil
	for _, other := range w.nodes {
		n.cfg.Members = append(n.cfg.Members, Member{ID: other.id, Address: fmt.Sprintf("sim:%d", other.id)})
	}
	n.cfg.Members = append(n.cfg.Members, Member{ID: id, Address: fmt.Sprintf("sim:%d", id)})
	w.nodes = append(w.nodes, n)
	n.start()
}

// leaderNode returns a member that believes it leads.
func (w *world) leaderNode() *simNode {
	for _, n := range w.nodes {
		if n.replica != nil && n.replica.role() == Leader && w.now >= n.asleep {
			return n
		}
	}
	return nil
}

// members returns the ids of the members in the newest state there is.
func (w *world) members() map[uint64]string {
	if newest := w.newest(); newest != nil {
		return newest.members
	}
	return nil
}

// newest is the state of the member that has applied most, nil if all are down.
func (w *world) newest() *machine {
	var newest *machine
	for _, n := range w.nodes {
		if n.replica != nil && (newest == nil || n.replica.core.state.applied > newest.applied) {
			newest = n.replica.core.state
		}
	}
	return newest
}

// retireForgotten has the operator stop a member that was removed and cannot find out:
// everybody in its state, in what it was told and in its configuration was removed, too,
// and has ended. Whomever it asks, nobody is there; only those who came later could tell
// it, by calling at the address of a member that is none. They would have to remember
// the addresses of all who were ever removed, for as long as nobody answers there.
// etcd's members do not either: whoever was removed hears of it from those it asks.
func (w *world) retireForgotten() {
	newest := w.newest()
	for _, n := range w.nodes {
		if newest == nil || !newest.removed[n.id] || n.replica == nil {
			continue
		}
		known := n.replica.acquaintances()
		reachable := slices.ContainsFunc(w.nodes, func(o *simNode) bool {
			return !o.gone && slices.Contains(known, o.id)
		})
		if !reachable {
			w.tell("member %d is removed and knows nobody who is left", n.id)
			w.counts["forgotten"]++
			n.gone = true
			n.crash(false)
		}
	}
}
