package raftstore

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/orchcore/orchcore/raftstore/wal"
)

// Backup writes the state to w as it is at one moment after the call began: what
// Restore reads. Writers go on meanwhile. Any member will do; it needs a quorum, so
// that the backup is not older than it seems.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	if err := s.barrier(ctx); err != nil {
		return err
	}
	taken := make(chan *cut, 1)
	n := s.node
	if !n.call(func() { taken <- n.replica.core.state.cut(n.replica.clusterID) }) {
		return n.ended()
	}
	var c *cut
	select {
	case c = <-taken:
	case <-n.stopped:
		return n.ended()
	}
	b := bufio.NewWriterSize(&contextWriter{ctx, w}, 256<<10)
	if err := c.writeTo(b); err != nil {
		return err
	}
	return b.Flush()
}

// contextWriter ends a long copy with its context.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w *contextWriter) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, contextReason(w.ctx)
	}
	return w.w.Write(p)
}

// restoredIndex is where the log of a restored cluster begins.
const restoredIndex = bootstrapIndex + 1

// RestoreOptions say how the new cluster differs from the old one.
type RestoreOptions struct {
	// RevisionBump, if above 0, is added to the revision, and everything before the
	// sum is compacted: choose more than the old cluster can have written since the
	// backup. Clients that know later revisions than the backup has, and would take
	// those of the new cluster for them, then are told that theirs are compacted, and
	// start over.
	RevisionBump int64
}

// Restore founds a member of a new cluster whose state is that of a backup; Open it
// with the same Config afterwards. Every member of the new cluster must be restored
// from the same backup with the same Members, ClusterToken and options, in an empty
// directory. The new cluster has an identity of its own: members of the old one
// cannot join it, even if they still run.
//
// The revision goes on from that of the backup, or from further up (RevisionBump).
// Without a bump, clients that have seen later ones must not be let near the new
// cluster.
func Restore(backup io.Reader, dir string, cfg Config, o RestoreOptions) error {
	cfg = cfg.withDefaults()
	if err := cfg.validateFounding(); err != nil {
		return err
	}
	if o.RevisionBump < 0 || o.RevisionBump > revisionBumpMax {
		return configError("RevisionBump", o.RevisionBump, rangeText(0, revisionBumpMax))
	}
	if len(cfg.Members) == 0 {
		cfg.Members = []Member{{ID: cfg.ID}}
	}
	hash := sha256.New()
	state, err := readImage(io.TeeReader(backup, hash), 0)
	if err != nil {
		return fmt.Errorf("raftstore: restore %s: %w", dir, err)
	}
	if storedOr(cfg.FS, dir, 1) == 0 {
		return fmt.Errorf("raftstore: restore %s: %w: there is a member already, expected an empty directory", dir, ErrWrongCluster)
	}
	if o.RevisionBump > 0 {
		if err := state.store.Advance(state.store.Revision() + o.RevisionBump); err != nil {
			return fmt.Errorf("raftstore: restore %s: %w", dir, err)
		}
	}
	state.refound(cfg.Members)
	hash.Write(binary.LittleEndian.AppendUint64(nil, cfg.wantedClusterID()))
	hash.Write(binary.LittleEndian.AppendUint64(nil, uint64(o.RevisionBump)))
	id := max(1, binary.LittleEndian.Uint64(hash.Sum(nil)))
	if err := writeRestored(dir, cfg, id, state); err != nil {
		return fmt.Errorf("raftstore: restore %s: %w", dir, err)
	}
	return nil
}

// revisionBumpMax leaves room for all the writes there will ever be.
const revisionBumpMax = 1 << 50

// refound leaves the data and forgets the cluster it came from. Sessions go, too:
// their clients belong to a history that may have gone on elsewhere.
func (m *machine) refound(members []Member) {
	fresh := newMachine(members)
	fresh.store = m.store
	fresh.applied, fresh.term = restoredIndex, bootstrapTerm
	*m = *fresh
}

// writeRestored writes the snapshot first and the log, which makes it count, last.
func writeRestored(dir string, cfg Config, id uint64, state *machine) (err error) {
	disk := snapshotDir{fs: cfg.FS, dir: filepath.Join(dir, "snap")}
	if err := cfg.FS.MkdirAll(disk.dir); err != nil {
		return err
	}
	if err := disk.write(state.cut(id)); err != nil {
		return err
	}
	w, rec, err := wal.Open(filepath.Join(dir, "wal"), wal.Options{
		FS: cfg.FS, SegmentSizeBytes: cfg.SegmentSizeBytes, MemberID: cfg.ID, ClusterID: id,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if !rec.Fresh {
		return fmt.Errorf("%w: a member was founded meanwhile", ErrWrongCluster)
	}
	token := sha256.Sum256([]byte(cfg.ClusterToken))
	w.AppendMeta(metaToken, token[:])
	w.AppendMark(wal.Mark{Index: restoredIndex, Term: bootstrapTerm})
	w.AppendState(wal.HardState{Term: bootstrapTerm, Commit: restoredIndex})
	w.AppendMeta(metaFounding, appendMembers(nil, cfg.Members))
	return w.Flush()
}
