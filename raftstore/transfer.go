package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/orchcore/orchcore/raftstore/transport"
	"github.com/orchcore/orchcore/raftstore/wal"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// A snapshot travels on a lane of its own, in parts with a window, driven by the
// owners on both sides:
//
//	sender                                     receiver
//	begin  id, size, MsgSnap          ──►      opens a file
//	part   id, offset, bytes          ──►      writes what fits its end
//	                                  ◄──      wants id, offset
//	                                  ◄──      result id, ok: installed, or not
//
// Parts that are lost are sent again from the offset that the receiver wants.
// Raft hears of the image's arrival as of that of any message: MsgSnap is stepped
// when the file is complete and has been verified.
const (
	transferBegin byte = 1 + iota
	transferPart
	transferWants
	transferResult
)

const (
	// partSize is the size of a part in bytes, partsWindow how many may be unanswered.
	partSize    = 64 << 10
	partsWindow = 16
	// transferPatience is how many election timeouts a transfer may make no progress.
	transferPatience = 10
	// verifyPatience is the same for the verification of the whole image.
	verifyPatience = 100
)

// outgoing is a snapshot on its way to one member.
type outgoing struct {
	id, to, index   uint64
	begin           []byte
	file            wal.File
	size            int64
	sent, wanted    int64
	begun           bool   // the receiver has answered
	progress, retry uint64 // ticks of the last answer and the last repetition
}

// startTransfer sends the newest snapshot to a member instead of a MsgSnap.
func (r *replica) startTransfer(m *pb.Message) {
	to := m.GetTo()
	if old := r.sending[to]; old != nil {
		r.endTransfer(old, raft.SnapshotFailure)
	}
	meta := m.Snapshot.GetMetadata()
	file, err := r.disk.fs.Open(r.disk.path(snapshotName(meta.GetIndex(), meta.GetTerm())))
	if err != nil {
		r.logger.Warn("cannot send a snapshot", "to", to, "error", err)
		r.core.raw.ReportSnapshot(to, raft.SnapshotFailure)
		return
	}
	size, err := file.Size()
	if err != nil {
		r.logger.Warn("cannot send a snapshot", "to", to, "error", errors.Join(err, file.Close()))
		r.core.raw.ReportSnapshot(to, raft.SnapshotFailure)
		return
	}
	r.transfers++
	// A later start of this member must not continue what an earlier one began.
	o := &outgoing{id: r.core.boot<<32 | r.transfers, to: to, index: meta.GetIndex(), file: file, size: size}
	o.progress, o.retry = r.core.ticks, r.core.ticks
	o.begin = binary.AppendUvarint([]byte{transferBegin}, o.id)
	o.begin = binary.AppendUvarint(o.begin, uint64(size))
	o.begin = appendMessage(o.begin, m)
	r.sending[to] = o
	r.net.Send(to, transport.LaneSnapshot, 0, o.begin)
}

// endTransfer must be called exactly once for each: a member whose snapshot is
// never reported on gets no entries any more.
func (r *replica) endTransfer(o *outgoing, status raft.SnapshotStatus) {
	delete(r.sending, o.to)
	if err := o.file.Close(); err != nil {
		r.logger.Warn("cannot close a snapshot", "error", err)
	}
	r.core.raw.ReportSnapshot(o.to, status)
}

// pump sends parts as far as the window reaches and the pace allows.
func (r *replica) pump(o *outgoing) {
	for o.sent < o.size && o.sent < o.wanted+partsWindow*partSize && r.pace.allows() {
		part := make([]byte, min(partSize, o.size-o.sent))
		if _, err := o.file.ReadAt(part, o.sent); err != nil && !errors.Is(err, io.EOF) {
			r.logger.Warn("cannot read a snapshot", "error", err)
			r.endTransfer(o, raft.SnapshotFailure)
			return
		}
		r.encoded = binary.AppendUvarint(append(r.encoded[:0], transferPart), o.id)
		r.encoded = binary.AppendUvarint(r.encoded, uint64(o.sent))
		r.encoded = appendBytes(r.encoded, part)
		if !r.net.Send(o.to, transport.LaneSnapshot, 0, r.encoded) {
			return // bringUp and tickTransfers try again
		}
		o.sent += int64(len(part))
		r.pace.spend(int64(len(part)))
	}
}

// tickTransfers repeats what seems lost and gives up what does not move.
func (r *replica) tickTransfers() {
	for _, to := range slices.Sorted(maps.Keys(r.sending)) {
		o := r.sending[to]
		patience := uint64(transferPatience)
		if o.wanted == o.size {
			patience = verifyPatience
		}
		switch now := r.core.ticks; {
		case now-o.progress > patience*r.core.electionTicks || r.core.role != raft.StateLeader:
			r.endTransfer(o, raft.SnapshotFailure)
		case now-max(o.progress, o.retry) >= r.core.electionTicks:
			o.retry = now
			if !o.begun {
				r.net.Send(o.to, transport.LaneSnapshot, 0, o.begin)
			} else if o.wanted < o.size {
				o.sent = o.wanted
				r.pump(o)
			}
		}
	}
	if in := r.receiving; in != nil && !in.verifying && r.core.ticks-in.progress > transferPatience*r.core.electionTicks {
		r.dropIncoming()
	}
}

// incoming is a snapshot that is arriving.
type incoming struct {
	from, id  uint64
	name      string
	file      wal.File
	writer    *fileWriter
	size, off int64
	m         *pb.Message
	verifying bool
	progress  uint64
}

// receivedImage is a snapshot that has arrived whole and was verified.
type receivedImage struct {
	name  string
	state *machine
	in    *incoming // to be answered when the image is installed, or not
}

// receiveTransfer takes a frame of the snapshot lane.
func (r *replica) receiveTransfer(f transport.Frame) error {
	rd := reader{b: f.Payload}
	kind, id := rd.byte(), rd.uvarint()
	switch kind {
	case transferBegin:
		size := rd.uvarint()
		if rd.bad || size == 0 || size > 1<<62 {
			return fmt.Errorf("%w: begin of a transfer of %d bytes", errMalformed, size)
		}
		m, err := decodeMessage(rd.b, f.From)
		if err != nil {
			return err
		}
		if m.GetType() != pb.MsgSnap || m.GetTo() != r.id {
			return fmt.Errorf("%w: transfer of a %v to %x", errMalformed, m.GetType(), m.GetTo())
		}
		return r.beginIncoming(f.From, id, int64(size), m)
	case transferPart:
		off := rd.uvarint()
		part := rd.bytes()
		if rd.bad || len(rd.b) > 0 || len(part) == 0 {
			return fmt.Errorf("%w: part of a transfer", errMalformed)
		}
		return r.addPart(f.From, id, off, part)
	case transferWants, transferResult:
		value := rd.uvarint()
		if rd.bad || len(rd.b) > 0 {
			return fmt.Errorf("%w: answer to a transfer", errMalformed)
		}
		r.answered(f.From, id, kind, value)
		return nil
	}
	return fmt.Errorf("%w: transfer frame of kind %d", errMalformed, kind)
}

func (r *replica) answer(in *incoming, kind byte, value uint64) {
	b := binary.AppendUvarint([]byte{kind}, in.id)
	r.net.Send(in.from, transport.LaneSnapshot, 0, binary.AppendUvarint(b, value))
}

func (r *replica) beginIncoming(from, id uint64, size int64, m *pb.Message) error {
	if in := r.receiving; in != nil {
		if in.from == from && in.id == id {
			r.answer(in, transferWants, uint64(in.off))
			return nil
		}
		if in.verifying {
			return nil // the sender repeats, or gives up
		}
		r.dropIncoming()
	}
	r.transfers++
	name := fmt.Sprintf("recv-%d%s", r.transfers, tempSuffix)
	file, err := r.disk.fs.Create(r.disk.path(name))
	if err != nil {
		return err
	}
	r.receiving = &incoming{from: from, id: id, name: name, file: file, writer: &fileWriter{file: file}, size: size, m: m, progress: r.core.ticks}
	r.answer(r.receiving, transferWants, 0)
	return nil
}

func (r *replica) addPart(from, id, off uint64, part []byte) error {
	in := r.receiving
	if in == nil || in.from != from || in.id != id || in.verifying {
		return nil
	}
	if off == uint64(in.off) && in.off+int64(len(part)) <= in.size {
		if _, err := in.writer.Write(part); err != nil {
			r.answer(in, transferResult, 0)
			r.dropIncoming()
			return err
		}
		in.off += int64(len(part))
		in.progress = r.core.ticks
	}
	r.answer(in, transferWants, uint64(in.off))
	if in.off == in.size {
		r.verify(in)
	}
	return nil
}

// verify syncs and loads the image in the background, then gives it to Raft.
func (r *replica) verify(in *incoming) {
	in.verifying = true
	var state *machine
	var err error
	r.background(func() {
		if err = errors.Join(in.file.Sync(), in.file.Close()); err == nil {
			state, err = loadImage(r.disk.fs, r.disk.path(in.name), r.clusterID, r.disk.pause())
		}
	}, func() {
		r.receiving = nil
		if err == nil {
			err = matchesMessage(state, in.m)
		}
		if err != nil {
			r.logger.Warn("refused a snapshot", "from", in.from, "error", err)
			r.answer(in, transferResult, 0)
			r.removeTemp(in.name)
			return
		}
		r.discardReceived()
		r.received = &receivedImage{in.name, state, in}
		r.core.step(in.m)
	})
}

// matchesMessage makes sure that Raft is told the truth about an image.
func matchesMessage(state *machine, m *pb.Message) error {
	meta := m.Snapshot.GetMetadata()
	if state.applied != meta.GetIndex() || state.term != meta.GetTerm() {
		return fmt.Errorf("%w: image at %d/%d, announced %d/%d", ErrCorruptSnapshot, state.term, state.applied, meta.GetTerm(), meta.GetIndex())
	}
	return state.conf.Equivalent(meta.GetConfState())
}

// discardReceived lets go of a verified image that Raft did not want, because it
// knows better by now.
func (r *replica) discardReceived() {
	if r.received != nil {
		r.answer(r.received.in, transferResult, 0)
		r.removeTemp(r.received.name)
		r.received = nil
	}
}

func (r *replica) dropIncoming() {
	in := r.receiving
	r.receiving = nil
	if err := in.file.Close(); err != nil {
		r.logger.Warn("cannot close an unfinished snapshot", "error", err)
	}
	r.removeTemp(in.name)
}

func (r *replica) removeTemp(name string) {
	if err := r.disk.fs.Remove(r.disk.path(name)); err != nil {
		r.logger.Warn("cannot remove an unfinished snapshot", "error", err)
	}
}

// answered takes the receiver's side of a transfer.
func (r *replica) answered(from, id uint64, kind byte, value uint64) {
	o := r.sending[from]
	if o == nil || o.id != id {
		return
	}
	if kind == transferResult {
		status := raft.SnapshotFailure
		if value == 1 {
			status = raft.SnapshotFinish
		}
		r.endTransfer(o, status)
		return
	}
	o.begun = true
	if int64(value) > o.wanted && int64(value) <= o.size {
		o.wanted = int64(value)
		o.progress = r.core.ticks
		o.sent = max(o.sent, o.wanted)
	}
	r.pump(o)
}
