package raftstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/orchcore/orchcore/raftstore/mvcc"
)

// A session makes retries safe: every write in it has a sequence, and the state
// keeps the result of each until the client has seen it. A write that comes again,
// over whichever member, gets the result of the first time. Members and restarts
// make no difference: sessions are replicated state, and the one that was used
// longest ago, by the order of the log, gives way to a new one.
//
//	commandOpen:    nothing; the result is the id, as a revision
//	commandSession: id, sequence, floor: uvarint · kind: byte · body
const (
	commandOpen    commandKind = 16
	commandSession commandKind = 17
)

// Limits of the session table. They decide what entries do, so they are part of the
// format and no configuration.
const (
	// sessionsMax is the number of sessions that are kept.
	sessionsMax = 1024
	// sessionWindow is the number of writes of one session that may be unfinished.
	sessionWindow = 16
	// resultKeepMax is the size up to which a result is kept.
	resultKeepMax = 4 << 10
)

var (
	// ErrSessionExpired is matched when a session is not known (any more). A first
	// attempt was not applied; what became of earlier ones is unknown.
	ErrSessionExpired = errors.New("raftstore: session has expired")
	// ErrSession is matched when a session is used in a way it cannot be.
	ErrSession = errors.New("raftstore: misuse of a session")
	// ErrResultLost is matched, as a reason of ErrUnknownOutcome, when a write of a
	// session was applied by an earlier attempt and its result was too large to keep.
	ErrResultLost = errors.New("raftstore: applied earlier, result was not kept")
)

// sessionState is one session in the state.
type sessionState struct {
	// used is the machine's step of the last use.
	used    uint64
	floor   uint64
	results map[uint64][]byte // by sequence; nil when not kept
}

// openSession adds a session, in place of the oldest if there are too many.
func (m *machine) openSession(out *result) {
	if len(m.sessions) >= sessionsMax {
		oldest, used := uint64(0), ^uint64(0)
		for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
			if s := m.sessions[id]; s.used < used {
				oldest, used = id, s.used
			}
		}
		delete(m.sessions, oldest)
	}
	m.steps++
	m.sessions[m.steps] = &sessionState{used: m.steps, floor: 1, results: map[uint64][]byte{}}
	out.put.Revision = int64(m.steps)
}

// inSession runs a command unless it was run before.
func (m *machine) inSession(r *reader, out *result) {
	id, sequence, floor := r.uvarint(), r.uvarint(), r.uvarint()
	kind := commandKind(r.byte())
	body := r.b
	if r.bad || kind >= commandOpen || floor == 0 || sequence < floor {
		out.err = fmt.Errorf("%w: command of a session", errMalformed)
		return
	}
	s := m.sessions[id]
	if s == nil {
		out.err = fmt.Errorf("%w: %d", ErrSessionExpired, id)
		return
	}
	m.steps++
	s.used = m.steps
	for ; s.floor < floor && len(s.results) > 0; s.floor++ {
		delete(s.results, s.floor)
	}
	s.floor = max(s.floor, floor)
	if sequence < s.floor || sequence-s.floor >= sessionWindow {
		out.err = fmt.Errorf("%w: sequence %d with results kept from %d on", ErrSession, sequence, s.floor)
		return
	}
	if kept, ok := s.results[sequence]; ok {
		if kept == nil {
			out.err = unknown(ErrResultLost)
			return
		}
		var err error
		if *out, err = decodeResult(kept, kind); err != nil {
			out.err = fmt.Errorf("%w: sequence %d was another command", ErrSession, sequence)
		}
		return
	}
	m.execute(kind, body, out)
	if kept := appendResult(nil, kind, out); len(kept) <= resultKeepMax {
		s.results[sequence] = kept
	} else {
		s.results[sequence] = nil
	}
}

func (m *machine) appendSessions(b []byte) []byte {
	b = binary.AppendUvarint(b, m.steps)
	b = binary.AppendUvarint(b, uint64(len(m.sessions)))
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		s := m.sessions[id]
		for _, v := range [...]uint64{id, s.used, s.floor, uint64(len(s.results))} {
			b = binary.AppendUvarint(b, v)
		}
		for _, sequence := range slices.Sorted(maps.Keys(s.results)) {
			kept := s.results[sequence]
			b = binary.AppendUvarint(b, sequence)
			b = appendFlag(b, kept != nil)
			b = appendBytes(b, kept)
		}
	}
	return b
}

func (r *reader) sessions(m *machine) {
	m.steps = r.uvarint()
	m.sessions = map[uint64]*sessionState{}
	for range r.count(4) {
		id := r.uvarint()
		s := &sessionState{used: r.uvarint(), floor: r.uvarint(), results: map[uint64][]byte{}}
		for range r.count(3) {
			sequence, kept := r.uvarint(), r.flag()
			if b := r.bytes(); kept {
				s.results[sequence] = append([]byte{}, b...)
			} else {
				s.results[sequence] = nil
			}
		}
		m.sessions[id] = s
	}
}

// Session is a client's side of a session. It is safe for concurrent use.
type Session struct {
	store *Store
	id    uint64

	mu   sync.Mutex
	next uint64
	open map[uint64]bool // sequences whose result was not seen
}

// NewSession opens a session.
func (s *Store) NewSession(ctx context.Context) (*Session, error) {
	res, err := s.write(ctx, newRequest(commandOpen))
	if err != nil {
		return nil, err
	}
	return s.ResumeSession(uint64(res.put.Revision), 1), nil
}

// ResumeSession continues a session that was opened here or on another member: next
// is the lowest sequence whose result has not been seen.
func (s *Store) ResumeSession(id, next uint64) *Session {
	return &Session{store: s, id: id, next: max(next, 1), open: map[uint64]bool{}}
}

// ID returns the id under which any member knows the session.
func (s *Session) ID() uint64 { return s.id }

// Begin starts a write: whichever call is made with the Attempt, however often,
// takes effect at most once. At most 16 may be unfinished at a time; more are
// refused with ErrSession.
func (s *Session) Begin() *Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &Attempt{session: s, sequence: s.next}
	s.open[a.sequence] = true
	s.next++
	return a
}

// floor is the lowest sequence whose result was not seen.
func (s *Session) floor() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	low := s.next
	for sequence := range s.open {
		low = min(low, sequence)
	}
	return low
}

// Attempt is one write of a session, to be repeated as long as its outcome is
// ErrUnknownOutcome. It is for one goroutine at a time.
type Attempt struct {
	session  *Session
	sequence uint64
	unsure   bool // an earlier call may have been applied
}

// Sequence is the number of the write in its session.
func (a *Attempt) Sequence() uint64 { return a.sequence }

// Put is KV.Put, once.
func (a *Attempt) Put(ctx context.Context, p PutRequest) (PutResult, error) {
	if err := mvcc.ValidatePut(&p, a.session.store.limits()); err != nil {
		return PutResult{}, a.refused(err)
	}
	if err := a.session.store.reserve(ctx, putCost(&p)); err != nil {
		return PutResult{}, a.refused(err)
	}
	res, err := a.write(ctx, commandPut, appendPut(nil, &p))
	return res.put, err
}

// DeleteRange is KV.DeleteRange, once.
func (a *Attempt) DeleteRange(ctx context.Context, d DeleteRequest) (DeleteResult, error) {
	if err := mvcc.ValidateDelete(&d); err != nil {
		return DeleteResult{}, a.refused(err)
	}
	res, err := a.write(ctx, commandDelete, appendDelete(nil, &d))
	return res.delete, err
}

// Txn is KV.Txn, once, also when it only reads.
func (a *Attempt) Txn(ctx context.Context, t Txn) (TxnResult, error) {
	if err := mvcc.Validate(&t, a.session.store.limits()); err != nil {
		return TxnResult{}, a.refused(err)
	}
	if err := a.session.store.reserve(ctx, txnCost(&t)); err != nil {
		return TxnResult{}, a.refused(err)
	}
	res, err := a.write(ctx, commandTxn, appendTxn(nil, &t))
	return res.txn, err
}

// Abandon ends an attempt that will not be repeated: its result need not be kept.
func (a *Attempt) Abandon() { a.finish() }

func (a *Attempt) finish() {
	s := a.session
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, a.sequence)
}

// refused is the outcome of a call that was not made.
func (a *Attempt) refused(err error) error {
	if a.unsure {
		return unknown(err)
	}
	return notApplied(err)
}

func (a *Attempt) write(ctx context.Context, kind commandKind, body []byte) (result, error) {
	r := newRequest(commandSession)
	for _, v := range [...]uint64{a.session.id, a.sequence, min(a.session.floor(), a.sequence)} {
		r.body = binary.AppendUvarint(r.body, v)
	}
	r.body = append(append(r.body, byte(kind)), body...)
	res, err := a.session.store.write(ctx, r)
	switch {
	case errors.Is(err, ErrResultLost):
		a.finish() // it is known that nothing more will be
	case errors.Is(err, ErrUnknownOutcome):
		a.unsure = true
	case err == nil || a.decided(err):
		a.finish()
	case a.unsure:
		// This call was not applied; an earlier one may have been.
		err = unknown(err)
	}
	return res, err
}

// decided reports whether an error is the result of the write, as it will be on
// every repetition.
func (a *Attempt) decided(err error) bool {
	if errors.Is(err, ErrSessionExpired) || errors.Is(err, ErrSession) {
		return false
	}
	for _, sentinel := range storedErrors {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}
