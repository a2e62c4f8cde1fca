package raftstore

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orchcore/orchcore/raftstore/wal"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// snapshotDir holds the snapshot files of a member. A file counts when the log has
// a mark of it; two generations are kept, so that one that has rotted does not
// take the member with it.
type snapshotDir struct {
	fs  wal.FS
	dir string
	// pacer, if set, makes what is called after each part of a snapshot that is written,
	// or read to be installed, so that this takes no more than a share of processor and
	// disk.
	pacer func() (pause func())
}

const (
	snapshotSuffix = ".snap"
	tempSuffix     = ".tmp"
)

func snapshotName(index, term uint64) string {
	return fmt.Sprintf("%016x-%016x%s", index, term, snapshotSuffix)
}

func parseSnapshotName(name string) (index, term uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "%016x-%016x.snap", &index, &term); err != nil {
		return 0, 0, false
	}
	return index, term, snapshotName(index, term) == name
}

func (d snapshotDir) pause() func() {
	if d.pacer == nil {
		return nil
	}
	return d.pacer()
}

func (d snapshotDir) path(name string) string { return filepath.Join(d.dir, name) }

// write makes a cut durable under its final name.
func (d snapshotDir) write(c *cut) error {
	temp := fmt.Sprintf("cut-%016x%s", c.index, tempSuffix)
	if err := writeImage(d.fs, d.path(temp), c, d.pause()); err != nil {
		return err
	}
	return d.keep(temp, c.index, c.term)
}

// keep gives a complete and durable file its final name.
func (d snapshotDir) keep(temp string, index, term uint64) error {
	if err := d.fs.Rename(d.path(temp), d.path(snapshotName(index, term))); err != nil {
		return err
	}
	return d.fs.SyncDir(d.dir)
}

// removeBefore deletes the snapshots below index.
func (d snapshotDir) removeBefore(index uint64) error {
	return d.removeIf(func(i, _ uint64) bool { return i < index })
}

func (d snapshotDir) removeIf(unwanted func(index, term uint64) bool) error {
	names, err := d.fs.List(d.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if index, term, ok := parseSnapshotName(name); ok && unwanted(index, term) {
			err = errors.Join(err, d.fs.Remove(d.path(name)))
		}
	}
	return err
}

// clean removes what a crash has left behind: unfinished files, and snapshots that
// the log does not know.
func (d snapshotDir) clean(marks []wal.Mark) error {
	names, err := d.fs.List(d.dir)
	if err != nil {
		return err
	}
	known := map[[2]uint64]bool{}
	for _, m := range marks {
		known[[2]uint64{m.Index, m.Term}] = true
	}
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			err = errors.Join(err, d.fs.Remove(d.path(name)))
		}
	}
	return errors.Join(err, d.removeIf(func(index, term uint64) bool { return !known[[2]uint64{index, term}] }))
}

// maybeCut begins a snapshot when enough has been applied since the last one, when
// the log takes too much memory, or when Raft needs one for a member that is far
// behind.
func (r *replica) maybeCut() {
	state, log := r.core.state, r.core.log
	since := state.applied - log.snapshot.GetIndex()
	if r.cutting || since == 0 || r.core.ticks < r.cutAfter {
		return
	}
	// While a transfer holds the log, another snapshot would not shorten it.
	large := log.sizeBytes-log.followedBytes > 2*r.cfg.CatchUpSizeBytes && len(r.sending) == 0
	enough := since >= r.cfg.SnapshotEntries && since-r.cfg.SnapshotEntries >= r.stagger()
	if !enough && !log.wanted && !large {
		return
	}
	r.cutting = true
	log.wanted = false
	c := state.cut(r.clusterID)
	var err error
	var took time.Duration
	r.background(func() {
		begun := r.now()
		err = r.disk.write(c)
		took = r.now() - begun
	}, func() {
		r.cfg.Observer.SnapshotWritten(c.index, took, err)
		r.cutting = r.hasCut(c, err)
	})
}

// stagger has the members write their snapshots at different times: those that wait
// for a disk or a processor then are never a majority.
func (r *replica) stagger() uint64 {
	ids := r.core.state.memberIDs()
	rank := slices.Index(ids, r.id)
	if rank <= 0 {
		return 0
	}
	return r.cfg.SnapshotEntries / 2 * uint64(rank) / uint64(len(ids))
}

// cutPause is the pause after a failed snapshot in election timeouts.
const cutPause = 30

// hasCut has the log record a snapshot that is on disk, unless one from the leader
// has overtaken it. It reports whether marked will be told: before, the log is as long
// as it was, and would seem to need another snapshot.
func (r *replica) hasCut(c *cut, err error) (recording bool) {
	if err != nil {
		// Nothing depends on it yet. The log grows until the next attempt succeeds.
		r.logger.Error("cannot write a snapshot", "index", c.index, "error", err)
		r.cutAfter = r.core.ticks + cutPause*r.core.electionTicks
		return false
	}
	newest := r.core.log.snapshot.GetIndex()
	if c.index <= newest {
		return false // clean removes the file at the next start, or removeBefore earlier
	}
	r.tasks = append(r.tasks, diskTask{
		mark:    &wal.Mark{Index: c.index, Term: c.term},
		release: newest,
		conf:    c.conf,
	})
	return true
}

// marked shortens the log in memory behind a snapshot that is recorded.
func (r *replica) marked(t diskTask) {
	r.cutting = false
	log := r.core.log
	if t.mark.Index <= log.snapshot.GetIndex() {
		return
	}
	log.snapshot = &pb.SnapshotMetadata{Index: new(t.mark.Index), Term: new(t.mark.Term), ConfState: t.conf}
	keep := log.reserve(t.mark.Index, r.cfg.CatchUpEntries, r.cfg.CatchUpSizeBytes)
	// A member that is getting a snapshot needs what comes after it, and one that is
	// getting the log the rest of that.
	for _, o := range r.sending {
		keep = min(keep, o.index)
	}
	followed := min(keep, r.followed())
	log.followedBytes = log.size(followed, keep)
	log.compact(followed)
}

// followShare is how many times CatchUpSizeBytes the log may take for members that are
// on their way through it.
const followShare = 4

// followed returns the index up to which members that are sent the log have it, as far
// as what is behind it is within bounds.
func (r *replica) followed() uint64 {
	log := r.core.log
	index := log.last()
	if r.core.role == raft.StateLeader {
		r.core.raw.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
			if p.State == tracker.StateReplicate && r.heardLately(id) {
				index = min(index, p.Match)
			}
		})
	}
	return max(index, log.reserve(log.last(), math.MaxUint64, followShare*r.cfg.CatchUpSizeBytes))
}
