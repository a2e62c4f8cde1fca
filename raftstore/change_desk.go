package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/orchcore/orchcore/raftstore/transport"
	"go.etcd.io/raft/v3"
)

// A change of the members may be asked of any member. Whether the cluster would
// survive it only the leader can say, who alone hears of everybody; so the member
// that was asked has the leader check it, and then proposes it itself. Nothing is
// lost if the leader changes in between: the check protects operators from
// themselves, and what the state forbids is found again when the entry is applied.
//
// Frames between members, on the control lane beside those of Raft:
//
//	ask:     0xf2 · boot, number: uvarint · changes, as in member.go
//	answer:  0xf3 · boot, number: uvarint · reasons: byte · text
const (
	frameChangeAsk    = 0xf2
	frameChangeAnswer = 0xf3
)

// changeReasons are the errors by which callers tell refusals apart, by their bits in
// an answer. One without any allows the change.
var changeReasons = [...]error{
	ErrMembership, ErrUnknownMember, ErrLearnerNotReady, ErrAddressTaken, ErrUnhealthy,
}

// changeError is a refusal that another member has made.
type changeError struct {
	reasons []error
	text    string
}

func (e *changeError) Error() string   { return e.text }
func (e *changeError) Unwrap() []error { return e.reasons }

// changeCall is one change that waits for the leader's check.
type changeCall struct {
	number  uint64
	changes []memberChange
	answer  chan error
	retryAt uint64
}

// changeDesk has changes checked.
type changeDesk struct {
	r    *replica
	open []*changeCall
	next uint64
}

// ask begins a call, whose answer has room for one error.
func (d *changeDesk) ask(call *changeCall) {
	d.next++
	call.number = d.next
	d.open = append(d.open, call)
	d.route(call)
}

// drop ends a call whose caller has given up.
func (d *changeDesk) drop(call *changeCall) {
	d.open = slices.DeleteFunc(d.open, func(c *changeCall) bool { return c == call })
}

func (d *changeDesk) finish(call *changeCall, err error) {
	d.drop(call)
	call.answer <- err
}

// route sends a call to whoever leads, or leaves it until somebody does.
func (d *changeDesk) route(call *changeCall) {
	c := d.r.core
	call.retryAt = c.ticks + c.electionTicks
	switch c.leader {
	case raft.None:
		call.retryAt = c.ticks + 1
	case c.id:
		d.finish(call, d.r.checkChange(call.changes))
	default:
		b := binary.AppendUvarint([]byte{frameChangeAsk}, c.boot)
		b = appendChanges(binary.AppendUvarint(b, call.number), call.changes)
		d.r.net.Send(c.leader, transport.LaneControl, 0, b)
	}
}

// tick tries again what was not answered.
func (d *changeDesk) tick() {
	for _, call := range slices.Clone(d.open) {
		if call.retryAt <= d.r.core.ticks {
			d.route(call)
		}
	}
}

// receive takes a frame of one of the two kinds.
func (d *changeDesk) receive(f transport.Frame) error {
	rd := reader{b: f.Payload}
	kind, boot, number := rd.byte(), rd.uvarint(), rd.uvarint()
	if kind == frameChangeAsk {
		changes := rd.changes()
		if rd.bad || len(rd.b) > 0 {
			return fmt.Errorf("%w: question about members of %d bytes", errMalformed, len(f.Payload))
		}
		if d.r.role() == Leader { // else whoever asks will ask again
			b := binary.AppendUvarint([]byte{frameChangeAnswer}, boot)
			b = appendRefusal(binary.AppendUvarint(b, number), d.r.checkChange(changes))
			d.r.net.Send(f.From, transport.LaneControl, 0, b)
		}
		return nil
	}
	err, ok := rd.refusal()
	if !ok {
		return fmt.Errorf("%w: answer about members of %d bytes", errMalformed, len(f.Payload))
	}
	i := slices.IndexFunc(d.open, func(c *changeCall) bool { return c.number == number })
	if boot == d.r.core.boot && i >= 0 {
		d.finish(d.open[i], err)
	}
	return nil
}

// appendRefusal adds an answer: a set of reasons, as bits, and the text.
func appendRefusal(b []byte, err error) []byte {
	var reasons byte
	text := ""
	for i, reason := range changeReasons {
		if errors.Is(err, reason) {
			reasons |= 1 << i
		}
	}
	if err != nil {
		text = err.Error()
		if reasons == 0 { // by a leader that has just stopped leading
			reasons = 1
		}
	}
	return appendBytes(append(b, reasons), []byte(text))
}

// refusal reads what appendRefusal has written, to the end.
func (r *reader) refusal() (refused error, ok bool) {
	bits, text := r.byte(), string(r.bytes())
	if r.bad || len(r.b) > 0 || bits>>len(changeReasons) != 0 {
		return nil, false
	}
	e := &changeError{text: text}
	for i, reason := range changeReasons {
		if bits&(1<<i) != 0 {
			e.reasons = append(e.reasons, reason)
		}
	}
	if len(e.reasons) == 0 {
		return nil, text == ""
	}
	return e, true
}
