package raftstore

import (
	"errors"
	"fmt"
)

// What the leader says about the time of leases becomes part of the state by two
// commands, both of which do nothing in another term than the one they name:
//
//	commandLeaseExpire:      term: uvarint · id: varint · serial: uvarint
//	commandLeaseCheckpoint:  term: uvarint · number · { id, remaining: varint · serial: uvarint }
//
// serial is that of the grant, so that neither touches a later lease of the same id.

// errLeaseTerm is the result of such a command of a leader that has been deposed.
var errLeaseTerm = errors.New("the leader that has counted the lease's time leads no more")

// executeLease runs a command about leases and tells the desk.
func (m *machine) executeLease(kind commandKind, r *reader, out *result) {
	switch kind {
	case commandLeaseGrant:
		id, ttl := r.varint(), r.varint()
		if out.err = r.end(kind); out.err == nil {
			out.err = m.refusal(kind, nil)
		}
		if out.err == nil {
			out.err = m.store.LeaseGrant(id, ttl)
		}
		m.tellLease(id, kind, out.err == nil)
	case commandLeaseRevoke:
		id := r.varint()
		if out.err = r.end(kind); out.err == nil {
			out.err = m.refusal(kind, nil)
		}
		if out.err == nil {
			out.delete, out.err = m.store.LeaseRevoke(id)
		}
		m.tellLease(id, kind, out.err == nil)
	case commandLeaseExpire:
		term, id, serial := r.uvarint(), r.varint(), r.uvarint()
		if out.err = r.end(kind); out.err == nil {
			out.err = errors.Join(m.checkLeaseTerm(term), m.refusal(kind, nil))
		}
		if out.err == nil {
			out.delete, out.err = m.store.LeaseExpire(id, serial)
		}
		m.tellLease(id, kind, true)
	case commandLeaseCheckpoint:
		m.checkpointLeases(r, out)
	}
}

// checkpointLeases applies every checkpoint of the list that still fits.
func (m *machine) checkpointLeases(r *reader, out *result) {
	term := r.uvarint()
	type checkpoint struct {
		id, remaining int64
		serial        uint64
	}
	list := make([]checkpoint, r.count(3))
	for i := range list {
		list[i] = checkpoint{r.varint(), r.varint(), r.uvarint()}
	}
	if out.err = r.end(commandLeaseCheckpoint); out.err != nil {
		return
	}
	out.err = m.checkLeaseTerm(term)
	for _, c := range list {
		if l, ok := m.store.Lease(c.id); out.err == nil && ok && l.Serial == c.serial {
			out.err = m.store.LeaseCheckpoint(c.id, c.remaining)
		}
		m.tellLease(c.id, commandLeaseCheckpoint, true)
	}
}

func (m *machine) checkLeaseTerm(term uint64) error {
	if term != m.entryTerm {
		return fmt.Errorf("%w: proposed in term %d, in the log in term %d", errLeaseTerm, term, m.entryTerm)
	}
	return nil
}

func (m *machine) tellLease(id int64, kind commandKind, tell bool) {
	if tell && m.leaseChanged != nil {
		m.leaseChanged(id, kind)
	}
}
