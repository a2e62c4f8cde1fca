package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/orchcore/orchcore/raftstore"
	"github.com/orchcore/orchcore/raftstore/wal"
)

// printLog prints the records of a member's log and verifies all of its files. The
// member must not be running.
func printLog(_ context.Context, flags *flag.FlagSet, args []string, stdout io.Writer) error {
	quiet := flags.Bool("q", false, "verify only")
	if err := parse(flags, args, 1, "the directory of a member"); err != nil {
		return err
	}
	out := stdout
	if *quiet {
		out = io.Discard
	}
	return verifyDirectory(flags.Arg(0), out, stdout)
}

// verifyDirectory reads the log, whose records go to records, and the snapshots, and
// says what it has found.
func verifyDirectory(dir string, records, summary io.Writer) error {
	entries := 0
	rec, err := wal.Read(filepath.Join(dir, "wal"), wal.Options{}, func(r wal.Record) {
		at := fmt.Sprintf("%s:%-8d", r.Segment, r.Offset)
		switch {
		case r.Entry != nil:
			entries++
			fmt.Fprintf(records, "%s entry %d/%d  %s\n", at, r.Entry.GetTerm(), r.Entry.GetIndex(), raftstore.DescribeEntry(r.Entry))
		case r.State != nil:
			fmt.Fprintf(records, "%s state term %d, vote %x, commit %d\n", at, r.State.Term, r.State.Vote, r.State.Commit)
		case r.Mark != nil:
			fmt.Fprintf(records, "%s snapshot %d/%d, replaces the log: %v\n", at, r.Mark.Term, r.Mark.Index, r.Mark.Reset)
		case r.Meta != nil:
			fmt.Fprintf(records, "%s value %d: % x\n", at, r.MetaKey, r.Meta)
		}
	})
	if err != nil {
		return err
	}
	first, last := uint64(0), uint64(0)
	if n := len(rec.Entries); n > 0 {
		first, last = rec.Entries[0].GetIndex(), rec.Entries[n-1].GetIndex()
	}
	fmt.Fprintf(summary, "log of member %x in cluster %016x verifies: %d entries recorded, %d to %d count, term %d, commit %d, torn tail of %d bytes\n",
		rec.MemberID, rec.ClusterID, entries, first, last, rec.State.Term, rec.State.Commit, rec.TornBytes)
	return verifySnapshots(filepath.Join(dir, "snap"), rec, summary)
}

// verifySnapshots reads the snapshots that the log has marks of, of which the two
// newest are there.
func verifySnapshots(dir string, rec *wal.Recovered, summary io.Writer) error {
	for i, m := range slices.Backward(rec.Marks) {
		name := fmt.Sprintf("%016x-%016x.snap", m.Index, m.Term)
		info, err := verifyImageFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) && i < len(rec.Marks)-1 {
			continue // an older generation may have gone
		}
		if err == nil && (info.Index != m.Index || info.ClusterID != rec.ClusterID) {
			err = fmt.Errorf("it is at index %d of cluster %016x, expected %d of %016x", info.Index, info.ClusterID, m.Index, rec.ClusterID)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(summary, "snapshot %s verifies: revision %d, voters %x\n", name, info.Revision, info.Voters)
	}
	return nil
}

func verifyImageFile(name string) (info raftstore.ImageInfo, err error) {
	f, err := os.Open(name)
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return raftstore.VerifyImage(f)
}
