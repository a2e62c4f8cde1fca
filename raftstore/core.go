package raftstore

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// core is a replica without a disk, a network, a clock or a goroutine. Methods
// take inputs (ticks, messages, writes, reads, completions of the disk); ready
// turns them into effects, which the caller must carry out:
//
//	step, tick, write, read, persisted ──► core ──► send, persist, done
//
// Given the same inputs in the same order it does the same, which is what makes
// simulations of whole clusters exact.
type core struct {
	id, boot      uint64
	electionTicks uint64
	raw           *raft.RawNode
	log           *raftLog
	state         *machine

	ticks uint64
	// now is the time of the inputs that are being worked on, by the caller's clock:
	// nothing but the leader's lease depends on it.
	now    time.Duration
	leader uint64
	role   raft.StateType
	// hardTerm is the term as of the last effects.
	hardTerm uint64

	// starting is true until what was committed before the start is applied.
	starting bool
	writes   writeQueue
	// scratch is where the leader encodes what it proposes.
	scratch []byte
	reads   readQueue
	lease   leaderLease

	fx effects
	// fault is why this replica must not go on.
	fault error
}

// effects are what the core wants done, in order.
type effects struct {
	// send are messages to other members. They may be lost.
	send []*pb.Message
	// persist are MsgStorageAppend: entries, hard state and snapshots to be written
	// in this order. When they are durable they go back by persisted.
	persist []*pb.Message
	// done are requests that have their result.
	done []*request
	// membership tells that the members have changed.
	membership bool
	// entries and commands were applied.
	entries, commands int
}

type coreConfig struct {
	id, boot       uint64
	heartbeatTicks int
	electionTicks  int
	uncommittedMax uint64
	leaseSpan      time.Duration
	logger         raft.Logger
}

// Limits of what is in flight between members. They bound memory at a leader to
// inflightMessages·appendSizeMax for each follower, and rather less in practice.
const (
	appendSizeMax    = 256 << 10
	applySizeMax     = 4 << 20
	inflightMessages = 256
	inflightSizeMax  = 4 << 20
)

func newCore(cfg coreConfig, log *raftLog, state *machine) (*core, error) {
	c := &core{
		id: cfg.id, boot: cfg.boot, electionTicks: uint64(cfg.electionTicks),
		log: log, state: state,
		writes: writeQueue{batches: map[uint64]*batch{}, next: 1},
		lease:  leaderLease{span: cfg.leaseSpan},
	}
	raw, err := raft.NewRawNode(&raft.Config{
		ID:                        cfg.id,
		ElectionTick:              cfg.electionTicks,
		HeartbeatTick:             cfg.heartbeatTicks,
		Storage:                   log,
		Applied:                   state.applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             appendSizeMax,
		MaxCommittedSizePerReady:  applySizeMax,
		MaxUncommittedEntriesSize: cfg.uncommittedMax,
		MaxInflightMsgs:           inflightMessages,
		MaxInflightBytes:          inflightSizeMax,
		// Alone, each of the two lets a member that is half cut off stall the others.
		CheckQuorum:       true, // Raft §6.2 of the thesis
		PreVote:           true, // Raft §9.6 of the thesis
		StepDownOnRemoval: true,
		Logger:            cfg.logger,
	})
	if err != nil {
		return nil, err
	}
	c.raw = raw
	c.hardTerm = c.term()
	c.starting = true
	return c, nil
}

// campaignAlone has the only voter campaign without waiting for a leader that cannot
// be. One that reads by lease keeps to its promise not to vote yet; see mustNotVote.
//
// It does so when everything is applied that is known to be committed. Raft would have
// to look for changes of the members in what is not, and so read all of it twice.
func (c *core) campaignAlone() {
	if !c.starting || c.state.applied < c.log.hard.GetCommit() {
		return
	}
	c.starting = false
	conf := c.state.conf
	if v := conf.GetVoters(); len(v) == 1 && v[0] == c.id && len(conf.GetVotersOutgoing()) == 0 && c.lease.span == 0 {
		_ = c.raw.Campaign()
	}
}

// tick moves logical time by one.
func (c *core) tick() {
	c.ticks++
	c.raw.Tick()
	c.retryWrites()
	c.retryReads()
	if c.ticks%c.electionTicks == 0 {
		c.dropAbandoned()
	}
}

// dropAbandoned takes the requests off the books whose clients have given up while
// there was nobody to ask: without a leader they would fill the queues.
func (c *core) dropAbandoned() {
	abandoned := func(r *request) bool {
		if !r.claimed.lost() {
			return false
		}
		c.fx.done = append(c.fx.done, r)
		return true
	}
	before := len(c.reads.waiting)
	c.reads.waiting = slices.DeleteFunc(c.reads.waiting, abandoned)
	c.reads.count -= before - len(c.reads.waiting)
	c.writes.queue = slices.DeleteFunc(c.writes.queue, func(r *request) bool {
		if !abandoned(r) {
			return false
		}
		c.writes.forget(r)
		return true
	})
}

// step takes a message from another member. Messages that Raft cannot place are
// dropped, as the network might have done.
func (c *core) step(m *pb.Message) {
	if m.GetType() == pb.MsgReadIndex && c.newInOffice() {
		return // whoever asks will ask again
	}
	if c.mustNotVote(m) {
		return // whoever campaigns will do so again
	}
	if m.GetType() == pb.MsgTransferLeader {
		c.lease.offered = c.hardTerm
	}
	if t := m.GetType(); (t == pb.MsgVote || t == pb.MsgPreVote) && c.state.removed[c.id] {
		c.voteAsRemoved(m)
	}
	if c.checkAcknowledged(m); c.fault != nil {
		return
	}
	_ = c.raw.Step(m)
}

// ready moves on as far as possible without the disk and adds to the effects.
// It returns false when there was nothing to do.
func (c *core) ready() bool {
	c.campaignAlone()
	c.propose()
	c.askIndex()
	if !c.raw.HasReady() {
		return false
	}
	rd := c.raw.Ready()
	c.followTerm(&rd)
	if rd.SoftState != nil {
		c.elected(rd.SoftState)
	}
	for _, rs := range rd.ReadStates {
		c.confirm(rs)
	}
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			c.fx.persist = append(c.fx.persist, m)
		case raft.LocalApplyThread:
			c.apply(m.Entries)
			for _, response := range m.Responses {
				c.step(response)
			}
		default:
			c.fx.send = append(c.fx.send, m)
		}
	}
	return true
}

// persisted takes back a message of effects.persist when all of it is durable.
func (c *core) persisted(m *pb.Message) {
	for _, response := range m.Responses {
		if response.GetTo() == c.id {
			c.step(response)
		} else {
			c.fx.send = append(c.fx.send, response)
		}
	}
}

func (c *core) elected(s *raft.SoftState) {
	changed := s.Lead != c.leader
	c.leader, c.role = s.Lead, s.RaftState
	if changed {
		c.restartReads()
		if c.leader != raft.None {
			c.repropose()
		}
	}
}

func (c *core) term() uint64 { return c.raw.BasicStatus().GetTerm() }

// apply brings committed entries into the state.
func (c *core) apply(entries []*pb.Entry) {
	for _, e := range entries {
		switch {
		case e.GetType() == pb.EntryConfChangeV2 || e.GetType() == pb.EntryConfChange:
			c.applyMembership(e)
		case len(e.Data) > 0: // a new leader's first entry is empty
			c.applyCommands(e)
		}
		c.fx.entries++
		c.state.applied, c.state.term = e.GetIndex(), e.GetTerm()
		c.state.remember(e.GetIndex())
	}
	c.finishReads()
}

func (c *core) applyCommands(e *pb.Entry) {
	h, err := decodeHeader(e.Data)
	if err != nil || !c.state.admit(&h) {
		return
	}
	c.checkPast(&h)
	c.fx.commands += h.count
	var own *batch
	if h.origin == c.id && h.boot == c.boot {
		own = c.writes.batches[h.sequence]
	}
	var ignored result
	c.state.entryTerm = e.GetTerm()
	r := reader{b: h.commands}
	for i := range h.count {
		kind, body, err := nextCommand(&r)
		if err != nil {
			return
		}
		out := &ignored
		if own != nil {
			out = &own.requests[i].result
		}
		c.state.execute(kind, body, out)
	}
	if own != nil {
		c.fx.done = append(c.fx.done, own.requests...)
		c.writes.finish(own)
	}
}

// checkAcknowledged finds out that this member has acknowledged what is not in its
// log: then its disk was emptied, and its votes and acknowledgements of before are
// worth nothing (etcd #20269, #13066). A heartbeat brings no commit index that its
// receiver has not acknowledged, and what is committed is never cut off again. Raft
// would panic.
func (c *core) checkAcknowledged(m *pb.Message) {
	if last := c.log.last(); m.GetType() == pb.MsgHeartbeat && m.GetCommit() > last {
		c.fault = fmt.Errorf("%w: member %x has its acknowledgement of entry %d, the log ends at %d", ErrForgotten, m.GetFrom(), m.GetCommit(), last)
	}
}

// checkPast finds out that this member has proposed what it does not remember, which
// tells the same when no leader of before is there. Neither finds every case, which is
// why ids must not be used again.
func (c *core) checkPast(h *entryHeader) {
	if h.origin == c.id && (h.boot > c.boot || h.boot == c.boot && h.sequence >= c.writes.next) {
		c.fault = fmt.Errorf("%w: entry %d of start %d is in the log, this is start %d", ErrForgotten, h.sequence, h.boot, c.boot)
	}
}

// installed takes the state that a snapshot has brought, when it is durable.
func (c *core) installed(state *machine) {
	// The store stays the same object: readers and watchers hold on to it.
	c.state.store.Restore(state.store)
	state.store = c.state.store
	state.leaseChanged = c.state.leaseChanged
	c.state.alarms.set(state.alarms.list())
	state.alarms = c.state.alarms
	c.state = state
	c.fx.membership = true
	if o := state.origins[c.id]; o != nil {
		c.checkPast(&entryHeader{origin: c.id, boot: o.boot, sequence: o.floor - 1})
	}
	for _, b := range slices.Clone(c.writes.order) { // finish shortens the original
		if !b.finished && state.hasApplied(c.id, c.boot, b.sequence) {
			for _, r := range b.requests {
				r.result.err = unknown(errResultInSnapshot)
			}
			c.fx.done = append(c.fx.done, b.requests...)
			c.writes.finish(b)
		}
	}
	c.finishReads()
}

// readContext names one attempt to read: never used twice, by no member.
func (c *core) readContext(attempt uint64) []byte {
	b := make([]byte, 0, 24)
	b = binary.LittleEndian.AppendUint64(b, c.id)
	b = binary.LittleEndian.AppendUint64(b, c.boot)
	return binary.LittleEndian.AppendUint64(b, attempt)
}
