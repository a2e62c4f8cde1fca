package raftstore

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/orchcore/orchcore/raftstore/wal"
)

// ForceNewCluster founds a cluster of one member in dir from the files of a member
// of another cluster, which has lost its quorum for good. The old files stay as they
// are; the member must not be running. Open dir with the same Config afterwards, and
// add other members as learners.
//
// It is an act of last resort: what a majority of the old cluster has acknowledged
// without this member is lost. All entries of its log are kept, committed or not:
// they include every acknowledged write that has reached it, and perhaps some of
// which clients were told nothing. If others of the old cluster still run, the two
// are different clusters, and neither knows of the other's writes.
func ForceNewCluster(old, dir string, cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.validateFounding(); err != nil {
		return err
	}
	if len(cfg.Members) > 1 {
		return configError("Members", fmt.Sprintf("a list of %d", len(cfg.Members)), "at most this member: others join later")
	}
	if err := forceNewCluster(old, dir, cfg); err != nil {
		return fmt.Errorf("raftstore: force a new cluster from %s in %s: %w", old, dir, err)
	}
	return nil
}

func forceNewCluster(old, dir string, cfg Config) error {
	if storedOr(cfg.FS, dir, 1) == 0 {
		return fmt.Errorf("%w: there is a member already, expected an empty directory", ErrWrongCluster)
	}
	state, cluster, err := replayMember(old, cfg)
	if err != nil {
		return err
	}
	hash := sha256.New()
	hash.Write([]byte("forced"))
	for _, v := range []uint64{cluster, state.applied, state.term, state.store.Hash(), cfg.wantedClusterID()} {
		hash.Write(binary.LittleEndian.AppendUint64(nil, v))
	}
	if len(cfg.Members) == 0 {
		cfg.Members = []Member{{ID: cfg.ID}}
	}
	state.refound(cfg.Members)
	return writeRestored(dir, cfg, max(1, binary.LittleEndian.Uint64(hash.Sum(nil))), state)
}

// validateFounding checks a config that founds a cluster from a state.
func (c *Config) validateFounding() error {
	if err := c.validate(); err != nil {
		return err
	}
	if c.Join {
		return configError("Join", true, "false: the member founds a cluster")
	}
	return nil
}

// replayMember reads a member's files without changing them and returns its state at
// the end of its log.
func replayMember(dir string, cfg Config) (*machine, uint64, error) {
	rec, err := wal.Read(filepath.Join(dir, "wal"), wal.Options{FS: cfg.FS}, nil)
	if err != nil {
		return nil, 0, err
	}
	r := &replica{
		id: rec.MemberID, clusterID: rec.ClusterID, cfg: cfg, logger: cfg.Logger,
		disk: snapshotDir{fs: cfg.FS, dir: filepath.Join(dir, "snap")},
	}
	boot, err := storedBoot(rec)
	if err != nil {
		return nil, 0, err
	}
	state, err := r.loadState(rec)
	if err != nil {
		return nil, 0, err
	}
	log, err := newLog(rec, state, cfg)
	if err != nil {
		return nil, 0, err
	}
	// With the whole log committed, the core applies it as it always does.
	log.hard.Commit = new(log.last())
	c, err := newCore(coreConfig{
		id: rec.MemberID, boot: boot + 1, heartbeatTicks: cfg.HeartbeatTicks, electionTicks: cfg.ElectionTicks,
		logger: raftLogger{cfg.Logger},
	}, log, state)
	if err != nil {
		return nil, 0, err
	}
	c.starting = false // it is to apply, not to lead
	for c.ready() {
		for _, m := range c.fx.persist {
			c.persisted(m)
		}
		c.fx = effects{}
	}
	if err := errors.Join(c.fault, c.state.diverged); err != nil {
		return nil, 0, err
	}
	if c.state.applied != log.last() {
		return nil, 0, fmt.Errorf("%w: applied %d of %d entries", ErrCorrupt, c.state.applied, log.last())
	}
	return c.state, rec.ClusterID, nil
}
