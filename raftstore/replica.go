package raftstore

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// replica is a core with a disk and a network. Its owner calls one method at a
// time and turn after each batch of inputs; the store does so from a goroutine,
// simulations from a loop over simulated time. It starts no goroutine and reads no
// clock: what would take long goes to background.
type replica struct {
	id, clusterID uint64
	cfg           Config
	core          *core
	wal           *wal.WAL
	disk          snapshotDir
	net           transport.Transport
	logger        *slog.Logger
	// background runs work away from the owner and then done on it.
	background func(work, done func())
	// complete gives requests back that have their result.
	complete func([]*request)

	tasks   []diskTask // not begun
	writing bool       // tasks are being written in the background
	// writingSince is the tick at which the write in the background began.
	writingSince uint64
	// syncTook is the smoothed time of a write with its sync; see persist.go.
	syncTook  time.Duration
	syncs     syncTimes
	flushSize int // bytes of the last flush
	now       func() time.Duration
	preparing bool
	removing  bool

	cutting bool
	// cutAfter is the tick before which no snapshot is begun, after one has failed.
	cutAfter uint64

	pace      pace
	sending   map[uint64]*outgoing
	receiving *incoming
	received  *receivedImage
	transfers uint64

	encoded []byte
	// notices are appends without entries that were not sent yet; see notice.go.
	notices []*pb.Message
	// heard are the ticks at which the others were heard of last.
	heard map[uint64]uint64
	// told are the members that say this one was removed.
	told map[uint64]bool
	// heirs are the voters by the last of them.
	heirs []Member
	// strangers are members that know of changes which are not applied here.
	strangers map[uint64]introduction
	// published is the last digest that was put into the log.
	published uint64
	err       error

	leases    leaseDesk
	changes   changeDesk
	compactor compactor
}

// receive takes a frame from the network.
func (r *replica) receive(f transport.Frame) {
	if f.Group != 0 || r.core.state.removed[f.From] {
		return
	}
	if _, ok := r.core.state.members[f.From]; ok {
		r.heard[f.From] = r.core.ticks
	}
	if len(f.Payload) == 0 {
		return // from askAround: being let in was the answer
	}
	if desk := r.desk(f); desk != nil {
		if err := desk(f); err != nil {
			r.logger.Warn("dropped calls of another member", "from", f.From, "error", err)
		}
		return
	}
	if f.Lane == transport.LaneSnapshot {
		if err := r.receiveTransfer(f); err != nil {
			r.logger.Warn("dropped part of a snapshot", "from", f.From, "error", err)
		}
		return
	}
	m, err := decodeMessage(f.Payload, f.From)
	if err == nil && m.GetTo() != r.id {
		err = fmt.Errorf("%w: message to member %x, expected %x", errMalformed, m.GetTo(), r.id)
	}
	if err == nil && m.GetType() == pb.MsgSnap {
		err = fmt.Errorf("%w: snapshot without its image", errMalformed)
	}
	if err != nil {
		r.logger.Warn("dropped a message", "from", f.From, "error", err)
		return
	}
	if !r.holdBack(m) {
		r.core.step(m)
	}
}

// desk returns who takes a frame that is not Raft's, nil if it is.
func (r *replica) desk(f transport.Frame) func(transport.Frame) error {
	if f.Lane != transport.LaneControl {
		return nil
	}
	switch f.Payload[0] {
	case frameLeaseAsk, frameLeaseAnswer:
		return r.leases.receive
	case frameChangeAsk, frameChangeAnswer:
		return r.changes.receive
	case frameIntroduce:
		return r.introduced
	}
	return nil
}

// tick moves logical time by one.
func (r *replica) tick() {
	r.core.tick()
	r.pace.tick(r.core.state.applied)
	r.tickTransfers()
	r.watchDisk()
	r.askAround()
	r.introduce()
	r.publishDigest()
	r.leases.tick()
	r.changes.tick()
	r.autoCompact()
	r.core.state.store.Reclaim(reclaimSteps)
}

// reclaimSteps is how much of the memory of compacted revisions is looked at in
// each tick: little enough to be no pause.
const reclaimSteps = 2000

// turn carries out everything that the inputs so far have led to. An error is
// final: the replica must not be used any more.
func (r *replica) turn() error {
	held := r.holdsNotices()
	r.core.now = r.now()
	r.bringUp()
	r.leases.moved = false
	for r.err == nil {
		for r.core.ready() {
			r.sendAll()
			if err := r.takeTasks(); err != nil {
				return err
			}
		}
		r.sendAll()
		r.followMembers()
		if r.findFaults(); len(r.tasks) == 0 || r.writing || r.err != nil {
			break
		}
		if r.owesSync() { // which takes long: nobody waits for it who need not
			r.finish()
			r.sendNotices()
		}
		if err := r.writeTasks(); err != nil {
			return err
		}
	}
	if r.findFaults(); r.err != nil {
		return r.err
	}
	r.discardReceived()
	r.finish()
	r.leases.send()
	if r.leases.moved {
		return r.turn()
	}
	if held {
		r.sendNotices()
	}
	r.core.log.trim(r.core.state.applied)
	r.maybeCut()
	return nil
}

// findFaults notices that this replica must not go on.
func (r *replica) findFaults() {
	for _, err := range [...]error{r.core.fault, r.core.state.diverged} {
		if err != nil {
			r.fail(err)
		}
	}
}

// finish gives the requests that are done back to their clients.
func (r *replica) finish() {
	fx := &r.core.fx
	if fx.entries > 0 {
		r.cfg.Observer.Applied(fx.entries, fx.commands)
		fx.entries, fx.commands = 0, 0
	}
	r.leases.settle()
	if len(fx.done) > 0 {
		r.complete(fx.done)
		clear(fx.done)
		fx.done = fx.done[:0]
	}
}

// sendAll hands messages to the network. Whatever it cannot take now is reported
// to Raft, which would otherwise wait for an answer.
func (r *replica) sendAll() {
	fx := &r.core.fx
	for i, m := range fx.send {
		fx.send[i] = nil
		switch t := m.GetType(); {
		case t == pb.MsgSnap:
			r.startTransfer(m)
		case t != pb.MsgApp || !r.holdNotice(m):
			r.send(m)
		}
	}
	fx.send = fx.send[:0]
	if cap(r.encoded) > encodedKeepMax {
		r.encoded = nil
	}
}

func (r *replica) send(m *pb.Message) {
	r.encoded = appendMessage(r.encoded[:0], m)
	if to := m.GetTo(); !r.net.Send(to, laneOf(m), 0, r.encoded) {
		r.core.raw.ReportUnreachable(to)
	}
}

// encodedKeepMax is the largest encode buffer that is kept, in bytes.
const encodedKeepMax = 2 << 20

// laneOf keeps entries out of the way of heartbeats and votes.
func laneOf(m *pb.Message) transport.Lane {
	if len(m.Entries) > 0 && m.GetType() != pb.MsgReadIndex {
		return transport.LaneAppend
	}
	return transport.LaneControl
}

// unreachable tells Raft that messages to a peer were lost.
func (r *replica) unreachable(peer uint64) { r.core.raw.ReportUnreachable(peer) }

// followMembers brings the network in line with the members of the state, as soon
// as it is durable that the change is committed: from then on this member tells
// those that were removed, who then withdraw the vote that somebody who does not
// know of the change would need.
func (r *replica) followMembers() {
	if r.core.fx.membership {
		r.core.fx.membership = false
		r.tasks = append(r.tasks, diskTask{members: true})
	}
}

// askAround has a member that was removed, or does not hear of its leader and so may
// have been, send something to the others from time to time: their transports answer
// that it was removed; see toldRemoved. A learner, which does not campaign, goes on
// believing in a leader that is silent, and would wait for ever.
func (r *replica) askAround() {
	state, leader := r.core.state, r.core.leader
	led := leader == r.id || leader != raft.None && r.heardLately(leader)
	if led && !state.removed[r.id] || r.core.ticks%r.core.electionTicks != 0 {
		return
	}
	for _, id := range r.acquaintances() {
		r.net.Send(id, transport.LaneControl, 0, nil)
	}
}

// acquaintances are the others that this member could ask: those of its state, those
// whom it was told of, those that told it of themselves, and those of its
// configuration, which is all that a member has that joins or was removed before the
// first entry reached it.
func (r *replica) acquaintances() []uint64 {
	state := r.core.state
	ids := state.memberIDs()
	for _, m := range r.heirs {
		ids = append(ids, m.ID)
	}
	ids = slices.AppendSeq(ids, maps.Keys(r.strangers))
	for _, m := range r.cfg.Members {
		if !state.removed[m.ID] {
			ids = append(ids, m.ID)
		}
	}
	slices.Sort(ids)
	return slices.DeleteFunc(slices.Compact(ids), func(id uint64) bool { return id == r.id })
}

// toldRemoved hears from another member that this one was removed, with the voters
// by its configuration. The member ends when a quorum of such a configuration says
// so, not before: as long as they do not know, they may need its vote to find out.
func (r *replica) toldRemoved(by uint64, notice []byte) {
	rd := reader{b: notice}
	voters := rd.members()
	if rd.bad || len(rd.b) > 0 || len(voters) == 0 || len(voters) > membersMax {
		return
	}
	r.told[by] = true
	told := 0
	r.heirs = voters
	for _, v := range voters {
		// Some may have joined when this member was gone already.
		r.net.SetPeer(v.ID, v.Address)
		if r.told[v.ID] {
			told++
		}
	}
	if told >= Quorum(len(voters)) {
		r.fail(ErrRemoved)
	}
}

// fail has the next turn return an error, unless there is one already.
func (r *replica) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// connect tells the network about all members.
func (r *replica) connect() {
	state := r.core.state
	var voters []Member
	for _, id := range state.conf.GetVoters() {
		voters = append(voters, Member{id, state.members[id]})
	}
	r.net.SetNotice(appendMembers(nil, voters))
	for id := range state.removed {
		if id != r.id {
			r.net.RemovePeer(id)
		}
	}
	r.forgetStrangers()
	for _, id := range r.acquaintances() {
		r.net.SetPeer(id, r.addressOf(id))
	}
}

// role returns what the replica does now.
func (r *replica) role() Role {
	switch r.core.role {
	case raft.StateLeader:
		return Leader
	case raft.StateCandidate:
		return Candidate
	case raft.StatePreCandidate:
		return PreCandidate
	}
	return Follower
}

// successor returns the voter that is best suited to lead next: heard of lately
// and with the longest log; 0 if there is none.
func (r *replica) successor() uint64 {
	best, match := uint64(0), uint64(0)
	for _, m := range r.progress() {
		if m.ID != r.id && !m.Learner && m.Active && (best == 0 || m.Match > match) {
			best, match = m.ID, m.Match
		}
	}
	return best
}
