package raftstore

import (
	"testing"
	"time"
)

// A learner that was removed while it was cut off hears of it afterwards, although it
// never stops believing in the leader it knew.
func TestSimRemovedLearnerIsTold(t *testing.T) {
	w, leader, _ := leaseWorld(t, 1)
	w.until(w.now+time.Second, func() bool { return false })
	o := &w.operator
	o.init(w)
	o.id = leader.replica.clusterID
	o.ask(leader, func(err error) {
		if err == nil {
			o.join(10, leader.cfg)
		}
	}, memberChange{memberAddLearner, 10, "sim:10"})
	following := func() bool {
		return len(w.nodes) == 4 && w.nodes[3].replica.core.leader == leader.id &&
			w.nodes[3].replica.core.state.applied == leader.replica.core.state.applied
	}
	if !w.until(w.now+10*time.Second, following) {
		w.fatal("the learner does not follow")
	}
	learner := w.nodes[3]
	w.cutOff(learner)
	o.ask(leader, nil, memberChange{kind: memberRemove, id: 10})
	if !w.until(w.now+10*time.Second, func() bool { return leader.replica.core.state.removed[10] }) {
		w.fatal("the learner is not removed")
	}
	w.until(w.now+time.Second, func() bool { return false })
	w.net.Heal()
	if !w.until(w.now+30*time.Second, func() bool { return learner.gone }) {
		w.fatal("member 10 was removed, and waits: %s", w.describe())
	}
}
