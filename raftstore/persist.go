package raftstore

import (
	"fmt"
	"slices"
	"time"

	"github.com/orchcore/orchcore/raftstore/wal"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// diskTask is one thing that the log on disk must be told, in order.
type diskTask struct {
	// append comes from Raft; it is answered when it is durable.
	append *pb.Message
	// image is the snapshot that append installs.
	image *receivedImage
	// mark records a snapshot of our own, which is on disk already. Afterwards
	// everything up to release is not needed any more.
	mark    *wal.Mark
	release uint64
	conf    *pb.ConfState
	// members has the network follow the members of the state afterwards.
	members bool
}

// takeTasks turns the effects of the core into tasks. The log in memory gets the
// entries at once: Raft counts on finding them there (raft doc, async storage).
func (r *replica) takeTasks() error {
	fx := &r.core.fx
	for i, m := range fx.persist {
		fx.persist[i] = nil
		task := diskTask{append: m}
		if meta := m.Snapshot.GetMetadata(); meta.GetIndex() > 0 {
			if r.received == nil || r.received.state.applied != meta.GetIndex() {
				return fmt.Errorf("raft installs a snapshot at %d that was not received", meta.GetIndex())
			}
			task.image, r.received = r.received, nil
			r.core.log.reset(meta.GetIndex(), meta.GetTerm())
			r.core.log.snapshot = meta
		}
		if err := r.core.log.append(m.Entries); err != nil {
			return err
		}
		for _, e := range m.Entries {
			r.pace.grown += entrySize(e)
		}
		r.tasks = append(r.tasks, task)
	}
	fx.persist = fx.persist[:0]
	return nil
}

// A disk that answers within slowSync is written by the owner itself: that saves
// two hand-overs, and whatever arrives meanwhile makes the next batch. A slower
// one is written in the background, so that heartbeats and acknowledgements do not
// wait for it.
//
// The same goes for a disk that is busy with files besides the log.
const slowSync = 2 * time.Millisecond

// diskBusy reports whether this member itself keeps its disk busy just now: then a
// sync may take long, and the others, who do so at other times, decide without it.
func (r *replica) diskBusy() bool { return r.cutting || r.removing || r.preparing }

// owesSync reports whether what is queued is more than a commit index.
func (r *replica) owesSync() bool {
	return slices.ContainsFunc(r.tasks, func(t diskTask) bool {
		return t.mark != nil || t.members || t.append != nil && len(t.append.Responses) > 0
	})
}

// writeTasks writes everything that is queued with one sync.
func (r *replica) writeTasks() error {
	batch := r.tasks
	r.tasks = nil
	if r.syncTook < slowSync && !r.diskBusy() {
		took, err := r.write(batch)
		if err != nil {
			return err
		}
		return r.wrote(batch, took)
	}
	r.writing, r.writingSince = true, r.core.ticks
	var took time.Duration
	var err error
	r.background(func() { took, err = r.write(batch) }, func() {
		r.writing = false
		if err == nil {
			err = r.wrote(batch, took)
		}
		if err != nil {
			r.fail(err)
		}
	})
	return nil
}

// write touches the log and the files of snapshots and nothing else: it may run
// beside the owner. It returns how long the sync has taken, 0 if there was none.
func (r *replica) write(batch []diskTask) (took time.Duration, err error) {
	sync := false
	for _, t := range batch {
		if t.mark != nil {
			r.wal.AppendMark(*t.mark)
			sync = true
		}
		sync = sync || t.members
		if t.append == nil {
			continue
		}
		if t.image != nil {
			if err := r.disk.keep(t.image.name, t.image.state.applied, t.image.state.term); err != nil {
				return 0, err
			}
			r.wal.AppendMark(wal.Mark{Index: t.image.state.applied, Term: t.image.state.term, Reset: true})
		}
		r.wal.AppendEntries(t.append.Entries)
		if t.append.Term != nil {
			r.wal.AppendState(wal.HardState{Term: t.append.GetTerm(), Vote: t.append.GetVote(), Commit: t.append.GetCommit()})
		}
		// A commit index alone may be lost: nobody depends on it. Answers to the message
		// that has brought it refer to entries that are durable already.
		sync = sync || len(t.append.Responses) > 0 && r.wal.Owing() || r.wal.Buffered() > unsyncedMax
	}
	if !sync {
		return 0, nil
	}
	begun := r.now()
	r.flushSize = r.wal.Buffered()
	if err := r.wal.Flush(); err != nil {
		return 0, err
	}
	return r.now() - begun, nil
}

// unsyncedMax bounds what may stay in memory because nobody waits for it, in bytes.
const unsyncedMax = 64 << 10

// wrote acts on tasks that are durable.
func (r *replica) wrote(batch []diskTask, took time.Duration) error {
	if took > 0 {
		r.syncTook += (took - r.syncTook) / 8
		r.syncs.add(took)
		r.cfg.Observer.Synced(r.flushSize, took)
	}
	for _, t := range batch {
		if t.mark != nil {
			r.marked(t)
		}
		if t.members {
			r.connect()
		}
		if t.append == nil {
			continue
		}
		if t.image != nil {
			r.core.installed(t.image.state)
			r.answer(t.image.in, transferResult, 1)
			r.cfg.Observer.SnapshotInstalled(t.image.state.applied)
			r.logger.Info("installed a snapshot", "index", t.image.state.applied)
		}
		r.core.persisted(t.append)
	}
	r.removeFiles(batch)
	r.prepareSegment()
	return nil
}

// removeFiles deletes, in the background, what a newer snapshot has made needless.
// What it cannot begin now, because it is still busy, the next snapshot brings.
func (r *replica) removeFiles(batch []diskTask) {
	release := uint64(0)
	for _, t := range batch {
		release = max(release, t.release)
	}
	if release == 0 || r.removing {
		return
	}
	// Raft may ask for all entries that are in the log.
	removeSegments := r.wal.Release(min(release, r.core.log.offset))
	r.removing = true
	var err error
	r.background(func() {
		if removeSegments != nil {
			err = removeSegments()
		}
		if err == nil {
			err = r.disk.removeBefore(release)
		}
	}, func() {
		r.removing = false
		if err != nil {
			r.fail(err)
		}
	})
}

// readOlder reads entries of the log that are not in memory any more. A log that cannot
// be read back is no better than one that cannot be written: the member ends.
func (r *replica) readOlder(lo, hi, sizeMax uint64) ([]*pb.Entry, error) {
	entries, err := r.wal.Entries(lo, hi, sizeMax)
	if err != nil {
		r.fail(fmt.Errorf("read the log: %w", err))
	}
	return entries, err
}

// prepareSegment has the next segment made while the current one fills up.
func (r *replica) prepareSegment() {
	if r.preparing || r.writing || !r.wal.NeedsPrepare() {
		return
	}
	r.preparing = true
	r.background(func() {
		if err := r.wal.Prepare(); err != nil {
			r.logger.Warn("cannot prepare the next segment of the log", "error", err)
		}
	}, func() { r.preparing = false })
}

// watchDisk gives leadership away when the disk has been silent for too long:
// heartbeats go on during a stall, so nobody else would notice (hashicorp/raft
// #503, #666).
func (r *replica) watchDisk() {
	stalled := r.writing && r.core.ticks-r.writingSince > 2*r.core.electionTicks
	if !stalled || r.core.role != raft.StateLeader || (r.core.ticks-r.writingSince)%r.core.electionTicks != 0 {
		return
	}
	if to := r.successor(); to != 0 {
		r.logger.Warn("disk is stalled, handing leadership over", "to", to)
		r.core.transfer(to)
	}
}
