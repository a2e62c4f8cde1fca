package raftstore

import (
	"fmt"
	"slices"

	"github.com/orchcore/orchcore/raftstore/mvcc"
	pb "go.etcd.io/raft/v3/raftpb"
)

// machine is the replicated state: what all members that have applied the same
// entries have alike. Everything in it travels in snapshots, and nothing else may
// decide what an entry does: no clock, no limit of a config, no order of a map.
type machine struct {
	store *mvcc.Store
	// applied and term are those of the last entry applied.
	applied, term uint64
	conf          *pb.ConfState
	// members are the addresses of voters and learners, removed the ids that were
	// members once and never will be again.
	members map[uint64]string
	removed map[uint64]bool
	// profiles are what is known about some members besides; see announce.go.
	profiles map[uint64]*memberProfile
	// origins hold what is needed to apply no entry twice.
	origins map[uint64]*origin
	// sessions hold results of clients, by id; see session.go. steps counts their
	// uses: a clock that all members share.
	sessions map[uint64]*sessionState
	steps    uint64
	alarms   *alarmSet

	// digests are those of the last entries and diverged what was found by them: the
	// only things here that are not replicated.
	digests  [digestsKept]digest
	diverged error
	// entryTerm is the term of the entry that is being applied. leaseChanged, if set,
	// is told of what was done to leases.
	entryTerm    uint64
	leaseChanged func(id int64, kind commandKind)
	// slab is scratch of execute.
	slab txnSlab
}

// origin is what the state knows about the entries of one member.
type origin struct {
	boot, floor uint64
	// seen are the sequences at or above floor that were applied.
	seen map[uint64]bool
}

// newMachine is the state a cluster is founded with: the same on every member.
// Without members it is the state of one that joins and knows nothing yet.
func newMachine(members []Member) *machine {
	m := &machine{
		store:   mvcc.New(),
		conf:    &pb.ConfState{AutoLeave: new(false)},
		members: map[uint64]string{}, removed: map[uint64]bool{}, origins: map[uint64]*origin{},
		profiles: map[uint64]*memberProfile{},
		sessions: map[uint64]*sessionState{}, alarms: &alarmSet{},
	}
	if len(members) > 0 {
		m.applied, m.term = bootstrapIndex, bootstrapTerm
	}
	for _, member := range members {
		m.conf.Voters = append(m.conf.Voters, member.ID)
		m.members[member.ID] = member.Address
	}
	slices.Sort(m.conf.Voters)
	return m
}

// The log of a cluster begins behind an imaginary entry that everybody has.
const (
	bootstrapIndex = 1
	bootstrapTerm  = 1
)

// admit decides whether an entry is applied: once, and not after a later start of
// its origin or its removal.
func (m *machine) admit(h *entryHeader) bool {
	if m.removed[h.origin] {
		return false
	}
	o := m.origins[h.origin]
	switch {
	case o == nil || h.boot > o.boot:
		o = &origin{boot: h.boot, floor: 1, seen: map[uint64]bool{}}
		m.origins[h.origin] = o
	case h.boot < o.boot:
		return false
	}
	if h.sequence < o.floor || o.seen[h.sequence] {
		return false
	}
	o.seen[h.sequence] = true
	o.raise(h.floor)
	return true
}

// raise moves the floor up and forgets what lies below.
func (o *origin) raise(floor uint64) {
	if floor <= o.floor {
		return
	}
	if floor-o.floor > uint64(len(o.seen)) {
		for sequence := range o.seen {
			if sequence < floor {
				delete(o.seen, sequence)
			}
		}
	} else {
		for sequence := o.floor; sequence < floor; sequence++ {
			delete(o.seen, sequence)
		}
	}
	o.floor = floor
}

// hasApplied reports whether an entry of this origin and boot has been applied.
func (m *machine) hasApplied(id, boot, sequence uint64) bool {
	o := m.origins[id]
	return o != nil && o.boot == boot && (sequence < o.floor || o.seen[sequence])
}

// result is what a command returned; which field counts depends on its kind.
type result struct {
	put    PutResult
	delete DeleteResult
	txn    TxnResult
	// ttl and remaining are those of a lease.
	ttl, remaining int64
	err            error
}

// execute runs one command. An error of the data model is a result; a body that
// cannot be decoded is one, too, the same on every member.
func (m *machine) execute(kind commandKind, body []byte, out *result) {
	r := reader{b: body, slab: &m.slab}
	defer m.slab.reset()
	switch kind {
	case commandPut:
		p := r.put()
		if out.err = r.end(kind); out.err == nil {
			out.err = m.refusal(kind, nil)
		}
		if out.err == nil {
			out.put, out.err = m.store.Put(&p)
		}
	case commandDelete:
		d := r.delete()
		if out.err = r.end(kind); out.err == nil {
			out.err = m.refusal(kind, nil)
		}
		if out.err == nil {
			out.delete, out.err = m.store.Delete(&d)
		}
	case commandTxn:
		t := r.txn(0)
		if out.err = r.end(kind); out.err == nil {
			out.err = m.refusal(kind, &t)
		}
		if out.err == nil {
			out.txn, out.err = m.store.Apply(&t)
		}
	case commandCompact:
		revision := r.varint()
		if out.err = r.end(kind); out.err == nil {
			out.err = m.refusal(kind, nil)
		}
		if out.err == nil {
			out.err = m.store.Compact(revision)
		}
	case commandLeaseGrant, commandLeaseRevoke, commandLeaseExpire, commandLeaseCheckpoint:
		m.executeLease(kind, &r, out)
	case commandAlarm:
		m.executeAlarm(&r, out)
	case commandOpen:
		if out.err = r.end(kind); out.err == nil {
			m.openSession(out)
		}
	case commandSession:
		m.inSession(&r, out)
	case commandCheck:
		m.compare(&r, out)
	case commandAnnounce:
		m.executeAnnounce(&r, out)
	default:
		out.err = fmt.Errorf("%w: command of kind %d", errMalformed, kind)
	}
}

// end returns an error unless all bytes were read and fitted.
func (r *reader) end(kind commandKind) error {
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("%w: body of command kind %d", errMalformed, kind)
	}
	return nil
}

// memberIDs returns the ids of all members in order.
func (m *machine) memberIDs() []uint64 {
	ids := make([]uint64, 0, len(m.members))
	for id := range m.members {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
