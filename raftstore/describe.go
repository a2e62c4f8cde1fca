package raftstore

import (
	"fmt"
	"strings"
)

// Describe draws Status as text for people.
func (s *Store) Describe() string { return s.Status().String() }

// String draws the member's view of the cluster, one line for each member.
func (s Status) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %016x  member %x  %s  term %d", s.ClusterID, s.MemberID, s.Role, s.Term)
	if s.Leader == 0 {
		b.WriteString("  no leader\n")
	} else {
		fmt.Fprintf(&b, "  leader %x\n", s.Leader)
	}
	fmt.Fprintf(&b, "  log %d..%d  snapshot %d  commit %d  applied %d\n", s.FirstIndex, s.LastIndex, s.SnapshotIndex, s.Commit, s.Applied)
	fmt.Fprintf(&b, "  revision %d  compacted %d  hash %016x\n", s.Revision, s.CompactedRevision, s.StateHash)
	fmt.Fprintf(&b, "  waiting %d writes, %d reads  sync %v  frames out %d, in %d, dropped %d\n",
		s.PendingWrites, s.PendingReads, s.SyncTime, s.Network.SentFrames, s.Network.ReceivedFrames, s.Network.DroppedFrames)
	for _, m := range s.Members {
		mark := ' '
		if m.ID == s.Leader {
			mark = '*'
		}
		kind := "voter"
		if m.Learner {
			kind = "learner"
		}
		fmt.Fprintf(&b, "  %c %x  %-7s  %s", mark, m.ID, kind, m.Address)
		if s.Role == Leader {
			fmt.Fprintf(&b, "  match %d", m.Match)
			if !m.Active {
				b.WriteString("  silent")
			}
			if m.Snapshotting {
				b.WriteString("  gets a snapshot")
			}
		}
		b.WriteByte('\n')
	}
	if s.Err != nil {
		fmt.Fprintf(&b, "  stopped: %v\n", s.Err)
	}
	return b.String()
}
