package raftstore

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// AlarmType says what is wrong with a member.
type AlarmType uint8

// The alarms, numbered as in etcd.
const (
	// AlarmNoSpace is raised by a member whose state has reached Config.QuotaBytes.
	// While it stands, no member applies what may make the state grow: puts, grants,
	// and transactions with a put on any path. Deletes, revokes and compactions go on.
	AlarmNoSpace AlarmType = 1
	// AlarmCorrupt is raised by an operator who doubts the state of a member. While it
	// stands, reads and alarms are all that works.
	AlarmCorrupt AlarmType = 2
)

// String returns the alarm's name as etcd prints it.
func (t AlarmType) String() string {
	switch t {
	case AlarmNoSpace:
		return "NOSPACE"
	case AlarmCorrupt:
		return "CORRUPT"
	}
	return fmt.Sprintf("AlarmType(%d)", uint8(t))
}

// Alarm is one alarm of one member. Alarms are replicated state: they stand until
// somebody disarms them, over restarts and changes of the leader.
type Alarm struct {
	Member uint64
	Type   AlarmType
}

// Reasons of ErrNotApplied while an alarm stands.
var (
	// ErrNoSpace is matched when a write was refused because of AlarmNoSpace, or would
	// have raised it.
	ErrNoSpace = errors.New("raftstore: database space exceeded")
	// ErrCorruptAlarm is matched when a write was refused because of AlarmCorrupt.
	ErrCorruptAlarm = errors.New("raftstore: corrupt cluster")
	// ErrAlarm is matched when an alarm is none that can be raised or disarmed.
	ErrAlarm = errors.New("raftstore: invalid alarm")
)

// Alarms returns the alarms that stand, by member and type.
func (s *Store) Alarms(ctx context.Context) ([]Alarm, error) {
	if err := s.barrier(ctx); err != nil {
		return nil, err
	}
	return s.alarms.list(), nil
}

// RaiseAlarm raises an alarm. One that stands already stays.
func (s *Store) RaiseAlarm(ctx context.Context, a Alarm) error {
	return s.setAlarm(ctx, alarmRaise, a)
}

// DisarmAlarm ends an alarm. One that does not stand is no error. A quota that is
// still reached raises its alarm again with the next write.
func (s *Store) DisarmAlarm(ctx context.Context, a Alarm) error {
	return s.setAlarm(ctx, alarmDisarm, a)
}

func (s *Store) setAlarm(ctx context.Context, action byte, a Alarm) error {
	if err := a.check(); err != nil {
		return notApplied(err)
	}
	r := newRequest(commandAlarm)
	r.body = a.append(append(r.body, action))
	_, err := s.write(ctx, r)
	return err
}

func (a Alarm) check() error {
	switch {
	case a.Member == 0:
		return fmt.Errorf("%w: Member is 0, expected the id of a member", ErrAlarm)
	case a.Type != AlarmNoSpace && a.Type != AlarmCorrupt:
		return fmt.Errorf("%w: Type is %d, expected %d (%v) or %d (%v)", ErrAlarm, a.Type, AlarmNoSpace, AlarmNoSpace, AlarmCorrupt, AlarmCorrupt)
	}
	return nil
}

// The command that raises and disarms:
//
//	commandAlarm: action: byte · member: uvarint · type: byte
const (
	alarmRaise  = 1
	alarmDisarm = 2
)

func (a Alarm) append(b []byte) []byte {
	return append(binary.AppendUvarint(b, a.Member), byte(a.Type))
}

func (r *reader) alarm() Alarm { return Alarm{Member: r.uvarint(), Type: AlarmType(r.byte())} }

// alarmSet holds the alarms that stand. One goroutine changes it, any may read.
type alarmSet struct{ sorted atomic.Pointer[[]Alarm] }

func (s *alarmSet) list() []Alarm {
	if p := s.sorted.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *alarmSet) set(alarms []Alarm) { s.sorted.Store(&alarms) }

func compareAlarms(a, b Alarm) int {
	return cmp.Or(cmp.Compare(a.Member, b.Member), cmp.Compare(a.Type, b.Type))
}

func (s *alarmSet) raised(t AlarmType) bool {
	return slices.ContainsFunc(s.list(), func(a Alarm) bool { return a.Type == t })
}

// executeAlarm runs a commandAlarm. Alarms of members that are gone go with them.
func (m *machine) executeAlarm(r *reader, out *result) {
	action, a := r.byte(), r.alarm()
	if out.err = r.end(commandAlarm); out.err == nil {
		out.err = a.check()
	}
	if _, known := m.members[a.Member]; out.err == nil && action == alarmRaise && !known {
		out.err = fmt.Errorf("%w: %x", ErrUnknownMember, a.Member)
	}
	if out.err != nil {
		return
	}
	i, stands := slices.BinarySearchFunc(m.alarms.list(), a, compareAlarms)
	list := slices.Clone(m.alarms.list())
	switch {
	case action == alarmRaise && !stands:
		m.alarms.set(slices.Insert(list, i, a))
	case action == alarmDisarm && stands:
		m.alarms.set(slices.Delete(list, i, i+1))
	case action != alarmRaise && action != alarmDisarm:
		out.err = fmt.Errorf("%w: alarm action %d", errMalformed, action)
	}
}

// dropAlarms ends the alarms of a member that was removed.
func (m *machine) dropAlarms(member uint64) {
	list := slices.DeleteFunc(slices.Clone(m.alarms.list()), func(a Alarm) bool { return a.Member == member })
	m.alarms.set(list)
}

// refusal says why a command is not applied while alarms stand: a matter of the
// replicated state alone, so that all members refuse alike.
func (m *machine) refusal(kind commandKind, txn *Txn) error {
	if len(m.alarms.list()) == 0 {
		return nil
	}
	grows := kind == commandPut || kind == commandLeaseGrant || kind == commandTxn && txnCost(txn) > 0
	switch {
	case m.alarms.raised(AlarmCorrupt):
		return ErrCorruptAlarm
	case grows && m.alarms.raised(AlarmNoSpace):
		return ErrNoSpace
	}
	return nil
}
